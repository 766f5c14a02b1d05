"""RMM PoolMemoryResource takes more from the device than its maximum_pool_size: 896 bytes of 768."""
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
pool.allocate(256)  # grows by half of what is left, 384: no multiple of 256
try:
    pool.allocate(512)  # 384 are left, rounded up to 512
except MemoryError:
    pass
print("rmm", rmm.__version__)
print("expected:", "at most 768 bytes")
print("actual:  ", f"{pool.pool_size()} bytes, asked of the device as {state['asked']}")
sys.exit(1 if pool.pool_size() > 768 else 0)
