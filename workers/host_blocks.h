/* Blocks of host memory by their numbers, for an adapter that writes and reads them itself, and so can be asked ahead
 * (docs/worker-protocol.md): where each lies, what is written in it, and one stream a device that is kept busy on command.
 *
 * A block holds a pattern of its own number: each word says whose it is. Of a block above 256 KiB both ends are written and read,
 * and the beginning of each MiB. Memory that is none ends the process, in the operation that found it. */
#ifndef POOLPROOF_HOST_BLOCKS_H
#define POOLPROOF_HOST_BLOCKS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { uint64_t address, bytes; uint32_t number, device; int is_there; } Block;

/* Open addressing, a power of two of places, at most half of them taken. */
static struct { Block *places; size_t room, taken; } blocks;

static inline size_t place_of(uint32_t number) { return (number * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (blocks.room - 1); }

/* The block, or the vacant place where it belongs; NULL before there is any. */
static inline Block *place_for(uint32_t number) {
    if (!blocks.room) return NULL;
    size_t at = place_of(number);
    while (blocks.places[at].is_there && blocks.places[at].number != number) at = (at + 1) & (blocks.room - 1);
    return &blocks.places[at];
}

static inline Block *find_block(uint64_t number) {
    Block *block = number <= UINT32_MAX ? place_for((uint32_t)number) : NULL;
    return block && block->is_there ? block : NULL;
}

static inline void keep_block(Block new) {
    if (2 * (blocks.taken + 1) > blocks.room) {
        Block *before = blocks.places;
        size_t room = blocks.room;
        blocks.room = room ? 2 * room : 1024;
        blocks.places = calloc(blocks.room, sizeof *blocks.places);
        if (!blocks.places) exit(1);
        for (size_t i = 0; i < room; i++)
            if (before[i].is_there) *place_for(before[i].number) = before[i];
        free(before);
    }
    Block *place = place_for(new.number);
    blocks.taken += !place->is_there;
    *place = new;
    place->is_there = 1;
}

/* What stands behind the block and would not be found past a gap moves up. */
static inline void forget_block(Block *block) {
    size_t gap = (size_t)(block - blocks.places), at = gap;
    blocks.taken--;
    for (;;) {
        blocks.places[gap].is_there = 0;
        size_t home;
        do {
            at = (at + 1) & (blocks.room - 1);
            if (!blocks.places[at].is_there) return;
            home = place_of(blocks.places[at].number);
        } while (((at - home) & (blocks.room - 1)) < ((at - gap) & (blocks.room - 1)));
        blocks.places[gap] = blocks.places[at];
        gap = at;
    }
}

static inline void forget_all_blocks(void) {
    free(blocks.places);
    memset(&blocks, 0, sizeof blocks);
}

/* The parts of a block that are written and read: from `begins` to `ends`, none where the two are the same. */
typedef struct { uint64_t begins, ends; } Part;
enum { WHOLE = 256 << 10, END_OF_LARGE = 64 << 10, WINDOW = 4 << 10, EACH = 1 << 20 };

static inline Part first_part(uint64_t bytes) { return (Part){0, bytes <= WHOLE ? bytes : END_OF_LARGE}; }

static inline Part next_part(uint64_t bytes, Part part) {
    if (part.ends == bytes) return (Part){bytes, bytes};
    uint64_t last = (bytes - END_OF_LARGE) & ~UINT64_C(7), next = (part.begins / EACH + 1) * EACH;
    return next + WINDOW <= last ? (Part){next, next + WINDOW} : (Part){last, bytes};
}

#define FACTOR UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t folded(uint64_t product) { return product ^ product >> 32; }
/* The word at an index of a block's pattern is this, folded. */
static inline uint64_t product_at(uint32_t number, uint64_t index) { return ((uint64_t)number << 32 | (index & UINT32_MAX)) * FACTOR; }

static inline void write_part(unsigned char *at, uint32_t number, uint64_t begins, uint64_t bytes) {
    uint64_t product = product_at(number, begins / 8), word; /* grows by the factor from one word to the next */
    for (; bytes >= 8; bytes -= 8, at += 8, product += FACTOR) word = folded(product), memcpy(at, &word, 8);
    word = folded(product), memcpy(at, &word, bytes);
}

/* The first byte of a part that is not as it was written, or where it ends. */
static inline uint64_t differs_at(const unsigned char *at, uint32_t number, uint64_t begins, uint64_t bytes) {
    uint64_t done = 0, product = product_at(number, begins / 8), found;
    for (; bytes - done >= 64; done += 64) { /* without a branch for each word: nearly always all are as they should be */
        uint64_t off = 0, next = product;
        for (unsigned i = 0; i < 8; i++, next += FACTOR) memcpy(&found, at + done + 8 * i, 8), off |= found ^ folded(next);
        if (off) break;
        product = next;
    }
    for (; done < bytes; done++) {
        if (at[done] != (unsigned char)(folded(product) >> 8 * (done % 8))) break;
        if (done % 8 == 7) product += FACTOR;
    }
    return done;
}

static inline void write_memory(uint64_t address, uint64_t bytes, uint32_t number) {
    for (Part part = first_part(bytes); part.begins < part.ends; part = next_part(bytes, part))
        write_part((unsigned char *)(uintptr_t)(address + part.begins), number, part.begins, part.ends - part.begins);
}

/* The first byte of a block that holds something else, or its size. */
static inline uint64_t block_differs_at(const Block *block) {
    for (Part part = first_part(block->bytes); part.begins < part.ends; part = next_part(block->bytes, part)) {
        uint64_t length = part.ends - part.begins;
        uint64_t at = differs_at((const unsigned char *)(uintptr_t)(block->address + part.begins), block->number, part.begins, length);
        if (at < length) return part.begins + at;
    }
    return block->bytes;
}

/* Whose pattern a word is of, by the inverse of the factor. */
static inline uint32_t owner_of(uint64_t word) { return (uint32_t)(folded(word) * UINT64_C(0xF1DE83E19937733D) >> 32); }

/* One stream a device: work that keeps it busy until somebody ends it, and writes that wait behind. */
typedef struct { uint64_t address, bytes; uint32_t number; int holds; } Work;
typedef struct { Work *works; size_t used, room; } Stream;

static inline int is_busy(const Stream *stream) { return stream->used > 0; }

static inline void enqueue(Stream *stream, Work work) {
    if (stream->used == stream->room) {
        stream->room = stream->room ? 2 * stream->room : 64;
        stream->works = realloc(stream->works, stream->room * sizeof *stream->works);
        if (!stream->works) exit(1);
    }
    stream->works[stream->used++] = work;
}

static inline void occupy(Stream *stream) { enqueue(stream, (Work){0, 0, 0, 1}); }

static inline void write_block(Stream *stream, const Block *block) {
    if (is_busy(stream)) enqueue(stream, (Work){block->address, block->bytes, block->number, 0});
    else write_memory(block->address, block->bytes, block->number);
}

/* Does what nothing holds back any more. */
static inline void run_stream(Stream *stream) {
    size_t done = 0;
    for (; done < stream->used && !stream->works[done].holds; done++)
        write_memory(stream->works[done].address, stream->works[done].bytes, stream->works[done].number);
    stream->used -= done;
    if (done) memmove(stream->works, stream->works + done, stream->used * sizeof *stream->works);
}

/* The first work that keeps the stream busy ends, and what waited behind it runs. */
static inline void finish(Stream *stream) {
    size_t at = 0;
    while (at < stream->used && !stream->works[at].holds) at++;
    if (at == stream->used) return;
    memmove(stream->works + at, stream->works + at + 1, (stream->used - at - 1) * sizeof *stream->works);
    stream->used--;
    run_stream(stream);
}

static inline void finish_all(Stream *stream) {
    while (is_busy(stream)) finish(stream);
}

static inline void end_stream(Stream *stream) {
    free(stream->works);
    memset(stream, 0, sizeof *stream);
}

#endif
