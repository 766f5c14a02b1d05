/* ONNX Runtime's BFC arena for poolproof: blocks of real memory, through the C API of the library in PyPI's `onnxruntime`.
 *
 *     poolproof setup onnx                                  # or: cc -O2 -Wall onnx_arena.c -o onnx_arena -ldl
 *     poolproof run --target 'onnx@host?extend=same&max_dead=1024'
 *
 * LIBRARY is libonnxruntime.so. After it, in any order: extend=power|same, max_dead=BYTES, initial=BYTES, growth=BYTES and
 * limit=none|device. Each device of poolproof is an arena of its own with `max_mem` of the device's size (without one under
 * limit=none), got as a user gets it: an allocator registered with the environment, and asked of a session that uses it.
 *
 * Claims what ONNX Runtime says of itself; its figures are those of `AllocatorGetStats`. It has no streams on the host: each
 * device has one here, as it takes to write blocks late, and blocks are written and read by this program (`host_blocks.h`).
 * Speaks poolproof-worker/2 (docs/worker-protocol.md) in frames alone (`frames.h`), and can be asked ahead. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "host_blocks.h"
#include "onnx_api.h"

/* What is shown of a device, and which figure of the arena it is. The device's memory that is left follows from HELD. */
enum { USED, MOST_USED, REQUESTED, TIMES, HELD, FIGURES };
static const char *const FIGURE[FIGURES] = {"InUse", "MaxInUse", "RequestedInUse", "NumAllocs", "TotalAllocated"};
static const char *const SHOWN[FIGURES] = {"allocated_bytes.current", "allocated_bytes.peak", "requested_bytes.current",
    "allocation.allocated", "reserved_bytes.current"};

enum { DEVICES = 16 };
typedef struct { void *session, *arena; uint64_t total; int64_t shown[FIGURES]; Stream stream; int shown_busy; } Device;
static Device devices[DEVICES];
static size_t device_count;
static int moved[DEVICES];
static void *env;
static size_t extend_same = 0, max_dead = SIZE_MAX, initial = SIZE_MAX, growth = SIZE_MAX;
static int limited = 1, only_version = 0;
/* What is asked ahead is passed over: the answer before may have changed what poolproof asks. */
static int passes_over = 0;
static const char *const NO_DEVICE = "there is no such device";

static void close_world(void) {
    for (size_t i = 0; i < device_count; i++) {
        if (devices[i].arena) RELEASE(RELEASE_ALLOCATOR, devices[i].arena);
        if (devices[i].session) RELEASE(RELEASE_SESSION, devices[i].session);
        end_stream(&devices[i].stream);
    }
    forget_all_blocks();
    passes_over = 0;
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

/* Whether the device became busy, or idle. */
static int look_at_stream(Device *device) {
    int before = device->shown_busy;
    return (device->shown_busy = is_busy(&device->stream)) != before;
}

/* Whether anything that is shown of the device is not as it was. A figure that the arena does not tell is -1, which the oracles
 * take for a mistake. */
static int look(Device *device) {
    void *pairs = NULL;
    if (!went_well(CALL(ALLOCATOR_GET_STATS, device->arena, &pairs))) return 0;
    const char *const *keys, *const *values;
    size_t count;
    ((void (*)(void *, const char *const **, const char *const **, size_t *))(uintptr_t)api[GET_KEY_VALUE_PAIRS])(
        pairs, &keys, &values, &count);
    int64_t now[FIGURES];
    memset(now, -1, sizeof now);
    for (size_t i = 0; i < count; i++)
        for (int figure = 0; figure < FIGURES; figure++)
            if (!strcmp(keys[i], FIGURE[figure])) now[figure] = atoll(values[i]);
    RELEASE(RELEASE_KEY_VALUE_PAIRS, pairs);
    int differs = memcmp(now, device->shown, sizeof now) != 0;
    memcpy(device->shown, now, sizeof now);
    return look_at_stream(device) || differs;
}

static void put_device(const Device *device) {
    put_object(3);
    put_text("stats"), put_object(FIGURES);
    for (int figure = 0; figure < FIGURES; figure++) put_text(SHOWN[figure]), put_signed(device->shown[figure]);
    put_text("free_bytes"), put_number(device->total - (uint64_t)device->shown[HELD]);
    put_text("idle"), put_number(!device->shown_busy);
}

static void put_info(void) {
    static const char *const always[] = {"oom_typed", "caching", "keeps_cached", "merges_at_free", "contents", "stream_control"};
    enum { ALWAYS = sizeof always / sizeof *always };
    put_object(7);
    put_text("ahead"), put_yes();
    put_text("name"), put_text("onnx-arena");
    put_text("memory"), put_text("host");
    put_text("alignment"), put_number(64);
    put_text("growth"), put_object(5);
    put_text("least"), put_number(extend_same ? 256 : device_count ? devices[0].total : 1);
    put_text("granule"), put_number(256);
    put_text("numerator"), put_number(1);
    put_text("denominator"), put_number(1);
    put_text("backs_off"), put_yes();
    put_text("capabilities"), put_list(ALWAYS + FIGURES + extend_same + limited);
    for (int i = 0; i < ALWAYS; i++) put_text(always[i]);
    for (int figure = 0; figure < FIGURES; figure++) {
        char word[64] = "stats:";
        put_text(strcat(word, SHOWN[figure]));
    }
    if (extend_same) put_text("empty_cache");
    if (limited) put_text("memory_info");
    put_text("devices"), put_list(device_count);
    for (size_t i = 0; i < device_count; i++) put_object(1), put_text("total_bytes"), put_number(devices[i].total);
}

static void open_world(Value setup) {
    close_world();
    uint64_t count;
    int negative;
    Value total = list(field(setup, "device_bytes"), &count);
    for (; total && count && device_count < DEVICES; count--, total = skip(total)) {
        if (make(&devices[device_count++], number(total, &negative))) continue;
        put_object(1), put_text("refused"), put_object(1), put_text("error"), put_object(1);
        put_text("message"), put_text(why);
        close_world();
        return;
    }
    put_object(1), put_text("opened"), put_object(3);
    put_text("versions"), put_object(1), put_text("allocator"), put_text(version);
    put_text("info"), put_info();
    put_text("devices"), put_list(device_count);
    for (size_t i = 0; i < device_count; i++) look(&devices[i]), put_device(&devices[i]);
}

/* Begins the answer to an operation: its reply comes next, and what changed perhaps after it. */
static void put_applied(int shows) { put_object(1), put_text("applied"), put_object(shows ? 2 : 1), put_text("reply"); }

/* An arena is touched by calls to it alone; DEVICES stands for all of them. Whether any shows something new. */
static int moved_by(size_t device) {
    int any = 0;
    for (size_t i = 0; i < device_count; i++) any |= moved[i] = (device == i || device == DEVICES) && look(&devices[i]);
    return any;
}

static void put_moved(int any) {
    if (any) put_text("devices"), put_list(device_count);
    for (size_t i = 0; any && i < device_count; i++) {
        if (moved[i]) put_device(&devices[i]);
        else put_nothing();
    }
}

static void refuse(const char *class, const char *message) {
    int any = moved_by(DEVICES);
    passes_over = 1;
    put_applied(any), put_object(1), put_text("refused"), put_object(2);
    put_text("class"), put_text(class), put_text("message"), put_text(message);
    put_moved(any);
}

static void done(size_t device) {
    int any = moved_by(device);
    put_applied(any), put_text("done"), put_moved(any);
}

/* The number of a device that an operation names; `device_count` for one that does not exist. */
static size_t device_of(Value op) {
    int negative;
    uint64_t device = number(field(op, "device"), &negative);
    return negative || device >= device_count ? device_count : (size_t)device;
}

static Block *block_of(Value op) {
    int negative;
    return find_block(number(field(op, "block"), &negative));
}

static void no_block(void) { refuse("invalid_pointer", "there is no such block"); }

static void take(Value alloc) {
    void *memory = NULL;
    int negative;
    size_t device = device_of(alloc);
    uint64_t bytes = number(field(alloc, "bytes"), &negative);
    if (device == device_count) return refuse("invalid_argument", NO_DEVICE);
    if (!went_well(CALL(ALLOCATOR_ALLOC, devices[device].arena, (size_t)bytes, &memory))) return refuse("out_of_memory", why);
    if (bytes && !memory) return refuse("out_of_memory", "a null pointer");
    keep_block((Block){.address = (uintptr_t)memory, .bytes = bytes, .device = (uint32_t)device,
                       .number = (uint32_t)number(field(alloc, "block"), &negative)});
    int any = moved_by(device);
    put_applied(any), put_object(1), put_text("allocated"), put_object(1);
    put_text("address"), put_number((uintptr_t)memory), put_moved(any);
}

static void give_back(Value op) {
    Block *block = block_of(op);
    if (!block) return no_block();
    size_t device = block->device;
    if (!went_well(CALL(ALLOCATOR_FREE, devices[device].arena, (void *)(uintptr_t)block->address))) return refuse("invalid_pointer", why);
    forget_block(block);
    done(device);
}

static void write_one(Value op) {
    const Block *block = block_of(op);
    if (!block) return no_block();
    write_block(&devices[block->device].stream, block); /* moves no figure, and a stream that is busy stays so */
    put_applied(0), put_text("done");
}

static void put_contents(const char *report) { put_applied(0), put_object(1), put_text("contents"), put_text(report); }

static void read_one(Value op) {
    const Block *block = block_of(op);
    if (!block) return no_block();
    if (is_busy(&devices[block->device].stream)) return put_contents("pending");
    uint64_t at = block_differs_at(block), word = 0, aligned = at & ~UINT64_C(7);
    if (at == block->bytes) return put_contents("intact");
    memcpy(&word, (const void *)(uintptr_t)(block->address + aligned), block->bytes - aligned < 8 ? block->bytes - aligned : 8);
    char found[64];
    const Block *owner = find_block(owner_of(word));
    if (owner) snprintf(found, sizeof found, "the pattern of b%u", owner->number);
    else snprintf(found, sizeof found, "%#018llx", (unsigned long long)word);
    put_applied(0), put_object(1), put_text("contents"), put_object(1), put_text("changed"), put_object(3);
    put_text("offset"), put_number(at), put_text("bytes"), put_number(block->bytes - aligned < 8 ? block->bytes - at : aligned + 8 - at);
    put_text("found"), put_text(found);
}

static void on_stream(Value op, void (*act)(Stream *)) {
    size_t device = device_of(op);
    if (device == device_count) return refuse("invalid_argument", NO_DEVICE);
    act(&devices[device].stream);
    memset(moved, 0, sizeof moved);
    moved[device] = look_at_stream(&devices[device]);
    put_applied(moved[device]), put_text("done"), put_moved(moved[device]);
}

/* The one stream of a device need not wait for itself. */
static void nothing(Stream *stream) { (void)stream; }

static void memory_info(Value info) {
    size_t device = device_of(info);
    if (device == device_count) return refuse("invalid_argument", NO_DEVICE);
    int any = moved_by(device);
    put_applied(any), put_object(1), put_text("memory_info"), put_object(2);
    put_text("free_bytes"), put_number(devices[device].total - (uint64_t)devices[device].shown[HELD]);
    put_text("total_bytes"), put_number(devices[device].total);
    put_moved(any);
}

/* What waits to be written is written before its memory may go. */
static void empty(void) {
    for (size_t i = 0; i < device_count; i++) finish_all(&devices[i].stream);
    for (size_t i = 0; i < device_count; i++)
        if (!shrink(&devices[i])) return refuse("device_error", why);
    passes_over = 1;
    done(DEVICES);
}

static void apply(Value asked) {
    Value op = field(asked, "op"), of;
    if (!is_yes(field(asked, "ahead"))) passes_over = 0;
    else if (passes_over) return put_object(1), put_text("passed_over"), put_object(0);
    if ((of = field(op, "alloc"))) take(of);
    else if ((of = field(op, "free"))) give_back(of);
    else if ((of = field(op, "fill"))) write_one(of);
    else if ((of = field(op, "verify"))) read_one(of);
    else if ((of = field(op, "use"))) write_one(of);
    else if ((of = field(op, "occupy"))) on_stream(of, occupy);
    else if ((of = field(op, "finish"))) on_stream(of, finish);
    else if ((of = field(op, "synchronize"))) on_stream(of, finish_all);
    else if ((of = field(op, "wait_stream"))) on_stream(of, nothing);
    else if ((of = field(op, "memory_info"))) memory_info(of);
    else if (is_text(op, "empty_cache") && extend_same) empty();
    else refuse("unsupported", "the arena has no such operation");
}

/* Turns to frames, where that was offered. */
static int greet(void) {
    const char *hello = first_line();
    if (!hello) return fprintf(stderr, "descriptors 3 and 4 are not open: poolproof starts this\n"), 0;
    if (!strstr(hello, "\"features\":[\"binary\"")) return fprintf(stderr, "this speaks frames alone, which it was not offered\n"), 0;
    char text[256];
    int length = snprintf(text, sizeof text,
        "{\"hello\":{\"protocol\":\"poolproof-worker/2\",\"version\":\"%s\",\"features\":[\"binary\"]}}\n", version);
    return send_bytes((const unsigned char *)text, (size_t)length);
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
    if (!greet()) return 2;
    for (Value asked, of; (asked = next_frame()); ) {
        begin();
        if ((of = field(asked, "apply"))) apply(of);
        else if ((of = field(asked, "open"))) open_world(field(of, "setup"));
        else if (field(asked, "observe")) put_object(1), put_text("observed"), put_object(0);
        else close_world(), put_object(1), put_text("closed"), put_object(0);
        if (!send_frame()) break;
    }
    close_world();
    RELEASE(RELEASE_ENV, env);
    return 0;
}
