"""Expandable segments: a pool's growth is counted once and its return piece by piece; empty_cache ends in an assertion."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

MIB = 1 << 20


def tensor(mib):
    return torch.empty(mib * MIB, dtype=torch.uint8, device="cuda")


pool = torch.cuda.MemPool()
with torch.cuda.use_mem_pool(pool):
    whole = tensor(100)  # one growth of five pages
    del whole
    first, kept, last = tensor(40), tensor(20), tensor(40)
del pool, first, last
try:
    torch.cuda.empty_cache()
    said = "done"
except RuntimeError as error:
    said = str(error).splitlines()[0]
print("torch", torch.__version__)
print("expected: done")
print("actual:  ", said)
sys.stdout.flush()
os._exit(int(said != "done"))  # what is left cannot be freed
