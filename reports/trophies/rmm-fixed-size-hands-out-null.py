"""RMM FixedSizeMemoryResource answers 100 bytes with a null pointer, where block size times count is 0 or 2^64."""
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
answers = []
for block_size, count in ((1024, 0), (1 << 60, 16)):
    try:
        answers.append(mr.FixedSizeMemoryResource(device, block_size, count).allocate(100))
    except (MemoryError, RuntimeError, ValueError) as error:
        answers.append("an error")
print("rmm", rmm.__version__)
print("expected:", "an error, or an address")
print("actual:  ", answers)
sys.exit(1 if 0 in answers else 0)
