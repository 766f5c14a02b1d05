"""use_mem_pool(pool, device=1) of a pool made on device 0 works once, and then ends in an internal assertion. Two GPUs."""
import sys
import torch

if torch.cuda.device_count() < 2:
    sys.exit("this needs two GPUs")
pool = torch.cuda.MemPool()  # device 0 is current
kept = []


def use():
    try:
        with torch.cuda.use_mem_pool(pool, device=1):
            kept.append(torch.empty(1 << 20, dtype=torch.uint8, device="cuda:1"))
        return "done"
    except RuntimeError as error:
        return str(error).splitlines()[0]


first, second = use(), use()
print("torch", torch.__version__)
print("expected: the second time as the first, or a refusal that says why")
print("actual:   first:", first, "| second:", second)
sys.exit(int("INTERNAL ASSERT" in second))
