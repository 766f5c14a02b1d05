"""PyTorch gives a cached raw pointer to cudaFree when caching was switched off meanwhile; its figures keep it for ever."""
import sys
import torch

MIB = 1 << 20
pointer = torch.cuda.caching_allocator_alloc(30 * MIB, 0)
torch.cuda.caching_allocator_enable(False)
torch.cuda.caching_allocator_delete(pointer)
torch.cuda.caching_allocator_enable(True)
torch.cuda.empty_cache()
allocated, reserved = torch.cuda.memory_allocated(0), torch.cuda.memory_reserved(0)
print("torch", torch.__version__)
print("expected: 0 bytes allocated and 0 bytes reserved: everything was given back")
print("actual:  ", allocated, "bytes allocated and", reserved, "bytes reserved")
sys.exit(int(allocated != 0 or reserved != 0))
