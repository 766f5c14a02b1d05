/* An adapter for poolproof: a small allocator and the worker protocol around it (docs/worker-protocol.md of poolproof).
 *
 *     cc -O1 -Wall adapter.c -o adapter
 *     poolproof check-worker ./adapter
 *     poolproof run --target exec:./adapter@host
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 16, BLOCKS = 1 << 16 };
static const uint64_t ROUND = 256;

/* Replace this by calls of your allocator: blocks of a device in the order of their addresses, free or not. */
typedef struct { uint64_t at, bytes; int used; } Block;
typedef struct { Block *blocks; size_t count; uint64_t total; } Device;
static Device devices[DEVICES];
static size_t device_count;

static void reset(Device *device, uint64_t base, uint64_t bytes) {
    if (!device->blocks) device->blocks = calloc(BLOCKS, sizeof(Block));
    if (!device->blocks) exit(1);
    device->blocks[0] = (Block){base, bytes, 0};
    device->count = 1;
    device->total = bytes;
}

/* The address, or 0 where nothing fits. */
static uint64_t take(Device *device, uint64_t bytes) {
    if (bytes > device->total) return 0; /* before rounding, which could wrap around */
    uint64_t need = (bytes + ROUND - 1) / ROUND * ROUND;
    for (size_t i = 0; i < device->count; i++) {
        Block *block = &device->blocks[i];
        if (block->used || block->bytes < need) continue;
        if (block->bytes > need && device->count < BLOCKS) {
            memmove(block + 2, block + 1, (device->count - i - 1) * sizeof(Block));
            block[1] = (Block){block->at + need, block->bytes - need, 0};
            block->bytes = need;
            device->count++;
        }
        block->used = 1;
        return block->at;
    }
    return 0;
}

static int give_back(Device *device, uint64_t at) {
    for (size_t i = 0; i < device->count; i++) {
        if (device->blocks[i].at != at || !device->blocks[i].used) continue;
        device->blocks[i].used = 0;
        for (size_t j = i ? i - 1 : 0; j + 1 < device->count && j <= i;) {
            Block *block = &device->blocks[j];
            if (block[0].used || block[1].used) { j++; continue; }
            block->bytes += block[1].bytes;
            memmove(block + 1, block + 2, (device->count - j - 2) * sizeof(Block));
            device->count--;
        }
        return 1;
    }
    return 0;
}

/* The number behind a key, the first after `from`; whether there is one. Questions hold no text that could look like a key. */
static int number(const char *from, const char *key, int64_t *sign, uint64_t *value) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *found = from ? strstr(from, quoted) : NULL;
    if (!found) return 0;
    found += strlen(quoted);
    *sign = *found == '-' ? -1 : 1;
    *value = strtoull(found + (*found == '-'), NULL, 10);
    return 1;
}

static void open_world(const char *line, FILE *tell) {
    const char *at = strstr(line, "\"device_bytes\":[");
    for (device_count = 0; at && device_count < DEVICES && *at != ']';) {
        at += strcspn(at, "0123456789]");
        if (*at == ']' || !*at) break;
        char *end;
        uint64_t bytes = strtoull(at, &end, 10);
        reset(&devices[device_count], (uint64_t)(device_count + 1) << 44, bytes);
        device_count++;
        at = end;
    }
    fprintf(tell, "{\"opened\":{\"info\":{\"alignment\":%llu,\"devices\":[", (unsigned long long)ROUND);
    for (size_t i = 0; i < device_count; i++)
        fprintf(tell, "%s{\"total_bytes\":%llu}", i ? "," : "", (unsigned long long)devices[i].total);
    fprintf(tell, "]}}}\n");
}

static void refuse(FILE *tell, const char *class, const char *message) {
    fprintf(tell, "{\"applied\":{\"reply\":{\"refused\":{\"class\":\"%s\",\"message\":\"%s\"}}}}\n", class, message);
}

static void apply(const char *line, FILE *tell) {
    int64_t sign = 1;
    uint64_t bytes = 0, device = 0, address = 0;
    const char *alloc = strstr(line, "{\"alloc\":"), *about = strstr(line, "\"about\":");
    if (alloc) {
        number(alloc, "bytes", &sign, &bytes);
        number(alloc, "device", &sign, &device);
        if (sign < 0 || device >= device_count) {
            refuse(tell, "invalid_argument", "there is no such device");
        } else if (bytes && !(address = take(&devices[device], bytes))) {
            refuse(tell, "out_of_memory", "nothing fits");
        } else {
            fprintf(tell, "{\"applied\":{\"reply\":{\"allocated\":{\"address\":%llu}}}}\n", (unsigned long long)address);
        }
    } else if (strstr(line, "{\"free\":") && about) {
        number(about, "address", &sign, &address);
        number(about, "bytes", &sign, &bytes);
        number(about, "device", &sign, &device);
        if (bytes && (device >= device_count || !give_back(&devices[device], address)))
            refuse(tell, "invalid_pointer", "no block begins there");
        else
            fprintf(tell, "{\"applied\":{\"reply\":\"done\"}}\n");
    } else {
        refuse(tell, "unsupported", "not here");
    }
}

int main(void) {
    FILE *ask = fdopen(3, "r"), *tell = fdopen(4, "w");
    char *line = NULL;
    size_t room = 0;
    if (!ask || !tell) return 1;
    while (getline(&line, &room, ask) > 0) {
        if (!strncmp(line, "{\"hello\"", 8)) fprintf(tell, "{\"hello\":{\"protocol\":\"poolproof-worker/2\"}}\n");
        else if (!strncmp(line, "{\"open\"", 7)) open_world(line, tell);
        else if (!strncmp(line, "{\"apply\"", 8)) apply(line, tell);
        else if (!strncmp(line, "{\"observe\"", 10)) fprintf(tell, "{\"observed\":{}}\n");
        else fprintf(tell, "{\"closed\":{}}\n");
        fflush(tell);
    }
    return 0;
}
