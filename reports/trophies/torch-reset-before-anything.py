"""reset_peak_memory_stats(0) is refused as long as CUDA is not initialised; memory_stats(0) and set_per_process_memory_fraction are not."""
import sys

import torch

assert torch.cuda.is_available()
try:
    torch.cuda.reset_peak_memory_stats(0)
    actual, is_broken = "done", False
except RuntimeError as error:
    actual, is_broken = f"RuntimeError: {str(error).splitlines()[0][:80]}", True
expected = "done: there is nothing to reset"
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
