"""The docstring of memory_stats names `allocated.{all,large_pool,small_pool}.*`; no such keys exist (`allocation.*`)."""
import sys

import torch

torch.cuda.init()
torch.empty(1, device="cuda")
named = "allocated.{all,large_pool,small_pool}" in torch.cuda.memory_stats.__doc__
there = "allocated.all.current" in torch.cuda.memory_stats()
expected = "the documented key allocated.all.current is there"
actual = f"documented: {named}, there: {there}"
is_broken = named and not there
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
