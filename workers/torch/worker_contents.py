"""How blocks of NVIDIA's devices are written and read: by the driver, under the allocator.

Decides the pattern of a block and which parts of a large one are read. Used by worker_device.py.
"""

import ctypes
import sys
from ctypes import byref, c_size_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p

MIB = 1 << 20
# Of a block above this the end and the beginning of each MiB are read.
WHOLE = 256 << 10
SAMPLE = 4096
HOST, DEVICE = 1, 2  # CU_MEMORYTYPE_HOST, CU_MEMORYTYPE_DEVICE
PATTERN = 0x9E3779B1


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
        self.aside = [self.cuda.Stream(device=d) for d in range(self.count)]
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
        if not size:
            return "intact"
        value = self.value(block)
        self.all_streams[device][stream].synchronize()
        for start, found in self.read(device, address, size):
            words, tail = len(found) // 4, len(found) % 4
            due = value.to_bytes(4, "little") * words + bytes([value & 0xFF]) * tail
            if found != due:
                return self.described(start, found, due, size)
        return "intact"

    def read(self, device, address, size):
        """All of a small block, of a large one its end and the beginning of each MiB, as offsets and bytes."""
        aside = self.aside[device]
        with self.on(device):
            if size <= WHOLE:
                return [(0, self.copied(aside, address, size))]
            end = (size - SAMPLE) // 4 * 4
            rows = (size - SAMPLE) // MIB + 1
            found = ctypes.create_string_buffer(rows * SAMPLE)
            copy = Copy2D(source_kind=DEVICE, source=address, source_pitch=MIB, kind=HOST, to=ctypes.addressof(found),
                          pitch=SAMPLE, width=SAMPLE, height=rows)
            self.do("cuMemcpy2DAsync_v2", byref(copy), aside.cuda_stream)
            last = self.copied(aside, address + end, size - end)
            copied = found.raw
            parts = [(at * MIB, copied[at * SAMPLE:(at + 1) * SAMPLE]) for at in range(rows)]
            return [*parts, (end, last)]

    def copied(self, aside, address, size):
        found = ctypes.create_string_buffer(size)
        self.do("cuMemcpyDtoHAsync_v2", found, address, size, aside.cuda_stream)
        aside.synchronize()
        return found.raw

    def described(self, start, found, due, size):
        at = next(i for i in range(len(due)) if found[i] != due[i]) // 4 * 4
        word = int.from_bytes(found[at:at + 4], "little")
        known = self.tags.get(word)
        said = f"0x{word:08x}" if known is None else f"the pattern of b{known}"
        return {"changed": {"offset": start + at, "bytes": min(4, size - start - at), "found": said}}


if __name__ == "__main__":
    sys.exit("this is a part of worker.py")
