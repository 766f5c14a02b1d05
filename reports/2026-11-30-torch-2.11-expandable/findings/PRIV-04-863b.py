r"""PRIV-04: A pool made with use_on_oom helped too early or not at all.

Found by poolproof in priv::use-on-oom-under-limit on torch@cuda?expandable_segments:True.
What was seen: the answer was `refused (out_of_memory): CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.80 GiB of which 139.22 GiB is free. Including non-PyTorch memory, this process has 588.00 MiB memory in use. 1024.00 MiB allowed; Of the allocated memory 0 bytes is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-cuda-alloc-conf)` instead of an address
answer: expected an address; actual refused as out_of_memory

Exits with 1 while the defect is there, with 0 when it is gone, with 2 where it could not be tried.
"""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

SIZES = [1073741824]  # what each device plays: memory is refused beyond it
STREAMS = 1
if torch.cuda.device_count() < len(SIZES):
    print("needs", len(SIZES), "GPUs, and", torch.cuda.device_count(), "are here")
    sys.exit(2)
STREAM = [[torch.cuda.default_stream(d)] + [torch.cuda.Stream(d) for _ in range(1, STREAMS)] for d in range(len(SIZES))]
HELD = [0] * len(SIZES)  # bytes that this program itself keeps on a device


def fraction(device, wanted):
    """Of the device that is played, not of the real one."""
    total = torch.cuda.get_device_properties(device).total_memory
    return (wanted * SIZES[device] + HELD[device]) / total if 0 <= wanted <= 1 else wanted


def play():
    for device in range(len(SIZES)):
        torch.cuda.set_per_process_memory_fraction(min(1.0, fraction(device, 1.0)), device)
    return True


def attempt(action):
    """What it gives, and "served", or how it is refused."""
    try:
        return action(), "served"
    except torch.OutOfMemoryError as error:
        return None, "out_of_memory: " + str(error)
    except (RuntimeError, ValueError, TypeError, OverflowError, AssertionError, SystemError) as error:
        return None, "error: " + str(error)


def tensor(device, stream, size):
    with torch.cuda.device(device), torch.cuda.stream(STREAM[device][stream]):
        return torch.empty(size, dtype=torch.uint8, device="cuda")


def raw(device, stream, size):
    return torch.cuda.caching_allocator_alloc(size, device, STREAM[device][stream])


def at(block):
    return block.data_ptr() if isinstance(block, torch.Tensor) else block or 0


def fill(block, stream, value):
    with torch.cuda.stream(stream):
        block.fill_(value)


def overlap(one, other):
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]


def tell(expected, actual, holds):
    print("expected:", expected)
    print("actual:  ", actual, "" if holds else "  <- wrong")
    return not holds


def main():
    played = play()
    # alloc b0: 2 MiB (2097152 B) on device 0, stream 0
    b0 = raw(0, 0, 2097152)
    at_b0, size_b0 = at(b0), 2097152
    # fill b0
    pass
    # verify b0
    pass
    # free b0
    _ = torch.cuda.caching_allocator_delete(b0)
    before = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]
    # alloc b1: 2 GiB (2147483648 B) on device 0, stream 0
    b1, said = attempt(lambda: raw(0, 0, 2147483648))
    at_b1, size_b1 = at(b1), 2147483648
    wrong = False
    wrong |= tell("b1 lies where b0 lay", hex(at_b1), at_b1 == at_b0)
    return int(wrong)


print("torch", torch.__version__)
try:
    code = main()
except Exception as error:
    print("the sequence did not run as it did:", type(error).__name__, error)
    code = 2
sys.stdout.flush()
os._exit(code)  # the allocator's own end is not the point
