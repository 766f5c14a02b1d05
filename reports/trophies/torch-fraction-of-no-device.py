"""get_per_process_memory_fraction of a device that does not exist ends in an internal assertion."""
import sys

import torch

torch.cuda.init()
index = torch.cuda.device_count()
try:
    actual = torch.cuda.get_per_process_memory_fraction(index)
except Exception as error:  # noqa: BLE001
    actual = str(error).splitlines()[0][:100]
expected = f"a refusal that names device {index}"
is_broken = "INTERNAL ASSERT" in str(actual)
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
