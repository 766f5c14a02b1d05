"""A few dozen lines in PyTorch's place, for tests of what runs the argument contract and what monitors: one made-up device, an allocator that counts
and never looks at memory, and mistakes on purpose: a float is taken for a device, pointer 3 ends the process, 5 never returns."""

import os
import sys
import time
import types

__version__ = "0.fake"
version = types.SimpleNamespace(cuda="0")
uint8 = "uint8"
cuda = types.ModuleType("torch.cuda")
cuda.memory = types.ModuleType("torch.cuda.memory")
sys.modules.update({"torch.cuda": cuda, "torch.cuda.memory": cuda.memory})
if "fails-to-import" in os.environ.get("PYTORCH_CUDA_ALLOC_CONF", ""):
    raise ValueError("Unrecognized option: fails-to-import")

FAMILIES = ("allocation", "allocated_bytes", "active_bytes", "requested_bytes", "segment", "reserved_bytes")
live, state = {}, {"initialised": False, "fraction": 1.0, "next": 1 << 20}
stats = {f"{f}.all.{m}": 0 for f in FAMILIES for m in ("current", "peak", "allocated", "freed")}


class OutOfMemoryError(RuntimeError):
    pass


class Tensor:
    def __init__(self, size):
        self.pointer = raw(size)

    def __del__(self):
        delete(self.pointer)


def empty(size, dtype=None, device="cpu"):
    return Tensor(size)


def init():
    state["initialised"] = True


def index(device):
    if isinstance(device, int) and device != 0:
        raise RuntimeError(f"Invalid device argument {device}: did you call init?")
    if device == "cpu":
        raise ValueError("Expected a cuda device, but got: cpu")
    return 0


def count(sign, size):
    for family in FAMILIES:
        amount = size if "bytes" in family else 1
        stats[f"{family}.all.current"] += sign * amount
        stats[f"{family}.all.{'allocated' if sign > 0 else 'freed'}"] += amount
        stats[f"{family}.all.peak"] = max(stats[f"{family}.all.peak"], stats[f"{family}.all.current"])


def raw(size, device=None, stream=None):
    init()
    index(device)
    if size > state["fraction"] * (1 << 34):
        raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes. GPU 0")
    state["next"] += 1 << 30
    live[state["next"]] = size
    count(1, size)
    return state["next"]


def delete(pointer):
    if pointer == 3:
        sys.stderr.write("terminate called on purpose\n")
        os.abort()
    while pointer == 5:
        time.sleep(1)
    if pointer not in live:
        raise RuntimeError(f"invalid device pointer: {hex(pointer)}")
    count(-1, live.pop(pointer))


def memory_stats(device=None):
    return dict(stats) if state["initialised"] and index(device) == 0 else {}


def list_gpu_processes(device=None):
    try:
        import pynvml
    except ModuleNotFoundError:
        return "pynvml module not found"
    pynvml.nvmlInit()
    found = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(index(device)))
    lines = [f"process {p.pid:>10d} uses {p.usedGpuMemory / (1024 * 1024):>12.3f} MB GPU memory" for p in found]
    return "\n".join([f"GPU:{index(device)}", *(lines or ["no processes are running"])])


cuda.OutOfMemoryError, cuda.init, cuda.empty_cache = OutOfMemoryError, init, lambda: None
cuda.is_initialized, cuda.device_count, cuda.current_device = lambda: state["initialised"], lambda: 1, lambda: 0
cuda.get_device_name = lambda device: "made up"
cuda.get_device_properties = lambda device: types.SimpleNamespace(total_memory=1 << 34)
cuda.synchronize = lambda device=None: None
cuda.current_stream = lambda device=None: types.SimpleNamespace(cuda_stream=0)
cuda.get_per_process_memory_fraction = lambda device=None: state["fraction"]
cuda.set_per_process_memory_fraction = lambda fraction, device=None: state.update(fraction=fraction)
cuda.caching_allocator_alloc, cuda.caching_allocator_delete = raw, delete
cuda.memory_stats = memory_stats
cuda.memory_allocated = lambda device=None: memory_stats(device).get("allocated_bytes.all.current", 0)
cuda.memory_reserved = cuda.memory_allocated
cuda.memory_snapshot = lambda: [
    {"device": 0, "address": p, "total_size": s, "stream": 0, "blocks": [{"size": s, "state": "active_allocated"}]}
    for p, s in sorted(live.items())]
cuda.set_device = lambda device: None
cuda.memory_stats_as_nested_dict = memory_stats
cuda.mem_get_info = lambda device=None: ((1 << 34) - cuda.memory_allocated(), 1 << 34)
cuda.list_gpu_processes = list_gpu_processes
cuda.memory.get_allocator_backend = lambda: "native"
cuda.memory._snapshot = lambda: {"segments": cuda.memory_snapshot(), "allocator_settings": {}}
