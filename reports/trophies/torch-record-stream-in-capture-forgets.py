"""PyTorch hands out memory that a side stream still writes: its use was recorded outside a capture, and inside one before."""
import sys
import torch

N = 30 << 20
side, graph_stream = torch.cuda.Stream(), torch.cuda.Stream()
first, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
scratch = torch.zeros(1, device="cuda").add_(1)  # loads the kernel
block = torch.zeros(N, dtype=torch.uint8, device="cuda")
with torch.cuda.graph(first, stream=graph_stream):
    side.wait_stream(graph_stream)
    with torch.cuda.stream(side):
        block.add_(1)
    block.record_stream(side)
    graph_stream.wait_stream(side)
with torch.cuda.stream(side):  # later, and outside of any capture
    torch.cuda._sleep(2_000_000_000)
    block.fill_(7)
block.record_stream(side)
with torch.cuda.stream(graph_stream):
    second.capture_begin()
    scratch.add_(1)
    del block
    second.capture_end()
fresh = torch.zeros(N, dtype=torch.uint8, device="cuda")  # on the default stream, as `block` was
torch.cuda.synchronize()
wrong = int((fresh == 7).sum())
print("torch", torch.__version__, "\nexpected: 0 bytes of a fresh tensor of zeros are 7\nactual:  ", wrong, "bytes")
sys.exit(int(wrong != 0))
