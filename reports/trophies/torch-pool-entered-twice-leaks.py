"""A MemPool that is entered while it is entered: the second time is refused, and the pool's memory is never given back."""
import sys
import torch

pool = torch.cuda.MemPool()
with torch.cuda.use_mem_pool(pool):
    block = torch.empty(30 << 20, dtype=torch.uint8, device="cuda")
    del block
    try:
        with torch.cuda.use_mem_pool(pool):
            said = "entered"
    except RuntimeError as error:
        said = str(error).splitlines()[0]
users = pool.use_count()
del pool
torch.cuda.empty_cache()
left = torch.cuda.memory_reserved(0)
print("torch", torch.__version__)
print("expected: 1 user of the pool, and 0 bytes reserved once it is gone")
print("actual:  ", users, "users, and", left, "bytes reserved; the second time said:", said)
sys.exit(int(left != 0))
