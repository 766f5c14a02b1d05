"""MemPool(use_on_oom=True) that another thread is in: who finds no memory gets another error than OutOfMemoryError."""
import sys
import threading
import torch

pool, inside, done = torch.cuda.MemPool(use_on_oom=True), threading.Event(), threading.Event()


def other():
    with torch.cuda.use_mem_pool(pool):
        inside.set()
        done.wait()


thread = threading.Thread(target=other)
thread.start()
inside.wait()
try:
    torch.empty(1 << 42, dtype=torch.uint8, device="cuda")
    said = "served"
except RuntimeError as error:
    said = type(error).__name__ + ": " + str(error).splitlines()[0][:60]
done.set()
thread.join()
print("torch", torch.__version__)
print("expected: OutOfMemoryError: CUDA out of memory..., and 1 user of the pool")
print("actual:  ", said + ", and", pool.use_count(), "users of the pool")
sys.exit(int(not said.startswith("OutOfMemoryError") or pool.use_count() != 1))
