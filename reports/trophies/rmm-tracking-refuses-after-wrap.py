"""RMM TrackingResourceAdaptor over a pool: after a request of 2^64 - 1 bytes a valid one ends in RuntimeError."""
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
tracked = mr.TrackingResourceAdaptor(mr.PoolMemoryResource(device, 1 << 20, 1 << 20))
try:
    tracked.allocate((1 << 64) - 1)
except MemoryError:
    pass
try:
    actual = f"{tracked.allocate(256):#x}"
except RuntimeError as error:
    actual = f"{error}; {tracked.get_allocated_bytes()} bytes are said to be allocated"
print("rmm", rmm.__version__)
print("expected:", "256 bytes are served")
print("actual:  ", actual)
sys.exit(1 if "tracked" in actual else 0)
