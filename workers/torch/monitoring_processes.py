"""`torch.cuda.list_gpu_processes`, and the text of a refusal, on each device against NVML, with a neighbour and without.

Decides which rows there are. A promise comes from the docstring, or is what anybody expects: every process that NVML names is
listed and nobody else, its bytes agree, and the unit is the one that is written.
"""

import contextlib
import json
import re
import subprocess
import time

from monitoring_child import Refused
from monitoring_rows import LINE, MIB, NEIGHBOUR, OWN, Row, told

UNITS = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30, "TiB": 1 << 40}
HELD = re.compile(r"(?:Process (\d+)|this process) has ([\d.]+) (\w+) memory in use")


def on_device(session, asked, device):
    asked.ask("hold", device=device, size=OWN)
    call = f"torch.cuda.list_gpu_processes({device})"
    listed(session, asked, device, "alone", call, is_own)
    if session.simulated:
        asked.ask("sim_neighbour", device=device, size=NEIGHBOUR)
        with_neighbour(session, asked, device, call, None)
        asked.ask("sim_neighbour", device=device, size=0)
        return
    with session.child() as other:
        pid = other.ready().process.pid
        other.ask("hold", device=device, size=NEIGHBOUR)
        with_neighbour(session, asked, device, call, pid)

    with contextlib.suppress(Refused):  # Where NVML does not answer, the row says so.
        for _ in range(20):  # It may take a moment to notice.
            if pid not in [found for found, _ in asked.ask("listing", device=device)["nvml"]["processes"]]:
                break
            time.sleep(0.1)
    listed(session, asked, device, "after-neighbour", call, is_own)


def listed(session, asked, device, name, call, also, promises=("listed", "bytes"), current=False):
    """A row about who is listed; `also` looks at the answer, too."""
    row = Row(session, f"cuda:{device}/{name}", call, list(promises), device)

    def judge():
        seen = asked.ask("listing", device=device, current=current)
        row.saw(seen)
        if not seen["stable"]:
            row.ends("not_applicable", "restless")
            return
        if "listed" in promises:
            row.judge_list(seen, seen["nvml"]["processes"])
        also(row, seen)
    row.while_asked(judge)


def is_own(row, seen):
    if seen["pid"] not in [pid for pid, _ in seen["nvml"]["processes"]]:
        row.row["unlisted"].append(seen["pid"])


def with_neighbour(session, asked, device, call, pid):
    def is_there(row, seen):
        is_own(row, seen)
        held = dict(seen["nvml"]["processes"])
        if pid is not None and pid not in held:
            row.row["unlisted"].append(pid)
        elif pid is not None and held[pid] is not None and held[pid] < NEIGHBOUR:
            row.breaks("bytes", f"the neighbour holds 160 MiB, and NVML says {held[pid] / MIB:.3f} MiB")

    listed(session, asked, device, "neighbour", call, is_there)
    listed(session, asked, device, "current", "torch.cuda.list_gpu_processes()", is_own, current=True)
    listed(session, asked, device, "unit", call, judge_unit, ("unit",))
    row = Row(session, f"cuda:{device}/refusal", "torch.cuda.caching_allocator_alloc(2 * total)", ["refusal", "named"], device)
    row.while_asked(lambda: judge_refusal(row, asked.ask("refusal", device=device)))
    row = Row(session, f"cuda:{device}/poolproof", "poolproof processes --json", ["listed", "bytes"], device)
    row.while_asked(lambda: judge_own(row, session, asked, device))


def judge_unit(row, seen):
    units = {"MB": 10**6, "MiB": MIB}
    truth = dict(seen["nvml"]["processes"])
    found = [one for one in LINE.findall(seen["text"] or "") if truth.get(int(one[0]))]
    if not found:
        row.ends("not_applicable", "nobody_listed")
    for pid, number, unit in found[:1]:
        said, used = float(number) * units.get(unit, 1), truth[int(pid)]
        if abs(said - used) > 0.01 * used:
            row.breaks("unit", f"{number} {unit} is {said:.0f} B, where NVML says {used} B")


def judge_refusal(row, seen):
    row.saw(seen)
    if seen["kind"] != "OutOfMemoryError":
        row.breaks("refusal", f"{seen['kind']}: {seen['error']}")
        return
    said = {int(pid or seen["pid"]): float(number) * UNITS.get(unit, 1) for pid, number, unit in HELD.findall(seen["error"])}
    for pid, used in seen["nvml"]["processes"]:
        if pid not in said:
            row.breaks("named", f"process {pid} is not named")
        elif used is not None and abs(said[pid] - used) > 0.01 * used + 5243:  # Two decimals of a MiB.
            row.breaks("named", f"process {pid}: {said[pid]:.0f} B, where NVML says {used} B")
    for pid in sorted(set(said) - {pid for pid, _ in seen["nvml"]["processes"]}):
        row.breaks("named", f"process {pid} is named, and NVML does not name it")


def judge_own(row, session, asked, device):
    if session.simulated or not session.own:
        row.ends("not_applicable", "simulated" if session.simulated else "no_poolproof")
        return
    for _ in range(5):
        before = asked.ask("listing", device=device)["nvml"]
        command = [session.own, "processes", "--device", str(before["index"]), "--json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            found = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            row.breaks("listed", f"it answers nothing: {error}")
            return
        if asked.ask("listing", device=device)["nvml"] == before:
            break
    else:
        row.ends("not_applicable", "restless")
        return
    row.says_nvml(before["processes"])
    if "devices" not in found or isinstance(found["devices"][0]["processes"], dict):
        row.breaks("listed", (done.stdout + done.stderr).strip())
        return
    said = sorted((p["pid"], p["used_bytes"]) for p in found["devices"][0]["processes"] if p["kind"] != "graphics")
    row.row["answered"] = told(said)
    truth = [tuple(one) for one in before["processes"]]
    if [pid for pid, _ in said] != [pid for pid, _ in truth]:
        row.breaks("listed", f"{told(said)}, where NVML says {told(truth)}")
    elif said != truth:
        row.breaks("bytes", f"{told(said)}, where NVML says {told(truth)}")
