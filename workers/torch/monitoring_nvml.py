"""NVML through ctypes: the second opinion on memory and processes, with the standard library alone.

Decides how its answers are read, and which of a function's versions is taken: the newest that the library has. Every call that
fails raises `NVMLError` with NVML's own words; what there is no library or function for has a class of its own, under the name
that pynvml gives it, so that a stand-in for pynvml can be made of this file.
"""

import ctypes
import os

LIBRARY = "libnvidia-ml.so.1"
NOT_AVAILABLE = 0xFFFFFFFFFFFFFFFF  # The bytes of a process that NVML cannot tell.
INSUFFICIENT_SIZE = 7


class NVMLError(Exception):
    """What NVML answered, in its words."""

    def __init__(self, value, text):
        super().__init__(text)
        self.value = value


class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818
    pass


class NVMLError_FunctionNotFound(NVMLError):  # noqa: N801, N818
    pass


CLASSES = {9: NVMLError_DriverNotLoaded, 12: NVMLError_LibraryNotFound, 13: NVMLError_FunctionNotFound}


class Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong),
                ("gpu_instance", ctypes.c_uint), ("compute_instance", ctypes.c_uint)]


class OldProcess(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong)]


# A library may export a version that only says that it does nothing, so that each is tried.
LISTS = [("nvmlDeviceGetComputeRunningProcesses_v3", Process), ("nvmlDeviceGetComputeRunningProcesses_v2", Process),
         ("nvmlDeviceGetComputeRunningProcesses", OldProcess)]


class Nvml:
    """The library, opened and initialised."""

    def __init__(self):
        try:
            self.library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise NVMLError_LibraryNotFound(12, f"NVML Shared Library Not Found: {error}") from None
        self.call("nvmlInit_v2")
        self.list = None

    def call(self, name, *arguments):
        code = self.code(name, *arguments)
        if code:
            raise CLASSES.get(code, NVMLError)(code, f"{self.words(code)} ({name})")

    def code(self, name, *arguments):
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise NVMLError_FunctionNotFound(13, f"Function Not Found: {name}") from None
        return function(*arguments)

    def words(self, code):
        try:
            function = self.library.nvmlErrorString
        except AttributeError:
            return "NVML error"
        function.restype = ctypes.c_char_p
        text = function(code)
        return text.decode(errors="replace") if text else "NVML error"

    def count(self):
        number = ctypes.c_uint()
        self.call("nvmlDeviceGetCount_v2", ctypes.byref(number))
        return number.value

    def handle(self, index):
        handle = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        return handle

    def text(self, name, *before):
        room = ctypes.create_string_buffer(96)
        self.call(name, *before, room, ctypes.c_uint(96))
        return room.value.decode(errors="replace")

    def uuid(self, handle):
        return self.text("nvmlDeviceGetUUID", handle)

    def driver(self):
        return self.text("nvmlSystemGetDriverVersion")

    def used(self, handle):
        memory = Memory()
        self.call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        return memory.used

    def processes(self, handle):
        """(pid, bytes or None) of each process that computes on the device, in the order of pids."""
        if self.list is None:
            self.list = self.newest(handle)
        room = 8
        while True:
            number, list_of = ctypes.c_uint(room), (self.list[1] * room)()
            code = self.code(self.list[0], handle, ctypes.byref(number), list_of)
            if code == INSUFFICIENT_SIZE and room < 1 << 16:
                room = max(room * 2, number.value + 8)
                continue
            if code:
                raise CLASSES.get(code, NVMLError)(code, f"{self.words(code)} ({self.list[0]})")
            return sorted((p.pid, None if p.used == NOT_AVAILABLE else p.used) for p in list_of[:number.value])

    def newest(self, handle):
        trouble = None
        for name, kind in LISTS:
            number = ctypes.c_uint(0)
            try:
                code = self.code(name, handle, ctypes.byref(number), None)
            except NVMLError_FunctionNotFound as error:
                trouble = trouble or error
                continue
            if code in (0, INSUFFICIENT_SIZE):
                return name, kind
            trouble = CLASSES.get(code, NVMLError)(code, f"{self.words(code)} ({name})")
        raise trouble

    def index_of(self, torch, device):
        """NVML's index of a device of CUDA's, by UUID; where none is alike, the one of the same number, if all are visible."""
        wanted = str(getattr(torch.cuda.get_device_properties(device), "uuid", "")).removeprefix("GPU-").lower()
        for index in range(self.count()):
            if wanted and self.uuid(self.handle(index)).removeprefix("GPU-").lower() == wanted:
                return index
        if os.environ.get("CUDA_VISIBLE_DEVICES") is None and device < self.count():
            return device
        raise NVMLError(6, f"Not Found: no device of NVML's has the UUID {wanted}")
