"""garbage_collection_threshold: a request in a capture frees cached blocks, which CUDA forbids; the capture is lost."""
import os
import sys

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "garbage_collection_threshold:0.5"
import torch

MIB = 1 << 20
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(1024 * MIB / total, 0)
cached = torch.empty(600 * MIB, dtype=torch.uint8, device="cuda")
graph, said = torch.cuda.CUDAGraph(), "captured"
with torch.cuda.stream(torch.cuda.Stream()):
    graph.capture_begin()
    del cached  # more than half of what is allowed
    try:
        block = torch.empty(30 * MIB, dtype=torch.uint8, device="cuda")
    except RuntimeError as error:
        said = type(error).__name__ + ": " + str(error).splitlines()[0]
print("torch", torch.__version__)
print("expected: captured: 424 MiB are left")
print("actual:  ", said[:110])
sys.stdout.flush()
os._exit(int(said != "captured"))
