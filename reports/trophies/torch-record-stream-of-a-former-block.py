"""PyTorch hands out memory that a side stream still writes: an earlier block in its place was recorded inside a capture."""
import sys
import torch

N = 30 << 20
side, graph_stream = torch.cuda.Stream(), torch.cuda.Stream()
scratch = torch.zeros(1, device="cuda")


def capture(inside):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(graph_stream):
        graph.capture_begin()
        scratch.add_(1)
        inside()
        graph.capture_end()


blocks = [torch.zeros(N, dtype=torch.uint8, device="cuda")]
torch.cuda.synchronize()
capture(lambda: blocks[0].record_stream(side))
blocks[0] = None
torch.cuda.synchronize()
blocks[0] = torch.zeros(N, dtype=torch.uint8, device="cuda")  # no capture uses this one
torch.cuda.synchronize()
with torch.cuda.stream(side):
    torch.cuda._sleep(2_000_000_000)
    blocks[0].fill_(7)
blocks[0].record_stream(side)
capture(blocks.clear)
fresh = torch.zeros(N, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
wrong = int((fresh == 7).sum())
print("torch", torch.__version__)
print("expected: 0 bytes of a fresh tensor of zeros are 7")
print("actual:  ", wrong, "bytes")
sys.exit(int(wrong != 0))
