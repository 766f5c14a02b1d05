"""Inside use_mem_pool no freed block with a recorded stream is used again, though the stream has come to its end."""
import sys
import torch

side, pool = torch.cuda.Stream(), torch.cuda.MemPool()
with torch.cuda.use_mem_pool(pool):
    for _ in range(10):
        block = torch.empty(30 << 20, dtype=torch.uint8, device="cuda")
        block.record_stream(side)
        del block
        torch.cuda.synchronize()
left = torch.cuda.memory_reserved(0)
print("torch", torch.__version__)
print("expected: 31457280 bytes reserved: each block is the one before")
print("actual:  ", left)
sys.exit(int(left != 31457280))
