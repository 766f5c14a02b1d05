"""RMM BinningMemoryResource with one bin of 2^32 bytes makes one of 256 bytes."""
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
bins = mr.BinningMemoryResource(device, 32, 32)
block = state["asked"][0] // 128
print("rmm", rmm.__version__)
print("expected:", "128 blocks of 4294967296 bytes")
print("actual:  ", f"128 blocks of {block} bytes")
sys.exit(1 if block != 1 << 32 else 0)
