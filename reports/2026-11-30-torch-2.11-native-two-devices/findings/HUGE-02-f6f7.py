r"""HUGE-02: A size too large to be rounded was not refused cleanly.

Found by poolproof in huge::plain-cannot-be-rounded on torch@cuda.
What was seen: `alloc huge: 8388608 TiB (9223372036854775808 B) on device 0, stream 0` (answer: `refused (invalid_argument): <built-in function _cuda_cudaCachingAllocator_raw_alloc> returned a result with an exception set`) moved num_device_alloc of device 0 from 0 to 1, though such a call changes nothing
device allocations of device 0: expected 0; actual 1

Exits with 1 while the defect is there, with 0 when it is gone, with 2 where it could not be tried.
"""
import os
import sys

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
    before = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]
    # alloc b0: 8388608 TiB (9223372036854775808 B) on device 0, stream 0
    b0, _ = attempt(lambda: raw(0, 0, 9223372036854775808))
    at_b0, size_b0 = at(b0), 9223372036854775808
    wrong = False
    wrong |= tell("num_device_alloc of device 0 is exactly 0", (torch.cuda.memory_stats(0)["num_device_alloc"]), (torch.cuda.memory_stats(0)["num_device_alloc"]) == 0)
    return int(wrong)


print("torch", torch.__version__)
try:
    code = main()
except Exception as error:
    print("the sequence did not run as it did:", type(error).__name__, error)
    code = 2
sys.stdout.flush()
os._exit(code)  # the allocator's own end is not the point
