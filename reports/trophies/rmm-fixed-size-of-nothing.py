"""RMM FixedSizeMemoryResource of block size 0, or a bin of 2^64 - 1 bytes, which is rounded to 0: the process ends (SIGFPE)."""
import os
import signal
import sys
import rmm
from rmm import mr

device = mr.CallbackMemoryResource(lambda size, stream: 1 << 44, lambda address, size, stream: None)
make = {"blocks of 0": lambda: mr.FixedSizeMemoryResource(device, 0, 8)}
make["bin of 2^64 - 1"] = lambda: mr.BinningMemoryResource(device).add_bin((1 << 64) - 1)
ends = {}
for name in make:
    child = os.fork()
    if child == 0:
        try:
            make[name]()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    ends[name] = signal.Signals(status).name if os.WIFSIGNALED(status) else "lives"
print("rmm", rmm.__version__)
print("expected: an error, and the process lives")
print("actual:  ", ends)
sys.exit(1 if "SIGFPE" in ends.values() else 0)
