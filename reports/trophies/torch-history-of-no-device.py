"""_snapshot and _record_memory_history take a device that does not exist."""
import sys

import torch

torch.cuda.init()
index = torch.cuda.device_count() + 9
taken = []
for name, call in (
    ("_snapshot", lambda: torch.cuda.memory._snapshot(device=index)),
    ("_record_memory_history", lambda: torch.cuda.memory._record_memory_history(max_entries=10, device=index)),
):
    try:
        call()
        taken.append(name)
    except Exception:  # noqa: BLE001
        pass
expected = f"both refuse device {index}"
actual = f"taken by {taken}"
is_broken = bool(taken)
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
