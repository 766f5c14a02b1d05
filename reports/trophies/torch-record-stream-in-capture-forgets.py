"""PyTorch hands out memory that a side stream still writes: its use was recorded outside a capture, and again inside it."""
import sys
import torch

N = 30 << 20
side, graph_stream, graph = torch.cuda.Stream(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
scratch = torch.zeros(1, device="cuda")
block = torch.zeros(N, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
with torch.cuda.stream(side):
    torch.cuda._sleep(2_000_000_000)
    block.fill_(7)
block.record_stream(side)
with torch.cuda.stream(graph_stream):
    graph.capture_begin()
    side.wait_stream(graph_stream)  # the side stream is forked into the capture
    with torch.cuda.stream(side):
        scratch.add_(1)
    block.record_stream(side)
    del block
    graph_stream.wait_stream(side)
    graph.capture_end()
fresh = torch.zeros(N, dtype=torch.uint8, device="cuda")  # on the default stream, as `block` was
works = not side.query()
torch.cuda.synchronize()
wrong = int((fresh == 7).sum())
print("torch", torch.__version__, "| the side stream still worked when the memory was asked for:", works)
print("expected: 0 bytes of a fresh tensor of zeros are 7")
print("actual:  ", wrong, "bytes")
sys.exit(int(wrong != 0))
