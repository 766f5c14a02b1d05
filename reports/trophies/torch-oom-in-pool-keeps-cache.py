"""Inside use_mem_pool a request is refused while the memory that it needs lies in the default pool's cache."""
import sys
import torch

MIB = 1 << 20
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(1024 * MIB / total, 0)
block = torch.empty(700 * MIB, dtype=torch.uint8, device="cuda")
del block  # cached
pool = torch.cuda.MemPool()
with torch.cuda.use_mem_pool(pool):
    try:
        torch.empty(700 * MIB, dtype=torch.uint8, device="cuda")
        said = "served"
    except torch.OutOfMemoryError as error:
        said = str(error)[:60]
print("torch", torch.__version__)
print("expected: served: what is cached is given back first")
print("actual:  ", said)
sys.exit(int(said != "served"))
