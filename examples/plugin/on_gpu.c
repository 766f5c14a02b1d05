/* The same form on a GPU, for poolproof to test where there is one: a request is `cuMemAllocAsync` on its stream.
 *
 *     cc -O1 -Wall -shared -fPIC -pthread on_gpu.c -o libongpu.so -ldl
 *     poolproof run --target 'plugin:./libongpu.so@cuda?free=give&ballast=real'
 *
 * MISTAKE=streams in its environment hands a freed block of the same size to any stream, without waiting.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

typedef void *Stream;
typedef uint64_t Address;
static int (*alloc_async)(Address *, size_t, Stream);
static int (*free_async)(Address, Stream);
static int (*wait_for_all)(void);
static int (*set_attribute)(void *, int, void *);
static int (*pool_of)(void **, int);
static int (*trim_pool)(void *, size_t);

enum { KEPT = 1 << 12 };
static struct { Address at; ssize_t size; int device; } kept[KEPT];
static int kept_count, shares, devices;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *symbol(void *driver, const char *name) {
    void *found = driver ? dlsym(driver, name) : NULL;
    if (!found) {
        fprintf(stderr, "no %s in the CUDA driver\n", name);
        exit(1);
    }
    return found;
}

void init(int device_count) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    *(void **)&alloc_async = symbol(driver, "cuMemAllocAsync");
    *(void **)&free_async = symbol(driver, "cuMemFreeAsync");
    *(void **)&wait_for_all = symbol(driver, "cuCtxSynchronize");
    *(void **)&pool_of = symbol(driver, "cuDeviceGetDefaultMemPool");
    *(void **)&set_attribute = symbol(driver, "cuMemPoolSetAttribute");
    *(void **)&trim_pool = symbol(driver, "cuMemPoolTrimTo");
    shares = getenv("MISTAKE") != NULL;
    devices = device_count;
    for (int device = 0; device < device_count; device++) {
        uint64_t keep = UINT64_MAX;
        int off = 0;
        void *pool;
        if (pool_of(&pool, device)) continue;
        set_attribute(pool, 4, &keep); /* CU_MEMPOOL_ATTR_RELEASE_THRESHOLD */
        set_attribute(pool, 3, &off);  /* CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES: no stream waits unseen */
    }
}

void *alloc(ssize_t size, int device, Stream stream) {
    Address at = 0;
    if (size <= 0) return NULL;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < kept_count && !at; i++) {
        if (kept[i].size != size || kept[i].device != device) continue;
        at = kept[i].at;
        kept[i] = kept[--kept_count];
    }
    pthread_mutex_unlock(&lock);
    if (!at && alloc_async(&at, (size_t)size, stream)) return NULL;
    return (void *)(uintptr_t)at;
}

void give(void *at, ssize_t size, int device, Stream stream) {
    pthread_mutex_lock(&lock);
    int keeps = shares && kept_count < KEPT;
    if (keeps) {
        kept[kept_count].at = (Address)(uintptr_t)at;
        kept[kept_count].size = size;
        kept[kept_count++].device = device;
    }
    pthread_mutex_unlock(&lock);
    if (!keeps) free_async((Address)(uintptr_t)at, stream);
}

void reset(void) {
    void *pool;
    wait_for_all();
    pthread_mutex_lock(&lock);
    while (kept_count) free_async(kept[--kept_count].at, NULL);
    pthread_mutex_unlock(&lock);
    wait_for_all();
    for (int device = 0; device < devices; device++)
        if (!pool_of(&pool, device)) trim_pool(pool, 0);
}
