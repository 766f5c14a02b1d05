"""The text of OutOfMemoryError advises expandable_segments:True although it is on."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

try:
    torch.empty(1 << 42, dtype=torch.uint8, device="cuda")
    text = ""
except torch.OutOfMemoryError as error:
    text = str(error)
advises = "expandable_segments:True" in text
print("torch", torch.__version__)
print("expected: no advice to set what is set")
print("actual:  ", text[text.find("If reserved") :][:130] if advises else "none")
sys.exit(int(advises))
