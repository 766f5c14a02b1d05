"""How late and how wrong figures are while memory changes 1 to 1,000 times a second.

Decides what a change is, who reads, and what counts as seen. One process takes segments from the device and gives them back, and
writes down when each call began and returned, and what it holds then. Another one reads one figure as fast as it can, at most
50,000 times a second; on simulated devices, and for figures of the allocator's own, that is a thread beside. Both go by CLOCK_MONOTONIC.

A change is seen by the first reading that ended after its call began, shows the level that it led to, and ended before that level
comes again. It is late by the time from the return of its call to the end of that reading. The error of a reading is what it is
off, at its end, from what was held; while a call is under way, from the nearer of what was held before and after.
"""

import bisect
import mmap
import os
import struct
import sys
import threading
import time

import monitoring_rows
from monitoring_child import Refused

MIB = 1 << 20
# Taken one by one and given back in the same order: ten levels, no two of them nearer than 8 MiB. Each is a segment of its own.
BLOCKS = [10 * MIB, 14 * MIB, 20 * MIB, 26 * MIB, 32 * MIB]
LEVELS = 2 * len(BLOCKS)
NEAR = 4 * MIB
# Changes a second, and the share of the time.
RATES = [(1, 0.4), (10, 0.2), (100, 0.2), (1000, 0.2)]
BEFORE, AFTER = 200_000_000, 400_000_000  # nanoseconds of reading before the first change and after the last
FIGURES = ["nvml_device", "nvml_process", "mem_get_info", "memory_reserved"]
ENTRY = struct.Struct("<qqq")  # when the call began and returned, the bytes held then
PAUSE = 50e-6  # between readings of a thread, so that the one who changes gets its turn
LEAST = 20_000  # nanoseconds from the beginning of a reading to that of the next


def run(session):
    for device in session.devices():
        with session.child() as changer, session.child() as reader:
            on_device(session, device, changer, reader)


def on_device(session, device, changer, reader):
    log = os.path.join(session.scratch, "changes")
    who = changer.ask("settle", device=device, simulated=session.simulated is not None)
    if not session.simulated:
        reader.ask("hold", device=device, size=2 * MIB)
    for rate, share in RATES:
        for figure in FIGURES:
            changes = max(3, round(rate * session.seconds * share / len(FIGURES)))
            slice_of(session, device, figure, rate, changes, log, who, changer, reader)


def slice_of(session, device, figure, rate, changes, log, who, changer, reader):
    if figure == "nvml_process" and who["pid"] is None:
        if rate == RATES[0][0]:
            session.missing("nvml_process", device, who["why"])
        return
    with open(log, "wb") as file:
        file.truncate(8 + ENTRY.size * changes)
    beside = session.simulated or figure == "memory_reserved"
    reading = changer if beside else reader
    watched = {"figure": figure, "device": device, "pid": who["pid"]}
    try:
        reading.ask("prepare", **watched)
    except Refused as error:
        if rate == RATES[0][0]:
            session.missing(figure, device, error)
        return
    start = time.monotonic_ns() + BEFORE + 50_000_000
    end = start + int(changes / rate * 1e9) + AFTER
    watched["log"] = log
    limit = (end - time.monotonic_ns()) / 1e9 * 5 + 60
    if not beside:
        reader.send("watch", **watched)
    made = changer.ask("change", limit=limit, device=device, rate=rate, changes=changes, start=start, log=log,
                       watched=watched if beside else None)
    seen = made if beside else reader.hear(limit)
    if seen["why"]:
        session.missing(figure, device, f"at {rate} a second: {seen['why']}")
        return
    del seen["why"]
    seen.update(made_rate=made["made_rate"], device=device, figure=figure, rate=rate)
    session.say(delay=seen)


# ---- in the process that changes ------------------------------------------------------------------

def settle(state, device, simulated):
    """Brings the device about, and finds out under which number NVML knows this process."""
    cuda = state["torch"].cuda
    cuda.set_device(device)
    cuda.synchronize(device)
    try:
        if simulated:  # Its NVML lists processes only where there is more than one.
            state["neighbour"](state, device, 1 * MIB)
        before = dict(monitoring_rows.named(state, device)["processes"])
        pointer = cuda.caching_allocator_alloc(70 * MIB, device)
        after = dict(monitoring_rows.named(state, device)["processes"])
    except Exception as error:  # noqa: BLE001
        return {"pid": None, "why": f"NVML tells of no process: {error}"}
    cuda.caching_allocator_delete(pointer)
    cuda.empty_cache()
    if os.getpid() in after:
        told = after[os.getpid()] is not None
        return {"pid": os.getpid() if told else None, "why": None if told else "NVML does not tell the bytes of processes"}
    # Inside a container NVML may number processes as the host does.
    grown = [pid for pid, used in after.items()
             if used is not None and 70 * MIB <= used - (before.get(pid) or 0) < 80 * MIB]
    if len(grown) == 1:
        return {"pid": grown[0], "why": None}
    return {"pid": None, "why": "NVML names no process that grew as this one did"}


def change(state, device, rate, changes, start, log, watched):
    """Changes what is held, each at its time or as soon as the one before has returned."""
    cuda, held, taken, last = state["torch"].cuda, [], 0, 0
    stop = threading.Event()
    heard = {}
    thread = None
    if watched is not None:
        sys.setswitchinterval(20e-6)
        thread = threading.Thread(target=lambda: heard.update(watch(state, stop=stop, pause=PAUSE, **watched)))
        thread.start()
    with open(log, "r+b") as file, mmap.mmap(file.fileno(), 0) as truth:
        for number in range(changes):
            wait_until(start + int(number * 1e9 / rate))
            step = number % LEVELS
            began = time.monotonic_ns()
            if step < len(BLOCKS):
                held.append(cuda.caching_allocator_alloc(BLOCKS[step], device))
                taken += BLOCKS[step]
            else:
                cuda.caching_allocator_delete(held.pop(0))
                cuda.empty_cache()
                taken -= BLOCKS[step - len(BLOCKS)]
            last = time.monotonic_ns()
            ENTRY.pack_into(truth, 8 + number * ENTRY.size, began, last, taken)
        first = ENTRY.unpack_from(truth, 8)[0]
        wait_until(last + AFTER)
        struct.pack_into("<q", truth, 0, changes)  # Whoever reads may end.
    stop.set()
    if thread is not None:
        thread.join()
        sys.setswitchinterval(0.005)
    for pointer in held:
        cuda.caching_allocator_delete(pointer)
    cuda.empty_cache()
    return {**heard, "made_rate": (changes - 1) / max(1e-9, (last - first) / 1e9)}


def wait_until(moment):
    while True:
        left = moment - time.monotonic_ns()
        if left <= 0:
            return
        time.sleep(max(0, left - 100_000) / 1e9)


# ---- in the process that reads --------------------------------------------------------------------

def gauge(state, figure, device, pid):
    """Bytes in use as the figure tells them."""
    cuda = state["torch"].cuda
    if figure == "memory_reserved":
        return lambda: cuda.memory_reserved(device)
    if figure == "mem_get_info":
        total = cuda.mem_get_info(device)[1]
        return lambda: total - cuda.mem_get_info(device)[0]
    nvml = monitoring_rows.nvml(state)
    handle = nvml.handle(nvml.index_of(state["torch"], device))
    if figure == "nvml_device":
        return lambda: nvml.used(handle)
    return lambda: dict(nvml.processes(handle)).get(pid) or 0


def prepare(state, figure, device, pid):
    """What takes long the first time: NVML is opened, and the figure read."""
    gauge(state, figure, device, pid)()


def watch(state, figure, device, pid, log, stop=None, pause=0):
    """Reads until all changes were made, and holds what was read against them."""
    try:
        read = gauge(state, figure, device, pid)
        begins, ends, values = [], [], []
        with open(log, "r+b") as file, mmap.mmap(file.fileno(), 0) as truth:
            while True:
                for _ in range(16):
                    begins.append(time.monotonic_ns())
                    values.append(read())
                    ends.append(time.monotonic_ns())
                    if pause:
                        time.sleep(pause)
                    while time.monotonic_ns() < begins[-1] + LEAST:
                        pass
                made = struct.unpack_from("<q", truth, 0)[0]
                if made or (stop is not None and stop.is_set()):
                    break
            changes = [ENTRY.unpack_from(truth, 8 + n * ENTRY.size) for n in range(made)]
    except Exception as error:  # noqa: BLE001
        return {"why": f"{type(error).__name__}: {error}"}
    return judged(changes, begins, ends, values)


def judged(changes, begins, ends, values):
    """What the readings show of the changes."""
    if not changes or not values or ends[0] >= changes[0][0]:
        return {"why": "no reading ended before the first change"}
    early = sorted(values[:bisect.bisect_left(ends, changes[0][0])])
    ground = early[len(early) // 2]
    levels = [value - ground for value in values]
    delays = seen_late(changes, ends, levels)
    errors = errors_of(changes, ends, levels)
    costs = sorted(end - begin for begin, end in zip(begins, ends))
    delays.sort()
    return {
        "why": None, "changes": len(changes), "seen": len(delays), "readings": len(values),
        "reading_ns": costs[len(costs) // 2], "delay_median_ns": share(delays, 0.5), "delay_p95_ns": share(delays, 0.95),
        "error_bytes": sum(errors) / len(errors) if errors else None, "error_worst_bytes": max(errors, default=None),
    }


def share(ordered, part):
    """The least that so many do not exceed."""
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)] if ordered else None


def seen_late(changes, ends, levels):
    """For each change that is seen, how late."""
    # Where the figure moved to another level; what follows alike tells nothing new.
    moves = [n for n in range(len(levels)) if n == 0 or abs(levels[n] - levels[n - 1]) >= NEAR]
    moved = [ends[n] for n in moves]
    delays = []
    for number, (began, returned, level) in enumerate(changes):
        again = changes[number + LEVELS][0] if number + LEVELS < len(changes) else None
        for at in range(bisect.bisect_left(moved, began), len(moves)):
            if again is not None and moved[at] >= again:
                break
            if abs(levels[moves[at]] - level) < NEAR:
                delays.append(max(0, moved[at] - returned))
                break
    return delays


def errors_of(changes, ends, levels):
    """How far each reading from the first change to the last is off at its end."""
    errors, at, held = [], 0, 0
    for end, level in zip(ends, levels):
        while at < len(changes) and changes[at][1] <= end:
            held, at = changes[at][2], at + 1
        if end < changes[0][0]:
            continue
        if at == len(changes) and end > changes[-1][1]:
            break
        under_way = at < len(changes) and changes[at][0] <= end
        errors.append(min(abs(level - held), abs(level - changes[at][2])) if under_way else abs(level - held))
    return errors


REQUESTS = {"settle": settle, "change": change, "prepare": prepare, "watch": watch}
