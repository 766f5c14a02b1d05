"""Judges one row of the argument contract of `torch.cuda.memory` in the process that it is given.

Decides what a row's promise means: what an answer may be, what may have changed, what must be as before. Which process a row
gets, and what becomes of one that crashes or hangs, is `contract.py`'s business. Python 3.9 or later, and torch; the format
of a row is described in specs/README.md.
"""

import ast
import contextlib
import gc
import json
import os
import re
import select
import signal
import sys
import threading
import time
import warnings

from contract_state import (
    HELD, PARTS, REFUSAL_COUNTS, cells, differences, fake_nvml, holding, keys, readable, shown, state, tells, tidy, told,
)

ASSERTION = re.compile(r"INTERNAL ASSERT|report a bug to PyTorch", re.IGNORECASE)
def run(text, names):
    """Runs statements; the value of the last one, if it is an expression."""
    tree = ast.parse(text)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<row>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<row>", "eval"), names) if last is not None else None


class Row:
    """One row while it is judged."""

    def __init__(self, torch, row, facts):
        self.torch, self.row, self.facts = torch, row, facts
        self.broken, self.observed = [], ""
        self.error = None
        self.names = {
            "torch": torch, "os": os, "sys": sys, "gc": gc, "threading": threading, "warnings": warnings,
            "n": facts["devices"], "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "total": facts["total"],
            "oom": self.oom, "fake_nvml": fake_nvml, "keys": keys, "cells": cells, "tells": tells, "raised": None, "message": "", "warned": [], "r": None,
        }
        with contextlib.suppress(ImportError):
            self.names["np"] = __import__("numpy") if facts["numpy"] else None

    def breaks(self, clause, what):
        self.broken.append({"clause": clause, "what": shown(what)})

    def oom(self, device=None):
        """Runs out of memory, under a limit, so that others on the device are left in peace."""
        cuda = self.torch.cuda
        device = cuda.current_device() if device is None else device
        was = cuda.get_per_process_memory_fraction(device)
        cuda.set_per_process_memory_fraction(0.0, device)
        try:
            cuda.caching_allocator_alloc(1 << 30, device)
        except cuda.OutOfMemoryError:
            return
        finally:
            cuda.set_per_process_memory_fraction(was, device)
        raise RuntimeError("1 GiB was served under a memory fraction of 0")

    def call(self):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                self.names["r"] = run(self.row["call"], self.names)
            except BaseException as error:  # noqa: BLE001
                self.error = error
        self.names.update(raised=self.error, message=str(self.error or ""), warned=[w.category for w in heard])
        self.observed = told(self.error) if self.error is not None else "returned " + shown(self.names["r"])

    def holds(self, check, clause):
        try:
            if not run(check, self.names):
                self.breaks(clause, f"does not hold: {check}")
        except Exception as error:  # noqa: BLE001
            self.breaks(clause, f"{check}: {told(error)}")

    def judge_answer(self):
        row, error = self.row, self.error
        if error is None:
            if "returns" in row:
                self.holds(row["returns"], "answer")
            else:
                self.breaks("answer", "it returned, where an error was due")
            return
        if "raises" not in row:
            self.breaks("answer", told(error))
        elif isinstance(error, (SystemError, UnicodeDecodeError)):
            self.breaks("class", f"{type(error).__name__}: the error itself went wrong")
        elif not any(k.__name__ in row["raises"] for k in type(error).__mro__):
            self.breaks("class", f"raised {type(error).__name__}, not {' or '.join(row['raises'])}")
        if ASSERTION.search(str(error)):
            self.breaks("assertion", "an internal assertion, or a request to report a bug, instead of an error of the caller's")
        for name in row.get("names", []):
            text = name
            with contextlib.suppress(Exception):  # It may speak of what the call did not come to.
                text = str(eval("f" + repr(name), self.names)) if "{" in name else name
            if not any(self.says(part) for part in text.split("|")):
                self.breaks("message", f"the message does not have {text.replace('|', ' or ')}")

    def says(self, part):
        # A number is not said by a longer one.
        left = r"(?<![\w.])" if part[:1].isdigit() else ""
        right = r"(?!\w)" if part[-1:].isdigit() else ""
        return re.search(left + re.escape(part) + right, str(self.error)) is not None

    def judge_state(self, before, after):
        allowed = set(self.row.get("changes", [])) if self.error is None else set()
        ignored = REFUSAL_COUNTS if type(self.error).__name__ == "OutOfMemoryError" else ()
        for part in PARTS:
            if part not in allowed and part in before and part in after:
                for difference in differences(before[part], after[part], ignored):
                    self.breaks("unchanged", f"{part}: {difference}")

    def judge_usable(self):
        """That no error was left for the next call, on any device."""
        torch = self.torch
        try:
            for d in range(torch.cuda.device_count()):
                x = torch.empty(4096, dtype=torch.uint8, device=f"cuda:{d}")
                if self.facts["kernels"]:
                    x.fill_(7)
                    if x.cpu()[17].item() != 7:
                        self.breaks("error_left", f"device {d} computes nothing any more")
                torch.cuda.synchronize(d)
        except Exception as error:  # noqa: BLE001
            self.breaks("error_left", told(error))

    def judge_held(self, held):
        """That all is as it was before the row, once it has cleaned up."""
        error = tidy(self.torch)
        if error:
            self.breaks("error_left", error)
            return
        for difference in differences(held, holding(self.torch)):
            self.breaks("leak", difference)

    def prepare(self):
        self.names["__builtins__"] = __builtins__
        if "setup" in self.row:
            run(self.row["setup"], self.names)

    def judge(self):
        """The whole row in a process where CUDA is initialised."""
        held, threads = holding(self.torch), threading.active_count()
        with contextlib.ExitStack() as around:
            self.prepare()
            when = self.row.get("when", "initialised")
            if when == "after_oom":
                self.oom()
            elif when == "in_pool":
                self.names["pool"] = self.torch.cuda.MemPool()
                around.enter_context(self.torch.cuda.use_mem_pool(self.names["pool"]))
            before = state(self.torch)
            self.names["was"] = readable(self.torch.cuda.memory_stats)
            if when == "thread":
                thread = threading.Thread(target=self.call)
                thread.start()
                thread.join()
            else:
                self.call()
            after = state(self.torch)
            self.names["now"] = readable(self.torch.cuda.memory_stats)
            self.judge_answer()
            self.judge_state(before, after)
            self.judge_then()
        self.clean_up()
        if not self.row.get("afterwards", True):
            return
        self.judge_usable()
        self.judge_held(held)
        if threading.active_count() != threads:
            self.breaks("sane", f"{threading.active_count() - threads} threads more than before")

    def judge_then(self):
        for check in self.row.get("then", []):
            self.holds(check, "effect")

    def clean_up(self):
        try:
            if "cleanup" in self.row:
                run(self.row["cleanup"], self.names)
        except Exception as error:  # noqa: BLE001
            self.breaks("effect", f"while cleaning up: {told(error)}")
        for name in [k for k in self.names if k not in ("torch", "__builtins__")]:
            del self.names[name]
        self.error = None

    def judge_uninitialised(self):
        """The row in a process that has not touched CUDA; what it has to initialise afterwards."""
        self.prepare()
        self.call()
        self.judge_answer()
        self.judge_then()
        if not self.row.get("afterwards", True):
            return
        if self.row["when"] == "start" and self.error is not None:
            return  # What comes of a process whose settings were refused is for rows of its own.
        try:
            self.torch.cuda.init()
        except Exception as error:  # noqa: BLE001
            self.breaks("error_left", f"afterwards, torch.cuda.init(): {told(error)}")
            return
        self.judge_usable()
        self.clean_up()
        held = {k: 0 for k in holding(self.torch) if k.split(" ", 2)[-1] in HELD}
        error = tidy(self.torch)
        left = {k: v for k, v in holding(self.torch).items() if k in held}
        for difference in [error] if error else differences(held, left):
            self.breaks("leak", difference)

    def judge_capturing(self):
        """The row in the middle of a capture that must come to its end and replay."""
        torch = self.torch
        self.prepare()
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        self.names["graph"] = graph
        torch.cuda.synchronize()
        try:
            with torch.cuda.stream(stream):
                graph.capture_begin()
                x = torch.empty(1 << 20, dtype=torch.uint8, device="cuda")
                x.fill_(1)
                before = state(torch, capturing=True)
                self.call()
                after = state(torch, capturing=True)
                x.add_(1)
                graph.capture_end()
        except Exception as error:  # noqa: BLE001
            self.breaks("capture", f"the capture was lost: {told(error)}")
            self.judge_answer()
            return
        self.judge_answer()
        self.judge_state(before, after)
        self.judge_then()
        graph.replay()
        torch.cuda.synchronize()
        if x.cpu()[5].item() != 2:
            self.breaks("capture", "the graph does not replay what was captured")
        del x, graph
        self.clean_up()
        if self.row.get("afterwards", True):
            self.judge_usable()

    def judge_forked(self):
        """The row in a copy of this process, which has used CUDA and goes on using it."""
        torch = self.torch
        self.prepare()
        self.names["kept"] = torch.empty(1 << 20, dtype=torch.uint8, device="cuda")
        before = state(torch)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            self.call()
            self.judge_answer()
            self.judge_then()
            os.write(theirs, json.dumps([self.observed, self.broken]).encode())
            os._exit(0)
        os.close(theirs)
        text, deadline = b"", time.monotonic() + 10
        while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
            piece = os.read(ours, 1 << 16)
            if not piece:
                break
            text += piece
        else:
            os.kill(child, signal.SIGKILL)
            self.breaks("hung", "no end within 10 s in the forked process")
        status = os.waitpid(child, 0)[1]
        if text:
            self.observed, self.broken = json.loads(text)
        elif not self.broken:
            self.breaks("crashed", f"the forked process ended with {os.waitstatus_to_exitcode(status)}")
        after = state(torch)
        for part in PARTS:
            for difference in differences(before[part], after[part]):
                self.breaks("unchanged", f"in the process that forked, {part}: {difference}")
        self.judge_usable()


def verdict(torch, row, facts):
    """Runs one row; the verdict, and whether the process may serve another row."""
    began = time.monotonic()
    judged = Row(torch, row, facts)
    when = row.get("when", "initialised")
    answer = {"id": row["id"]}
    try:
        if when in ("before", "start"):
            judged.judge_uninitialised()
        elif when == "capturing":
            judged.judge_capturing()
        elif when == "forked":
            judged.judge_forked()
        else:
            judged.judge()
    except BaseException as error:  # noqa: BLE001
        judged.breaks("setup", f"the row could not be carried out: {told(error)}")
    answer["outcome"] = next((b["clause"] for b in judged.broken if b["clause"] in ("crashed", "hung")),
                             "broken" if judged.broken else "kept")
    answer.update(observed=judged.observed, broken=judged.broken, seconds=round(time.monotonic() - began, 3))
    clean = row.get("afterwards", True) and not any(b["clause"] in ("unchanged", "leak", "error_left", "sane", "setup", "effect") for b in judged.broken)
    return answer, clean
