"""The part of `torch` and `torch.cuda` that record.py asks, over a released allocator alone.

    torch = c10_as_torch.opened(release)     # instead of `import torch`; a process has one

Decides what PyTorch's Python, ATen and `CUDAGraph` decide: the current device and stream, names of statistics, which calls a pool
and a capture are. What they do besides (tensors that are computed with, random numbers of graphs) is not here. Where its
release is older than a function, that raises a RuntimeError.
"""

import contextlib
import ctypes
import os
import sys
from ctypes import c_int, c_int64, c_size_t, c_uint64, c_void_p
from types import SimpleNamespace

from c10_library import FILTER, NON_BLOCKING, POOL, WITHOUT_TIMING, busy_streams, opened as libraries

FAMILIES = (
    "allocation", "segment", "active", "inactive_split", "allocated_bytes", "reserved_bytes", "active_bytes",
    "inactive_split_bytes", "requested_bytes",
)
COLUMNS = ("current", "peak", "allocated", "freed")
COUNTERS = ("num_alloc_retries", "num_ooms", "max_split_size", "num_sync_all_streams", "num_device_alloc", "num_device_free")
# The keys of memory_stats in the order of pp_stats. What newer releases count besides stands behind and is not told.
KEYS = (
    *(f"{family}.{pool}.{column}" for family in FAMILIES for pool in ("all", "small_pool", "large_pool") for column in COLUMNS),
    *(f"{name}.{column}" for name in ("oversize_allocations", "oversize_segments") for column in COLUMNS),
    *COUNTERS,
)
ACTIONS = (
    "alloc", "free_requested", "free_completed", "segment_alloc", "segment_free", "segment_map", "segment_unmap", "snapshot",
    "oom", "annotate",
)
STATES = ("inactive", "active_allocated", "active_pending_free")
SEGMENT_WORDS, BLOCK_WORDS, EVENT_WORDS = 12, 4, 7
RELAXED = 2  # cudaStreamCaptureModeRelaxed
CYCLES_A_SECOND = 1e9  # of the clock that `_sleep` counts by


def destroyed(act, *arguments):
    """What fails in a destructor ends the process, as there."""
    try:
        act(*arguments)
    except RuntimeError as error:
        print(f"in a destructor: {error}", file=sys.stderr, flush=True)
        os._exit(134)


def id_of(pair):
    return POOL(*pair)


class Stream:
    def __init__(self, cuda, device, handle):
        self.cuda, self.device, self.cuda_stream = cuda, device, handle

    def query(self):
        with self.cuda.device(self.device):
            return self.cuda.runtime.is_idle(self.cuda_stream)

    def synchronize(self):
        with self.cuda.device(self.device):
            self.cuda.runtime.cudaStreamSynchronize(self.cuda_stream)

    def wait_stream(self, other):
        runtime = self.cuda.runtime
        with self.cuda.device(other.device):
            event = runtime.answer("cudaEventCreateWithFlags", c_uint64, WITHOUT_TIMING)
            runtime.cudaEventRecord(event, other.cuda_stream)
        with self.cuda.device(self.device):
            runtime.cudaStreamWaitEvent(self.cuda_stream, event, 0)
        runtime.cudaEventDestroy(event)


class Tensor:
    """Of bytes. Its memory goes back with the last reference."""

    def __init__(self, cuda, device, address):
        self.cuda, self.device, self.address = cuda, device, address

    def data_ptr(self):
        return self.address

    def record_stream(self, stream):
        self.cuda.shim.record_stream(self.address, self.device, stream.cuda_stream)

    def __del__(self):
        destroyed(self.cuda.shim.free, self.address, 1)


class MemPool:
    def __init__(self, cuda, use_on_oom, no_split):
        self.cuda, self.id = cuda, None
        made = POOL()
        device = cuda.current_device()
        cuda.shim.pool_create(device, made)
        self.id = tuple(made)
        if use_on_oom:
            cuda.shim.use_on_oom(device, made, 1)
        if no_split:
            cuda.shim.no_split(device, made)

    def __del__(self):
        if self.id is not None:
            destroyed(self.cuda.shim.pool_destroy, id_of(self.id))


class CUDAGraph:
    """A capture of nothing: what it makes the allocator do is all that matters."""

    def __init__(self, cuda):
        self.cuda, self.home, self.ended, self.accepts = cuda, None, False, None

    def capture_begin(self, pool=None, capture_error_mode="global"):
        if capture_error_mode != "relaxed":
            raise RuntimeError("captures are begun in the mode `relaxed` here")
        cuda, shim = self.cuda, self.cuda.shim
        self.device = cuda.current_device()
        self.stream = cuda.current[self.device].cuda_stream
        if self.stream == 0:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream.")
        self.home = pool or cuda.next_graph_pool()
        made = id_of(self.home)
        # No other stream joins the capture: nothing that is captured waits for another stream.
        self.accepts = FILTER(lambda _, stream: int(stream == self.stream))
        shim.begin_to_pool(self.device, made, self.accepts, None)
        cuda.runtime.cudaStreamBeginCapture(self.stream, RELAXED)
        cuda.capturing.add((self.device, self.stream))
        if cuda.release.minor >= 13:
            shim.capture_begin(self.device, made)

    def capture_end(self):
        cuda, shim = self.cuda, self.cuda.shim
        if cuda.current[self.device].cuda_stream != self.stream:
            raise RuntimeError("Capture must end on the same stream it began on.")
        graph = c_void_p()
        cuda.runtime.cudaStreamEndCapture(self.stream, ctypes.byref(graph))
        cuda.capturing.discard((self.device, self.stream))
        if cuda.release.minor >= 13:
            shim.capture_end(self.device, id_of(self.home))
        shim.end_to_pool(self.device, id_of(self.home))
        self.ended = True
        if not graph:
            raise RuntimeError("Invalid capture.")
        # There is nothing in it to be instantiated.
        cuda.runtime.cudaGraphDestroy(graph)

    def pool(self):
        return self.home

    def reset(self):
        if self.ended:
            self.ended = False
            self.cuda.shim.release_pool(self.device, id_of(self.home))

    def __del__(self):
        destroyed(self.reset)


class History:
    """torch.cuda.memory: what the allocator did, and what it has."""

    def __init__(self, cuda):
        self.cuda, self.events = cuda, []

    def _record_memory_history(self, enabled="all", **_):
        self.cuda.shim.history(int(enabled is not None))
        self.cuda.shim.words("take_events")
        self.events = []

    def _snapshot(self):
        segments = list(self.segments(self.cuda.shim.words("snapshot")))
        words = self.cuda.shim.words("take_events")
        self.events += [words[at : at + EVENT_WORDS] for at in range(0, len(words), EVENT_WORDS)]
        traces = [[] for _ in range(self.cuda.device_count())]
        for device, action, address, size, stream, *_ in self.events:
            where = {"device_free" if ACTIONS[action] == "oom" else "addr": address}
            traces[device].append({"action": ACTIONS[action], **where, "size": size, "stream": stream})
        return {"segments": segments, "device_traces": traces}

    @staticmethod
    def segments(words):
        at = 0
        while at < len(words):
            device, address, total, allocated, active, requested, stream, large, *pool, expandable, count = (
                words[at : at + SEGMENT_WORDS]
            )
            at += SEGMENT_WORDS
            blocks = []
            for _ in range(count):
                block, size, wanted, state = words[at : at + BLOCK_WORDS]
                blocks.append({"address": block, "size": size, "requested_size": wanted, "state": STATES[state]})
                at += BLOCK_WORDS
            yield {
                "device": device, "address": address, "total_size": total, "allocated_size": allocated, "active_size": active,
                "requested_size": requested, "stream": stream, "segment_type": "large" if large else "small",
                "segment_pool_id": tuple(pool), "is_expandable": bool(expandable), "blocks": blocks,
            }


class TorchCuda:
    """torch.cuda."""

    def __init__(self, release):
        self.release = release
        self.asynchronous = "backend:cudaMallocAsync" in os.environ.get(release.variable, "").replace(" ", "")
        self.runtime, self.shim = libraries(release)
        self.count = self.runtime.answer("cudaGetDeviceCount", c_int)
        self.shim.open(self.count)
        self.current = {device: self.default_stream(device) for device in range(self.count)}
        self.capturing, self.busy, self.graph_pools = set(), None, 0
        self.memory = History(self)
        self.figures = (c_int64 * len(KEYS))()

    def init(self):
        """All was done when it was opened."""

    # --- devices ---

    def device_count(self):
        return self.count

    def current_device(self):
        return self.runtime.answer("cudaGetDevice", c_int)

    def set_device(self, device):
        self.runtime.cudaSetDevice(device)

    @contextlib.contextmanager
    def device(self, device):
        before = self.current_device()
        if before != device:
            self.set_device(device)
        try:
            yield
        finally:
            if before != device:
                self.set_device(before)

    def get_device_properties(self, device):
        name, total = self.runtime.properties(device)
        return SimpleNamespace(name=name, total_memory=total, clock_rate=CYCLES_A_SECOND / 1000)

    def mem_get_info(self, device):
        with self.device(device):
            return self.runtime.memory()

    def synchronize(self, device):
        with self.device(device):
            self.runtime.cudaDeviceSynchronize()

    # --- streams ---

    def default_stream(self, device):
        return Stream(self, device, 0)

    def Stream(self, device):  # noqa: N802: PyTorch's name
        with self.device(device):
            return Stream(self, device, self.runtime.answer("cudaStreamCreateWithFlags", c_uint64, NON_BLOCKING))

    @contextlib.contextmanager
    def stream(self, stream):
        with self.device(stream.device):
            before = self.current[stream.device]
            self.make_current(stream)
            try:
                yield
            finally:
                self.make_current(before)

    def make_current(self, stream):
        self.shim.current_stream(stream.device, stream.cuda_stream)
        self.current[stream.device] = stream

    def _sleep(self, cycles):
        device = self.current_device()
        stream = self.current[device].cuda_stream
        if (device, stream) in self.capturing:
            return  # it would become a node of the graph, and nothing that runs
        if self.busy is None:
            self.busy = busy_streams(self.runtime)
        self.busy.keep_busy(device, stream, cycles / CYCLES_A_SECOND)

    # --- the allocator ---

    def get_allocator_backend(self):
        return "cudaMallocAsync" if self.asynchronous else "native"

    def allocated(self, size, device, stream, via):
        address = c_uint64()
        self.shim.alloc(device, stream, via, size, ctypes.byref(address))
        return address.value

    def caching_allocator_alloc(self, size, device, stream):
        return self.allocated(size, device, stream, 0)

    def caching_allocator_delete(self, address):
        self.shim.free(address, 0)

    def memory_stats(self, device):
        self.shim.stats(device, self.figures, len(KEYS), ctypes.byref(c_size_t()))
        return dict(zip(KEYS, self.figures))

    def empty_cache(self):
        self.shim.empty_cache()

    def reset_peak_memory_stats(self, device):
        self.shim.reset_peak(device)

    def reset_accumulated_memory_stats(self, device):
        self.shim.reset_accumulated(device)

    def set_per_process_memory_fraction(self, fraction, device):
        self.shim.set_fraction(device, fraction)

    # --- pools and graphs ---

    def MemPool(self, use_on_oom=False, no_split=False):  # noqa: N802: PyTorch's name
        if self.release.minor < 10:
            raise SystemExit(f"a MemPool of {self.release.version} has no `no_split`; the profiles `pools` and `capture` ask 2.10 and later")
        return MemPool(self, use_on_oom, no_split)

    @contextlib.contextmanager
    def use_mem_pool(self, pool, device):
        # Every stream's requests: there is one thread that asks.
        self.shim.begin_to_pool(device, id_of(pool.id), FILTER(), None)
        try:
            yield
        finally:
            self.shim.end_to_pool(device, id_of(pool.id))
            self.shim.release_pool(device, id_of(pool.id))

    def next_graph_pool(self):
        """The id of a graph's own pool, as CUDAGraph counts them: first 1, and 0 where a MemPool has its number."""
        self.graph_pools += 1
        return self.graph_pools, 0

    def CUDAGraph(self):  # noqa: N802: PyTorch's name
        return CUDAGraph(self)


class Torch:
    uint8 = "uint8"

    def __init__(self, release):
        digits = release.build.partition("+cu")[2]
        self.__version__ = release.version
        self.version = SimpleNamespace(cuda=f"{digits[:-1]}.{digits[-1:]}" if digits else str(release.cuda))
        self.cuda = TorchCuda(release)

    def empty(self, size, dtype, device):
        if dtype != self.uint8:
            raise RuntimeError("tensors are of bytes here")
        device = int(device.removeprefix("cuda:"))
        return Tensor(self.cuda, device, self.cuda.allocated(size, device, self.cuda.current[device].cuda_stream, 1))


def opened(release):
    """`torch`. Its settings are those in the environment now."""
    return Torch(release)
