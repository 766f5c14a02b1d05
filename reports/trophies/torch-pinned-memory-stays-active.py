"""host_memory_stats: pinned memory that was freed is still counted as active."""
import sys

import torch

torch.cuda.init()
block = torch.empty(3000, dtype=torch.uint8, pin_memory=True)
del block
stats = torch.cuda.memory.host_memory_stats()
actual = f"active_requests.current {stats['active_requests.current']}, active_bytes.current {stats['active_bytes.current']}"
expected = "active_requests.current 0, active_bytes.current 0"
is_broken = actual != expected
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
