/* A library that ends its process at the Nth call of its alloc (AT), in the way that HOW says; built as C++ it can throw. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
#include <stdexcept>
#define API extern "C"
#else
#define API
#endif

API void *take(long size, int device, void *stream) {
    static int calls;
    const char *how = getenv("HOW"), *at = getenv("AT");
    (void)device, (void)stream;
    if (at && ++calls == atoi(at)) {
        fprintf(stderr, "last words\n");
        if (!strcmp(how, "abort")) abort();
        if (!strcmp(how, "exit")) exit(0);
        if (!strcmp(how, "segfault")) *(volatile int *)8 = 1;
#ifdef __cplusplus
        if (!strcmp(how, "throw")) throw std::runtime_error("no more");
#endif
    }
    return size > 0 ? malloc((size_t)size) : NULL;
}

API void give(void *at, long size, int device, void *stream) {
    (void)size, (void)device, (void)stream;
    free(at);
}
