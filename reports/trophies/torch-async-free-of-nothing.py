"""ZERO-02 behind cudaMallocAsync: what a request of 0 bytes gave cannot be given back."""
import os

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "backend:cudaMallocAsync"

import torch

print("torch", torch.__version__)
address = torch.cuda.caching_allocator_alloc(0)
try:
    torch.cuda.caching_allocator_delete(address)
    said = "done"
except RuntimeError as error:
    said = str(error).splitlines()[0]
print("expected: the pointer of a request of 0 bytes can be freed: done")
print("actual:  ", said)
raise SystemExit(0 if said == "done" else 1)
