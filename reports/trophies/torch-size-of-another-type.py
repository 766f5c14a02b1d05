"""caching_allocator_alloc(512.0) ends in SystemError: the error was set, and an address was answered all the same."""
import sys

import torch

torch.cuda.init()
before = torch.cuda.memory_allocated()
try:
    torch.cuda.caching_allocator_alloc(512.0)
    said = "not refused"
except TypeError as error:
    said = "TypeError"
except SystemError as error:
    said = f"SystemError: {error}"
leaked = torch.cuda.memory_allocated() - before
expected = "TypeError, and nothing allocated"
actual = f"{said}, and {leaked} bytes more allocated"
is_broken = said != "TypeError" or leaked != 0
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
