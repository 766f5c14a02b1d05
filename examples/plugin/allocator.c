/* A caching allocator in the form of PyTorch's CUDAPluggableAllocator, on memory of the host, for poolproof to test:
 *
 *     cc -O1 -Wall -shared -fPIC -pthread allocator.c -o liballocator.so
 *     poolproof run --target plugin:./liballocator.so@host
 *
 * It cuts segments of a pretended device, keeps freed blocks by stream and by private pool, and hands a block to another stream
 * only when the work of its own is done. MISTAKE=NAME in its environment plants one of six mistakes (recorded, streams, neighbours,
 * rounds, forgets, pools); poolproof finds each, the last where it is told that this is a cache which keeps what it has:
 *
 *     poolproof run --target 'plugin:./liballocator.so@host?env=MISTAKE=recorded'
 *     poolproof run --target 'plugin:./liballocator.so@host?promises=caching+keeps_cached&env=MISTAKE=pools'
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

typedef void *Stream;
typedef unsigned long long Id;
enum { DEVICES = 16, STREAMS = 64, ROUND = 512, DEEPEST = 16 };
static const size_t SEGMENT = 2 << 20;

/* A part of a segment: neighbours in it are linked, so that free ones become one. */
typedef struct Block {
    struct Block *before, *after, *next; /* in the segment; in the list of the device */
    char *at;
    size_t bytes;
    int used;
    Stream stream, recorded[STREAMS];
    int recorded_count;
    Id pool[2]; /* whose memory it is; 0, 0 is nobody's */
} Block;

/* The pools that a thread allocates to, the newest last; more than DEEPEST at once are not kept apart. */
typedef struct { Id pools[DEEPEST][2]; int count; } Entered;
static __thread Entered entered[DEVICES];

static struct { Block *blocks; size_t total, reserved; double fraction; } devices[DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *mistake = "";

/* What poolproof offers in place of cudaStreamQuery and cudaStreamSynchronize. */
static int (*is_idle)(int device, Stream stream);
static void (*synchronize)(int device, Stream stream);

static int makes(const char *name) { return strcmp(mistake, name) == 0; }

void poolproof_streams(int (*query)(int, Stream), void (*wait)(int, Stream)) { is_idle = query, synchronize = wait; }

void poolproof_device(int device, size_t bytes) {
    if (device >= 0 && device < DEVICES) devices[device].total = bytes, devices[device].fraction = 1;
}

void init(int device_count) {
    (void)device_count;
    mistake = getenv("MISTAKE") ? getenv("MISTAKE") : "";
}

static int idle(int device, Stream stream) { return !is_idle || is_idle(device, stream) == 1; }

/* Whether all work on a free block is done that another stream would have to wait for. */
static int settled(int device, const Block *block, Stream stream) {
    for (int i = 0; i < block->recorded_count; i++)
        if (!makes("recorded") && !idle(device, block->recorded[i])) return 0;
    return block->stream == stream || idle(device, block->stream);
}

static void link_in(int device, Block *block) { block->next = devices[device].blocks, devices[device].blocks = block; }

static void unlink_it(int device, Block *block) {
    Block **place = &devices[device].blocks;
    while (*place != block) place = &(*place)->next;
    *place = block->next;
}

/* Makes one block of two neighbours. */
static void join(int device, Block *left, Block *right) {
    unlink_it(device, right);
    left->bytes += right->bytes;
    left->after = right->after;
    if (right->after) right->after->before = left;
    free(right);
}

/* Free neighbours of one stream become one; with recorded streams a block stays alone until they are done. */
static int joins(const Block *left, const Block *right) {
    return left && right && !left->used && !right->used && left->stream == right->stream && !left->recorded_count &&
           !right->recorded_count;
}

/* Waits for all work on free blocks, makes free neighbours one, and gives whole segments back. */
static void release(int device) {
    for (Block *block = devices[device].blocks; block; block = block->next) {
        if (block->used) continue;
        if (synchronize) synchronize(device, block->stream);
        for (int i = 0; synchronize && i < block->recorded_count; i++) synchronize(device, block->recorded[i]);
        block->recorded_count = 0;
    }
    for (Block *block = devices[device].blocks, *next; block; block = next) {
        while (!block->used && block->after && !block->after->used) join(device, block, block->after);
        next = block->next;
        if (block->used || block->before || block->after) continue;
        unlink_it(device, block);
        munmap(block->at, block->bytes);
        devices[device].reserved -= block->bytes;
        free(block);
    }
}

static const Id *current_pool(int device) {
    static const Id none[2];
    const Entered *in = &entered[device];
    return in->count ? in->pools[in->count - 1] : none;
}

static int same(const Id *one, const Id *other) { return one[0] == other[0] && one[1] == other[1]; }

static Block *segment(int device, size_t bytes, Stream stream) {
    size_t whole = (bytes + SEGMENT - 1) / SEGMENT * SEGMENT;
    if (whole > devices[device].total) whole = bytes; /* a device smaller than a segment */
    double most = (double)devices[device].total * devices[device].fraction;
    if ((double)(devices[device].reserved + whole) > most) whole = bytes;
    if ((double)(devices[device].reserved + whole) > most) return NULL;
    char *at = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Block *block = calloc(1, sizeof *block);
    if (at == MAP_FAILED || !block) abort();
    *block = (Block){.at = at, .bytes = whole, .stream = stream};
    memcpy(block->pool, current_pool(device), sizeof block->pool);
    devices[device].reserved += whole;
    link_in(device, block);
    return block;
}

/* The smallest free block that does: of the stream, or of another whose work is done. */
static Block *cached(int device, size_t bytes, Stream stream) {
    Block *best = NULL;
    for (Block *block = devices[device].blocks; block; block = block->next) {
        int fits = !block->used && block->bytes >= bytes && (!best || block->bytes < best->bytes);
        fits &= same(block->pool, current_pool(device)) || makes("pools");
        if (fits && (settled(device, block, stream) || (makes("streams") && bytes > SEGMENT))) best = block;
    }
    return best;
}

void *my_malloc(ssize_t size, int device, Stream stream) {
    if (device < 0 || device >= DEVICES || size < 0) return NULL;
    if (size == 0) return NULL; /* nothing to hand out */
    size_t bytes = ((size_t)size + ROUND - 1) / ROUND * ROUND;
    if (makes("rounds") && size > 4096 && size % ROUND == 1) bytes -= ROUND;
    pthread_mutex_lock(&lock);
    Block *block = cached(device, bytes, stream);
    if (!block) block = segment(device, bytes, stream);
    if (!block) {
        release(device);
        block = cached(device, bytes, stream); /* what was joined in a segment that is not whole */
        if (!block) block = segment(device, bytes, stream);
    }
    if (block && block->bytes > bytes) {
        Block *rest = calloc(1, sizeof *rest);
        if (!rest) abort();
        *rest = (Block){.before = block, .after = block->after, .at = block->at + bytes, .bytes = block->bytes - bytes,
                        .stream = block->stream, .pool = {block->pool[0], block->pool[1]}};
        if (block->after) block->after->before = rest;
        block->after = rest, block->bytes = bytes;
        link_in(device, rest);
    }
    if (block) block->used = 1, block->stream = stream, block->recorded_count = 0;
    pthread_mutex_unlock(&lock);
    return block ? block->at : NULL;
}

static Block *find(int device, const void *at) {
    Block *block = devices[device].blocks;
    while (block && !(block->used && block->at == at)) block = block->next;
    return block;
}

void my_free(void *at, ssize_t size, int device, Stream stream) {
    (void)size, (void)stream;
    if (device < 0 || device >= DEVICES) return;
    pthread_mutex_lock(&lock);
    Block *block = find(device, at);
    static int frees;
    if (block && makes("forgets") && ++frees % 8 == 0) block->at = NULL, block = NULL;
    if (block) {
        block->used = 0;
        /* The mistake: a neighbour of another stream is taken in, and its work forgotten. */
        int any = makes("neighbours") && block->after && !block->after->used;
        if (any || joins(block, block->after)) join(device, block, block->after);
        if (joins(block->before, block)) join(device, block->before, block);
    }
    pthread_mutex_unlock(&lock);
}

void record_stream(void *at, Stream stream) {
    pthread_mutex_lock(&lock);
    for (int device = 0; device < DEVICES; device++) {
        Block *block = find(device, at);
        int known = !block || block->stream == stream;
        for (int i = 0; block && i < block->recorded_count; i++) known |= block->recorded[i] == stream;
        if (!known && block->recorded_count < STREAMS) block->recorded[block->recorded_count++] = stream;
    }
    pthread_mutex_unlock(&lock);
}

void memory_fraction(double fraction, int device) {
    pthread_mutex_lock(&lock);
    if (device >= 0 && device < DEVICES) devices[device].fraction = fraction;
    pthread_mutex_unlock(&lock);
}

/* What PyTorch calls to empty the cache. */
void reset(void) {
    pthread_mutex_lock(&lock);
    for (int device = 0; device < DEVICES; device++) release(device);
    pthread_mutex_unlock(&lock);
}

void begin_allocate_to_pool(int device, Id first, Id second) {
    if (device < 0 || device >= DEVICES || entered[device].count == DEEPEST) return;
    Id *pool = entered[device].pools[entered[device].count++];
    pool[0] = first, pool[1] = second;
}

/* The one that is left need not be the newest. */
void end_allocate_to_pool(int device, Id first, Id second) {
    if (device < 0 || device >= DEVICES) return;
    Entered *in = &entered[device];
    const Id left[2] = {first, second};
    int at = in->count - 1;
    while (at >= 0 && !same(in->pools[at], left)) at--;
    if (at < 0) return;
    memmove(in->pools[at], in->pools[at + 1], (size_t)(in->count - at - 1) * sizeof *in->pools);
    in->count--;
}

/* Nobody asks for its memory again: it is everybody's, as soon as it is free. */
void release_pool(int device, Id first, Id second) {
    const Id gone[2] = {first, second};
    if (device < 0 || device >= DEVICES) return;
    pthread_mutex_lock(&lock);
    for (Block *block = devices[device].blocks; block; block = block->next)
        if (same(block->pool, gone)) memset(block->pool, 0, sizeof block->pool);
    pthread_mutex_unlock(&lock);
}
