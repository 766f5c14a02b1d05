"""RMM PoolMemoryResource serves a request of nearly 2^64 bytes with an address that the next request gets, too."""
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
pool = mr.PoolMemoryResource(device, 1 << 20, 1 << 20)
try:
    huge, small = pool.allocate((1 << 64) - 1), pool.allocate(256)
    actual = f"2^64 - 1 bytes at {huge:#x}, and 256 bytes at {small:#x}"
except MemoryError as error:
    actual = None
print("rmm", rmm.__version__)
print("expected:", "MemoryError")
print("actual:  ", actual or "MemoryError")
sys.exit(1 if actual else 0)
