"""RMM LimitingResourceAdaptor of 1 MiB over a pool: 2^64 - 1 bytes are served, and counted as none."""
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
limited = mr.LimitingResourceAdaptor(mr.PoolMemoryResource(device, 1 << 20, 1 << 20), 1 << 20)
try:
    actual = f"{limited.allocate((1 << 64) - 1):#x}, {limited.get_allocated_bytes()} bytes counted"
except MemoryError:
    actual = None
print("rmm", rmm.__version__)
print("expected:", "MemoryError: Exceeded memory limit")
print("actual:  ", actual or "MemoryError")
sys.exit(1 if actual else 0)
