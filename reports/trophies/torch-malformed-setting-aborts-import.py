"""A settings string without a value, `max_split_size_mb:`, ends `import torch` in abort()."""
import os
import subprocess
import sys

environment = {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:"}
ended = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True, env=environment)
import torch

expected = "an exception that names the setting, or none before CUDA is used"
actual = f"exit {ended.returncode}: {(ended.stderr.strip().splitlines() or [''])[-1][:90]}"
is_broken = ended.returncode < 0
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
