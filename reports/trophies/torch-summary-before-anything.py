"""memory_summary(0) ends in KeyError as long as CUDA is not initialised."""
import sys

import torch

try:
    actual = torch.cuda.memory_summary(0).splitlines()[1].strip("| ")
    is_broken = False
except KeyError as error:
    actual, is_broken = f"KeyError: {error}", True
expected = "a table of zeros, as memory_allocated(0) is 0 then"
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
