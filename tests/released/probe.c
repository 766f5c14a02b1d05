/* Opens libraries as poolproof does, the forwarding ones first, and asks them.
 *
 *     probe forward ANSWER LIBRARY...   an empty slot answers ANSWER, asks the handler where there is one, and leads where it is filled
 *     probe open LIBRARY*6              two devices of 1 GiB: the allocator allocates, refuses nothing, and gives everything back
 *
 * The first thing that is not as it should be is told and ends it with 1. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 2
#define CAPACITY ((size_t)1 << 30)
#define STEP ((uintptr_t)1 << 32)

typedef int (*Handler)(const char *);

static char asked[128];
static int device, live;
static uintptr_t next = (uintptr_t)1 << 46;

static void must(int holds, const char *what, const char *why) {
    if (!holds) {
        fprintf(stderr, "%s: %s\n", what, why ? why : "");
        exit(1);
    }
}

static int handler(const char *name) {
    snprintf(asked, sizeof asked, "%s", name);
    return 17;
}

static int filled(void) { return 99; }

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    must(found != NULL, name, "is not exported");
    return found;
}

static void *opened(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    must(library != NULL, path, library ? "" : dlerror());
    return library;
}

static void forward(int answer, const char *path) {
    void *library = opened(path);
    const char *const *names = symbol(library, "poolproof_names");
    void **slots = symbol(library, "poolproof_slots");
    Handler *unbound = symbol(library, "poolproof_unbound");
    must(names[0] != NULL && *unbound == NULL, path, "has no functions, or a handler already");
    for (size_t i = 0; names[i]; i++) {
        int (*call)(void) = (int (*)(void))symbol(library, names[i]);
        void *empty = slots[i];
        int is_text = strcmp(names[i], "cudaGetErrorName") == 0 || strcmp(names[i], "cudaGetErrorString") == 0;
        if (is_text) {
            const char *(*text)(void) = (const char *(*)(void))(void *)call;
            must(strcmp(text(), "not supported") == 0, names[i], "empty, says something else");
        } else {
            must(call() == answer, names[i], "empty, answers something else");
        }
        *unbound = handler;
        asked[0] = 0;
        must(is_text ? call() != 0 : call() == 17, names[i], "empty, does not answer as the handler does");
        must(strcmp(asked, names[i]) == 0, names[i], "the handler was asked for something else");
        *unbound = NULL;
        slots[i] = (void *)filled;
        must(call() == 99, names[i], "filled, does not lead there");
        slots[i] = empty;
    }
}

static int done(void) { return 0; }
static int get_count(int *count) { *count = DEVICES; return 0; }
static int get_device(int *which) { *which = device; return 0; }
static int set_device(int which) { device = which; return 0; }
static int mem_info(size_t *left, size_t *all) { *left = *all = CAPACITY; return 0; }
static int properties(char *into) { memset(into, 0, 512); return 0; }
static int no_capture(void *stream, int *state) { (void)stream; *state = 0; return 0; }
static int priorities(int *least, int *greatest) { *least = 0; *greatest = -5; return 0; }
static const char *text(int code) { (void)code; return "an error"; }

static int allocate(void **address, size_t bytes) {
    (void)bytes;
    *address = (void *)next;
    next += STEP;
    live++;
    return 0;
}

static int release(void *address) {
    live -= address != NULL;
    return 0;
}

static const struct {
    const char *name;
    void *function;
} runtime[] = {
    {"cudaGetDeviceCount", (void *)get_count},       {"cudaGetDevice", (void *)get_device},
    {"cudaSetDevice", (void *)set_device},           {"cudaMalloc", (void *)allocate},
    {"cudaFree", (void *)release},                   {"cudaMemGetInfo", (void *)mem_info},
    {"cudaGetDeviceProperties", (void *)properties}, {"cudaGetDeviceProperties_v2", (void *)properties},
    {"cudaStreamIsCapturing", (void *)no_capture},   {"cudaDeviceGetStreamPriorityRange", (void *)priorities},
    {"cudaGetErrorString", (void *)text},            {"cudaGetErrorName", (void *)text},
    {"cudaGetLastError", (void *)done},              {"cudaDeviceSynchronize", (void *)done},
    {"cudaThreadExchangeStreamCaptureMode", (void *)done},
};

static void fill(void *library) {
    const char *const *names = symbol(library, "poolproof_names");
    void **slots = symbol(library, "poolproof_slots");
    for (size_t i = 0; names[i]; i++) {
        for (size_t k = 0; k < sizeof runtime / sizeof *runtime; k++) {
            if (strcmp(names[i], runtime[k].name) == 0) slots[i] = runtime[k].function;
        }
    }
}

static void ask(char **paths) {
    fill(opened(paths[0]));
    void *shim = NULL;
    for (int i = 1; i < 6; i++) shim = opened(paths[i]);
    const char *(*message)(void) = symbol(shim, "pp_message");
    int (*open)(int) = symbol(shim, "pp_open");
    int (*alloc)(int, uint64_t, int, uint64_t, uint64_t *) = symbol(shim, "pp_alloc");
    int (*give)(uint64_t, int) = symbol(shim, "pp_free");
    int (*empty)(void) = symbol(shim, "pp_empty_cache");
    int (*stats)(int, int64_t *, size_t, size_t *) = symbol(shim, "pp_stats");
    int (*snapshot)(const int64_t **, size_t *) = symbol(shim, "pp_snapshot");
    uint64_t raw = 0, tensor = 0;
    int64_t figures[256] = {0};
    const int64_t *picture = NULL;
    size_t count = 0;
    must(open(DEVICES) == 0, "pp_open", message());
    must(alloc(0, 0, 0, 1000, &raw) == 0 && raw != 0, "pp_alloc, raw", message());
    must(alloc(1, 0, 1, 3 << 20, &tensor) == 0 && tensor != 0, "pp_alloc, as a tensor", message());
    must(device == 0 && live == 2, "pp_alloc", "the device was not restored, or the driver not asked");
    must(stats(0, figures, 256, &count) == 0 && count >= 122, "pp_stats", message());
    /* allocation, all, current; requested bytes, small pool, current; device allocations. */
    must(figures[0] == 1 && figures[8 * 12 + 4] == 1000 && figures[120] == 1, "pp_stats", "a figure is not in its place");
    must(snapshot(&picture, &count) == 0 && count == 2 * (12 + 2 * 4), "pp_snapshot", message());
    must((uint64_t)picture[1] == raw && picture[12 + 2] == 1000, "pp_snapshot", "a word is not in its place");
    must(alloc(DEVICES, 0, 0, 1, &count) == 2, "pp_alloc on no device", "is not refused");
    must(give(raw, 0) == 0 && give(tensor, 1) == 0 && empty() == 0, "pp_free", message());
    must(live == 0, "pp_empty_cache", "something was not given back");
}

int main(int argc, char **argv) {
    must(argc > 3, "usage", "probe forward ANSWER LIBRARY... | probe open LIBRARY*6");
    if (strcmp(argv[1], "forward") == 0) {
        for (int i = 3; i < argc; i++) forward(atoi(argv[2]), argv[i]);
    } else {
        must(argc == 8, argv[1], "six libraries");
        ask(argv + 2);
    }
    return 0;
}
