"""A setting that is refused: the error is caught, and the next call ends the process (SIGSEGV)."""
import subprocess
import sys

import torch

PROGRAM = """
import torch
for attempt in range(2):
    try:
        torch.empty(512, device="cuda")
    except Exception as error:
        print("refused:", str(error).splitlines()[0][:60], flush=True)
"""
ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                       env={**__import__("os").environ, "PYTORCH_CUDA_ALLOC_CONF": "no_such_setting:1"})
expected = "two refusals, exit 0"
actual = f"{ended.stdout.count('refused')} refusals, exit {ended.returncode}"
is_broken = ended.returncode < 0
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
