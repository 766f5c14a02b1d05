"""RMM BinningMemoryResource: a block of the upstream, freed after a bin for its size was added, is handed out as a larger one."""
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
bins = mr.BinningMemoryResource(mr.PoolMemoryResource(device, 1 << 20, 1 << 20))
first, second = bins.allocate(1000), bins.allocate(1000)
bins.add_bin(4096, mr.FixedSizeMemoryResource(device, 4096, 1))
bins.deallocate(first, 1000)
given = [bins.allocate(4000) for _ in range(3)]
over = [f"{at:#x}" for at in given if at <= second < at + 4000]
print("rmm", rmm.__version__)
print("expected:", "no 4,000 bytes lie over the live block of 1,000 bytes")
print("actual:  ", f"{over} lie over it at {second:#x}" if over else "none")
sys.exit(1 if over else 0)
