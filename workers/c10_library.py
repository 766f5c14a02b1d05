"""A released PyTorch allocator and the CUDA under it, by ctypes: what `c10_as_torch.py` stands on.

Decides which libraries are opened and in which order, how failures become exceptions, and what keeps a stream busy. The
functions of the shim (`pp_...`) are described in c10/shim.cpp; those of CUDA are NVIDIA's own.
"""

import atexit
import ctypes
import heapq
import json
import os
import threading
import time
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p

FILTER = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64)
WORDS = POINTER(POINTER(c_int64))
POOL = c_uint64 * 2
SHIM = {
    "open": (c_int,),
    "alloc": (c_int, c_uint64, c_int, c_uint64, POINTER(c_uint64)),
    "free": (c_uint64, c_int),
    "record_stream": (c_uint64, c_int, c_uint64),
    "current_stream": (c_int, c_uint64),
    "empty_cache": (),
    "set_fraction": (c_int, c_double),
    "reset_peak": (c_int,),
    "reset_accumulated": (c_int,),
    "stats": (c_int, POINTER(c_int64), c_size_t, POINTER(c_size_t)),
    "snapshot": (WORDS, POINTER(c_size_t)),
    "history": (c_int,),
    "take_events": (WORDS, POINTER(c_size_t)),
    "pool_create": (c_int, POOL),
    "pool_destroy": (POOL,),
    "use_on_oom": (c_int, POOL, c_int),
    "no_split": (c_int, POOL),
    "begin_to_pool": (c_int, POOL, FILTER, c_void_p),
    "end_to_pool": (c_int, POOL),
    "release_pool": (c_int, POOL),
    "capture_begin": (c_int, POOL),
    "capture_end": (c_int, POOL),
}
RUNTIME = {
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaGetDevice": (POINTER(c_int),),
    "cudaSetDevice": (c_int,),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaDeviceSynchronize": (),
    "cudaStreamCreateWithFlags": (POINTER(c_uint64), c_uint),
    "cudaStreamQuery": (c_uint64,),
    "cudaStreamSynchronize": (c_uint64,),
    "cudaStreamWaitEvent": (c_uint64, c_uint64, c_uint),
    "cudaStreamBeginCapture": (c_uint64, c_int),
    "cudaStreamEndCapture": (c_uint64, POINTER(c_void_p)),
    "cudaGraphDestroy": (c_void_p,),
    "cudaEventCreateWithFlags": (POINTER(c_uint64), c_uint),
    "cudaEventRecord": (c_uint64, c_uint64),
    "cudaEventDestroy": (c_uint64,),
    "cudaHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cudaHostGetDevicePointer": (POINTER(c_void_p), c_void_p, c_uint),
    "cudaGetLastError": (),
}
NON_BLOCKING = 1  # cudaStreamNonBlocking, as PyTorch's own streams
WITHOUT_TIMING = 2  # cudaEventDisableTiming
MAPPED = 1 | 2  # cudaHostAllocPortable, cudaHostAllocMapped
UNTIL_AT_LEAST = 0  # CU_STREAM_WAIT_VALUE_GEQ
NOT_READY = 600
PROPERTIES_BYTES, NAME_BYTES, TOTAL_AT = 8192, 256, 288  # of cudaDeviceProp, in every CUDA since 12.0


class OutOfMemoryError(RuntimeError):
    """What PyTorch raises as torch.OutOfMemoryError."""


class Release:
    """A release as `poolproof setup torch` puts it: a folder, and what its release.json says."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        try:
            with open(os.path.join(self.folder, "release.json"), encoding="utf-8") as file:
                said = json.load(file)
            self.version, self.build, self.cuda = said["version"], said["build"], said["cuda"]
            self.minor = int(self.version.split(".")[1])
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise SystemExit(f"{folder}: no release of PyTorch's allocator ({error}); `poolproof setup torch` makes one") from error

    @property
    def variable(self):
        """The environment variable that this release reads its settings from."""
        return "PYTORCH_ALLOC_CONF" if self.minor >= 10 else "PYTORCH_CUDA_ALLOC_CONF"

    def runtime(self):
        """CUDA's runtime: the one that this process has already, or else NVIDIA's beside the release."""
        name = f"libcudart.so.{self.cuda}"
        try:
            return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL | os.RTLD_NOLOAD)
        except OSError:
            return self.opened(os.path.join("real", name))

    def opened(self, name):
        try:
            return ctypes.CDLL(os.path.join(self.folder, name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise SystemExit(f"{self.folder}: {error}") from error


class Cuda:
    """CUDA's runtime. A call that fails raises what the runtime says."""

    def __init__(self, library):
        self.library = library
        library.cudaGetErrorString.restype = c_char_p
        for name, arguments in RUNTIME.items():
            function = getattr(library, name, None)
            if function is not None:
                function.argtypes = arguments

    def __getattr__(self, name):
        function = getattr(self.library, name)

        def checked(*arguments):
            code = function(*arguments)
            if code != 0:
                self.library.cudaGetLastError()
                raise RuntimeError(f"CUDA error: {self.library.cudaGetErrorString(code).decode()} ({name})")

        setattr(self, name, checked)
        return checked

    def answer(self, name, kind, *arguments):
        """What a function writes through its first argument."""
        value = kind()
        getattr(self, name)(ctypes.byref(value), *arguments)
        return value.value

    def is_idle(self, stream):
        code = self.library.cudaStreamQuery(stream)
        if code not in (0, NOT_READY):
            self.cudaStreamQuery(stream)
        self.library.cudaGetLastError()
        return code == 0

    def memory(self):
        """Free and total bytes of the current device."""
        free, total = c_size_t(), c_size_t()
        self.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def properties(self, device):
        """Name and total bytes."""
        name = "cudaGetDeviceProperties_v2" if hasattr(self.library, "cudaGetDeviceProperties_v2") else "cudaGetDeviceProperties"
        found = ctypes.create_string_buffer(PROPERTIES_BYTES)
        getattr(self, name)(found, c_int(device))
        return found.raw[:NAME_BYTES].split(b"\0")[0].decode(), c_uint64.from_buffer(found, TOTAL_AT).value


class Shim:
    """The shim's functions, without `pp_`. What c10 throws is raised as PyTorch's Python raises it."""

    def __init__(self, library):
        self.library = library
        library.pp_message.restype = c_char_p
        for name, arguments in SHIM.items():
            getattr(library, f"pp_{name}").argtypes = arguments

    def __getattr__(self, name):
        function = getattr(self.library, f"pp_{name}")

        def guarded(*arguments):
            status = function(*arguments)
            if status != 0:
                text = self.library.pp_message().decode(errors="replace")
                raise (OutOfMemoryError if status == 1 else RuntimeError)(text)

        setattr(self, name, guarded)
        return guarded

    def words(self, name):
        """What a function hands out a list of."""
        data, count = POINTER(c_int64)(), c_size_t()
        getattr(self, name)(ctypes.byref(data), ctypes.byref(count))
        return data[: count.value]


class Waits:
    """Keeps streams busy: each waits until a word in the host's memory has a value, which a thread writes when it is time.

    The thread asks CUDA nothing, so that it goes on while another one waits in CUDA for the stream.
    """

    ROOM = 1024

    def __init__(self, cuda):
        driver = ctypes.CDLL("libcuda.so.1")
        self.wait = getattr(driver, "cuStreamWaitValue32_v2", None) or driver.cuStreamWaitValue32
        self.wait.argtypes = (c_uint64, c_uint64, c_uint32, c_uint)
        host = cuda.answer("cudaHostAlloc", c_void_p, 4 * self.ROOM, MAPPED)
        self.seen_at = cuda.answer("cudaHostGetDevicePointer", c_void_p, host, 0)
        self.words = (c_uint32 * self.ROOM).from_address(host)
        ctypes.memset(host, 0, 4 * self.ROOM)
        self.places = {}  # by device and stream: its word, the newest value waited for, when that is written
        self.due, self.changed = [], threading.Condition()
        atexit.register(self.end)
        threading.Thread(target=self.write, daemon=True).start()

    def keep_busy(self, device, stream, seconds):
        """The device must be current. What comes second on a stream runs after the first."""
        place, value, until = self.places.get((device, stream), (len(self.places), 0, 0.0))
        if place >= self.ROOM:
            raise RuntimeError(f"more than {self.ROOM} streams were kept busy")
        value, until = value + 1, max(until, time.monotonic()) + seconds
        with self.changed:
            self.places[device, stream] = place, value, until
            heapq.heappush(self.due, (until, place, value))
            self.changed.notify()
        # Without the lock: where the driver has no room for more work, it waits for what the thread ends.
        code = self.wait(stream, self.seen_at + 4 * place, value, UNTIL_AT_LEAST)
        if code != 0:
            raise RuntimeError(f"the driver cannot keep a stream busy: cuStreamWaitValue32 answered {code}")

    def write(self):
        while True:
            with self.changed:
                while self.due and self.due[0][0] <= time.monotonic():
                    _, place, value = heapq.heappop(self.due)
                    self.words[place] = value
                self.changed.wait(max(0.0, self.due[0][0] - time.monotonic()) if self.due else None)

    def end(self):
        """Lets every stream go on: CUDA waits for them when the process ends."""
        for place, value, _ in self.places.values():
            self.words[place] = value


class Simulated:
    """The same on poolproof's simulated devices, which have no clock: a stream stays busy until it is waited for."""

    def __init__(self, library):
        self.library = library
        library.poolproof_sim_occupy.argtypes = (c_uint64,)

    def keep_busy(self, _device, stream, _seconds):
        code = self.library.poolproof_sim_occupy(stream)
        if code != 0:
            raise RuntimeError(f"poolproof_sim_occupy answered {code}")


def busy_streams(cuda):
    process = ctypes.CDLL(None)
    return Simulated(process) if hasattr(process, "poolproof_sim_occupy") else Waits(cuda)


def opened(release):
    """CUDA and the allocator, in the order in which each finds what it needs; settings are read meanwhile, once a process."""
    cuda = Cuda(release.runtime())
    release.opened("libc10.so")
    release.opened("libc10_cuda.so")
    return cuda, Shim(release.opened("libpoolproof_c10.so"))


def hold(release, leave, device, granule):
    """Takes all of a device's memory but `leave` bytes, for as long as the process lives; answers how much."""
    cuda = Cuda(release.runtime())
    cuda.cudaSetDevice(device)
    cuda.cudaDeviceSynchronize()
    take = max(0, (cuda.memory()[0] - leave) // granule * granule)
    if take:
        cuda.answer("cudaMalloc", c_void_p, take)
    return take
