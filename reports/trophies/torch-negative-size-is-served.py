"""caching_allocator_alloc(-1) answers with an address."""
import sys

import torch

torch.cuda.init()
try:
    actual = hex(torch.cuda.caching_allocator_alloc(-1))
    is_broken = True
except Exception as error:  # noqa: BLE001
    actual, is_broken = f"{type(error).__name__}", False
expected = "a refusal"
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
