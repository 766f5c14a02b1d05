"""What a process and its devices are like, read before and after a row: facts, figures, differences.

Decides what counts as a change; judges nothing. Used by contract_row.py.
"""

import contextlib
import gc
import sys
import types

# A row that asks for nothing else may change none of these.
PARTS = ("statistics", "segments", "fraction", "device", "stream", "settings")
# Figures of a device that are zero, or as before, once a row has cleaned up after itself.
HELD = ("allocation.all.current", "allocated_bytes.all.current", "active_bytes.all.current",
        "requested_bytes.all.current", "segment.all.current", "reserved_bytes.all.current")
# What a refusal for lack of memory counts, and rightly so.
REFUSAL_COUNTS = ("num_ooms", "num_alloc_retries", "num_sync_all_streams", "num_device_alloc", "num_device_free")
SHOWN = 400


def shown(value):
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + " [...]"


def told(error):
    """An exception in one line."""
    return shown(f"{type(error).__name__}: {error}")


def probed(torch):
    """What this machine can do, for rows that need it. Initialises CUDA."""
    facts = {"devices": torch.cuda.device_count(), "numpy": False, "pynvml": False, "kernels": False, "capture": False,
             "allocates": False, "async": False}
    facts["torch"], facts["cuda"] = torch.__version__, torch.version.cuda
    facts["python"] = ".".join(map(str, sys.version_info[:3]))
    facts["backend"] = torch.cuda.memory.get_allocator_backend()
    facts["names"] = [torch.cuda.get_device_name(d) for d in range(facts["devices"])]
    facts["total"] = [torch.cuda.get_device_properties(d).total_memory for d in range(facts["devices"])]
    for name in ("numpy", "pynvml"):
        with contextlib.suppress(Exception):
            __import__(name)
            facts[name] = True
    with contextlib.suppress(Exception):
        x = torch.empty(64, dtype=torch.uint8, device="cuda")
        facts["allocates"] = True
        x.fill_(7)
        facts["kernels"] = x.cpu().tolist() == [7] * 64
    with contextlib.suppress(Exception):
        if facts["kernels"]:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                x.fill_(9)
            graph.replay()
            facts["capture"] = x.cpu().tolist() == [9] * 64
    return facts


def lacking(row, facts):
    """Why a row does not apply on this machine, or None."""
    if row.get("devices", 1) > facts["devices"]:
        return f"needs {row.get('devices', 1)} devices; there are {facts['devices']}"
    for need in row.get("needs", []) + (["capture"] if row.get("when") == "capturing" else []):
        if not facts.get(need):
            return f"needs {need}, which this machine lacks"
    if row.get("gib", 0) > min(facts["total"], default=0) >> 30:
        return f"needs a device of {row['gib']} GiB"
    return None


def flat_settings(torch):
    settings = torch.cuda.memory._snapshot().get("allocator_settings", {})
    return {key: str(value) for key, value in settings.items() if not key.endswith("ALLOC_CONF")}


def readable(ask):
    """What a question is answered with, or that it is not answered: an allocator may lack it."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001
        return f"not readable ({type(error).__name__})"


def state(torch, capturing=False):
    """Everything that a call may not change behind its caller's back."""
    if not torch.cuda.is_initialized():
        return {}
    devices = range(torch.cuda.device_count())
    seen = {"device": torch.cuda.current_device()}
    seen["statistics"] = {
        f"device {d} {key}": value
        for d in devices
        for key, value in (readable(lambda d=d: torch.cuda.memory_stats(d)) or {}).items()
    } if not isinstance(readable(lambda: torch.cuda.memory_stats(0)), str) else {}
    seen["fraction"] = {f"device {d}": readable(lambda d=d: torch.cuda.get_per_process_memory_fraction(d)) for d in devices}
    seen["stream"] = {f"device {d}": torch.cuda.current_stream(d).cuda_stream for d in devices}
    if not capturing:
        segments = readable(torch.cuda.memory_snapshot)
        seen["segments"] = segments if isinstance(segments, str) else sorted(
            (s["device"], s["address"], s["total_size"], s["stream"],
             tuple((b["size"], b["state"]) for b in s["blocks"])) for s in segments)
        seen["settings"] = readable(lambda: flat_settings(torch))
    return seen


def differences(before, after, ignored=()):
    """What differs in one part, told in at most four pieces."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [k for k in sorted({*before, *after}) if before.get(k) != after.get(k)]
        keys = [k for k in keys if not any(k.endswith(" " + i) for i in ignored)]
        found = [f"{k}: {shown(before.get(k))} -> {shown(after.get(k))}" for k in keys]
        return found[:4] + ([f"and {len(found) - 4} more"] if len(found) > 4 else [])
    return [f"{shown(before)} -> {shown(after)}"]


def tidy(torch):
    """Gives back what nobody holds; the error that this ends in, or None."""
    gc.collect()
    try:
        for d in range(torch.cuda.device_count()):
            torch.cuda.synchronize(d)
        torch.cuda.empty_cache()
        if torch.cuda.current_device() != 0:
            return f"the current device is {torch.cuda.current_device()}"
    except Exception as error:  # noqa: BLE001
        return told(error)
    return None


def holding(torch):
    """What is held and set, for comparison after a row has cleaned up."""
    seen = state(torch)
    held = {k: v for k, v in seen["statistics"].items() if k.split(" ", 2)[-1] in HELD}
    held.update({f"fraction of {k}": v for k, v in seen["fraction"].items()})
    held.update({f"stream of {k}": v for k, v in seen["stream"].items()})
    if isinstance(seen["settings"], dict):
        held.update({f"setting {k}": v for k, v in seen["settings"].items()})
    return held


def keys(family):
    """The names that the docstring of `memory_stats` writes as `family.{all,large_pool,small_pool}.{current,...}`."""
    pools, metrics = ("all", "large_pool", "small_pool"), ("current", "peak", "allocated", "freed")
    return [f"{family}.{pool}.{metric}" for pool in pools for metric in metrics]


def cells(summary, title):
    """The cells of the row of a `memory_summary` that begins with a title, as text."""
    rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in summary.splitlines())
    return next((row[1:] for row in rows if row[0] == title), [])


def tells(shown_cells, values):
    """Whether cells show these figures, each rounded down to the unit that it is shown in."""
    units = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "K": 1000, "M": 1000000}

    def tells_one(cell, value):
        number, unit = cell.split() if " " in cell else (cell, "B")
        return int(number) * units[unit] <= value < (int(number) + 1) * units[unit]

    return len(shown_cells) == len(values) and all(map(tells_one, shown_cells, values))


def fake_nvml():
    """A stand-in for pynvml under whose name it is imported from now on: this process holds 3 MiB on every device."""
    import os

    nvml = types.ModuleType("pynvml")
    nvml.NVMLError = type("NVMLError", (Exception,), {})
    for name in ("DriverNotLoaded", "LibraryNotFound"):
        setattr(nvml, "NVMLError_" + name, type("NVMLError_" + name, (nvml.NVMLError,), {}))
    nvml.Process = types.SimpleNamespace
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda handle: [nvml.Process(pid=os.getpid(), usedGpuMemory=3 << 20)]
    sys.modules["pynvml"] = nvml
    return nvml
