"""PyTorch frees a segment under a live tensor: max_split_size_mb lowered at run time, then a request that is short of memory."""
import sys
import torch

MIB = 1 << 20
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(512 * MIB / total, 0)


def tensor(mib):
    return torch.empty(mib * MIB, dtype=torch.uint8, device="cuda")


whole = tensor(64)
del whole  # one cached segment of 64 MiB
front, back = tensor(30), tensor(30)  # both are cut from it
back.fill_(7)
del front
torch._C._accelerator_setAllocatorSettings("max_split_size_mb:20")
large = tensor(460)  # 64 MiB are reserved: over the limit of 512 unless they are given back, and `back` lies in them
torch.cuda.set_per_process_memory_fraction(1.0, 0)
print("torch", torch.__version__)
print("expected: OutOfMemoryError for 460 MiB; or else 31457280 bytes of `back` that still hold 7")
try:
    held = int((back == 7).sum())
    print("actual:  ", held, "bytes hold 7")
except RuntimeError as error:
    held = 0
    print("actual:  ", str(error).splitlines()[0])
sys.exit(int(held != 30 * MIB))
