"""PyTorch counts a block as oversize when it goes and not when it came: max_split_size_mb changed in between."""
import sys
import torch

MIB = 1 << 20
block = torch.empty(300 * MIB, dtype=torch.uint8, device="cuda")
torch._C._accelerator_setAllocatorSettings("max_split_size_mb:100")
del block
left = torch.cuda.memory_stats(0)["oversize_allocations.current"]
print("torch", torch.__version__)
print("expected: oversize_allocations.current is 0 when nothing is allocated")
print("actual:  ", left)
sys.exit(int(left != 0))
