"""A settings string that PyTorch refuses changes settings all the same: what was in force before is reset."""
import sys
import torch

MIB = 1 << 20


def taken():
    block = torch.empty(5 * MIB, dtype=torch.uint8, device="cuda")
    return torch.cuda.memory_allocated(0) * block.is_cuda


torch._C._accelerator_setAllocatorSettings("roundup_power2_divisions:2")
before = taken()
try:
    torch._C._accelerator_setAllocatorSettings("max_split_size_mb:1")
    print("not refused")
except (RuntimeError, ValueError) as error:
    print("refused:", str(error).splitlines()[0])
after = taken()
print("torch", torch.__version__)
print("expected: 5 MiB are rounded as before the refused string, to", before, "bytes")
print("actual:  ", after, "bytes")
sys.exit(int(after != before))
