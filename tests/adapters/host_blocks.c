/* What `host_blocks.h` promises, tried against the plainest way to do the same; says the line of what is not so. */
#include <stdio.h>

#include "host_blocks.h"

#define EXPECT(what) do { if (!(what)) return printf("line %d: %s\n", __LINE__, #what), 1; } while (0)

enum { NUMBERS = 5000, ROUNDS = 200000 };

static int table(void) {
    static uint64_t known[NUMBERS];
    uint64_t state = 1, here = 0;
    for (int round = 1; round <= ROUNDS; round++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        /* Also those of retries, which begin far up. */
        uint32_t at = (uint32_t)(state >> 33) % NUMBERS, number = at % 2 ? at : 0xF0000000u + at;
        Block *block = find_block(number);
        EXPECT(!!block == !!known[at]);
        if (block) {
            EXPECT(block->number == number && block->address == known[at]);
            forget_block(block), known[at] = 0, here--;
        } else {
            keep_block((Block){.number = number, .address = (uint64_t)round}), known[at] = (uint64_t)round, here++;
        }
        EXPECT(blocks.taken == here && 2 * here <= blocks.room);
    }
    for (uint32_t at = 0; at < NUMBERS; at++) EXPECT(!!find_block(at % 2 ? at : 0xF0000000u + at) == !!known[at]);
    EXPECT(!find_block(UINT64_C(1) << 32));
    forget_all_blocks();
    EXPECT(!find_block(1));
    return 0;
}

static unsigned char memory[3 << 20];

static int contents(void) {
    static const uint64_t sizes[] = {1, 7, 8, 9, 63, 64, 65, 1000, WHOLE, WHOLE + 1, (1 << 20) + 5000, sizeof memory};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        Block block = {.address = (uintptr_t)memory, .bytes = sizes[i], .number = 7};
        memset(memory, 0xee, sizeof memory);
        write_memory(block.address, block.bytes, block.number);
        EXPECT(block_differs_at(&block) == block.bytes);
        EXPECT(block.bytes == sizeof memory || memory[block.bytes] == 0xee);
        for (Part part = first_part(block.bytes); part.begins < part.ends; part = next_part(block.bytes, part)) {
            const uint64_t places[] = {part.begins, part.ends - 1, (part.begins + part.ends) / 2};
            for (int j = 0; j < 3; j++) {
                memory[places[j]] ^= 4;
                EXPECT(block_differs_at(&block) == places[j]);
                memory[places[j]] ^= 4;
            }
        }
        EXPECT(block.bytes < 8 || owner_of(*(uint64_t *)memory) == 7);
    }
    Block block = {.address = (uintptr_t)memory, .bytes = 4096, .number = 8};
    write_memory(block.address + 512, 512, 9);
    write_memory(block.address, 512, 8);
    EXPECT(block_differs_at(&block) == 512 && owner_of(*(uint64_t *)(memory + 512)) == 9);
    return 0;
}

static int streams(void) {
    Stream stream = {0};
    Block first = {.address = (uintptr_t)memory, .bytes = 64, .number = 1}, second = first;
    second.number = 2;
    write_block(&stream, &first);
    EXPECT(block_differs_at(&first) == 64 && !is_busy(&stream));
    occupy(&stream), write_block(&stream, &second), occupy(&stream), write_block(&stream, &first);
    EXPECT(block_differs_at(&first) == 64 && is_busy(&stream));
    finish(&stream);
    EXPECT(block_differs_at(&second) == 64 && is_busy(&stream));
    finish(&stream);
    EXPECT(block_differs_at(&first) == 64 && !is_busy(&stream));
    for (int i = 0; i < 1000; i++) occupy(&stream), write_block(&stream, i % 2 ? &first : &second);
    finish_all(&stream);
    EXPECT(block_differs_at(&first) == 64 && !is_busy(&stream));
    finish(&stream);
    end_stream(&stream);
    return 0;
}

int main(void) { return table() || contents() || streams(); }
