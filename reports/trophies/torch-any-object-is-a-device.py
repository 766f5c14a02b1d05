"""What is no device at all, such as [7] or 1.5, is taken for the current device."""
import sys

import torch

torch.cuda.init()
block = torch.empty(1000, dtype=torch.uint8, device="cuda:0")
answers = {}
for no_device in ([7], 1.5, b"cuda:9"):
    try:
        answers[repr(no_device)] = torch.cuda.memory_allocated(no_device)
    except (TypeError, ValueError, RuntimeError):
        pass
expected = "TypeError or ValueError for each"
actual = answers or "all refused"
is_broken = bool(answers)
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
