"""roundup_power2_divisions:4: the documentation's 1200 bytes become 1536, not 1280."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "roundup_power2_divisions:4"
import torch

pointer = torch.cuda.caching_allocator_alloc(1200)
actual = torch.cuda.memory_allocated()
expected = 1280
is_broken = actual != expected
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
