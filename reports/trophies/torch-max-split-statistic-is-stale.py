"""memory_stats()['max_split_size'] does not follow a change at run time."""
import sys

import torch

torch.cuda.init()
torch._C._accelerator_setAllocatorSettings("max_split_size_mb:128")
block = torch.empty(1000, dtype=torch.uint8, device="cuda")
told = torch.cuda.memory_stats()["max_split_size"]
expected = 128 << 20
actual = told
is_broken = told != expected
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
