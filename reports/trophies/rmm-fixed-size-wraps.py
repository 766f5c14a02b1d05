"""RMM FixedSizeMemoryResource serves a request of nearly 2^64 bytes with a block of its 64 KiB."""
import sys
import rmm
from rmm import mr

rmm.set_logging_level(rmm.level_enum.off)
state = {"next": 1 << 44, "asked": []}


def allocate(size, stream):  # a device that has all the room there is
    state["asked"].append(size)
    state["next"] += -(-size // 256) * 256
    return state["next"] - -(-size // 256) * 256


device = mr.CallbackMemoryResource(allocate, lambda address, size, stream: None)
blocks = mr.FixedSizeMemoryResource(device, 1 << 16, 8)
try:
    huge = blocks.allocate((1 << 64) - 1)
    actual = f"2^64 - 1 bytes at {huge:#x}, of {state['asked']} bytes in all"
except MemoryError as error:
    actual = None
print("rmm", rmm.__version__)
print("expected:", "MemoryError: more than the block size")
print("actual:  ", actual or "MemoryError")
sys.exit(1 if actual else 0)
