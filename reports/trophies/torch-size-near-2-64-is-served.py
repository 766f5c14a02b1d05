"""PyTorch rounds a raw size near 2^64 up to 0, and serves it."""
import os
import sys
import torch

try:
    address = torch.cuda.caching_allocator_alloc(2**63 - 1, 0)
    said = f"served at {address:#x}"
except (RuntimeError, ValueError, OverflowError) as error:
    said = type(error).__name__ + ": " + str(error).splitlines()[0][:70]
print("signed:", said)
try:
    address = torch.cuda.caching_allocator_alloc(-101, 0)
    said = f"served at {address:#x}, requested_bytes.all.current is {torch.cuda.memory_stats(0)['requested_bytes.all.current']}"
except (RuntimeError, ValueError, OverflowError) as error:
    said = type(error).__name__ + ": " + str(error).splitlines()[0][:70]
print("torch", torch.__version__)
print("expected: -101 bytes are refused")
print("actual:  ", said)
sys.stdout.flush()
os._exit(int("served" in said))
