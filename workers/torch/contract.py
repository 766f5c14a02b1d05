#!/usr/bin/env python3
"""Runs the argument contract of `torch.cuda.memory`: rows in, one verdict a row out, as lines of JSON.

    python3 contract.py --rows rows.json --out verdicts.jsonl --jobs 8

Decides which process a row gets and what its end means: rows that can share a process do; those that cannot (bad pointers,
forks, captures, settings at the start) have one of their own; a row that crashes its process, or does not end, gets that as
its verdict, and the next one runs. What a promise means is in contract_row.py. Needs Python 3.9 or later, torch and a GPU.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

SHARED = 24  # rows to a process
PREPARATION = 120  # seconds for torch to be imported, or CUDA to be initialised
ALONE = ("before", "start", "forked", "capturing")


# ---- in the processes that rows run in ----------------------------------------------------------

def serve(wire):
    """Imports torch, and makes a copy of this process for each job that it is sent."""
    trouble = None
    try:
        import torch
    except Exception as error:  # noqa: BLE001
        torch, trouble = None, error
    say(wire, {"ready": trouble is None, "trouble": str(trouble or "")})
    if trouble is not None:
        return
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(torch, json.loads(line), wire)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        say(wire, {"ended": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])})


def work(torch, job, wire):
    import contract_row
    import contract_state

    sys.stdin = open(os.devnull)  # noqa: SIM115
    say(wire, {"process": os.getpid()})
    if job.get("probe"):
        say(wire, {"facts": contract_state.probed(torch)})
        return
    rows, facts = job["rows"], job["facts"]
    if rows[0].get("when") not in ("before", "start"):
        contract_row.Row(torch, rows[0], facts).judge_usable()
        contract_state.tidy(torch)
    for row in rows:
        say(wire, {"begin": row["id"]})
        verdict, clean = contract_row.verdict(torch, row, facts)
        say(wire, verdict)
        if not clean:
            return


def say(wire, message):
    os.write(wire, json.dumps(message).encode() + b"\n")


# ---- in the process that sends rows out ---------------------------------------------------------

class Died(Exception):
    """The server process is gone."""


class Late(Exception):
    """Nothing was heard in time."""


class NoMachine(Exception):
    """There is nothing here that a row could be judged on."""


class Server:
    """A process that has imported torch and forks for each job."""

    def __init__(self, environment):
        self.log = tempfile.NamedTemporaryFile(prefix="contract-", suffix=".log")  # noqa: SIM115
        self.heard, theirs = os.pipe()
        self.buffer = b""
        command = [sys.executable, os.path.abspath(__file__), "--serve", str(theirs)]
        env = {k: v for k, v in os.environ.items() if k not in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")}
        env.update({"PYTHONUNBUFFERED": "1", **environment})
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, env=env, pass_fds=[theirs],
            start_new_session=True)
        os.close(theirs)

    def send(self, message):
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Died from error

    def hear(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            if not select.select([self.heard], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Late
            piece = os.read(self.heard, 1 << 16)
            if not piece:
                raise Died
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def printed(self, since=0, most=600):
        """What its processes printed since the log had this length: the beginning, where the reason stands."""
        with open(self.log.name, "rb") as file:
            file.seek(since)
            text = file.read(most).decode(errors="replace")
        return text.split("Exception raised from", 1)[0].strip()  # What follows is a backtrace.

    def length(self):
        return os.stat(self.log.name).st_size

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.heard)
        self.log.close()


class Lane(threading.Thread):
    """Takes jobs, one after the other."""

    def __init__(self, jobs, facts, record, limit):
        super().__init__(daemon=True)
        self.jobs, self.facts, self.record, self.limit = jobs, facts, record, limit
        self.server = None

    def run(self):
        while True:
            try:
                rows = self.jobs.get_nowait()
            except queue.Empty:
                break
            if rows[0].get("when") == "start":
                self.start_row(rows[0])
            else:
                self.job(rows)
        self.drop()

    def started(self):
        if self.server is None:
            self.server = Server({})
            self.server.hear(PREPARATION)
        return self.server

    def drop(self):
        if self.server is not None:
            self.server.close()
            self.server = None

    def job(self, rows):
        tries = 0
        while rows:
            done = 0
            try:
                done = self.once(self.started(), rows)
            except (Died, Late):
                self.drop()
            tries = 0 if done else tries + 1
            if tries == 3:
                self.record(given_up(rows[0], "three processes could not be prepared for it"))
                done = 1
            rows = rows[done:]

    def once(self, server, rows):
        """One process for these rows; how many of them got a verdict."""
        since, child, running, done = server.length(), None, False, 0
        server.send({"rows": rows, "facts": self.facts})
        while True:
            limit = (rows[done].get("limit", self.limit) if running else PREPARATION) if done < len(rows) else PREPARATION
            try:
                message = server.hear(limit)
            except Late:
                if child is None:
                    raise
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGKILL)
                if running:
                    self.record(ended(rows[done], "hung", f"no end within {limit:g} s", server.printed(since)))
                    done, running = done + 1, False
                continue
            if "process" in message:
                child = message["process"]
            elif "begin" in message:
                running = True
            elif "outcome" in message:
                self.record({**message, "expected": expected(rows[done])})
                since, done, running = server.length(), done + 1, False
            elif "ended" in message:
                if running:
                    self.record(ended(rows[done], "crashed", cause(message["ended"]), server.printed(since)))
                    done += 1
                return done

    def start_row(self, row):
        """A row about settings at the start: a process of its own from the first instruction on."""
        server = Server(row.get("env", {}))
        try:
            ready = server.hear(PREPARATION)
            if ready["ready"]:
                if not self.once(server, [row]):
                    self.record(ended(row, "crashed", "the process ended early", server.printed()))
            else:
                what = "import torch: " + ready["trouble"]
                named = all(any(p in what for p in name.split("|")) for name in row.get("names", []))
                broken = [] if row.get("raises") and named else [{"clause": "answer", "what": what[:400]}]
                self.record({"id": row["id"], "outcome": "broken" if broken else "kept", "observed": what[:400],
                             "broken": broken, "expected": expected(row), "seconds": 0})
        except Died:
            self.record(ended(row, "crashed", cause(server.process.wait()), server.printed()))
        except Late:
            self.record(ended(row, "hung", f"torch was not imported within {PREPARATION} s", server.printed()))
        finally:
            server.close()


def cause(code):
    if code >= 0:
        return f"the process ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process was ended by signal {-code}"


def ended(row, outcome, how, printed):
    observed = how + (f"; it printed: {' '.join(printed.split())}" if printed else "")
    return {"id": row["id"], "outcome": outcome, "observed": observed, "expected": expected(row),
            "broken": [{"clause": outcome, "what": how}], "seconds": None}


def given_up(row, why):
    return {"id": row["id"], "outcome": "not_applicable", "observed": why, "expected": expected(row),
            "broken": [], "seconds": None}


def expected(row):
    """The promise in one line."""
    parts = []
    if "returns" in row:
        parts.append("returns " + row["returns"])
    if "raises" in row:
        parts.append("raises " + " or ".join(row["raises"]))
    if row.get("names"):
        parts.append("the message has " + ", ".join(name.replace("|", " or ") for name in row["names"]))
    text = (" or " if "returns" in row else ", ").join(parts[:2]) + "".join(f", {p}" for p in parts[2:])
    return "; ".join([text] + [f"then {check}" for check in row.get("then", [])])


def probe(rows):
    """What the machine can do; the asynchronous backend is looked at in a process of its own, if a row needs it."""
    facts = probe_with({})
    if any("async" in row.get("needs", []) for row in rows):
        with contextlib.suppress(NoMachine):
            facts["async"] = probe_with({"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"})["allocates"]
    return facts


def probe_with(environment):
    server = Server(environment)
    try:
        ready = server.hear(PREPARATION)
        if not ready["ready"]:
            raise NoMachine(f"torch cannot be imported: {ready['trouble']}")
        server.send({"probe": True})
        while True:
            message = server.hear(PREPARATION)
            if "facts" in message:
                if not message["facts"]["devices"]:
                    raise NoMachine("torch finds no GPU")
                return message["facts"]
            if "ended" in message:
                raise NoMachine(f"no GPU that torch can use: {reason(server.printed(most=20000))}")
    except (Died, Late) as error:
        raise NoMachine(f"the first process failed: {reason(server.printed(most=20000))}") from error
    finally:
        server.close()


def reason(printed):
    """The last line of a traceback, or of whatever was printed."""
    return printed.strip().splitlines()[-1] if printed.strip() else "it printed nothing"


def jobs_of(rows):
    """Rows that share a process together, the others one by one; the longest first."""
    alone = [[row] for row in rows if row.get("when") in ALONE or row.get("own_process")]
    together = [row for row in rows if row.get("when") not in ALONE and not row.get("own_process")]
    starts = [job for job in alone if job[0].get("when") == "start"]
    rest = [job for job in alone if job[0].get("when") != "start"]
    return starts + [together[i:i + SHARED] for i in range(0, len(together), SHARED)] + rest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", default="-", help="a JSON file, or - for standard input")
    parser.add_argument("--out", default="-", help="where verdicts go, or - for standard output")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time")
    parser.add_argument("--limit", type=float, default=30, help="seconds for a row")
    parser.add_argument("--row", action="append", default=[], help="only rows whose id matches this glob")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return
    with contextlib.ExitStack() as files:
        source = sys.stdin if arguments.rows == "-" else files.enter_context(open(arguments.rows, encoding="utf-8"))
        rows = json.load(source)
        out = sys.stdout if arguments.out == "-" else files.enter_context(open(arguments.out, "w", encoding="utf-8"))
        judge_all([r for r in rows if wanted(r, arguments.row)], arguments, out)


def wanted(row, globs):
    return not globs or any(fnmatch.fnmatchcase(row["id"], glob) for glob in globs)


def judge_all(rows, arguments, out):
    import contract_state

    began, lock, counts = time.monotonic(), threading.Lock(), {}
    try:
        facts = probe(rows)
    except NoMachine as error:
        out.write(json.dumps({"failed": str(error)}) + "\n")
        sys.exit(1 if out is sys.stdout else f"contract.py: {error}")

    def record(verdict):
        with lock:
            counts[verdict["outcome"]] = counts.get(verdict["outcome"], 0) + 1
            out.write(json.dumps(verdict) + "\n")
            out.flush()

    out.write(json.dumps({"facts": facts}) + "\n")
    apply = []
    for row in rows:
        why = contract_state.lacking(row, facts)
        if why is None:
            apply.append(row)
        else:
            record(given_up(row, why))
    # What looks at a whole device comes last, when nobody else is on it.
    for part in ([r for r in apply if not r.get("exclusive")], [r for r in apply if r.get("exclusive")]):
        jobs = queue.Queue()
        for job in jobs_of(part):
            jobs.put(job)
        lanes = arguments.jobs if part and not part[0].get("exclusive") else 1
        running = [Lane(jobs, facts, record, arguments.limit) for _ in range(min(lanes, jobs.qsize()))]
        for lane in running:
            lane.start()
        for lane in running:
            lane.join()
    seconds = time.monotonic() - began
    if out is sys.stdout:
        return
    sys.stderr.write(f"{len(rows)} rows in {seconds:.1f} s: {', '.join(f'{v} {k}' for k, v in sorted(counts.items()))}\n")


if __name__ == "__main__":
    main()
