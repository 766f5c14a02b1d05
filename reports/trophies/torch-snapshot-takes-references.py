"""ARG: a snapshot of one pool takes two references that nobody gave it, and some calls later the caller's own numbers are freed."""
import sys

import torch

CALLS = 100

torch.cuda.init()
halves = (int("1000000"), int("2000000"))  # as a pool's id; past what Python keeps for ever
kept = [half for half in halves for _ in range(2 * CALLS)]  # so that nothing is freed here
before = [sys.getrefcount(half) for half in halves]
for _ in range(CALLS):
    torch.cuda.memory_snapshot(halves)
lost = [was - sys.getrefcount(half) for was, half in zip(before, halves)]

print("torch", torch.__version__, "python", sys.version.split()[0])
print(f"expected: {CALLS} calls later whoever passed the id has as many references to it: [0, 0] fewer")
print(f"actual:   {lost} fewer; without others the numbers would be freed while they are in use")
raise SystemExit(1 if any(lost) else 0)
