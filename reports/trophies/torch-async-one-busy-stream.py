"""STRM-03 behind cudaMallocAsync: a busy stream holds back blocks that it never used."""
import os

os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "backend:cudaMallocAsync"

import torch


def block(mib):
    return torch.empty(mib << 20, dtype=torch.uint8, device="cuda")


def growth(work):
    """Bytes that the device's pool grows by for a block whose like was freed, while a stream does so much work."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    busy, other = torch.cuda.Stream(), torch.cuda.Stream()
    with torch.cuda.stream(busy):
        torch.cuda._sleep(work)
    stuck, idle = block(30), block(24)
    stuck.record_stream(busy)  # only this block waits for the busy stream
    idle.record_stream(other)
    del stuck, idle
    other.synchronize()
    before = torch.cuda.memory_reserved()
    again = block(24)
    grew = torch.cuda.memory_reserved() - before
    assert work < 1e6 or not busy.query(), "the work was over too early"
    return grew >> 20


print("torch", torch.__version__)
growth(1000)
free, held = growth(1000), growth(4_000_000_000)
print("expected: the second block serves again, its stream is done: 0 MiB more")
print(f"actual:   {held} MiB more while another stream is busy, {free} MiB more while none is")
raise SystemExit(1 if held else 0)
