/* A libcuda for machines without a GPU: the functions that poolproof calls, on the processor's memory.
 *
 * Streams are queues; whatever nothing holds back runs at the next call. Kernels are known by their names and do what
 * kernels.ptx says. An access without memory breaks the context as on a GPU: every call answers 700 from then on.
 * It proves that the calls are made in the right order with the right arguments, and nothing about a GPU. Contexts
 * are numbers, 1 for the first device: work, events and copies must come from the context of their stream, and work
 * reaches the memory of its own device alone. Pools keep what is freed and give it to the next request of its size, to
 * one of the same stream before the free has come to its turn.
 *
 * Environment: FAKE_CUDA_BYTES (memory of a device, 8 GiB), FAKE_CUDA_DEVICES (1), FAKE_CUDA_VERSION (13000),
 * FAKE_CUDA_INIT (the code that cuInit answers, 0), FAKE_CUDA_SHARED (a file through which processes share the
 * devices: a slot for each, its number and what it has of each device; what has ended counts no more; tests/fakes/nvml.rs
 * reads it too). CUDA_VISIBLE_DEVICES orders devices by number. Drivers that go wrong: FAKE_CUDA_NO_PEERS (devices do not
 * get at each other), FAKE_CUDA_DEAF (cuStreamWaitEvent does nothing), FAKE_CUDA_ASTRAY (a pool serves from the current
 * context's device), FAKE_CUDA_HOARDS (cuMemPoolTrimTo gives nothing back). Compiled with -DWITHOUT_MAP, one function is
 * missing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef u64 Loose __attribute__((aligned(1), may_alias)); /* a word anywhere in memory */
enum { FILL = 1, VERIFY, SPIN, MARK, FREE, COPY, WAIT, DEVICES = 8, HANDLES = 256, STREAMS = HANDLES + DEVICES };
typedef struct Work { int kind; u64 a, b, c, d, e, since; struct Work *next; } Work;
typedef struct { Work *first, *last; int device; } Stream;
typedef struct { u64 done; } Mark; /* one recording of an event: waits hold on to it when the event is recorded anew */
typedef struct { Mark *last; int device; } Event;
typedef struct Spare { u64 at, bytes; struct Spare *next; } Spare;
typedef struct { u64 used, used_high, reserved, reserved_high, most; int device; Spare *spare; } Pool;
typedef struct Region { u64 at, bytes, charge; int usable, device; Pool *pool; Mark *freed; u64 freed_in; struct Region *next; } Region;
typedef struct { u64 bytes; int device; } Memory;
enum { SLOTS = 256 };
typedef struct { u64 pid, used[DEVICES]; } Slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Stream streams[STREAMS] = {{0}}; /* behind those with handles, the default stream of each device */
static int lowest = HANDLES, sticky = 0; /* handles come in descending order: nothing may rest on their order */
static Region *regions = 0;
static Slot alone, *slots = 0, *own = &alone;
static int shared = -1;
static char reaches[DEVICES][DEVICES]; /* peer access */
static __thread int here = 0; /* the device of the current context */

static u64 number(const char *name, u64 otherwise) { const char *t = getenv(name); return t ? strtoull(t, 0, 10) : otherwise; }
static u64 total(void) { return number("FAKE_CUDA_BYTES", 8ull << 30); }
static u64 whole(u64 n) { return (n + (2ull << 20) - 1) >> 21 << 21; }
static int alive(u64 pid) {
    char path[40], text[256];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f); text[n] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
}
/* Takes a slot of the shared file. */
static void join(void) {
    const char *path = getenv("FAKE_CUDA_SHARED");
    if (!path || slots) return;
    shared = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (shared < 0) return;
    flock(shared, LOCK_EX);
    if (!ftruncate(shared, sizeof(Slot) * SLOTS)) slots = mmap(0, sizeof(Slot) * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (slots == MAP_FAILED) slots = 0;
    for (int i = 0; slots && i < SLOTS && own == &alone; i++)
        if (!slots[i].pid || !alive(slots[i].pid)) { memset(&slots[i], 0, sizeof(Slot)); slots[i].pid = getpid(); own = &slots[i]; }
    flock(shared, LOCK_UN);
}
static u64 left(int d) {
    u64 used = own->used[d];
    for (int i = 0; slots && i < SLOTS; i++)
        if (&slots[i] != own && slots[i].used[d] && alive(slots[i].pid)) used += slots[i].used[d];
    return used < total() ? total() - used : 0;
}
/* Takes so much of a device, if it is there. */
static int take(int d, u64 bytes) {
    if (slots) flock(shared, LOCK_EX);
    int fits = bytes <= left(d);
    if (fits) own->used[d] += bytes;
    if (slots) flock(shared, LOCK_UN);
    return fits;
}
static u64 now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }

static int has(u64 at, u64 bytes, int device) {
    while (bytes) {
        Region *r = regions;
        while (r && !(r->usable && (r->device == device || reaches[device][r->device]) && at >= r->at && at < r->at + r->bytes)) r = r->next;
        if (!r) return 0;
        u64 n = r->at + r->bytes - at;
        if (n > bytes) n = bytes;
        at += n; bytes -= n;
    }
    return 1;
}
static Region **region(u64 at) { Region **r = &regions; while (*r && (*r)->at != at) r = &(*r)->next; return r; }
static Region *add(u64 at, u64 bytes, u64 charge, int usable, int device) {
    Region *r = calloc(1, sizeof *r);
    *r = (Region){at, bytes, charge, usable, device, 0, 0, 0, regions}; regions = r;
    return r;
}
static void cut(Region **r) { Region *gone = *r; own->used[gone->device] -= gone->charge; *r = gone->next; free(gone); }
/* A block of a pool whose free has come to its turn: kept for the next request of its size. */
static void give(Region **r) {
    Spare *s = malloc(sizeof *s);
    Pool *p = (*r)->pool;
    *s = (Spare){(*r)->at, (*r)->bytes, p->spare}; p->spare = s; p->used -= s->bytes; cut(r);
}

#define FACTOR 0x9E3779B97F4A7C15ull
static u64 word(u64 tag, u64 i) { u64 x = (tag << 32 | (i & 0xffffffff)) * FACTOR; return x ^ x >> 32; }

/* Where `bytes` at `at` are not the words of `tag` from `first` on: the least offset into result[0], how many words are
 * added to result[1]. Most of a test's time goes here, so that a part that differs is looked at word by word only then. */
static void differing(u64 at, u64 bytes, u64 tag, u64 first, u64 *result) {
    const u64 n = bytes / 8;
    const Loose *is = (const Loose *)at;
    for (u64 from = 0; from < n; from += 512) {
        u64 to = n - from < 512 ? n : from + 512, any = 0;
        /* A word's number is multiplied by a constant: the next one's is that much more, until the number wraps. */
        u64 product = (tag << 32 | ((first + from) & 0xffffffff)) * FACTOR;
        if (((first + from) & 0xffffffff) + 512 > 0xffffffff) any = 1;
        for (u64 i = from; i < to; i++, product += FACTOR) any |= is[i] ^ product ^ product >> 32;
        for (u64 i = from; any && i < to; i++) if (is[i] != word(tag, first + i)) { result[1]++; if (i * 8 < result[0]) result[0] = i * 8; }
    }
    u64 v = word(tag, first + n);
    if (memcmp(&v, is + n, bytes % 8)) { result[1]++; if (n * 8 < result[0]) result[0] = n * 8; }
}
/* Whether the first work of a stream may go; does it if so. */
static int step(Stream *s) {
    Work *w = s->first;
    if (!w) return 0;
    if (w->kind == SPIN) {
        if ((int32_t)(*(volatile u32 *)w->a - (u32)w->b) < 0) {
            if (!w->since) w->since = now();
            if (now() - w->since < w->c) return 0;
            *(volatile u32 *)w->d = 1;
        }
    } else if (w->kind == MARK) { ((Mark *)w->a)->done = 1;
    } else if (w->kind == WAIT) { if (!((Mark *)w->a)->done) return 0;
    } else if (w->kind == FREE) { Mark *freed = (Mark *)w->b; if (!freed->done) { freed->done = 1; give(region(w->a)); } /* else its stream has it again */
    } else if (w->kind == COPY) { if (has(w->a, w->c, s->device) && has(w->b, w->c, s->device)) memmove((void *)w->a, (void *)w->b, w->c); else sticky = 700;
    } else if (!has(w->a, w->b, s->device)) { sticky = 700;
    } else if (w->kind == FILL) {
        u64 n = w->b / 8;
        Loose *to = (Loose *)w->a;
        for (u64 i = 0; i < n; i++) to[i] = word(w->c, w->d + i);
        u64 v = word(w->c, w->d + n); memcpy((char *)(to + n), &v, w->b % 8);
    } else if (w->kind == VERIFY) {
        differing(w->a, w->b, w->c, w->d, (u64 *)w->e);
    }
    s->first = w->next;
    if (!s->first) s->last = 0;
    free(w);
    return 1;
}
static u64 place(u64 s) { return s ? s : (u64)(HANDLES + here); }
static int strange(u64 s) { return s && streams[s].device != here; }
/* Until nothing moves: what one stream did may be what another waits for. */
static void pump(void) {
    int moved = 1;
    while (moved && !sticky) { moved = 0; for (int i = lowest; i < STREAMS; i++) while (!sticky && step(&streams[i])) moved = 1; }
}
static void enter(void) { pthread_mutex_lock(&lock); pump(); }
static int leave(int code) { if (sticky) code = sticky; pthread_mutex_unlock(&lock); return code; }
static void push(u64 s, Work w) {
    Work *p = malloc(sizeof *p); *p = w; p->next = 0; p->since = 0;
    Stream *q = &streams[place(s)];
    if (q->last) q->last->next = p; else q->first = p;
    q->last = p; pump();
}
static void drain_at(u64 i) { while (!sticky && streams[i].first) { pump(); if (streams[i].first) { pthread_mutex_unlock(&lock); usleep(20); pthread_mutex_lock(&lock); } } }
static void drain(u64 s) { drain_at(place(s)); }
static void drain_all(void) { for (int i = lowest; i < STREAMS; i++) if (streams[i].device == here) drain_at(i); }
static void *fresh(u64 bytes, int protection) {
    char *p = mmap(0, bytes + (2 << 20), protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return 0;
    u64 skip = whole((u64)p) - (u64)p;
    if (skip) munmap(p, skip);
    if ((2 << 20) - skip) munmap(p + skip + bytes, (2 << 20) - skip);
    if (protection != PROT_NONE) madvise(p + skip, bytes, MADV_HUGEPAGE);
    return p + skip;
}

static int visible(int i) {
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    for (; list && *list && i > 0; i--) { list = strchr(list, ','); if (list) list++; }
    return list && *list ? atoi(list) : list ? -1 : i;
}
int cuInit(u32 f) { (void)f; join(); for (int i = 0; i < DEVICES; i++) streams[HANDLES + i].device = i; return (int)number("FAKE_CUDA_INIT", 0); }
int cuDriverGetVersion(int *v) { *v = (int)number("FAKE_CUDA_VERSION", 13000); return 0; }
int cuDeviceGetCount(int *n) {
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    *n = (int)number("FAKE_CUDA_DEVICES", 1);
    if (list && *list) { int some = 1; for (; *list; list++) some += *list == ','; if (some < *n) *n = some; }
    return 0;
}
int cuDeviceGet(int *d, int i) { *d = visible(i); return *d < 0 || *d >= DEVICES ? 101 : 0; }
int cuDeviceGetName(char *to, int n, int d) { (void)d; snprintf(to, n, "Fake GPU"); return 0; }
int cuDeviceGetUuid_v2(unsigned char *to, int d) { memset(to, d + 1, 16); return 0; }
int cuDeviceTotalMem_v2(u64 *n, int d) { (void)d; *n = total(); return 0; }
int cuDeviceGetAttribute(int *v, int which, int d) { (void)d; *v = which == 75 ? 9 : which == 76 ? 0 : 1; return 0; }
int cuDevicePrimaryCtxRetain(u64 *c, int d) { *c = 1 + d; return 0; }
int cuCtxSetCurrent(u64 c) { if (!c || c > DEVICES) return 201; here = (int)c - 1; return sticky; }
int cuDeviceCanAccessPeer(int *v, int d, int p) { *v = d != p && !getenv("FAKE_CUDA_NO_PEERS"); return 0; }
int cuCtxEnablePeerAccess(u64 c, u32 f) {
    (void)f; enter();
    if (!c || c > DEVICES) return leave(201);
    if (reaches[here][c - 1]) return leave(704);
    reaches[here][c - 1] = 1;
    return leave(0);
}
int cuCtxSynchronize(void) { enter(); drain_all(); return leave(0); }
int cuMemGetInfo_v2(u64 *f, u64 *t) { enter(); *t = total(); *f = left(here); return leave(0); }
int cuMemAlloc_v2(u64 *at, u64 bytes) {
    enter();
    if (!bytes) return leave(1);
    if (bytes > total() || !take(here, whole(bytes))) return leave(2);
    *at = (u64)fresh(whole(bytes), PROT_READ | PROT_WRITE);
    if (!*at) { own->used[here] -= whole(bytes); return leave(2); }
    add(*at, bytes, whole(bytes), 1, here);
    return leave(0);
}
int cuMemFree_v2(u64 at) {
    enter(); drain_all();
    Region **r = region(at);
    if (!*r) return leave(1);
    munmap((void *)at, whole((*r)->bytes)); cut(r);
    return leave(0);
}
int cuMemHostAlloc(void **to, u64 bytes, u32 f) { (void)f; *to = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096); return *to ? 0 : 2; }
int cuMemHostGetDevicePointer_v2(u64 *to, void *p, u32 f) { (void)f; *to = (u64)p; return 0; }
int cuMemcpyHtoDAsync_v2(u64 to, const void *from, u64 n, u64 s) { enter(); if (strange(s)) return leave(400); drain(s); if (has(to, n, here)) memcpy((void *)to, from, n); else sticky = 700; return leave(0); }
int cuMemcpyDtoHAsync_v2(void *to, u64 from, u64 n, u64 s) { enter(); if (strange(s)) return leave(400); drain(s); if (has(from, n, here)) memcpy(to, (void *)from, n); else sticky = 700; return leave(0); }
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, u64 n, u64 s) { enter(); if (strange(s)) return leave(400); push(s, (Work){COPY, to, from, n, 0, 0, 0, 0}); return leave(0); }
int cuMemGetAllocationGranularity(u64 *n, const void *p, int o) { (void)p; (void)o; *n = 2 << 20; return 0; }
int cuMemAddressReserve(u64 *at, u64 bytes, u64 align, u64 want, u64 f) {
    (void)align; (void)want; (void)f; enter();
    *at = (u64)fresh(bytes, PROT_NONE);
    return leave(*at ? 0 : 2);
}
int cuMemAddressFree(u64 at, u64 bytes) { enter(); munmap((void *)at, bytes); return leave(0); }
int cuMemCreate(u64 *h, u64 bytes, const void *p, u64 f) {
    (void)f; enter();
    int device = ((const int *)p)[3];
    if (bytes % (2 << 20) || device < 0 || device >= DEVICES) return leave(1);
    if (!take(device, bytes)) return leave(2);
    Memory *m = malloc(sizeof *m); *m = (Memory){bytes, device}; *h = (u64)m;
    return leave(0);
}
int cuMemRelease(u64 h) { enter(); Memory *m = (Memory *)h; own->used[m->device] -= m->bytes; free(m); return leave(0); }
#ifndef WITHOUT_MAP
int cuMemMap(u64 at, u64 bytes, u64 offset, u64 h, u64 f) {
    (void)offset; (void)f; enter();
    Memory *m = (Memory *)h;
    if (m->bytes != bytes) return leave(1);
    mmap((void *)at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    add(at, bytes, 0, 0, m->device);
    return leave(0);
}
#endif
int cuMemSetAccess(u64 at, u64 bytes, const void *d, u64 n) {
    (void)d; (void)n; enter();
    for (u64 p = at; p < at + bytes;) { Region **r = region(p); if (!*r) return leave(1); (*r)->usable = 1; p += (*r)->bytes; }
    mprotect((void *)at, bytes, PROT_READ | PROT_WRITE);
    madvise((void *)at, bytes, MADV_HUGEPAGE);
    return leave(0);
}
int cuMemUnmap(u64 at, u64 bytes) {
    enter();
    Region **r = region(at);
    if (!*r || (*r)->bytes != bytes) return leave(1);
    cut(r);
    mmap((void *)at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return leave(0);
}
int cuStreamCreate(u64 *s, u32 f) { (void)f; enter(); if (lowest == 1) return leave(2); *s = --lowest; streams[lowest].device = here; return leave(0); }
int cuStreamSynchronize(u64 s) { enter(); drain(s); return leave(0); }
int cuStreamWaitEvent(u64 s, u64 e, u32 f) {
    (void)f; enter();
    Mark *m = ((Event *)e)->last;
    if (m && !getenv("FAKE_CUDA_DEAF")) push(s, (Work){WAIT, (u64)m, 0, 0, 0, 0, 0, 0});
    return leave(0);
}
int cuEventCreate(u64 *e, u32 f) { (void)f; Event *v = calloc(1, sizeof *v); v->device = here; *e = (u64)v; return sticky; }
int cuEventRecord(u64 e, u64 s) {
    enter();
    Event *v = (Event *)e;
    if (v->device != streams[place(s)].device) return leave(400);
    v->last = calloc(1, sizeof *v->last);
    push(s, (Work){MARK, (u64)v->last, 0, 0, 0, 0, 0, 0});
    return leave(0);
}
static int is_past(u64 e) { Event *v = (Event *)e; return !v->last || v->last->done; }
int cuEventQuery(u64 e) { enter(); return leave(is_past(e) ? 0 : 600); }
int cuEventSynchronize(u64 e) { enter(); while (!sticky && !is_past(e)) { pthread_mutex_unlock(&lock); usleep(20); enter(); } return leave(0); }
int cuEventElapsedTime(float *ms, u64 a, u64 b) { (void)a; (void)b; *ms = 1; return 0; }
int cuModuleLoadData(u64 *m, const char *text) { *m = 1; return strstr(text, "pp_spin") ? 0 : 218; }
int cuModuleGetFunction(u64 *f, u64 m, const char *name) {
    (void)m; *f = !strcmp(name, "pp_fill") ? FILL : !strcmp(name, "pp_verify") ? VERIFY : !strcmp(name, "pp_spin") ? SPIN : 0;
    return *f ? 0 : 500;
}
int cuLaunchKernel(u64 f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, u64 s, void **p, void **extra) {
    (void)gx; (void)gy; (void)gz; (void)bx; (void)by; (void)bz; (void)shared; (void)extra; enter();
    if (strange(s)) return leave(400);
    Work w = {(int)f, *(u64 *)p[0], 0, 0, 0, 0, 0, 0};
    if (f == SPIN) { w.b = *(u32 *)p[1]; w.c = *(u64 *)p[2]; w.d = *(u64 *)p[3]; }
    else { w.b = *(u64 *)p[1]; w.c = *(u32 *)p[2]; w.d = *(u64 *)p[3]; if (f == VERIFY) w.e = *(u64 *)p[4]; }
    push(s, w);
    return leave(0);
}
int cuMemPoolCreate(u64 *p, const u64 *props) {
    enter();
    Pool *q = calloc(1, sizeof *q);
    q->most = props[3]; q->device = ((const int *)props)[3] % DEVICES; *p = (u64)q;
    return leave(0);
}
/* What is free goes back to the device, in whole pages. */
static void trim(Pool *p) {
    for (Spare *s; (s = p->spare); free(s)) { p->spare = s->next; munmap((void *)s->at, whole(s->bytes)); }
    own->used[p->device] -= p->reserved - whole(p->used); p->reserved = whole(p->used);
}
int cuMemPoolDestroy(u64 p) { enter(); Pool *q = (Pool *)p; trim(q); own->used[q->device] -= q->reserved; free(q); return leave(0); }
int cuMemPoolTrimTo(u64 p, u64 keep) { (void)keep; enter(); if (!getenv("FAKE_CUDA_HOARDS")) trim((Pool *)p); return leave(0); }
int cuMemPoolGetAttribute(u64 p, int a, u64 *v) {
    enter(); Pool *q = (Pool *)p;
    *v = a == 5 ? q->reserved : a == 6 ? q->reserved_high : a == 7 ? q->used : q->used_high;
    return leave(0);
}
int cuMemPoolSetAttribute(u64 p, int a, u64 *v) {
    enter(); Pool *q = (Pool *)p;
    if (a == 6 || a == 8) { if (*v) return leave(1); if (a == 6) q->reserved_high = q->reserved; else q->used_high = q->used; }
    return leave(0);
}
int cuMemAllocFromPoolAsync(u64 *at, u64 bytes, u64 p, u64 s) {
    enter(); Pool *q = (Pool *)p;
    if (!bytes) { *at = 0; return leave(0); }
    if (bytes > total()) return leave(2);
    u64 size = (bytes + 511) / 512 * 512, want = whole(q->used + size);
    for (Region *r = regions; r; r = r->next) /* what this stream is about to give back is its own at once */
        if (r->pool == q && r->freed && r->freed_in == place(s) && r->bytes == size) { r->freed->done = 1; r->freed = 0; *at = r->at; return leave(0); }
    if (want > q->reserved) {
        if ((q->most && want > q->most) || !take(q->device, want - q->reserved)) return leave(2);
        q->reserved = want;
    }
    Spare **kept = &q->spare;
    while (*kept && (*kept)->bytes != size) kept = &(*kept)->next;
    if (*kept) { Spare *s = *kept; *at = s->at; *kept = s->next; free(s); }
    else *at = (u64)fresh(whole(size), PROT_READ | PROT_WRITE);
    add(*at, size, 0, 1, getenv("FAKE_CUDA_ASTRAY") ? here : q->device)->pool = q;
    q->used += size;
    if (q->used > q->used_high) q->used_high = q->used;
    if (q->reserved > q->reserved_high) q->reserved_high = q->reserved;
    return leave(0);
}
int cuMemFreeAsync(u64 at, u64 s) {
    enter();
    if (!at) return leave(0);
    Region *r = *region(at);
    if (!r || !r->pool || r->freed) return leave(1);
    r->freed = calloc(1, sizeof *r->freed); r->freed_in = place(s);
    push(s, (Work){FREE, at, (u64)r->freed, 0, 0, 0, 0, 0});
    return leave(0);
}
