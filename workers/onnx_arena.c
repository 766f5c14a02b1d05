/* ONNX Runtime's BFC arena for poolproof: blocks of real memory, through the C API of the library in PyPI's `onnxruntime`.
 *
 *     poolproof setup onnx                                  # or: cc -O2 -Wall onnx_arena.c -o onnx_arena -ldl
 *     poolproof run --target 'onnx@host?extend=same&max_dead=1024'
 *
 * LIBRARY is libonnxruntime.so. After it, in any order: extend=power|same, max_dead=BYTES, initial=BYTES, growth=BYTES and
 * limit=none|device. Each device of poolproof is an arena of its own with `max_mem` of the device's size (without one under
 * limit=none), got as a user gets it: an allocator registered with the environment, and asked of a session that uses it.
 *
 * Claims what ONNX Runtime says of itself; its figures are those of `AllocatorGetStats`. It has no streams on the host.
 * Speaks poolproof-worker/2 (docs/worker-protocol.md), and reads it as the lines are written, with no JSON reader. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The part of ONNX Runtime's C API that is called: functions by their place in its table, which only grows. */
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

enum { DEVICES = 16 };
typedef struct { void *session, *arena; uint64_t total; char shown[512]; } Device;
static Device devices[DEVICES];
static size_t device_count;
static int moved[DEVICES];
static void *env;
static size_t extend_same = 0, max_dead = SIZE_MAX, initial = SIZE_MAX, growth = SIZE_MAX;
static int limited = 1, only_version = 0;
static char why[1024];

/* Whether a call went well; if not, `why` says what it said. */
static int went_well(Status status) {
    if (!status) return 1;
    const char *said = ((const char *(*)(Status))(uintptr_t)api[GET_ERROR_MESSAGE])(status);
    size_t at = 0;
    for (; *said && at + 2 < sizeof why; said++) {
        if (*said == '"' || *said == '\\') why[at++] = '\\';
        why[at++] = (unsigned char)*said < ' ' ? ' ' : *said;
    }
    why[at] = 0;
    RELEASE(RELEASE_STATUS, status);
    return 0;
}

static void close_world(void) {
    for (size_t i = 0; i < device_count; i++) {
        if (devices[i].arena) RELEASE(RELEASE_ALLOCATOR, devices[i].arena);
        if (devices[i].session) RELEASE(RELEASE_SESSION, devices[i].session);
    }
    memset(devices, 0, sizeof devices);
    device_count = 0;
}

/* An arena of `total` bytes: registered, taken by a session, and no longer offered to the next. */
static int make(Device *device, uint64_t total) {
    const char *keys[5] = {"max_mem", "arena_extend_strategy"};
    size_t values[5] = {limited ? total : 0, extend_same}, count = 2;
    if (max_dead != SIZE_MAX) keys[count] = "max_dead_bytes_per_chunk", values[count++] = max_dead;
    if (initial != SIZE_MAX) keys[count] = "initial_chunk_size_bytes", values[count++] = initial;
    if (growth != SIZE_MAX) keys[count] = "initial_growth_chunk_size_bytes", values[count++] = growth;
    void *memory = NULL, *arena = NULL, *options = NULL;
    device->total = total;
    int well = went_well(CALL(CREATE_MEMORY_INFO, "Cpu", IS_ARENA, 0, OF_DEFAULT_KIND, &memory))
        && went_well(CALL(CREATE_ARENA_CFG_V2, keys, values, count, &arena))
        && went_well(CALL(CREATE_AND_REGISTER_ALLOCATOR, env, memory, arena))
        && went_well(CALL(CREATE_SESSION_OPTIONS, &options))
        && went_well(CALL(SET_INTRA_OP_THREADS, options, 1))
        && went_well(CALL(ADD_SESSION_CONFIG_ENTRY, options, "session.use_env_allocators", "1"))
        && went_well(CALL(CREATE_SESSION_FROM_ARRAY, env, MODEL, sizeof MODEL - 1, options, &device->session))
        && went_well(CALL(CREATE_ALLOCATOR, device->session, memory, &device->arena))
        && went_well(CALL(UNREGISTER_ALLOCATOR, env, memory));
    if (options) RELEASE(RELEASE_SESSION_OPTIONS, options);
    if (arena) RELEASE(RELEASE_ARENA_CFG, arena);
    if (memory) RELEASE(RELEASE_MEMORY_INFO, memory);
    return well;
}

/* Gives back what is free, by a run whose input and output are ours, so that it asks the arena for nothing. */
static int shrink(Device *device) {
    static const char *const in = "x", *const out = "y";
    static const int64_t shape[] = {1};
    float floats[2] = {0};
    void *memory = NULL, *options = NULL, *values[2] = {NULL, NULL};
    int well = went_well(CALL(CREATE_MEMORY_INFO, "Cpu", IS_ARENA, 0, OF_DEFAULT_KIND, &memory))
        && went_well(CALL(CREATE_TENSOR, memory, &floats[0], sizeof floats[0], shape, (size_t)1, FLOATS, &values[0]))
        && went_well(CALL(CREATE_TENSOR, memory, &floats[1], sizeof floats[1], shape, (size_t)1, FLOATS, &values[1]))
        && went_well(CALL(CREATE_RUN_OPTIONS, &options))
        && went_well(CALL(ADD_RUN_CONFIG_ENTRY, options, "memory.enable_memory_arena_shrinkage", "cpu:0"))
        && went_well(CALL(RUN, device->session, options, &in, &values[0], (size_t)1, &out, (size_t)1, &values[1]));
    for (int i = 0; i < 2; i++)
        if (values[i]) RELEASE(RELEASE_VALUE, values[i]);
    if (options) RELEASE(RELEASE_RUN_OPTIONS, options);
    if (memory) RELEASE(RELEASE_MEMORY_INFO, memory);
    return well;
}

/* The figure of that name among those that the arena tells; -1 where it tells none, which the oracles take for a mistake. */
static long long figure(const char *const *keys, const char *const *values, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(keys[i], name)) return atoll(values[i]);
    return -1;
}

/* Whether anything that is shown of the device is not as it was. */
static int look(Device *device) {
    void *pairs = NULL;
    if (!went_well(CALL(ALLOCATOR_GET_STATS, device->arena, &pairs))) return 0;
    const char *const *keys, *const *values;
    size_t count;
    ((void (*)(void *, const char *const **, const char *const **, size_t *))(uintptr_t)api[GET_KEY_VALUE_PAIRS])(
        pairs, &keys, &values, &count);
    long long used = figure(keys, values, count, "InUse"), held = figure(keys, values, count, "TotalAllocated");
    char shown[sizeof device->shown];
    snprintf(shown, sizeof shown,
        "{\"stats\":{\"allocated_bytes.current\":%lld,\"allocated_bytes.peak\":%lld,\"requested_bytes.current\":%lld,"
        "\"allocation.allocated\":%lld,\"reserved_bytes.current\":%lld},\"free_bytes\":%lld}",
        used, figure(keys, values, count, "MaxInUse"), figure(keys, values, count, "RequestedInUse"),
        figure(keys, values, count, "NumAllocs"), held,
        (long long)device->total - held);
    RELEASE(RELEASE_KEY_VALUE_PAIRS, pairs);
    if (!strcmp(shown, device->shown)) return 0;
    strcpy(device->shown, shown);
    return 1;
}

/* The number behind a key, the first after `from`; whether there is one. Questions hold no text that could look like a key. */
static int number(const char *from, const char *quoted, int64_t *sign, uint64_t *value) {
    const char *found = from ? strstr(from, quoted) : NULL;
    if (!found) return 0;
    found += strlen(quoted);
    *sign = *found == '-' ? -1 : 1;
    *value = strtoull(found + (*found == '-'), NULL, 10);
    return 1;
}

static void open_world(const char *line, FILE *tell) {
    close_world();
    const char *at = strstr(line, "\"device_bytes\":[");
    while (at && device_count < DEVICES && *at != ']') {
        at += strcspn(at, "0123456789]");
        if (*at == ']' || !*at) break;
        char *end;
        uint64_t total = strtoull(at, &end, 10);
        if (!make(&devices[device_count++], total)) {
            fprintf(tell, "{\"refused\":{\"error\":{\"message\":\"ONNX Runtime: %s\"}}}\n", why);
            close_world();
            return;
        }
        at = end;
    }
    fprintf(tell, "{\"opened\":{\"versions\":{\"allocator\":\"%s\"},\"info\":{\"name\":\"onnx-arena\",\"memory\":\"host\",", version);
    fprintf(tell, "\"alignment\":64,\"growth\":{\"least\":%llu,\"granule\":256,\"numerator\":1,\"denominator\":1,\"backs_off\":true},",
        extend_same ? 256ULL : device_count ? (unsigned long long)devices[0].total : 1ULL);
    fprintf(tell, "\"capabilities\":[\"oom_typed\",\"caching\",\"keeps_cached\",\"merges_at_free\",%s%s"
        "\"stats:allocated_bytes.current\",\"stats:allocated_bytes.peak\",\"stats:requested_bytes.current\",\"stats:allocation.allocated\","
        "\"stats:reserved_bytes.current\"],\"devices\":[", extend_same ? "\"empty_cache\"," : "", limited ? "\"memory_info\"," : "");
    for (size_t i = 0; i < device_count; i++)
        fprintf(tell, "%s{\"total_bytes\":%llu}", i ? "," : "", (unsigned long long)devices[i].total);
    fprintf(tell, "]},\"devices\":[");
    for (size_t i = 0; i < device_count; i++) {
        look(&devices[i]);
        fprintf(tell, "%s%s", i ? "," : "", devices[i].shown);
    }
    fprintf(tell, "]}}\n");
}

/* Which device to look at after a refusal: all. */
static size_t refuse(FILE *tell, const char *class, const char *message) {
    fprintf(tell, "{\"applied\":{\"reply\":{\"refused\":{\"class\":\"%s\",\"message\":\"%s\"}}", class, message);
    return DEVICES;
}

static size_t empty(FILE *tell) {
    for (size_t i = 0; i < device_count; i++)
        if (!shrink(&devices[i])) return refuse(tell, "device_error", why);
    fprintf(tell, "{\"applied\":{\"reply\":\"done\"");
    return DEVICES;
}

/* The reply, without what closes it, and the device that it was about. */
static size_t reply(const char *line, FILE *tell) {
    int64_t sign = 1;
    uint64_t bytes = 0, device = 0, address = 0;
    const char *alloc = strstr(line, "{\"alloc\":"), *about = strstr(line, "\"about\":"), *info;
    if (alloc) {
        void *block = NULL;
        number(alloc, "\"bytes\":", &sign, &bytes);
        number(alloc, "\"device\":", &sign, &device);
        if (sign < 0 || device >= device_count) return refuse(tell, "invalid_argument", "there is no such device");
        if (!went_well(CALL(ALLOCATOR_ALLOC, devices[device].arena, (size_t)bytes, &block)))
            return refuse(tell, "out_of_memory", why);
        if (bytes && !block) return refuse(tell, "out_of_memory", "a null pointer");
        fprintf(tell, "{\"applied\":{\"reply\":{\"allocated\":{\"address\":%llu}}", (unsigned long long)(uintptr_t)block);
    } else if (strstr(line, "{\"free\":") && about) {
        number(about, "\"address\":", &sign, &address);
        number(about, "\"device\":", &sign, &device);
        if (device >= device_count || !went_well(CALL(ALLOCATOR_FREE, devices[device].arena, (void *)(uintptr_t)address)))
            return refuse(tell, "invalid_pointer", why);
        fprintf(tell, "{\"applied\":{\"reply\":\"done\"");
    } else if ((info = strstr(line, "{\"memory_info\":"))) {
        number(info, "\"device\":", &sign, &device);
        if (sign < 0 || device >= device_count) return refuse(tell, "invalid_argument", "there is no such device");
        look(&devices[device]);
        const char *free_bytes = strstr(devices[device].shown, "\"free_bytes\":");
        fprintf(tell, "{\"applied\":{\"reply\":{\"memory_info\":{\"free_bytes\":%lld,\"total_bytes\":%llu}}",
            free_bytes ? atoll(free_bytes + 13) : 0LL, (unsigned long long)devices[device].total);
    } else if (strstr(line, "\"op\":\"empty_cache\"") && extend_same) {
        return empty(tell);
    } else {
        return refuse(tell, "unsupported", "the arena has no such operation");
    }
    return device;
}

static void apply(const char *line, FILE *tell) {
    size_t device = reply(line, tell);
    int any = 0;
    /* An arena is touched by calls to it alone; DEVICES stands for all of them. */
    for (size_t i = 0; i < device_count; i++) {
        moved[i] = (device == i || device == DEVICES) && look(&devices[i]);
        any |= moved[i];
    }
    for (size_t i = 0; any && i < device_count; i++)
        fprintf(tell, "%s%s", i ? "," : ",\"devices\":[", moved[i] ? devices[i].shown : "null");
    fprintf(tell, any ? "]}}\n" : "}}\n");
}

static int read_argument(const char *text) {
    size_t *const places[] = {&max_dead, &initial, &growth};
    const char *const names[] = {"max_dead=", "initial=", "growth="};
    if (!strcmp(text, "extend=power") || !strcmp(text, "extend=same")) return extend_same = text[7] == 's', 1;
    if (!strcmp(text, "limit=none") || !strcmp(text, "limit=device")) return limited = text[6] == 'd', 1;
    if (!strcmp(text, "--version")) return only_version = 1;
    for (int i = 0; i < 3; i++)
        if (!strncmp(text, names[i], strlen(names[i]))) return *places[i] = strtoull(text + strlen(names[i]), NULL, 10), 1;
    return 0;
}

int main(int count, char **arguments) {
    for (int i = 2; i < count; i++)
        if (!read_argument(arguments[i])) return fprintf(stderr, "`%s` is no option\n", arguments[i]), 2;
    if (count < 2) return fprintf(stderr, "usage: %s LIBRARY [option=value]...\n", arguments[0]), 2;
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
    const Base *(*base)(void) = (const Base *(*)(void))dlsym(library, "OrtGetApiBase");
    if (!base) return fprintf(stderr, "%s is no ONNX Runtime\n", arguments[1]), 2;
    version = base()->version();
    if (!(api = base()->api(API_VERSION))) return fprintf(stderr, "ONNX Runtime %s is too old: 1.23 or later\n", version), 2;
    if (!went_well(CALL(CREATE_ENV, LOGS_FATAL, "poolproof", &env))) return fprintf(stderr, "%s\n", why), 2;
    if (only_version) return puts(version), 0;
    FILE *ask = fdopen(3, "r"), *tell = fdopen(4, "w");
    char *line = NULL;
    size_t room = 0;
    if (!ask || !tell) return fprintf(stderr, "descriptors 3 and 4 are not open: poolproof starts this\n"), 2;
    while (getline(&line, &room, ask) > 0) {
        if (!strncmp(line, "{\"apply\"", 8)) apply(line, tell);
        else if (!strncmp(line, "{\"hello\"", 8)) fprintf(tell, "{\"hello\":{\"protocol\":\"poolproof-worker/2\",\"version\":\"%s\"}}\n", version);
        else if (!strncmp(line, "{\"open\"", 7)) open_world(line, tell);
        else if (!strncmp(line, "{\"observe\"", 10)) fprintf(tell, "{\"observed\":{}}\n");
        else close_world(), fprintf(tell, "{\"closed\":{}}\n");
        fflush(tell);
    }
    close_world();
    RELEASE(RELEASE_ENV, env);
    return 0;
}
