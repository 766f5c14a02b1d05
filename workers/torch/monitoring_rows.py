"""Rows about processes: what the process that has torch answers, and how an answer is held against a promise.

Decides what is read of an answer, and what breaks a promise. Which rows there are is in the files beside.
"""

import os
import re
import sys

from monitoring_child import Gone, Refused
from monitoring_nvml import Nvml

MIB = 1 << 20
OWN, NEIGHBOUR = 96 * MIB, 160 * MIB
LINE = re.compile(r"process\s+(\d+) uses\s+([\d.]+) (\w+) GPU memory")


# ---- in the process that has torch ----------------------------------------------------------------

def nvml(state):
    state["nvml"] = state["nvml"] or Nvml()
    return state["nvml"]


def listing(state, device, opinion=True, folder=None, current=False):
    """What torch says of a device, with what NVML says of it before and after: the same, or it is asked again, five times at most."""
    torch, seen = state["torch"], {}
    path = list(sys.path)
    if folder is not None:
        sys.path.insert(0, folder)
        sys.modules.pop("pynvml", None)
    try:
        for _ in range(5):
            before = named(state, device) if opinion else None
            seen = {"text": None, "kind": None, "error": None, "nvml": before, "pid": os.getpid()}
            try:
                if current:
                    torch.cuda.set_device(device)
                seen["text"] = torch.cuda.list_gpu_processes(*([] if current else [device]))
            except Exception as error:  # noqa: BLE001
                seen.update(kind=type(error).__name__, error=str(error))
            seen["stable"] = not opinion or named(state, device) == before
            if seen["stable"]:
                break
    finally:
        sys.path[:] = path
        if folder is not None:
            sys.modules.pop("pynvml", None)
    return seen


def named(state, device):
    opened = nvml(state)
    index = opened.index_of(state["torch"], device)
    return {"index": index, "processes": opened.processes(opened.handle(index))}


def refusal(state, device, opinion=True):
    """The error that more memory than the device has ends in."""
    torch = state["torch"]
    before = named(state, device) if opinion else None
    size = 2 * torch.cuda.get_device_properties(device).total_memory
    seen = {"text": None, "kind": None, "error": None, "nvml": before, "pid": os.getpid()}
    try:
        torch.cuda.caching_allocator_delete(torch.cuda.caching_allocator_alloc(size, device))
    except Exception as error:  # noqa: BLE001
        seen.update(kind=type(error).__name__, error=str(error))
    return seen


def alive(state, device):
    """Whether memory is had and given back as before; nothing where it is, else what is wrong."""
    cuda = state["torch"].cuda
    before = cuda.memory_allocated(device)
    pointer = cuda.caching_allocator_alloc(1 << 20, device)
    between = cuda.memory_allocated(device)
    cuda.caching_allocator_delete(pointer)
    cuda.synchronize(device)
    after = cuda.memory_allocated(device)
    ok = between - before == 1 << 20 and after == before
    return None if ok else f"memory_allocated went {before}, {between}, {after} over an allocation of 1 MiB"


REQUESTS = {"listing": listing, "refusal": refusal, "alive": alive}


# ---- in the process that judges -------------------------------------------------------------------

class Row:
    """One row while it is judged."""

    def __init__(self, session, row_id, call, promises, device=None):
        self.session = session
        self.row = {"id": row_id, "device": device, "call": call, "promises": promises, "answered": "", "nvml": None, "nvml_count": 0,
                    "unlisted": [], "outcome": "kept", "why": None, "broken": []}

    def breaks(self, promise, what):
        self.row["broken"].append({"promise": promise, "what": " ".join(what.split())[:400]})

    def ends(self, outcome, why):
        """Another end than a judgement; why is a code that has words in every language, or a text."""
        self.row.update(outcome=outcome, why=why[:600], broken=[])
        if outcome in ("crashed", "hung"):
            self.breaks("alive", why)

    def saw(self, seen):
        text = seen["text"] if seen["error"] is None else f"{seen['kind']}: {seen['error']}"
        lines = str(text).splitlines()
        self.row["answered"] = "\n".join(lines[:5] + ([f"and {len(lines) - 5} more lines"] if len(lines) > 5 else []))[:600]
        if seen["nvml"] is not None:
            self.says_nvml(seen["nvml"]["processes"])

    def says_nvml(self, processes):
        self.row.update(nvml=processes[:8], nvml_count=len(processes))

    def say(self):
        if self.row["broken"] and self.row["outcome"] == "kept":
            self.row["outcome"] = "broken"
        self.session.say(row=self.row)

    def while_asked(self, judge):
        """Judges, whatever becomes of the process that is asked."""
        try:
            judge()
        except Gone as error:
            self.ends(error.outcome, str(error))
        except Refused as error:
            self.ends("not_applicable", str(error))
        self.say()

    def judge_list(self, seen, truth):
        """Who is listed with how much against who is there."""
        if seen["error"] is not None:
            self.breaks("listed", f"{seen['kind']}: {seen['error']}")
            return
        found = [(int(pid), float(number)) for pid, number, _unit in LINE.findall(seen["text"])]
        said, real = [pid for pid, _ in found], [pid for pid, _ in truth]
        for pid in sorted(set(real) - set(said)):
            self.breaks("listed", f"process {pid} is not listed")
        for pid in sorted(set(said) - set(real)):
            self.breaks("listed", f"process {pid} is listed, and NVML does not name it")
        for pid, used in truth:
            numbers = [number for other, number in found if other == pid]
            if used is not None and numbers and not any(abs(number - used / MIB) < 0.001 for number in numbers):
                self.breaks("bytes", f"process {pid}: {numbers[0]} MiB, where NVML says {used / MIB:.3f}")

    def judge_said(self, seen, words):
        text = str(seen["text"] if seen["error"] is None else seen["error"])
        if LINE.search(text):
            self.breaks("missing_said", "it lists processes, although nobody can have told it of any")
        elif words and not any(word in text for word in words):
            self.breaks("missing_said", f"it names none of {', '.join(words)}: {text}")


def told(processes):
    """Processes in one line."""
    if not processes:
        return "nobody"
    shown = [f"{pid}: {'not told' if used is None else f'{used / MIB:.3f} MiB'}" for pid, used in processes[:6]]
    return ", ".join(shown) + (f" and {len(processes) - 6} more" if len(processes) > 6 else "")


def judge_wrong(row, seen, word):
    row.saw(seen)
    if seen["error"] is None:
        row.breaks("wrong_device", f"no error: {seen['text']}")
    elif not re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", seen["error"]):
        row.breaks("wrong_device", f"the error does not name {word}: {seen['kind']}: {seen['error']}")


def still(row, child):
    wrong = child.ask("alive", device=0)
    if wrong:
        row.breaks("alive", wrong)
