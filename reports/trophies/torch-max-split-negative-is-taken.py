"""max_split_size_mb:-1 and max_split_size_mb:20GB are taken without a word."""
import sys

import torch

torch.cuda.init()
taken = []
for text in ("max_split_size_mb:-1", "max_split_size_mb:64GB"):
    try:
        torch._C._accelerator_setAllocatorSettings(text)
        taken.append(f"{text} -> {torch.cuda.memory._snapshot()['allocator_settings']['max_split_size']} bytes")
    except Exception:  # noqa: BLE001
        pass
expected = "both refused"
actual = taken or "both refused"
is_broken = bool(taken)
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
