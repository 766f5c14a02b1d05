"""Expandable segments: a request within the memory fraction maps whole pages of 20 MiB, and passes the limit."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

MIB = 1 << 20
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(64 * MIB / total, 0)
try:
    block = torch.empty(62 * MIB, dtype=torch.uint8, device="cuda")
except RuntimeError as error:
    print(str(error).splitlines()[0])
left = torch.cuda.memory_reserved(0)
print("torch", torch.__version__)
print("expected: at most", 64 * MIB, "bytes reserved, under a limit of 64 MiB")
print("actual:  ", left, "bytes")
sys.exit(int(left > 64 * MIB))
