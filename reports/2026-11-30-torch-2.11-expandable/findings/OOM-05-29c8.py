r"""OOM-05: The out-of-memory message was missing, wrong or incomplete.

Found by poolproof in oom::message-advice on torch@cuda?expandable_segments:True.
What was seen: the answer `refused (out_of_memory): CUDA out of memory. Tried to allocate 308.00 MiB. GPU 0 has a total capacity of 139.80 GiB of which 138.92 GiB is free. Including non-PyTorch memory, this process has 888.00 MiB memory in use. 512.00 MiB allowed; Of the allocated memory 300.00 MiB is allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory Management  (https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-cuda-alloc-conf)` has `try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`
text of the answer: expected without `try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True`; actual with it

Exits with 1 while the defect is there, with 0 when it is gone, with 2 where it could not be tried.
"""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

SIZES = [536870912]  # what each device plays: memory is refused beyond it
STREAMS = 4
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
    # alloc b0: 300 MiB (314572800 B) on device 0, stream 0
    b0 = raw(0, 0, 314572800)
    at_b0, size_b0 = at(b0), 314572800
    # fill b0
    pass
    before = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]
    # alloc b1: 307.2 MiB (322122547 B) on device 0, stream 0
    b1, said = attempt(lambda: raw(0, 0, 322122547))
    at_b1, size_b1 = at(b1), 322122547
    wrong = False
    wrong |= tell("the call is refused as out_of_memory", said, said.startswith("out_of_memory"))
    wrong |= tell("the text has not: try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True", said, "try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True" not in said)
    return int(wrong)


print("torch", torch.__version__)
try:
    code = main()
except Exception as error:
    print("the sequence did not run as it did:", type(error).__name__, error)
    code = 2
sys.stdout.flush()
os._exit(code)  # the allocator's own end is not the point
