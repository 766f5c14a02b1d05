/* A libcuda for machines without a GPU: the functions that poolproof calls, on the processor's memory.
 *
 * Streams are queues; whatever nothing holds back runs at the next call. Kernels are known by their names and do what
 * kernels.ptx says. An access without memory breaks the context as on a GPU: every call answers 700 from then on.
 * It proves that the calls are made in the right order with the right arguments, and nothing about a GPU.
 *
 * Environment: FAKE_CUDA_BYTES (memory of a device, 8 GiB), FAKE_CUDA_DEVICES (1), FAKE_CUDA_VERSION (13000),
 * FAKE_CUDA_INIT (the code that cuInit answers, 0), FAKE_CUDA_SHARED (a file through which processes share the
 * devices: a slot for each, its number, the devices that it has a context on, and what it has of each; what has ended
 * counts no more), FAKE_CUDA_NO_PEERS (devices do not get at each other). CUDA_VISIBLE_DEVICES orders devices by number.
 * Compiled with -DWITHOUT_MAP, one function is missing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;
enum { DEVICES = 8 };
enum { FILL = 1, VERIFY, SPIN, MARK, FREE, COPY };
typedef struct Work { int kind; u64 a, b, c, d, e, since; struct Work *next; } Work;
typedef struct { Work *first, *last; int device; } Stream;
typedef struct { u64 pending; } Event;
typedef struct Region { u64 at, bytes, charge; int device, usable; struct Region *next; } Region;
typedef struct { u64 used, used_high, reserved, reserved_high, most; int device; } Pool;
enum { SLOTS = 256 };
typedef struct { u64 pid, contexts, used[DEVICES]; } Slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Stream streams[256 + DEVICES] = {{0}}; /* those from 256 on are the default streams of the devices */
static int lowest = 256, sticky = 0; /* handles come in descending order: nothing may rest on their order */
static Region *regions = 0;
static Slot alone, *slots = 0, *own = &alone;
static int shared = -1;
static __thread int current = 0;
static Pool *pool_of_all = 0;

static u64 number(const char *name, u64 otherwise) { const char *t = getenv(name); return t ? strtoull(t, 0, 10) : otherwise; }
static u64 total(void) { return number("FAKE_CUDA_BYTES", 8ull << 30); }
static u64 whole(u64 n) { return (n + (2ull << 20) - 1) >> 21 << 21; }
static int alive(u64 pid) {
    char path[40], text[256];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f); text[n] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
}
/* Takes a slot of the shared file. */
static void join(void) {
    const char *path = getenv("FAKE_CUDA_SHARED");
    if (!path || slots) return;
    shared = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (shared < 0) return;
    flock(shared, LOCK_EX);
    if (!ftruncate(shared, sizeof(Slot) * SLOTS)) slots = mmap(0, sizeof(Slot) * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (slots == MAP_FAILED) slots = 0;
    for (int i = 0; slots && i < SLOTS && own == &alone; i++)
        if (!slots[i].pid || !alive(slots[i].pid)) { memset(&slots[i], 0, sizeof(Slot)); slots[i].pid = getpid(); own = &slots[i]; }
    flock(shared, LOCK_UN);
}
static u64 left(int d) {
    u64 used = own->used[d];
    for (int i = 0; slots && i < SLOTS; i++)
        if (&slots[i] != own && slots[i].used[d] && alive(slots[i].pid)) used += slots[i].used[d];
    return used < total() ? total() - used : 0;
}
/* Takes so much of a device, if it is there. */
static int take(int d, u64 bytes) {
    if (slots) flock(shared, LOCK_EX);
    int fits = bytes <= left(d);
    if (fits) own->used[d] += bytes;
    if (slots) flock(shared, LOCK_UN);
    return fits;
}
static u64 now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }

static int has(u64 at, u64 bytes) {
    while (bytes) {
        Region *r = regions;
        while (r && !(r->usable && at >= r->at && at < r->at + r->bytes)) r = r->next;
        if (!r) return 0;
        u64 n = r->at + r->bytes - at;
        if (n > bytes) n = bytes;
        at += n; bytes -= n;
    }
    return 1;
}
static Region **region(u64 at) { Region **r = &regions; while (*r && (*r)->at != at) r = &(*r)->next; return r; }
static void add(u64 at, u64 bytes, u64 charge, int device, int usable) {
    Region *r = calloc(1, sizeof *r);
    *r = (Region){at, bytes, charge, device, usable, regions}; regions = r;
}
static void cut(Region **r) { Region *gone = *r; own->used[gone->device] -= gone->charge; *r = gone->next; free(gone); }

static u64 word(u64 tag, u64 i) { u64 x = (tag << 32 | (i & 0xffffffff)) * 0x9E3779B97F4A7C15ull; return x ^ x >> 32; }

/* Whether the first work of a stream may go; does it if so. */
static int step(Stream *s) {
    Work *w = s->first;
    if (!w) return 0;
    if (w->kind == SPIN) {
        if ((int32_t)(*(volatile u32 *)w->a - (u32)w->b) < 0) {
            if (!w->since) w->since = now();
            if (now() - w->since < w->c) return 0;
            *(volatile u32 *)w->d = 1;
        }
    } else if (w->kind == MARK) { ((Event *)w->a)->pending--;
    } else if (w->kind == FREE) { Region **r = region(w->a); if (*r) { Pool *p = pool_of_all; if (p) p->used -= (*r)->bytes; munmap((void *)w->a, (*r)->bytes); cut(r); }
    } else if (w->kind == COPY) { if (has(w->a, w->c) && has(w->b, w->c)) memmove((void *)w->a, (void *)w->b, w->c); else sticky = 700;
    } else if (!has(w->a, w->b)) { sticky = 700;
    } else if (w->kind == FILL) {
        u64 n = w->b / 8, *to = (u64 *)w->a;
        for (u64 i = 0; i < n; i++) { u64 v = word(w->c, w->d + i); memcpy(to + i, &v, 8); }
        u64 v = word(w->c, w->d + n); memcpy((char *)(to + n), &v, w->b % 8);
    } else if (w->kind == VERIFY) {
        u64 *result = (u64 *)w->e;
        for (u64 i = 0; i * 8 < w->b; i++) {
            u64 v = word(w->c, w->d + i), left = w->b - i * 8;
            if (memcmp(&v, (char *)w->a + i * 8, left < 8 ? left : 8)) { result[1]++; if (i * 8 < result[0]) result[0] = i * 8; }
        }
    }
    s->first = w->next;
    if (!s->first) s->last = 0;
    free(w);
    return 1;
}
static u64 queue(u64 s) { return s ? s : 256 + current; }
static int device_of(int i) { return i < 256 ? streams[i].device : i - 256; }
static void pump(void) { for (int i = lowest; i < 256 + DEVICES; i++) while (!sticky && step(&streams[i])) {} }
static void enter(void) { pthread_mutex_lock(&lock); pump(); }
static int leave(int code) { if (sticky) code = sticky; pthread_mutex_unlock(&lock); return code; }
static void push(u64 s, Work w) {
    Work *p = malloc(sizeof *p); *p = w; p->next = 0; p->since = 0;
    Stream *q = &streams[queue(s)];
    if (q->last) q->last->next = p; else q->first = p;
    q->last = p; pump();
}
static void drain(u64 s) { s = queue(s); while (!sticky && streams[s].first) { pump(); if (streams[s].first) { pthread_mutex_unlock(&lock); usleep(20); pthread_mutex_lock(&lock); } } }
static void drain_all(void) { for (int i = lowest; i < 256 + DEVICES; i++) if (device_of(i) == current) drain(i); }
static void *fresh(u64 bytes, int protection) {
    char *p = mmap(0, bytes + (2 << 20), protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return 0;
    u64 skip = whole((u64)p) - (u64)p;
    if (skip) munmap(p, skip);
    if ((2 << 20) - skip) munmap(p + skip + bytes, (2 << 20) - skip);
    if (protection != PROT_NONE) madvise(p + skip, bytes, MADV_HUGEPAGE);
    return p + skip;
}

/* What libnvidia-ml.c asks: what is used of a device, and the processes on it; -1 where only this one is known. */
u64 fake_cuda_used(int device) {
    join(); enter();
    u64 used = total() - left(device & (DEVICES - 1));
    leave(0);
    return used;
}
int fake_cuda_processes(int device, u32 *pids, u64 *used, int most) {
    join();
    if (!slots) return -1;
    int n = 0;
    for (int i = 0; i < SLOTS && n < most; i++)
        if (slots[i].contexts >> device & 1 && alive(slots[i].pid)) { pids[n] = slots[i].pid; used[n++] = slots[i].used[device]; }
    return n;
}

static int visible(int i) {
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    for (; list && *list && i > 0; i--) { list = strchr(list, ','); if (list) list++; }
    return list && *list ? atoi(list) : list ? -1 : i;
}
int cuInit(u32 f) { (void)f; join(); return (int)number("FAKE_CUDA_INIT", 0); }
int cuDriverGetVersion(int *v) { *v = (int)number("FAKE_CUDA_VERSION", 13000); return 0; }
int cuDeviceGetCount(int *n) {
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    *n = (int)number("FAKE_CUDA_DEVICES", 1);
    if (list && *list) { int some = 1; for (; *list; list++) some += *list == ','; if (some < *n) *n = some; }
    return 0;
}
int cuDeviceGet(int *d, int i) { *d = visible(i); return *d < 0 || *d >= DEVICES ? 101 : 0; }
int cuDeviceGetName(char *to, int n, int d) { (void)d; snprintf(to, n, "Fake GPU"); return 0; }
int cuDeviceGetUuid_v2(unsigned char *to, int d) { memset(to, d + 1, 16); return 0; }
int cuDeviceTotalMem_v2(u64 *n, int d) { (void)d; *n = total(); return 0; }
int cuDeviceGetAttribute(int *v, int which, int d) { (void)d; *v = which == 75 ? 9 : which == 76 ? 0 : 1; return 0; }
int cuDevicePrimaryCtxRetain(u64 *c, int d) { *c = 1 + d; own->contexts |= 1 << d; return 0; }
int cuCtxSetCurrent(u64 c) { current = c ? (int)c - 1 : 0; return sticky; }
int cuDeviceCanAccessPeer(int *v, int d, int p) { *v = d != p && !getenv("FAKE_CUDA_NO_PEERS"); return 0; }
int cuCtxEnablePeerAccess(u64 c, u32 f) { static char done[64]; (void)f; if (done[c & 63]) return 704; done[c & 63] = 1; return sticky; }
int cuCtxSynchronize(void) { enter(); drain_all(); return leave(0); }
int cuMemGetInfo_v2(u64 *f, u64 *t) { enter(); *t = total(); *f = left(current); return leave(0); }
int cuMemAlloc_v2(u64 *at, u64 bytes) {
    enter();
    if (!bytes) return leave(1);
    if (bytes > total() || !take(current, whole(bytes))) return leave(2);
    *at = (u64)fresh(whole(bytes), PROT_READ | PROT_WRITE);
    if (!*at) { own->used[current] -= whole(bytes); return leave(2); }
    add(*at, bytes, whole(bytes), current, 1);
    return leave(0);
}
int cuMemFree_v2(u64 at) {
    enter(); drain_all();
    Region **r = region(at);
    if (!*r) return leave(1);
    munmap((void *)at, whole((*r)->bytes)); cut(r);
    return leave(0);
}
int cuMemHostAlloc(void **to, u64 bytes, u32 f) { (void)f; *to = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096); return *to ? 0 : 2; }
int cuMemHostGetDevicePointer_v2(u64 *to, void *p, u32 f) { (void)f; *to = (u64)p; return 0; }
int cuMemcpyHtoDAsync_v2(u64 to, const void *from, u64 n, u64 s) { enter(); drain(s); if (has(to, n)) memcpy((void *)to, from, n); else sticky = 700; return leave(0); }
int cuMemcpyDtoHAsync_v2(void *to, u64 from, u64 n, u64 s) { enter(); drain(s); if (has(from, n)) memcpy(to, (void *)from, n); else sticky = 700; return leave(0); }
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, u64 n, u64 s) { enter(); push(s, (Work){COPY, to, from, n, 0, 0, 0, 0}); return leave(0); }
int cuMemGetAllocationGranularity(u64 *n, const void *p, int o) { (void)p; (void)o; *n = 2 << 20; return 0; }
int cuMemAddressReserve(u64 *at, u64 bytes, u64 align, u64 want, u64 f) {
    (void)align; (void)want; (void)f; enter();
    *at = (u64)fresh(bytes, PROT_NONE);
    return leave(*at ? 0 : 2);
}
int cuMemAddressFree(u64 at, u64 bytes) { enter(); munmap((void *)at, bytes); return leave(0); }
int cuMemCreate(u64 *h, u64 bytes, const void *p, u64 f) {
    (void)f; enter();
    int device = ((const int *)p)[3];
    if (bytes % (2 << 20) || device < 0 || device >= DEVICES) return leave(1);
    if (!take(device, bytes)) return leave(2);
    u64 *m = malloc(16); m[0] = bytes; m[1] = device; *h = (u64)m;
    return leave(0);
}
int cuMemRelease(u64 h) { enter(); own->used[((u64 *)h)[1]] -= *(u64 *)h; free((void *)h); return leave(0); }
#ifndef WITHOUT_MAP
int cuMemMap(u64 at, u64 bytes, u64 offset, u64 h, u64 f) {
    (void)offset; (void)f; enter();
    if (*(u64 *)h != bytes) return leave(1);
    mmap((void *)at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    add(at, bytes, 0, 0, 0);
    return leave(0);
}
#endif
int cuMemSetAccess(u64 at, u64 bytes, const void *d, u64 n) {
    (void)d; (void)n; enter();
    for (u64 p = at; p < at + bytes;) { Region **r = region(p); if (!*r) return leave(1); (*r)->usable = 1; p += (*r)->bytes; }
    mprotect((void *)at, bytes, PROT_READ | PROT_WRITE);
    madvise((void *)at, bytes, MADV_HUGEPAGE);
    return leave(0);
}
int cuMemUnmap(u64 at, u64 bytes) {
    enter();
    Region **r = region(at);
    if (!*r || (*r)->bytes != bytes) return leave(1);
    cut(r);
    mmap((void *)at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return leave(0);
}
int cuStreamCreate(u64 *s, u32 f) { (void)f; enter(); if (lowest == 1) return leave(2); *s = --lowest; streams[lowest].device = current; return leave(0); }
int cuStreamSynchronize(u64 s) { enter(); drain(s); return leave(0); }
int cuEventCreate(u64 *e, u32 f) { (void)f; *e = (u64)calloc(1, sizeof(Event)); return sticky; }
int cuEventRecord(u64 e, u64 s) { enter(); ((Event *)e)->pending++; push(s, (Work){MARK, e, 0, 0, 0, 0, 0, 0}); return leave(0); }
int cuEventQuery(u64 e) { enter(); return leave(((Event *)e)->pending ? 600 : 0); }
int cuEventSynchronize(u64 e) { enter(); while (!sticky && ((Event *)e)->pending) { pthread_mutex_unlock(&lock); usleep(20); enter(); } return leave(0); }
int cuEventElapsedTime(float *ms, u64 a, u64 b) { (void)a; (void)b; *ms = 1; return 0; }
int cuModuleLoadData(u64 *m, const char *text) { *m = 1; return strstr(text, "pp_spin") ? 0 : 218; }
int cuModuleGetFunction(u64 *f, u64 m, const char *name) {
    (void)m; *f = !strcmp(name, "pp_fill") ? FILL : !strcmp(name, "pp_verify") ? VERIFY : !strcmp(name, "pp_spin") ? SPIN : 0;
    return *f ? 0 : 500;
}
int cuLaunchKernel(u64 f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, u64 s, void **p, void **extra) {
    (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)extra; enter();
    Work w = {(int)f, *(u64 *)p[0], 0, 0, 0, 0, 0, 0};
    if (f == SPIN) { w.b = *(u32 *)p[1]; w.c = *(u64 *)p[2]; w.d = *(u64 *)p[3]; }
    else { w.b = *(u64 *)p[1]; w.c = *(u32 *)p[2]; w.d = *(u64 *)p[3]; if (f == VERIFY) w.e = *(u64 *)p[4]; }
    push(s, w);
    return leave(0);
}
int cuMemPoolCreate(u64 *p, const u64 *props) { enter(); Pool *q = calloc(1, sizeof *q); q->most = props[3]; q->device = (int)(props[1] >> 32) % DEVICES; pool_of_all = q; *p = (u64)q; return leave(0); }
int cuMemPoolDestroy(u64 p) { enter(); Pool *q = (Pool *)p; own->used[q->device] -= q->reserved; pool_of_all = 0; free(q); return leave(0); }
int cuMemPoolTrimTo(u64 p, u64 keep) { (void)keep; enter(); Pool *q = (Pool *)p; own->used[q->device] -= q->reserved - whole(q->used); q->reserved = whole(q->used); return leave(0); }
int cuMemPoolGetAttribute(u64 p, int a, u64 *v) {
    enter(); Pool *q = (Pool *)p;
    *v = a == 5 ? q->reserved : a == 6 ? q->reserved_high : a == 7 ? q->used : q->used_high;
    return leave(0);
}
int cuMemPoolSetAttribute(u64 p, int a, u64 *v) {
    enter(); Pool *q = (Pool *)p;
    if (a == 6 || a == 8) { if (*v) return leave(1); if (a == 6) q->reserved_high = q->reserved; else q->used_high = q->used; }
    return leave(0);
}
int cuMemAllocFromPoolAsync(u64 *at, u64 bytes, u64 p, u64 s) {
    (void)s; enter(); Pool *q = (Pool *)p;
    if (!bytes) return leave(1);
    if (bytes > total()) return leave(2);
    u64 size = (bytes + 511) / 512 * 512, want = whole(q->used + size);
    if (want > q->reserved) {
        if ((q->most && want > q->most) || !take(q->device, want - q->reserved)) return leave(2);
        q->reserved = want;
    }
    *at = (u64)fresh(whole(size), PROT_READ | PROT_WRITE);
    add(*at, size, 0, q->device, 1);
    q->used += size;
    if (q->used > q->used_high) q->used_high = q->used;
    if (q->reserved > q->reserved_high) q->reserved_high = q->reserved;
    return leave(0);
}
int cuMemFreeAsync(u64 at, u64 s) { enter(); if (!*region(at)) return leave(1); push(s, (Work){FREE, at, 0, 0, 0, 0, 0, 0}); return leave(0); }
