"""RMM StatisticsResourceAdaptor counts a request of 0 bytes as an allocation, which the pool answers with null."""
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
counted = mr.StatisticsResourceAdaptor(mr.PoolMemoryResource(device, 1 << 20, 1 << 20))
address = counted.allocate(0)
count = counted.allocation_counts.current_count
print("rmm", rmm.__version__)
print("expected:", "null, and 0 allocations")
print("actual:  ", f"{address:#x}, and {count} allocations")
sys.exit(1 if count != 0 else 0)
