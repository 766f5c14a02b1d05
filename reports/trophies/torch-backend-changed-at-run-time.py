"""backend:cudaMallocAsync at run time ends in an internal assertion instead of a refusal."""
import sys

import torch

torch.cuda.init()
try:
    torch._C._accelerator_setAllocatorSettings("backend:cudaMallocAsync")
    actual = f"taken; the backend is {torch.cuda.get_allocator_backend()}"
except Exception as error:  # noqa: BLE001
    actual = str(error).splitlines()[0][:100]
expected = "a refusal: the backend of a process does not change"
is_broken = "INTERNAL ASSERT" in actual
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
