/* ONNX Runtime's C API as far as its arena is driven (`onnx_arena.c`): functions by their place in the table, how they are called,
 * and what they said. */
#ifndef POOLPROOF_ONNX_API_H
#define POOLPROOF_ONNX_API_H

#include <stdint.h>

/* Places in the table, which only grows. */
enum {
    GET_ERROR_MESSAGE = 2, CREATE_ENV = 3, CREATE_SESSION_FROM_ARRAY = 8, RUN = 9, CREATE_SESSION_OPTIONS = 10, SET_INTRA_OP_THREADS = 24,
    CREATE_MEMORY_INFO = 68, ALLOCATOR_ALLOC = 75, ALLOCATOR_FREE = 76, RELEASE_ENV = 92, RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94, RELEASE_SESSION = 95, RELEASE_SESSION_OPTIONS = 100, ADD_SESSION_CONFIG_ENTRY = 130,
    CREATE_ALLOCATOR = 131, RELEASE_ALLOCATOR = 132, CREATE_AND_REGISTER_ALLOCATOR = 144, RELEASE_ARENA_CFG = 157,
    CREATE_ARENA_CFG_V2 = 164, UNREGISTER_ALLOCATOR = 177, GET_KEY_VALUE_PAIRS = 298, RELEASE_KEY_VALUE_PAIRS = 300,
    ALLOCATOR_GET_STATS = 319,
};
/* And to give back what is free (`empty_cache`): the end of a run does, when asked to. */
enum { CREATE_RUN_OPTIONS = 39, CREATE_TENSOR = 49, RELEASE_VALUE = 96, RELEASE_RUN_OPTIONS = 97, ADD_RUN_CONFIG_ENTRY = 165, FLOATS = 1 };
enum { LOGS_FATAL = 4, IS_ARENA = 1, OF_DEFAULT_KIND = 0, API_VERSION = 23 };

typedef struct { const void *const *(*api)(uint32_t version); const char *(*version)(void); } Base;
typedef void *Status; /* null: it went well */

static const void *const *api;
static const char *version;
#define CALL(place, ...) (((Status(*)())(uintptr_t)api[place])(__VA_ARGS__))
#define RELEASE(place, what) (((void (*)(void *))(uintptr_t)api[place])(what))

/* Identity of a tensor of one float: the smallest model that makes a session. */
static const unsigned char MODEL[] =
    "\x08\x08" "\x3a\x37" "\x0a\x10" "\x0a\x01x" "\x12\x01y" "\x22\x08" "Identity" "\x12\x01g"
    "\x5a\x0f" "\x0a\x01x" "\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01"
    "\x62\x0f" "\x0a\x01y" "\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01"
    "\x42\x04\x0a\x00\x10\x0d";

static char why[1024];

/* Whether a call went well; if not, `why` says what it said. */
static int went_well(Status status) {
    if (!status) return 1;
    const char *said = ((const char *(*)(Status))(uintptr_t)api[GET_ERROR_MESSAGE])(status);
    size_t at = 0;
    for (; *said && at + 2 < sizeof why; said++) {
        why[at++] = (unsigned char)*said < ' ' ? ' ' : *said;
    }
    why[at] = 0;
    RELEASE(RELEASE_STATUS, status);
    return 0;
}

#endif
