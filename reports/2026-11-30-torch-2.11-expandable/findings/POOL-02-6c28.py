r"""POOL-02: Small and large requests were not served from separate segments.

Found by poolproof in pool::separate-segments on torch@cuda?expandable_segments:True.
What was seen: segment.small_pool.current of device 0 moved by 0 instead of 1
change of segments of device 0, small pool, current: expected 1; actual 0

Exits with 1 while the defect is there, with 0 when it is gone, with 2 where it could not be tried.
"""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

SIZES = [1073741824]  # what each device plays: memory is refused beyond it
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
    # alloc b0: 3 MiB (3145728 B) on device 0, stream 0
    b0 = raw(0, 0, 3145728)
    at_b0, size_b0 = at(b0), 3145728
    # fill b0
    pass
    # verify b0
    pass
    # free b0
    _ = torch.cuda.caching_allocator_delete(b0)
    before = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]
    # alloc b1: 1 MiB (1048576 B) on device 0, stream 0
    b1 = raw(0, 0, 1048576)
    at_b1, size_b1 = at(b1), 1048576
    wrong = False
    wrong |= tell("segment.large_pool.current of device 0 moves by exactly 0", (torch.cuda.memory_stats(0)["segment.large_pool.current"] - before[0]["segment.large_pool.current"]), (torch.cuda.memory_stats(0)["segment.large_pool.current"] - before[0]["segment.large_pool.current"]) == 0)
    wrong |= tell("segment.small_pool.current of device 0 moves by exactly 1", (torch.cuda.memory_stats(0)["segment.small_pool.current"] - before[0]["segment.small_pool.current"]), (torch.cuda.memory_stats(0)["segment.small_pool.current"] - before[0]["segment.small_pool.current"]) == 1)
    return int(wrong)


print("torch", torch.__version__)
try:
    code = main()
except Exception as error:
    print("the sequence did not run as it did:", type(error).__name__, error)
    code = 2
sys.stdout.flush()
os._exit(code)  # the allocator's own end is not the point
