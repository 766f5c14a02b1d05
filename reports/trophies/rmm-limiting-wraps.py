"""RMM LimitingResourceAdaptor lets a request of nearly 2^64 bytes past a limit of 1 MiB, and forgets what is live."""
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
limited = mr.LimitingResourceAdaptor(device, 1 << 20)
limited.allocate(512)
try:
    limited.allocate((1 << 64) - 512)
except MemoryError:
    pass
asked, counted = state["asked"][1:], limited.get_allocated_bytes()
print("rmm", rmm.__version__)
print("expected:", "nothing past the limit is asked of the device: [], and 512 bytes are counted")
print("actual:  ", f"{asked}, and {counted} bytes are counted")
sys.exit(1 if asked or counted != 512 else 0)
