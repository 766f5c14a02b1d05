"""LIVE-02: a snapshot takes references that nobody gave it. Before Python 3.12 some 10,000 calls of memory_snapshot() end the process."""
import subprocess
import sys

import torch

CALLS, MANY = 100, 20_000
LOOP = f"""
import torch
torch.cuda.init()
for _ in range({MANY}):
    torch.cuda.memory_snapshot()
"""

torch.cuda.init()
halves = (int("1000000"), int("2000000"))  # as a pool's id; past what Python keeps for ever
kept = [half for half in halves for _ in range(2 * CALLS)]  # so that nothing is freed here
before = [sys.getrefcount(half) for half in halves]
for _ in range(CALLS):
    torch.cuda.memory_snapshot(halves)
lost = [was - sys.getrefcount(half) for was, half in zip(before, halves)]
done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True)
cause = next((line for line in done.stderr.splitlines() if "Fatal" in line), "")

print("torch", torch.__version__, "python", sys.version.split()[0])
print(f"expected: {CALLS} calls later whoever passed an id has as many references to it: [0, 0] fewer")
print(f"          {MANY:,} calls without an id: exit code 0")
print(f"actual:   {lost} fewer; without others the numbers would be freed while they are in use")
print(f"          {MANY:,} calls without an id: exit code {done.returncode} {cause[:60]}".rstrip())
raise SystemExit(1 if any(lost) or done.returncode else 0)
