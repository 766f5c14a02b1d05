#!/usr/bin/env python3
"""What others ask of a live PyTorch in a second, beside `poolproof run --target torch@cuda`.

    torch_loops.py bare [SECONDS]        requests and frees of a few sizes; the raw statistics are read after each
    torch_loops.py hypothesis [SECONDS]  a Hypothesis state machine with a ledger: no two live blocks overlap, and what
                                         `torch.cuda.memory_allocated` says is what the ledger allows; needs `hypothesis`

Both print operations a second of wall time, without the import.
"""

import random
import sys
import time

import torch

SIZES = (512, 5_000, 100_000, 900_000, 2 << 20, 3 << 20)
MOST = 60


def rounded(size):
    return max(512, -(-size // 512) * 512)


def bare(seconds):
    draw, live, asked = random.Random(1), [], 0
    take, give = torch.cuda.memory.caching_allocator_alloc, torch.cuda.memory.caching_allocator_delete
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if live and (len(live) >= MOST or draw.random() < 0.5):
            give(live.pop(draw.randrange(len(live))))
        else:
            live.append(take(draw.choice(SIZES)))
        torch._C._cuda_memoryStats(0)
        asked += 1
    return asked / (time.perf_counter() - began)


def hypothesis(seconds):
    from hypothesis import HealthCheck, settings, strategies
    from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

    counted = {"asked": 0}
    take, give = torch.cuda.memory.caching_allocator_alloc, torch.cuda.memory.caching_allocator_delete

    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.live = {}
            self.before = torch.cuda.memory_allocated()

        @precondition(lambda self: len(self.live) < MOST)
        @rule(size=strategies.sampled_from(SIZES))
        def request(self, size):
            address = take(size)
            counted["asked"] += 1
            for other, held in self.live.items():
                assert address + size <= other or other + held <= address
            self.live[address] = size

        @precondition(lambda self: self.live)
        @rule(data=strategies.data())
        def free(self, data):
            address = data.draw(strategies.sampled_from(sorted(self.live)))
            give(address)
            counted["asked"] += 1
            del self.live[address]

        @invariant()
        def adds_up(self):
            # A large block keeps up to a MiB that is not worth a split.
            due, told = sum(map(rounded, self.live.values())), torch.cuda.memory_allocated() - self.before
            assert due <= told <= due + len(self.live) * (1 << 20)

        def teardown(self):
            for address in self.live:
                give(address)

    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        run_state_machine_as_test(Machine, settings=settings(
            max_examples=20, stateful_step_count=200, deadline=None, database=None, derandomize=False,
            suppress_health_check=list(HealthCheck)))
    return counted["asked"] / (time.perf_counter() - began)


def main():
    which, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    torch.cuda.init()
    torch.empty(1, device="cuda")
    print(f"{which}: {({'bare': bare, 'hypothesis': hypothesis}[which])(seconds):,.0f} operations a second")


if __name__ == "__main__":
    main()
