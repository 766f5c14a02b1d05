"""A capture into the pool of a graph that was reset ends in an internal assertion of PyTorch."""
import sys
import torch


def captured(graph, **options):
    with torch.cuda.stream(stream):
        graph.capture_begin(**options)
        block = torch.empty(12 << 20, dtype=torch.uint8, device="cuda")
        graph.capture_end()
    del block


stream = torch.cuda.Stream()
first, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
captured(first)
pool = first.pool()
first.reset()
torch.cuda.empty_cache()
print("torch", torch.__version__)
print("expected: captured, or a refusal that says that the pool is gone")
try:
    captured(second, pool=pool)
    said = "captured"
except RuntimeError as error:
    said = str(error).splitlines()[0]
print("actual:  ", said)
sys.exit(int("INTERNAL ASSERT" in said))
