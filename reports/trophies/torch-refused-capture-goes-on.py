"""LIVE-02: a capture that was refused at its beginning never ends for the allocator, and the next pool that is deleted ends the process."""
import subprocess
import sys

WORK = """
import torch

stream = torch.cuda.Stream()


def capture(pool=None):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        graph.capture_begin(pool=pool)
        block = torch.empty(12 << 20, dtype=torch.uint8, device="cuda")
        graph.capture_end()
    del block
    return graph


print("torch", torch.__version__, flush=True)
graph = capture()
pool = graph.pool()
graph.reset()
torch.cuda.empty_cache()
try:
    capture(pool)
except RuntimeError as error:
    print("refused:", str(error).splitlines()[0], flush=True)
with torch.cuda.stream(stream):
    print("a stream captures:", torch.cuda.is_current_stream_capturing(), flush=True)
mine = torch.cuda.MemPool()
with torch.cuda.use_mem_pool(mine):
    block = torch.empty(12 << 20, dtype=torch.uint8, device="cuda")
del block
del mine
print("the pool is gone", flush=True)
"""

done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True)
print(done.stdout, end="")
print("expected: nothing captures, so that a pool can be deleted: exit code 0")
cause = next((line for line in done.stderr.splitlines() if "INTERNAL ASSERT" in line), "").strip()
print(f"actual:   exit code {done.returncode}; {cause[:120]}")
raise SystemExit(1 if done.returncode else 0)
