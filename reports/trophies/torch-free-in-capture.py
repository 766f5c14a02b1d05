"""max_split_size_mb: a request in a capture frees cached blocks of it, which CUDA forbids meanwhile; the capture is lost."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "max_split_size_mb:32"
import torch

MIB = 1 << 20
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(1024 * MIB / total, 0)
graph, said = torch.cuda.CUDAGraph(), "captured"
with torch.cuda.stream(torch.cuda.Stream()):
    graph.capture_begin()
    block = torch.empty(600 * MIB, dtype=torch.uint8, device="cuda")
    del block
    try:
        torch.empty(900 * MIB, dtype=torch.uint8, device="cuda")
    except RuntimeError as error:
        said = type(error).__name__ + ": " + str(error).splitlines()[0]
print("torch", torch.__version__)
print("expected: OutOfMemoryError, and the capture goes on; or captured")
print("actual:  ", said[:110])
sys.stdout.flush()
os._exit(int(not said.startswith(("OutOfMemoryError", "captured"))))
