#!/usr/bin/env python3
"""Times PyTorch's caching allocator over allocation traces.

A trace is little-endian records of `u32 slot, u64 bytes`, gzipped or not: bytes other than 0 allocate into the slot, bytes 0
free it. Prints one line of JSON a file. The loop is C++ (`raw_alloc` / `raw_delete`, nothing of Python inside) where an
extension can be built or is given; else a Python loop whose figure says that it includes Python's own time.
"""

import argparse
import glob
import gzip
import importlib.util
import json
import os
import shutil
import struct
import sys
import sysconfig
import time

RECORD = struct.Struct("<IQ")

SOURCE = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace {
struct Operation {
  uint32_t slot;
  uint64_t bytes;
};

std::vector<Operation> parse(const std::string& trace, uint32_t& slots) {
  constexpr size_t kRecord = 12;
  if (trace.size() % kRecord != 0) {
    throw std::runtime_error("a trace is a whole number of records of 12 bytes");
  }
  std::vector<Operation> operations(trace.size() / kRecord);
  slots = 0;
  for (size_t i = 0; i < operations.size(); ++i) {
    std::memcpy(&operations[i].slot, trace.data() + i * kRecord, 4);
    std::memcpy(&operations[i].bytes, trace.data() + i * kRecord + 4, 8);
    if (operations[i].slot >= (1u << 24)) {
      throw std::runtime_error("a slot number is beyond 16 million");
    }
    slots = std::max(slots, operations[i].slot + 1);
  }
  return operations;
}
}  // namespace

// The times of every pass over the whole trace, in nanoseconds.
std::vector<double> run(const py::bytes& bytes, int repeats) {
  uint32_t slots = 0;
  const auto operations = parse(bytes, slots);
  std::vector<void*> held(slots, nullptr);
  std::vector<double> times;
  for (int pass = 0; pass < repeats; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    for (const auto& operation : operations) {
      void*& block = held[operation.slot];
      if (operation.bytes != 0) {
        block = c10::cuda::CUDACachingAllocator::raw_alloc(operation.bytes);
      } else {
        c10::cuda::CUDACachingAllocator::raw_delete(block);
        block = nullptr;
      }
    }
    const auto end = std::chrono::steady_clock::now();
    times.push_back(std::chrono::duration<double, std::nano>(end - start).count());
    for (void*& block : held) {  // what a trace without final frees leaves
      if (block != nullptr) {
        c10::cuda::CUDACachingAllocator::raw_delete(block);
        block = nullptr;
      }
    }
  }
  return times;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("run", &run, "times passes over a trace, in nanoseconds");
}
"""


def read_trace(path):
    with open(path, "rb") as raw:
        data = raw.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) % RECORD.size:
        raise ValueError(f"{path}: {len(data)} bytes are no whole number of records of {RECORD.size}")
    return data


def include_dirs(say):
    """Folders where CUDA's headers may be: an installed toolkit, or the packages that came with torch."""
    places = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda", *sorted(glob.glob("/usr/local/cuda-*"))]
    compiler = shutil.which("nvcc")
    if compiler:
        places.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(compiler))))
    found = [os.path.join(place, *rest) for place in places if place for rest in (("include",), ("targets", "x86_64-linux", "include"))]
    roots = {sysconfig.get_paths()[kind] for kind in ("purelib", "platlib")} | {p for p in sys.path if p.endswith("-packages")}
    for root in sorted(roots):
        found += sorted(glob.glob(os.path.join(root, "nvidia", "*", "include")))
    tried = list(dict.fromkeys(found))
    usable = [place for place in tried if os.path.exists(os.path.join(place, "cuda_runtime_api.h"))]
    if not usable:
        say("no cuda_runtime_api.h in any of: " + ", ".join(tried))
        return []
    first = usable[0]
    # The packages may be split, one folder a library: the others complete the first.
    return [first, *[place for place in tried if place != first and "/nvidia/" in place and "/nvidia/" in first]]


def build(build_directory, say):
    """The extension, compiled as plain C++: no nvcc, no CUDA toolkit, only headers. None if it cannot be."""
    try:
        import torch
        from torch.utils import cpp_extension

        includes = include_dirs(say)
        library = os.path.join(os.path.dirname(torch.__file__), "lib")
        options = {} if build_directory is None else {"build_directory": build_directory}
        if build_directory is not None:
            os.makedirs(build_directory, exist_ok=True)
        return cpp_extension.load_inline(
            name="poolproof_bench",
            cpp_sources=[SOURCE],
            extra_cflags=["-O3", "-DNDEBUG"],
            extra_include_paths=includes,
            extra_ldflags=[f"-L{library}", "-lc10_cuda", f"-Wl,-rpath,{library}"],
            with_cuda=False,
            **options,
        )
    except Exception as error:  # noqa: BLE001: any failure to build is answered by the slower loop
        say(f"no extension: {type(error).__name__}: {str(error).strip()[-1500:]}")
        return None


def load(path):
    """An extension built before, here or elsewhere, by this file's --build-directory."""
    import torch  # noqa: F401: its libraries must be there first

    name = os.path.basename(path).split(".")[0]
    found = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def python_loop(torch, data, repeats):
    """The same passes from Python: an upper bound only."""
    operations = list(RECORD.iter_unpack(data))
    alloc, delete = torch._C._cuda_cudaCachingAllocator_raw_alloc, torch._C._cuda_cudaCachingAllocator_raw_delete
    stream, times = torch.cuda.current_stream().cuda_stream, []
    for _ in range(repeats):
        held = {}
        start = time.perf_counter_ns()
        for slot, size in operations:
            if size:
                held[slot] = alloc(size, stream)
            else:
                delete(held.pop(slot))
        times.append(time.perf_counter_ns() - start)
        for address in held.values():
            delete(address)
    return times


def main(argv=None):
    parser = argparse.ArgumentParser(description="Time PyTorch's raw_alloc/raw_delete over traces of `u32 slot, u64 bytes`.")
    parser.add_argument("traces", nargs="+", metavar="TRACE", help="trace files, gzipped or not")
    parser.add_argument("--repeats", type=int, default=7, help="passes over each trace, the first not counted (7)")
    parser.add_argument("--extension", metavar="FILE.so", help="an extension built before, instead of building one")
    parser.add_argument("--build-directory", metavar="DIR", help="where the extension is built and stays")
    parser.add_argument("--python", action="store_true", help="the Python loop, without trying to build")
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error("--repeats must be at least 1")

    def say(text):
        print(text, file=sys.stderr, flush=True)

    import torch

    torch.cuda.init()
    torch.cuda.set_device(0)
    module = None
    if args.extension:
        module = load(args.extension)
    elif not args.python:
        module = build(args.build_directory, say)
    for path in args.traces:
        try:
            data = read_trace(path)
        except (OSError, ValueError, EOFError) as error:
            say(f"{path}: {error}")
            return 2
        operations = len(data) // RECORD.size
        torch.cuda.empty_cache()
        if module is not None:
            times = module.run(data, args.repeats + 1)
        else:
            times = python_loop(torch, data, args.repeats + 1)
        # The first pass fetches the memory from the driver; the others find it cached.
        warm = [taken / max(operations, 1) for taken in times[1:]]
        result = {
            "trace": path,
            "operations": operations,
            "nanoseconds_per_operation": round(min(warm), 1),
            "median": round(sorted(warm)[len(warm) // 2], 1),
            "first_pass": round(times[0] / max(operations, 1), 1),
            "repeats": args.repeats,
            "torch": torch.__version__,
            "config": os.environ.get("PYTORCH_CUDA_ALLOC_CONF", ""),
            "loop": "c++" if module is not None else "python",
        }
        if module is None:
            result["note"] = "includes Python's own time for each call: an upper bound, not the allocator's time"
        print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
