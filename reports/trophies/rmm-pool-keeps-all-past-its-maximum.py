"""RMM PoolMemoryResource (26.8 and later) gives free blocks back for a request of its maximum, but not once it has passed it."""
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
pool = mr.PoolMemoryResource(device, initial_pool_size=0, maximum_pool_size=768)
first, second = pool.allocate(256), pool.allocate(512)
pool.deallocate(first, 256)
pool.deallocate(second, 512)
try:
    actual = f"served at {pool.allocate(768):#x}"
except MemoryError:
    actual = f"MemoryError, with nothing live and {pool.pool_size()} bytes kept"
print("rmm", rmm.__version__)
print("expected:", "768 bytes of a pool of 768 bytes in which nothing is live are served")
print("actual:  ", actual)
sys.exit(1 if "MemoryError" in actual else 0)
