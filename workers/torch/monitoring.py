#!/usr/bin/env python3
"""Measures what tells of device memory: list_gpu_processes against NVML, the cost of figures, their delay and error.

    python3 monitoring.py --scratch FOLDER --seconds 30 --own /path/to/poolproof

Decides which processes are started, in which order the parts run, and what becomes of a process that ends or hangs. Lines of
JSON go out: facts, rows, costs, delays, and what could not be measured and why. Needs Python 3.9 or later, torch and a GPU.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import json
import os
import sys
import tempfile
import threading

import monitoring_cost
import monitoring_delay
import monitoring_fakes
import monitoring_faults
import monitoring_processes
import monitoring_rows
from monitoring_child import Child, Gone, Refused


# Rows are told from several threads, each in a line of its own.
SAYING = threading.Lock()


# ---- in the processes that have torch -----------------------------------------------------------

def serve(wire):
    """Answers requests, one line each, until nobody is left to ask."""
    def say(message):
        os.write(wire, json.dumps(message).encode() + b"\n")

    try:
        import torch
    except Exception as error:  # noqa: BLE001
        say({"error": f"torch cannot be imported: {error}"})
        return
    state = {"torch": torch, "nvml": None, "neighbour": neighbour_of_simulated}
    requests = {"probe": probe, "hold": hold, "sim_neighbour": neighbour_of_simulated, **monitoring_rows.REQUESTS,
                **monitoring_cost.REQUESTS, **monitoring_delay.REQUESTS}
    say({"answer": "ready"})
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("request")
        try:
            say({"answer": requests[name](state, **request)})
        except Exception as error:  # noqa: BLE001
            say({"error": f"{type(error).__name__}: {error}"})


def probe(state):
    torch = state["torch"]
    count = torch.cuda.device_count()
    facts = {
        "torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0],
        "names": [torch.cuda.get_device_name(d) for d in range(count)], "simulated": simulated() is not None,
        "pynvml": None, "driver": None, "nvml": None, "nvml_missing": None, "own_pid_listed": None,
    }
    if count:
        torch.cuda.caching_allocator_alloc(1 << 20, 0)  # Whether there is a device at all.
    with contextlib.suppress(Exception):
        import pynvml
        facts["pynvml"] = str(getattr(pynvml, "__version__", "of an unknown version"))
    try:
        nvml = monitoring_rows.nvml(state)
        with contextlib.suppress(Exception):
            facts["driver"] = nvml.driver()
        handle = nvml.handle(nvml.index_of(torch, 0)) if count else None
        listed = nvml.processes(handle) if count else []
        facts["nvml"] = nvml.list[0] if nvml.list else None
        facts["own_pid_listed"] = os.getpid() in [pid for pid, _ in listed]
    except Exception as error:  # noqa: BLE001
        facts["nvml_missing"] = str(error)
    return facts


def hold(state, device, size):
    """Holds memory of a device as long as the process runs."""
    state["torch"].cuda.caching_allocator_alloc(size, device)
    state["torch"].cuda.synchronize(device)
    return state["torch"].cuda.memory_reserved(device)


def simulated():
    """The library of `poolproof simcuda`, if this process runs on it."""
    paths = [p for p in os.environ.get("LD_PRELOAD", "").replace(" ", ":").split(":") if "libpoolproof_simcuda" in p]
    return paths[0] if paths else None


def neighbour_of_simulated(_state, device, size):
    """Tells the simulated device that another process holds so much; 0 ends it."""
    return ctypes.CDLL(simulated()).poolproof_sim_neighbour(ctypes.c_int(device), ctypes.c_uint64(size))


# ---- in the process that asks them --------------------------------------------------------------

class Session:
    """What the parts are given: how to start processes, and where results go."""

    def __init__(self, arguments):
        self.scratch = arguments.scratch or tempfile.mkdtemp(prefix="monitoring-")
        self.seconds, self.own = arguments.seconds, arguments.own
        self.facts = {}

    def child(self, environment=None):
        return Child(self.scratch, environment)

    def environment(self):
        """pynvml as it is installed here, or a stand-in for it."""
        if self.facts.get("pynvml"):
            return {}
        return self.path(monitoring_fakes.module(os.path.join(self.scratch, "stand-in"), monitoring_fakes.SOUND))

    def path(self, folder):
        """So that modules of a folder are found first."""
        before = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": folder + (":" + before if before else "")}

    def say(self, **message):
        with SAYING:
            print(json.dumps(message), flush=True)

    def missing(self, part, device, why):
        self.say(missing={"part": part, "device": device, "why": str(why)[:600]})

    @property
    def simulated(self):
        return simulated()

    def devices(self):
        return range(len(self.facts["names"]))


def processes(session):
    with session.child(session.environment()) as asked:
        for device in session.devices():
            monitoring_processes.on_device(session, asked, device)
        monitoring_faults.in_one_process(session, asked)
    with concurrent.futures.ThreadPoolExecutor(max(2, min(8, (os.cpu_count() or 2) // 2))) as pool:
        for job in [pool.submit(job) for job in monitoring_faults.apart(session)]:
            job.result()
    # By now nobody else of ours comes and goes.
    monitoring_faults.visible(session)
    monitoring_faults.reordered(session)


def steps(session, parts):
    """About how many results there will be."""
    devices = len(session.devices())
    each = {
        "processes": devices * (6 if session.simulated else 7) + 8 + len(monitoring_fakes.MODULES)
        + 2 * len(monitoring_fakes.LIBRARIES),
        "cost": devices * len(monitoring_cost.LIVE) * monitoring_cost.CALLS,
        "delay": devices * len(monitoring_delay.FIGURES) * len(monitoring_delay.RATES),
    }
    return sum(each[part] for part in parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scratch", help="a folder for files that nobody needs afterwards")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of watching changes, for each device")
    parser.add_argument("--part", action="append", choices=["processes", "cost", "delay"], help="only this part")
    parser.add_argument("--own", help="the program whose `processes` is asked, too")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve)
        return
    session = Session(arguments)
    try:
        with session.child() as child:
            session.facts = child.ask("probe")
        if not session.facts["names"]:
            raise Refused("torch finds no GPU")
    except (Gone, Refused) as error:
        session.say(failed=str(error))
        return
    session.say(facts=session.facts)
    session.say(steps=steps(session, arguments.part or ["processes", "cost", "delay"]))
    for name, part in [("processes", processes), ("cost", monitoring_cost.run),
                       ("delay", monitoring_delay.run)]:
        if arguments.part and name not in arguments.part:
            continue
        try:
            part(session)
        except (Gone, Refused) as error:
            session.missing(name, None, error)
    session.say(end=True)


if __name__ == "__main__":
    main()
