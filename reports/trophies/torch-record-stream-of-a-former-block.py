"""PyTorch hands out memory that a side stream still writes: an earlier block in its place was recorded inside a capture."""
import sys
import torch

side, graph_stream, graphs = torch.cuda.Stream(), torch.cuda.Stream(), []
scratch = torch.zeros(1, device="cuda").add_(1)  # loads the kernel


def zeros():
    block = torch.zeros(30 << 20, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    return block


def capture(inside):
    with torch.cuda.stream(graph_stream):
        graphs.append(torch.cuda.CUDAGraph())
        graphs[-1].capture_begin()
        scratch.add_(1)
        inside()
        graphs[-1].capture_end()


blocks = [zeros()]
capture(lambda: blocks[0].record_stream(side))
blocks.clear()
blocks = [zeros()]  # in the same place; no capture uses this one
with torch.cuda.stream(side):
    torch.cuda._sleep(2_000_000_000)
    blocks[0].fill_(7)
blocks[0].record_stream(side)
capture(blocks.clear)
wrong = int((zeros() == 7).sum())
print("torch", torch.__version__, "\nexpected: 0 bytes of a fresh tensor of zeros are 7\nactual:  ", wrong, "bytes")
sys.exit(int(wrong != 0))
