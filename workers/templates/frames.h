/* Frames of poolproof-worker/2 for adapters in C: messages of MessagePack, each behind its length (docs/worker-protocol.md).
 *
 * Reading: `next_frame` waits for a question; `field(message, "apply")` is what stands under a key, NULL where nothing does,
 * and of NULL again NULL. Writing: `begin`, then the parts of one object in their order, then `send_frame`. */
#ifndef POOLPROOF_FRAMES_H
#define POOLPROOF_FRAMES_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUESTIONS = 3, ANSWERS = 4, PREFIX = 4, LONGEST_QUESTION = 48 << 10 };

/* What was read and not answered yet: the question under way, and perhaps what follows it. */
static unsigned char incoming[PREFIX + LONGEST_QUESTION];
static size_t incoming_used, question_used;
/* Where the question ends. */
static const unsigned char *question_end;

typedef const unsigned char *Value;

/* More of what is asked; whether there is more. */
static inline int read_more(void) {
    if (incoming_used == sizeof incoming) return 0;
    ssize_t got;
    do got = read(QUESTIONS, incoming + incoming_used, sizeof incoming - incoming_used);
    while (got < 0 && errno == EINTR);
    if (got > 0) incoming_used += (size_t)got;
    return got > 0;
}

static inline void forget_question(void) {
    memmove(incoming, incoming + question_used, incoming_used - question_used);
    incoming_used -= question_used;
    question_used = 0;
}

/* The hello, which is a line of JSON yet, as a string; NULL where none comes. */
static inline const char *first_line(void) {
    unsigned char *end;
    while (!(end = memchr(incoming, '\n', incoming_used)))
        if (!read_more()) return NULL;
    *end = 0;
    question_used = (size_t)(end - incoming) + 1;
    return (const char *)incoming;
}

/* The next question; NULL where no more come. What was read of the one before is gone. */
static inline Value next_frame(void) {
    forget_question();
    while (incoming_used < PREFIX)
        if (!read_more()) return NULL;
    size_t length = incoming[0] | (size_t)incoming[1] << 8 | (size_t)incoming[2] << 16 | (size_t)incoming[3] << 24;
    if (!length || length > LONGEST_QUESTION) return NULL;
    while (incoming_used < PREFIX + length)
        if (!read_more()) return NULL;
    question_used = PREFIX + length;
    question_end = incoming + question_used;
    return incoming + PREFIX;
}

/* The number in the `width` bytes at `at`, the highest first. */
static inline uint64_t big_endian(Value at, unsigned width) {
    uint64_t value = 0;
    while (width--) value = value << 8 | *at++;
    return value;
}

/* What a value is: its head with the bytes of a text or a number, and how many values lie in it. NULL past the question's end. */
static inline Value head(Value at, uint64_t *inside) {
    static const unsigned char bytes[32] = { /* from 0xc0: what follows the first byte, of fixed width */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0 };
    *inside = 0;
    if (!at || at >= question_end) return NULL;
    uint64_t left = (uint64_t)(question_end - at) - 1, long_ = 0;
    unsigned char first = *at++;
    if (first < 0x80 || first >= 0xe0) return at;
    if (first < 0x90) return *inside = 2 * (first & 15), at;
    if (first < 0xa0) return *inside = first & 15, at;
    if (first < 0xc0) return left < (first & 31u) ? NULL : at + (first & 31);
    unsigned width = first == 0xc4 || first == 0xc7 || first == 0xd9 ? 1
        : first == 0xc5 || first == 0xc8 || first == 0xda || first == 0xdc || first == 0xde ? 2
        : first == 0xc6 || first == 0xc9 || first == 0xdb || first == 0xdd || first == 0xdf ? 4 : 0;
    if (width > left) return NULL;
    if (width) long_ = big_endian(at, width), at += width, left -= width;
    if (first >= 0xdc) return *inside = long_ * (first >= 0xde ? 2 : 1), at; /* lists, then objects */
    if (!width) long_ = bytes[first - 0xc0];
    else if (first >= 0xc7 && first <= 0xc9) long_++; /* the kind of an extension */
    return left < long_ ? NULL : at + long_;
}

/* Behind a value. */
static inline Value skip(Value at) {
    uint64_t values = 1, inside;
    while (values--) {
        if (!(at = head(at, &inside))) return NULL;
        values += inside;
    }
    return at;
}

/* Whether a value is this text. */
static inline int is_text(Value at, const char *text) {
    uint64_t inside, length = strlen(text);
    Value end = head(at, &inside);
    if (!end) return 0;
    if (*at >= 0xa0 && *at < 0xc0) return (*at & 31u) == length && !memcmp(at + 1, text, length);
    unsigned width = *at == 0xd9 ? 1 : *at == 0xda ? 2 : *at == 0xdb ? 4 : 0;
    return width && (uint64_t)(end - at) == 1 + width + length && !memcmp(at + 1 + width, text, length);
}

static inline int is_yes(Value at) { return at && at < question_end && *at == 0xc3; }

static inline int is_object(Value at) { return at && ((*at >= 0x80 && *at < 0x90) || *at >= 0xde) && *at < 0xe0; }

/* What stands under a key of an object; NULL where nothing does. */
static inline Value field(Value at, const char *key) {
    uint64_t inside;
    if (!is_object(at) || !(at = head(at, &inside))) return NULL;
    for (; inside; inside -= 2) {
        Value value = skip(at);
        if (!value) return NULL;
        if (is_text(at, key)) return value < question_end ? value : NULL;
        if (!(at = skip(value))) return NULL;
    }
    return NULL;
}

/* The first value of a list, and how many it has; the next is behind it (`skip`). NULL where it is no list. */
static inline Value list(Value at, uint64_t *count) {
    *count = 0;
    if (!at || !((*at >= 0x90 && *at < 0xa0) || *at == 0xdc || *at == 0xdd)) return NULL;
    return head(at, count);
}

/* A whole number; below zero only where `negative` is set. 0 where the value is none. */
static inline uint64_t number(Value at, int *negative) {
    uint64_t inside;
    *negative = 0;
    if (!head(at, &inside)) return 0;
    if (*at < 0x80) return *at;
    if (*at >= 0xcc && *at <= 0xcf) return big_endian(at + 1, 1u << (*at - 0xcc));
    if (*at >= 0xe0) return *negative = 1, (uint64_t)(int64_t)(int8_t)*at;
    if (*at < 0xd0 || *at > 0xd3) return 0;
    unsigned width = 1u << (*at - 0xd0);
    uint64_t value = big_endian(at + 1, width);
    if (width < 8 && value >> (8 * width - 1)) value |= ~0ull << (8 * width);
    *negative = value >> 63;
    return value;
}

/* The answer that is being written. */
static struct { unsigned char *bytes; size_t used, room; } answer;

static inline unsigned char *more(size_t bytes) {
    if (answer.used + bytes > answer.room) {
        answer.room = 2 * (answer.used + bytes);
        answer.bytes = realloc(answer.bytes, answer.room);
        if (!answer.bytes) exit(1);
    }
    answer.used += bytes;
    return answer.bytes + answer.used - bytes;
}

static inline void put_bytes(unsigned char first, uint64_t value, unsigned width) {
    unsigned char *at = more(1 + width);
    *at = first;
    for (unsigned i = 0; i < width; i++) at[1 + i] = (unsigned char)(value >> 8 * (width - 1 - i));
}

static inline void begin(void) { answer.used = 0, more(PREFIX); }
/* An object of so many fields, at most 15 here: each a text and a value. */
static inline void put_object(unsigned fields) { put_bytes((unsigned char)(0x80 | (fields & 15)), 0, 0); }
static inline void put_list(uint64_t values) { put_bytes(0xdd, values, 4); }
static inline void put_nothing(void) { put_bytes(0xc0, 0, 0); }
static inline void put_yes(void) { put_bytes(0xc3, 0, 0); }
static inline void put_number(uint64_t value) { value < 0x80 ? put_bytes((unsigned char)value, 0, 0) : put_bytes(0xcf, value, 8); }
static inline void put_signed(int64_t value) { value < 0 ? put_bytes(0xd3, (uint64_t)value, 8) : put_number((uint64_t)value); }
static inline void put_text(const char *text) {
    size_t length = strlen(text);
    length < 32 ? put_bytes((unsigned char)(0xa0 | length), 0, 0) : put_bytes(0xdb, length, 4);
    memcpy(more(length), text, length);
}

/* Whether all of it went out. */
static inline int send_bytes(const unsigned char *bytes, size_t length) {
    while (length) {
        ssize_t sent = write(ANSWERS, bytes, length);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return 0;
        bytes += sent, length -= (size_t)sent;
    }
    return 1;
}

static inline int send_frame(void) {
    size_t length = answer.used - PREFIX;
    for (int i = 0; i < PREFIX; i++) answer.bytes[i] = (unsigned char)(length >> 8 * i);
    return send_bytes(answer.bytes, answer.used);
}

#endif
