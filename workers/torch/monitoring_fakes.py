"""Stand-ins for `pynvml` and for NVML's library: sound ones, old ones, failing ones.

Decides what each says. None asks for a compiler: a stand-in for pynvml is a file of Python, one for the library an ELF file of a
few functions that answer a number, made here byte by byte.
"""

import os
import platform
import struct

# pynvml by ctypes, as far as PyTorch uses it; for machines where pynvml is not installed.
SOUND = '''
import types
from monitoring_nvml import *
from monitoring_nvml import NVMLError_DriverNotLoaded, NVMLError_FunctionNotFound, NVMLError_LibraryNotFound
opened = None
def nvmlInit():
    global opened
    opened = opened or Nvml()
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return opened.count()
def nvmlDeviceGetHandleByIndex(index): return opened.handle(index)
def nvmlDeviceGetComputeRunningProcesses(handle):
    return [types.SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in opened.processes(handle)]
'''

MADE_UP = '''
import types
class NVMLError(Exception): pass
class NVMLError_DriverNotLoaded(NVMLError): pass
class NVMLError_LibraryNotFound(NVMLError): pass
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 16
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetComputeRunningProcesses(handle): return processes()
def processes(): return [process(*one) for one in LIST]
def process(pid, used): return types.SimpleNamespace(pid=pid, usedGpuMemory=used)
def failing(error):
    def fails(*_): raise error
    return fails
LIST = []
'''

# name -> (what is appended to MADE_UP, the list that it gives or None, words that an error or text has to have)
MODULES = {
    "module-missing": ('raise ModuleNotFoundError("No module named \'pynvml\'", name="pynvml")', None, ["pynvml"]),
    "module-broken": ('raise ImportError("pynvml cannot be loaded: made so for a test")', None, ["pynvml"]),
    "module-old": ("del NVMLError_DriverNotLoaded", None, ["NVMLError_DriverNotLoaded", "pynvml"]),
    "driver-not-loaded": ('nvmlInit = failing(NVMLError_DriverNotLoaded("Driver Not Loaded"))', None, ["driver"]),
    "library-not-found": ('nvmlInit = failing(NVMLError_LibraryNotFound("NVML Shared Library Not Found"))', None,
                          ["NVML"]),
    "device-lost": ('nvmlDeviceGetHandleByIndex = failing(NVMLError("GPU is lost"))', None, ["lost"]),
    "not-permitted": ('nvmlDeviceGetComputeRunningProcesses = failing(NVMLError("Insufficient Permissions"))', None,
                      ["ermission"]),
    "nobody": ("LIST = []", [], []),
    "others": ("LIST = [(4242, 3 << 20), (4194303, 5 << 30)]", [(4242, 3 << 20), (4194303, 5 << 30)], []),
    "many": ("LIST = [(1000 + n, (n + 1) << 20) for n in range(300)]", [(1000 + n, (n + 1) << 20) for n in range(300)], []),
    "bytes-not-told": ("LIST = [(4242, None), (4243, 2 << 20)]", [(4242, None), (4243, 2 << 20)], []),
}


def module(folder, text):
    """A folder that has this text as the module pynvml."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "pynvml.py"), "w", encoding="utf-8") as file:
        file.write(text)
    return folder


# ---- NVML's library ---------------------------------------------------------------------------------

WHOLE = ["nvmlInit", "nvmlInit_v2", "nvmlInitWithFlags", "nvmlShutdown", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2",
         "nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUUID", "nvmlDeviceGetName",
         "nvmlDeviceGetNvLinkRemoteDeviceType", "nvmlDeviceGetNvLinkRemotePciInfo_v2", "nvmlSystemGetCudaDriverVersion_v2",
         "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetComputeRunningProcesses_v2",
         "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGpuFabricInfoV"]
LISTING = {name: 3 for name in WHOLE if "ComputeRunningProcesses" in name}  # Not Supported.

# name -> (functions with what they answer, or None for a file that is no library; what has to be named)
LIBRARIES = {
    "library-unreadable": (None, ["NVML", "nvidia-ml"]),
    "library-without-functions": ({"nvmlOfNoUse": 0}, ["nvmlInit", "Function Not Found"]),
    "library-too-old": ({name: 0 for name in WHOLE if name not in LISTING and "Fabric" not in name},
                        ["ComputeRunningProcesses", "Function Not Found"]),
    "library-refuses": ({**{name: 0 for name in WHOLE}, **LISTING}, ["Not Supported", "NVML", "ComputeRunningProcesses"]),
    "library-driver-gone": ({name: 9 for name in WHOLE}, ["driver", "Driver"]),
}


def library(folder, functions):
    """A folder that has such a library under NVML's name."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "libnvidia-ml.so.1")
    if os.path.lexists(path):
        os.remove(path)
    with open(path, "wb") as file:
        file.write(b"no library\n" * 99 if functions is None else elf(functions))
    return folder


def code_of(machine, answer):
    """`return answer;`"""
    if machine == "x86_64":
        return b"\xb8" + struct.pack("<I", answer) + b"\xc3"  # mov eax, answer; ret
    return struct.pack("<II", 0x52800000 | answer << 5, 0xD65F03C0)  # mov w0, #answer; ret


def elf(functions):
    """A shared library with these functions: code and tables in one segment, what the loader writes to in another."""
    machine = platform.machine()
    number = {"x86_64": 62, "aarch64": 183}[machine]
    names, offsets = b"\0libnvidia-ml.so.1\0", []
    for name in functions:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    start, code, symbols = 0x200, b"", [struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)]
    for offset, answer in zip(offsets, functions.values()):
        symbols.append(struct.pack("<IBBHQQ", offset, 0x12, 0, 1, start + len(code), 16))  # global function
        code += code_of(machine, answer).ljust(16, b"\0")
    symbols_at = start + len(code)
    table = b"".join(symbols)
    # One bucket: every name is in its chain, 1 -> 2 -> ... -> 0.
    chain = [0] + [n + 1 for n in range(1, len(functions))] + [0]
    hashes = struct.pack(f"<{4 + len(functions)}I", 1, len(functions) + 1, 1, *chain)
    hashes_at = symbols_at + len(table)
    names_at = hashes_at + len(hashes)
    body_end = names_at + len(names)
    dynamic_at = (body_end + 0xFFFF) & ~0xFFFF  # Pages may have 64 KiB.
    tags = [(14, 1), (4, hashes_at), (5, names_at), (6, symbols_at), (10, len(names)), (11, 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, number, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0)

    def segment(kind, flags, at, size, align):
        return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, align)

    header += segment(1, 5, 0, body_end, 0x10000) + segment(1, 6, dynamic_at, len(dynamic), 0x10000)
    header += segment(2, 6, dynamic_at, len(dynamic), 8) + struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    body = header.ljust(start, b"\0") + code + table + hashes + names
    return body.ljust(dynamic_at, b"\0") + dynamic
