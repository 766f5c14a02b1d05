"""How blocks of NVIDIA's devices are written and read: by the driver, under the allocator.

Decides the pattern of a block and which parts of a large one are read. Used by worker_device.py.
"""

import ctypes
import mmap
import sys
from ctypes import byref, c_char, c_char_p, c_size_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p

MIB = 1 << 20
# Of a block above this the end and the beginning of each MiB are read.
WHOLE = 256 << 10
SAMPLE = 4096
HOST, DEVICE = 1, 2  # CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_DEVICE
PATTERN = 0x9E3779B1
# Memory of the host that the device copies into, and how many beginnings fit: a buffer made for each copy takes longer than the copy.
ROOM = 512 << 10
ROWS = 64
PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE


class Copy2D(ctypes.Structure):
    """CUDA_MEMCPY2D."""

    _fields_ = [
        ("source_x", c_size_t), ("source_y", c_size_t), ("source_kind", c_uint), ("source_host", c_void_p), ("source", c_uint64),
        ("source_array", c_void_p), ("source_pitch", c_size_t), ("x", c_size_t), ("y", c_size_t), ("kind", c_uint), ("to", c_void_p),
        ("to_device", c_uint64), ("to_array", c_void_p), ("pitch", c_size_t), ("width", c_size_t), ("height", c_size_t),
    ]


class Contents:
    """For a host whose `need` names the streams that are busy."""

    def begin_contents(self, driver):
        driver.cuMemsetD32Async.argtypes = (c_uint64, c_uint32, c_size_t, c_uint64)
        driver.cuMemsetD8Async.argtypes = (c_uint64, c_uint8, c_size_t, c_uint64)
        driver.cuMemcpy2DAsync_v2.argtypes = (c_void_p, c_uint64)
        driver.cuMemcpyDtoHAsync_v2.argtypes = (c_void_p, c_uint64, c_size_t, c_uint64)
        self.room = mmap.mmap(-1, ROOM)
        self.room_at = ctypes.addressof(c_char.from_buffer(self.room))
        self.do("cuMemHostRegister_v2", self.room_at, ROOM, PORTABLE)
        self.differ = ctypes.CDLL(None).memcmp
        self.differ.argtypes = (c_void_p, c_char_p, c_size_t)
        self.tags = {}

    @staticmethod
    def value(block):
        return (block + 1) * PATTERN & 0xFFFFFFFF

    def write(self, device, stream, address, size, block):
        if not size:
            return
        value, handle = self.value(block), self.handle(device, stream)
        self.tags[value] = block
        with self.on(device):
            if size // 4:
                self.do("cuMemsetD32Async", address, value, size // 4, handle)
            if size % 4:
                self.do("cuMemsetD8Async", address + size // 4 * 4, value & 0xFF, size % 4, handle)

    def check(self, device, stream, address, size, block):
        if (device, stream) in self.need:
            return "pending"
        value, pieces = self.value(block), pieces_of(size)
        word, low, stream = value.to_bytes(4, "little"), bytes([value & 0xFF]), self.all_streams[device][stream]
        while pieces:
            copied, used = [], 0
            with self.on(device):
                while pieces and used + pieces[-1][1] * pieces[-1][2] <= ROOM:
                    at, rows, width = pieces.pop()
                    self.copy(stream.cuda_stream, address + at, rows, width, self.room_at + used)
                    copied.append((at, rows * width, width, self.room_at + used))
                    used += rows * width
            stream.synchronize()
            for at, length, width, place in copied:
                due = word * (length // 4) + low * (length % 4)
                if self.differ(place, due, length):
                    return self.described(at, ctypes.string_at(place, length), due, width)
        return "intact"

    def copy(self, handle, source, rows, width, to):
        """The beginnings of so many MiB, or so many bytes."""
        if rows == 1:
            self.do("cuMemcpyDtoHAsync_v2", to, source, width, handle)
            return
        copy = Copy2D(source_kind=DEVICE, source=source, source_pitch=MIB, kind=HOST, to=to, pitch=width, width=width, height=rows)
        self.do("cuMemcpy2DAsync_v2", byref(copy), handle)

    def described(self, start, found, due, width):
        at = next(i for i in range(len(due)) if found[i] != due[i]) // 4 * 4
        word = int.from_bytes(found[at:at + 4], "little")
        known = self.tags.get(word)
        said = f"0x{word:08x}" if known is None else f"the pattern of b{known}"
        return {"changed": {"offset": start + at // width * MIB + at % width, "bytes": len(found[at:at + 4]), "found": said}}


def pieces_of(size):
    """What is read of a block, the last first: all of a small one, of a large one the beginning of each MiB and its end. An offset, how
    many times with a MiB between, and bytes each."""
    if size <= WHOLE:
        return [(0, 1, size)] if size else []
    rows, end = (size - SAMPLE) // MIB + 1, (size - SAMPLE) // 4 * 4
    return [(end, 1, size - end), *((first * MIB, min(ROWS, rows - first), SAMPLE) for first in range(0, rows, ROWS))]


if __name__ == "__main__":
    sys.exit("this is a part of worker.py")
