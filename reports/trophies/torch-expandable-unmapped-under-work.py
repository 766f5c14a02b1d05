"""Expandable segments: empty_cache unmaps memory of device 1 under its default stream if device 0 is current. Two GPUs."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
import torch

if torch.cuda.device_count() < 2:
    sys.exit("this needs two GPUs")
torch.cuda.set_device(1)
block = torch.zeros(30 << 20, dtype=torch.uint8, device="cuda:1")
torch.cuda.synchronize(1)
torch.cuda._sleep(2_000_000_000)
block.fill_(7)  # on the default stream of device 1, a second later
del block
torch.cuda.set_device(0)
torch.cuda.empty_cache()
try:
    torch.cuda.synchronize(1)
    said = "no error"
except RuntimeError as error:
    said = str(error).splitlines()[0]
print("torch", torch.__version__)
print("expected: no error")
print("actual:  ", said)
sys.stdout.flush()
os._exit(int(said != "no error"))
