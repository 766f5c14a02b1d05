/* An adapter for poolproof that is asked in frames (docs/worker-protocol.md of poolproof): for an allocator of this process that
 * answers faster than lines of JSON are read.
 *
 *     cc -O2 -Wall adapter.c -o adapter
 *     poolproof check-worker ./adapter
 *     poolproof run --target exec:./adapter@host
 */
#include <stdio.h>

#include "frames.h"

enum { DEVICES = 16, ALIGNMENT = 256 };
typedef struct { uint64_t total, used; } Device;
static Device devices[DEVICES];
static size_t device_count;

/* Replace these two by calls of your allocator: memory of this process, as much as the device has. NULL where there is no more. */
static void *take(Device *device, uint64_t bytes) {
    void *block = NULL;
    if (bytes > device->total - device->used || posix_memalign(&block, ALIGNMENT, bytes)) return NULL;
    device->used += bytes;
    return block;
}

static void give_back(Device *device, void *block, uint64_t bytes) {
    free(block);
    device->used -= bytes;
}

static void open_world(Value setup) {
    uint64_t count;
    int negative;
    Value total = list(field(setup, "device_bytes"), &count);
    for (device_count = 0; total && count && device_count < DEVICES; count--, total = skip(total))
        devices[device_count++] = (Device){number(total, &negative), 0};
    put_object(1), put_text("opened"), put_object(1), put_text("info"), put_object(4);
    put_text("memory"), put_text("host");
    put_text("alignment"), put_number(ALIGNMENT);
    put_text("capabilities"), put_list(1), put_text("oom_typed");
    put_text("devices"), put_list(device_count);
    for (size_t i = 0; i < device_count; i++) put_object(1), put_text("total_bytes"), put_number(devices[i].total);
}

static void put_reply(void) { put_object(1), put_text("applied"), put_object(1), put_text("reply"); }

static void refuse(const char *class, const char *message) {
    put_reply(), put_object(1), put_text("refused"), put_object(2);
    put_text("class"), put_text(class), put_text("message"), put_text(message);
}

static void apply(Value asked) {
    Value op = field(asked, "op"), alloc = field(op, "alloc"), of = alloc ? alloc : field(asked, "about");
    int negative, none;
    uint64_t device = number(field(of, "device"), &negative), bytes = number(field(of, "bytes"), &none);
    if (!alloc && !field(op, "free")) return refuse("unsupported", "not here");
    if (negative || device >= device_count) return refuse("invalid_argument", "there is no such device");
    if (!alloc) {
        void *block = (void *)(uintptr_t)number(field(of, "address"), &none);
        if (block) give_back(&devices[device], block, bytes);
        put_reply(), put_text("done");
        return;
    }
    void *block = bytes ? take(&devices[device], bytes) : NULL;
    if (bytes && !block) return refuse("out_of_memory", "no more is left");
    put_reply(), put_object(1), put_text("allocated"), put_object(1), put_text("address"), put_number((uintptr_t)block);
}

int main(void) {
    static const char hello[] = "{\"hello\":{\"protocol\":\"poolproof-worker/2\",\"features\":[\"binary\"]}}\n";
    const char *asked = first_line();
    if (!asked || !strstr(asked, "\"binary\"")) return fprintf(stderr, "this speaks frames alone, which it was not offered\n"), 1;
    if (!send_bytes((const unsigned char *)hello, sizeof hello - 1)) return 1;
    for (Value question, of; (question = next_frame()); ) {
        begin();
        if ((of = field(question, "apply"))) apply(of);
        else if ((of = field(question, "open"))) open_world(field(of, "setup"));
        else put_object(1), put_text(field(question, "observe") ? "observed" : "closed"), put_object(0);
        if (!send_frame()) return 1;
    }
    return 0;
}
