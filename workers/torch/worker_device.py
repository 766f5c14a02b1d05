"""What a live PyTorch's devices are made to do: streams kept busy and let go, sizes played.

Decides how a stream is kept busy: it waits for a word of the host's memory, or, where the devices are simulated, because they are
told so. A call that waits for a busy stream by itself, as a flush does, is let go by another process after a moment. How blocks are
written and read is worker_contents.py's, how graphs are captured worker_graphs.py's.
"""

import ctypes
import mmap
import os
import signal
import sys
import time
from ctypes import byref, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p

import worker_contents
import worker_graphs

# A call that takes so long waits for a stream that is kept busy.
MOMENT, GLANCE = 0.04, 0.004
PLACES = 1024
# Private pools that a process has at once before it is asked anything (crates/reference/src/private.rs).
POOLS = 24
PORTABLE_MAPPED = 1 | 2  # CU_MEMHOSTREGISTER_PORTABLE, CU_MEMHOSTREGISTER_DEVICEMAP
UNTIL_AT_LEAST = 0  # CU_STREAM_WAIT_VALUE_GEQ
PR_SET_PDEATHSIG = 1

COMMON = (
    "streams", "record_stream", "stream_control", "memory_fraction", "empty_cache", "peak_reset", "accumulated_reset", "counters",
    "summary", "dictionary", "snapshot", "raw_free", "oom_typed", "memory_info", "current_device", "callers", "tensors",
    "private_pools", "graph_capture", "caching_switch", "caching", "keeps_cached", "cuts_any_block", "merges_at_free", "small_pool", "fixed_segments",
    "deferred_free", "policy:pytorch-2.11", "exact_policy", "settings", "stats:allocation", "stats:segment", "stats:active",
    "stats:inactive_split", "stats:allocated_bytes", "stats:reserved_bytes", "stats:active_bytes", "stats:inactive_split_bytes",
    "stats:requested_bytes",
)
# The driver's pools behind `backend:cudaMallocAsync` know neither blocks nor segments.
ASYNC = (
    "streams", "record_stream", "stream_control", "memory_fraction", "empty_cache", "peak_reset", "oom_typed", "memory_info",
    "current_device", "callers", "tensors", "caching", "deferred_free", "settings", "stats:allocated_bytes.current",
    "stats:allocated_bytes.peak", "stats:reserved_bytes.current", "stats:reserved_bytes.peak",
)


class Shared(ctypes.Structure):
    """What the watcher sees. `calls` is odd while a call is under way."""

    _fields_ = [("words", c_uint32 * PLACES), ("wanted", c_uint32 * PLACES), ("calls", c_uint64)]


class Watcher:
    """Another process, forked before CUDA is there, that lets all streams go where a call waits for one of them."""

    def __init__(self):
        self.memory = mmap.mmap(-1, -(-ctypes.sizeof(Shared) // mmap.PAGESIZE) * mmap.PAGESIZE)
        self.shared = Shared.from_buffer(self.memory)
        parent = os.getpid()
        if os.fork() == 0:
            try:
                self.watch(parent)
            finally:
                os._exit(0)

    def watch(self, parent):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.closerange(3, 256)
        shared, seen, since = self.shared, 0, time.monotonic()
        while os.getppid() == parent:
            time.sleep(GLANCE)
            calls, now = shared.calls, time.monotonic()
            if calls != seen or calls % 2 == 0:
                seen, since = calls, now
            elif now - since >= MOMENT:
                shared.words[:] = shared.wanted[:]


class Host(worker_graphs.Graphs):
    """What both kinds of devices have in common."""

    # How often this process was asked for a snapshot.
    snapshots = 0

    def __init__(self, torch, config, limited, streams):
        self.torch, self.cuda, self.limits = torch, torch.cuda, limited
        self.by_settings = "per_process_memory_fraction" in (config or "")
        self.count = self.cuda.device_count()
        self.properties = [self.cuda.get_device_properties(d) for d in range(self.count)]
        self.all_streams = [
            [self.cuda.default_stream(d), *(self.cuda.Stream(device=d) for _ in range(streams - 1))] for d in range(self.count)
        ]
        self.all_handles = [[stream.cuda_stream for stream in streams] for streams in self.all_streams]
        self.native = self.cuda.get_allocator_backend() == "native"
        self.first_fraction = self.cuda.get_per_process_memory_fraction(0) if self.native else 1.0
        self.cuda.set_device(0)

    def name(self, device):
        return self.properties[device].name

    def total(self, device):
        return self.properties[device].total_memory

    def stream(self, device, stream):
        return self.all_streams[self.cuda.current_device() if device is None else device][stream]

    def handle(self, device, stream):
        return self.all_handles[self.cuda.current_device() if device is None else device][stream]

    def on(self, device):
        """Makes a device current, where there are several."""
        return self.cuda.device(device) if self.count > 1 else NOTHING

    def enter_thread(self):
        """A new thread has a context once it has asked the runtime for something; the driver's own calls make none."""
        self.all_streams[0][0].synchronize()

    def handles(self, device):
        """Each stream's handle, and PyTorch's own number for it."""
        return [[stream.cuda_stream, stream.stream_id] for stream in self.all_streams[device]]

    def live(self):
        """Has PyTorch's hash tables come to the room that they keep: whoever predicts their order has to know it."""
        for device in range(self.count):
            with self.cuda.device(device):
                block = self.torch.empty(1, dtype=self.torch.uint8, device="cuda")
                for stream in self.all_streams[device][1:]:
                    self.keep_busy(device, stream)
                    block.record_stream(stream)
                del block
                self.let_all_go(device)
                blocks, pools = [], [self.cuda.MemPool(use_on_oom=True) for _ in range(POOLS)]
                for pool in pools:
                    with self.cuda.use_mem_pool(pool):
                        blocks.append(self.torch.empty(1, dtype=self.torch.uint8, device="cuda"))
                del pool, pools
                del blocks
                self.cuda.synchronize()
                self.cuda.empty_cache()
                self.cuda.empty_cache()
                self.cuda.memory.reset_accumulated_memory_stats()
                self.cuda.memory.reset_peak_memory_stats()
        self.cuda.set_device(0)

    def limited(self, count, wanted):
        """Has each device play the size that is wanted, by a memory fraction; answers what may be reserved, or none."""
        limits, self.fractions = [], [1.0] * self.count
        for device in range(count):
            total, fraction = self.total(device), self.first_fraction
            if self.limits and not self.by_settings and wanted[device] < total:
                fraction = wanted[device] / total
            self.cuda.set_per_process_memory_fraction(fraction, device)
            self.fractions[device] = fraction
            limits.append(int(fraction * total) if fraction < 1 else None)
        return limits

    def begin(self, count, streams):
        self.used, self.used_streams = count, streams


class Nothing:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


NOTHING = Nothing()


class Busy:
    """A call of PyTorch's under way, for the watcher."""

    def __init__(self, host):
        self.host, self.shared = host, host.watcher.shared

    def __enter__(self):
        self.shared.calls += 1

    def __exit__(self, *_):
        self.shared.calls += 1
        if self.host.need:
            self.host.refresh()


class Real(worker_contents.Contents, Host):
    """NVIDIA's devices."""

    def __init__(self, torch, watcher, config, limited, streams):
        super().__init__(torch, config, limited, streams)
        self.watcher, self.words, self.wanted = watcher, watcher.shared.words, watcher.shared.wanted
        self.driver_library, self.calls = ctypes.CDLL("libcuda.so.1"), {}
        driver = self.driver_library
        self.wait = getattr(driver, "cuStreamWaitValue32_v2", None) or driver.cuStreamWaitValue32
        self.wait.argtypes = (c_uint64, c_uint64, c_uint32, c_uint)
        driver.cuMemHostRegister_v2.argtypes = (c_void_p, c_size_t, c_uint)
        driver.cuMemHostGetDevicePointer_v2.argtypes = (c_void_p, c_void_p, c_uint)
        at, size = ctypes.addressof(watcher.shared), len(watcher.memory)
        torch.empty(1, device="cuda")  # makes the context
        self.do("cuMemHostRegister_v2", at, size, PORTABLE_MAPPED)
        seen_at = c_uint64()
        self.do("cuMemHostGetDevicePointer_v2", byref(seen_at), at, 0)
        self.seen_at = seen_at.value
        # By device and stream: the words that it waits for, with their values.
        self.need = {}
        self.busy = Busy(self)
        self.begin_contents(driver)

    def do(self, name, *arguments):
        call = self.calls.get(name)
        if call is None:
            call = self.calls[name] = getattr(self.driver_library, name)
        code = call(*arguments)
        if code != 0:
            raise RuntimeError(f"CUDA driver error: {code} ({name}, asked by the harness)")

    def driver(self):
        version = c_int()
        self.do("cuDriverGetVersion", byref(version))
        return f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"

    def capabilities(self):
        # What a driver keeps of small requests that go past the cache shows in its free memory, which nothing here can tell apart.
        native = [capability for capability in COMMON if capability != "caching_switch"]
        return [*(native if self.native else ASYNC), "contents"]

    def watched(self):
        return self.busy

    def begin(self, count, streams):
        super().begin(count, streams)
        self.tags.clear()

    # --- streams ---

    def occupy(self, device, stream):
        place = device * 64 + stream
        value = self.wanted[place] = self.wanted[place] + 1
        with self.on(device):
            code = self.wait(self.handle(device, stream), self.seen_at + 4 * place, value, UNTIL_AT_LEAST)
        if code != 0:
            self.words[place] = value
            raise RuntimeError(f"CUDA driver error: {code} (cuStreamWaitValue32, asked by the harness)")
        self.need.setdefault((device, stream), {})[place] = value

    def keep_busy(self, device, stream):
        self.occupy(device, self.all_streams[device].index(stream))

    def let_all_go(self, _device):
        self.end_all()

    def live(self):
        self.keep_generators()
        super().live()

    def finish(self, device, stream):
        place = device * 64 + stream
        if self.words[place] < self.wanted[place]:
            self.words[place] += 1  # what was put on the stream later still holds it
        self.refresh()

    def release(self, device):
        for stream in range(self.used_streams):
            place = device * 64 + stream
            self.words[place] = self.wanted[place]
        self.refresh()

    def wait_stream(self, device, stream, on):
        self.stream(device, stream).wait_stream(self.stream(device, on))
        if waited := self.need.get((device, on)):
            need = self.need.setdefault((device, stream), {})
            for place, value in waited.items():
                need[place] = max(value, need.get(place, 0))
        elif (device, stream) not in self.need:
            self.stream(device, stream).synchronize()

    def refresh(self):
        """Waits for the streams that have nothing left to wait for."""
        for (device, stream), need in list(self.need.items()):
            if all(self.words[place] >= value for place, value in need.items()):
                self.work(device, stream).synchronize()
                del self.need[device, stream]

    def settle(self, device):
        """Events that were recorded on idle streams pass at once."""
        for stream in range(self.used_streams):
            if (device, stream) not in self.need:
                self.work(device, stream).synchronize()

    def idle(self, device):
        mask = (1 << self.used_streams) - 1
        for busy, stream in self.need:
            if busy == device:
                mask &= ~(1 << stream)
        return mask

    def let_words_go(self):
        self.words[:] = self.wanted[:]

    def end_all(self):
        self.let_words_go()
        self.refresh()


class Simulated(Host):
    """poolproof's devices (docs/simcuda.md): they run no kernels, and a stream is busy until somebody waits for it."""

    def __init__(self, torch, config, limited, streams):
        super().__init__(torch, config, limited, streams)
        library = ctypes.CDLL(next(p for p in os.environ["LD_PRELOAD"].replace(" ", ":").split(":") if "simcuda" in p))
        self.keep, self.let_go = library.poolproof_sim_occupy, library.poolproof_sim_finish
        self.keep.argtypes = self.let_go.argtypes = (c_uint64,)

    def driver(self):
        return "simulated"

    def capabilities(self):
        # PyTorch begins a capture with a kernel, and nothing here runs one.
        return [capability for capability in COMMON if capability != "graph_capture"]

    def watched(self):
        return NOTHING

    def occupy(self, device, stream):
        with self.on(device):  # default streams have one handle on all devices
            self.told(self.keep(self.handle(device, stream)), "occupy")

    def finish(self, device, stream):
        with self.on(device):
            self.told(self.let_go(self.handle(device, stream)), "finish")

    def keep_busy(self, _device, stream):
        self.told(self.keep(stream.cuda_stream), "occupy")

    def let_all_go(self, device):
        self.cuda.synchronize(device)

    @staticmethod
    def told(code, name):
        if code != 0:
            raise RuntimeError(f"CUDA error: {code} (poolproof_sim_{name})")

    def release(self, device):
        pass

    def wait_stream(self, device, stream, on):
        self.stream(device, stream).wait_stream(self.stream(device, on))

    def settle(self, _device):
        pass

    def idle(self, device):
        return sum(1 << i for i in range(self.used_streams) if self.work(device, i).query())

    def end_all(self):
        for device in range(self.used):
            self.cuda.synchronize(device)


def host(torch, watcher, config, limited, streams):
    if watcher is None:
        return Simulated(torch, config, limited, streams)
    return Real(torch, watcher, config, limited, streams)


if __name__ == "__main__":
    sys.exit("this is a part of worker.py")
