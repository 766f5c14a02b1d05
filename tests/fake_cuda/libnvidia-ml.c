/* A libnvidia-ml beside the fake libcuda: its devices in the opposite order, by the figures of the fake driver, and this
 * process alone on them, or where processes share them (FAKE_CUDA_SHARED) all of those. It proves that UUIDs are gone by and figures are compared, and nothing about NVML.
 *
 * Environment: FAKE_NVML_SHOWS (the part of used memory that it shows, in hundredths, 100), FAKE_NVML_OTHERS (another
 * process is listed on every device: this one's parent). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef struct { u32 version; u64 total, reserved, free, used; } Memory;
typedef struct { u32 pid; u64 used; u32 gpu, compute; } Process;

static u64 number(const char *name, u64 otherwise) { const char *t = getenv(name); return t ? strtoull(t, 0, 10) : otherwise; }
static void *cuda(const char *name) { static void *driver; if (!driver) driver = dlopen("libcuda.so.1", RTLD_NOW); return driver ? dlsym(driver, name) : 0; }
static u32 count(void) { return (u32)number("FAKE_CUDA_DEVICES", 1); }
static int device(void *handle) { return (int)(count() - (u32)(u64)handle); }
static u32 say(char *to, u32 room, const char *text) { return (u32)snprintf(to, room, "%s", text) < room ? 0 : 7; }

u32 nvmlInit_v2(void) { return cuda("fake_cuda_used") ? 0 : 9; }
u32 nvmlShutdown(void) { return 0; }
u32 nvmlSystemGetDriverVersion(char *to, u32 room) { return say(to, room, "580.00.01"); }
u32 nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 13000; return 0; }
u32 nvmlDeviceGetCount_v2(u32 *n) { *n = count(); return 0; }
u32 nvmlDeviceGetHandleByIndex_v2(u32 i, void **h) { if (i >= count()) return 2; *h = (void *)(u64)(i + 1); return 0; }
u32 nvmlDeviceGetName(void *h, char *to, u32 room) { (void)h; return say(to, room, "Fake GPU"); }
u32 nvmlDeviceGetUUID(void *h, char *to, u32 room) {
    char text[48];
    int b = device(h) + 1;
    snprintf(text, sizeof text, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b);
    return say(to, room, text);
}
u32 nvmlDeviceGetMemoryInfo_v2(void *h, Memory *m) {
    u64 (*used)(int) = (u64 (*)(int))cuda("fake_cuda_used");
    u64 total = number("FAKE_CUDA_BYTES", 8ull << 30), kept = 64ull << 20, context = 500ull << 20;
    *m = (Memory){m->version, total + kept + context, kept, 0, context + used(device(h)) / 100 * number("FAKE_NVML_SHOWS", 100)};
    m->free = m->total - m->used - kept;
    return 0;
}
static u32 list(u32 *n, Process *p, u32 all) {
    u32 room = *n;
    *n = all;
    if (room < all) return 7;
    if (all) p[0] = (Process){(u32)getpid(), 1 << 20, ~0u, ~0u};
    if (all > 1) p[1] = (Process){(u32)getppid(), 1 << 20, ~0u, ~0u};
    return 0;
}
u32 nvmlDeviceGetComputeRunningProcesses_v3(void *h, u32 *n, Process *p) {
    enum { MOST = 256 };
    int (*ask)(int, u32 *, u64 *, int) = (int (*)(int, u32 *, u64 *, int))cuda("fake_cuda_processes");
    u32 pids[MOST], room = *n;
    u64 used[MOST];
    int known = ask(device(h), pids, used, MOST);
    if (known >= 0) {
        *n = (u32)known;
        for (int i = 0; i < known && i < (int)room; i++) p[i] = (Process){pids[i], used[i], ~0u, ~0u};
        return known > (int)room ? 7 : 0;
    }
    return list(n, p, getenv("FAKE_NVML_OTHERS") ? 2 : 1);
}
u32 nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, u32 *n, Process *p) { (void)h; return list(n, p, 0); }
