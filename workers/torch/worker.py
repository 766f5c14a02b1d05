"""The adapter of `torch@cuda` and `torch@sim`: asks a live PyTorch, through what its users call, what poolproof asks.

Decides what a refusal is called, which thread a call comes from, and when the process has to be another one (`Elsewhere`). Speaks
poolproof-worker/2 (docs/worker-protocol.md). Which function an operation becomes is worker_sequence.py's, what the devices are made to do
worker_device.py's, how figures and events are told worker_shown.py's; where its processes come from is worker_front.py's.
"""

import gc
import json
import os
import queue
import sys
import threading

import worker_device
import worker_sequence
import worker_shown

PROTOCOL = "poolproof-worker/2"
STREAMS = 8
# Each snapshot takes a reference to `True` that nobody gave it (reports/trophies.md); before 3.12 Python counts them. A process that
# took so many is not asked for another sequence: what it came to would show in no sequence by itself.
MOST_SNAPSHOTS = 4000 if sys.version_info < (3, 12) else sys.maxsize
DECODE = json.JSONDecoder().raw_decode
VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")


def set_settings(config):
    """PyTorch reads them when its allocator is asked for the first time, and which allocator that is when it is imported."""
    for variable in VARIABLES:  # the first that exists wins: only ours may
        os.environ.pop(variable, None)
    if config:
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = config


def wanted(setup, own):
    """The settings of a sequence. Those of its own come behind the allocator that the target's name asks for: another one is another
    target."""
    config = setup.get("config") or own
    of = [part for part in (own or "").split(",") if part.strip().startswith("backend:")]
    return f"{of[-1]},{config}" if of and "backend:" not in config else config


class Elsewhere(Exception):
    """Only another process can answer this question, or the next, where none is named."""


def refusal(torch, error):
    """What was raised, as an answer."""
    message = str(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        kind = "out_of_memory"
    elif isinstance(error, NotImplementedError):
        kind = "unsupported"
    elif "invalid device ordinal" in message or "Invalid device" in message:
        kind = "invalid_argument"
    elif "CUDA error: out of memory" in message:
        kind = "out_of_memory"
    elif "CUDA error: " in message or "CUDA driver error: " in message:
        kind = "device_error"
    elif "invalid device pointer" in message:
        kind = "invalid_pointer"
    else:
        kind = "invalid_argument"
    return json.dumps({"refused": {"class": kind, "message": message or type(error).__name__}})


class Callers:
    """Threads that calls come from, but for the first, which is the caller's own."""

    def __init__(self, asked):
        self.asked, self.queues, self.host = asked, {}, None

    def run(self, thread, act, fields):
        if thread not in self.queues:
            asked, answered = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=self.serve, args=(asked, answered), daemon=True).start()
            self.queues[thread] = asked, answered
        asked, answered = self.queues[thread]
        asked.put((act, fields))
        return answered.get()

    def serve(self, asked, answered):
        self.host.enter_thread()
        while (call := asked.get()) is not None:
            answered.put(self.asked(*call))

    def end(self):
        for asked, _ in self.queues.values():
            asked.put(None)
        self.queues.clear()


class Worker:
    def __init__(self, config, limited, simulated):
        self.config, self.limited, self.simulated = config, limited, simulated
        self.read = None
        self.torch = self.host = self.shown = self.sequence = None
        self.callers = Callers(self.asked)
        # What was asked ahead is passed over: the harness may act on the latest answer.
        self.passes = False
        # The next question is there already.
        self.more = False
        self.is_spoiled = False

    def start(self, config):
        """Reads the settings, once a process, and everything that stands on them."""
        set_settings(config)
        watcher = None if self.simulated else worker_device.Watcher()
        import torch

        torch.cuda.init()
        self.torch, self.read = torch, config
        self.host = worker_device.host(torch, watcher, config, self.limited, STREAMS)
        self.callers.host = self.host
        self.shown = worker_shown.Shown(torch, self.host)
        if self.host.native:
            self.host.live()
        gc.freeze()  # what torch has made stays: looking through it takes a quarter of a second

    def open(self, setup):
        config = wanted(setup, self.config)
        is_new = self.torch is None
        if not is_new and config != self.read:
            raise Elsewhere
        try:
            if is_new:
                self.start(config)
            self.sequence = worker_sequence.Sequence(self.torch, self.host, self.shown, setup, STREAMS)
        except Exception as error:  # noqa: BLE001: whatever keeps torch from serving is the answer
            if not is_new:
                raise
            self.is_spoiled = True  # half of what it needs is there
            return json.dumps({"refused": {"error": {"message": f"{type(error).__name__}: {error}"}}})
        info = {
            "devices": [
                {"name": self.host.name(d), "total_bytes": self.host.total(d), "streams": self.host.handles(d),
                 **({"limit_bytes": limit} if (limit := self.sequence.told_limits[d]) is not None else {})}
                for d in range(self.sequence.count)
            ],
            "streams": self.sequence.streams,
            "capabilities": self.host.capabilities(),
            "config": self.read or None,
            "ahead": True,
        }
        versions = {"allocator": self.torch.__version__, "driver": self.host.driver()}
        return json.dumps({"opened": {"info": info, "versions": versions, "devices": self.shown.whole()}})

    def asked(self, act, fields):
        try:
            return act(**fields)
        except worker_sequence.Unknown as unknown:
            return f'{{"dropped":"{unknown}"}}'
        except Exception as error:  # noqa: BLE001: whatever PyTorch raises is the answer
            return refusal(self.torch, error)

    def apply(self, op, thread):
        name, fields = (op, {}) if isinstance(op, str) else next(iter(op.items()))
        sequence = self.sequence
        act = getattr(sequence, name, None)
        if act is None:
            return '{"applied":{"reply":{"refused":{"class":"unsupported","message":"PyTorch has no call for it"}}}}'

        device = sequence.about = fields.get("device")
        if device is not None and device >= sequence.count:
            # Of the machine's devices a sequence has the first few: what comes after them does not exist for it.
            fields = {**fields, "device": min(device + self.host.count, 2**31 - 1)}
        with self.host.watched():
            reply = self.callers.run(thread, act, fields) if thread else self.asked(act, fields)
        if sequence.unsettled is not None:
            self.host.settle(sequence.unsettled)
            sequence.unsettled = None
        devices, events, may_turn = self.shown.changes(name, sequence.about, reply.startswith('{"refused"'))
        self.passes = may_turn or reply.startswith('{"dropped"')
        pool = f',"pool":{made}' if (made := sequence.made) else ""
        sequence.made = None
        return f'{{"applied":{{"reply":{reply}{devices}{events}{pool}}}}}'

    def close(self):
        self.callers.end()
        clean = self.sequence is None or self.sequence.end()
        self.sequence = None
        self.is_spoiled = not clean or self.host is not None and self.host.snapshots > MOST_SNAPSHOTS
        return '{"closed":{}}'

    def answer(self, line):
        (kind, asked), = DECODE(line.decode())[0].items()
        self.more = "more" in asked
        if kind == "apply":
            if "ahead" not in asked:
                self.passes = False
            elif self.passes:
                return '{"passed_over":{}}'
            return self.apply(asked["op"], asked.get("thread", 0))
        if kind == "observe":
            return f'{{"observed":{{{self.shown.changes("", None, False, asked=False)[0][1:]}}}}}'
        if kind == "open":
            return self.open(asked["setup"])
        if kind == "close":
            return self.close()
        if kind == "hello":
            return json.dumps({"hello": {"protocol": PROTOCOL, "version": "1"}})
        return json.dumps({"misread": {"reason": f"nobody knows `{kind}`"}})


if __name__ == "__main__":
    sys.exit("this is a part of worker_front.py")
