"""The adapter of `torch@cuda` and `torch@sim`: asks a live PyTorch, through what its users call, what poolproof asks.

Decides what a refusal is called, which thread a call comes from, and when the process has to be another one. Speaks
poolproof-worker/2 (docs/worker-protocol.md) over descriptors 3 and 4. Which function an operation becomes is worker_sequence.py's, what
the devices are made to do worker_device.py's, how figures and events are told worker_shown.py's. PyTorch is imported when the first
sequence says under which settings.
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
VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")


def refusal(torch, error):
    """What was raised, as an answer."""
    message = str(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        kind = "out_of_memory"
    elif isinstance(error, OverflowError):
        kind = "out_of_memory"  # no request of that size reaches the allocator
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
    """Threads that calls come from; the first is this one."""

    def __init__(self):
        self.queues, self.host = {}, None

    def run(self, thread, act):
        if thread == 0:
            return act()
        if thread not in self.queues:
            asked, answered = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=self.serve, args=(asked, answered), daemon=True).start()
            self.queues[thread] = asked, answered
        asked, answered = self.queues[thread]
        asked.put(act)
        return answered.get()

    def serve(self, asked, answered):
        self.host.enter_thread()
        while (act := asked.get()) is not None:
            answered.put(act())

    def end(self):
        for asked, _ in self.queues.values():
            asked.put(None)
        self.queues.clear()


class Worker:
    def __init__(self, config, limited, simulated):
        self.config, self.limited, self.simulated = config, limited, simulated
        self.read = None
        self.torch = self.host = self.shown = self.sequence = None
        self.callers = Callers()
        self.is_spoiled = False

    def start(self, config):
        """Reads the settings, once a process, and everything that stands on them."""
        for variable in VARIABLES:  # the first that exists wins: only ours may
            os.environ.pop(variable, None)
        if config:
            os.environ["PYTORCH_CUDA_ALLOC_CONF"] = config
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
        config = setup.get("config") or self.config
        if self.torch is None:
            try:
                self.start(config)
            except Exception as error:  # noqa: BLE001: whatever keeps torch from serving is the answer
                return json.dumps({"refused": {"error": {"message": f"{type(error).__name__}: {error}"}}})
        elif config != self.read or self.is_spoiled:
            return '{"restart":{}}'
        self.sequence = worker_sequence.Sequence(self.torch, self.host, self.shown, setup, STREAMS)
        info = {
            "devices": [
                {"name": self.host.name(d), "total_bytes": self.host.total(d), "streams": self.host.handles(d),
                 **({"limit_bytes": limit} if (limit := self.sequence.told_limits[d]) is not None else {})}
                for d in range(self.sequence.count)
            ],
            "streams": self.sequence.streams,
            "capabilities": self.host.capabilities(),
            "config": self.read or None,
        }
        versions = {"allocator": self.torch.__version__, "driver": self.host.driver()}
        return json.dumps({"opened": {"info": info, "versions": versions, "devices": self.shown.whole()}})

    def apply(self, op, thread):
        name, fields = (op, {}) if isinstance(op, str) else next(iter(op.items()))
        sequence = self.sequence
        act = getattr(sequence, name, None)
        if act is None:
            return '{"applied":{"reply":{"refused":{"class":"unsupported","message":"PyTorch has no call for it"}}}}'

        def asked():
            try:
                return act(**fields)
            except worker_sequence.Unknown as unknown:
                return f'{{"dropped":"{unknown}"}}'
            except Exception as error:  # noqa: BLE001: whatever PyTorch raises is the answer
                return refusal(self.torch, error)

        device = sequence.about = fields.get("device")
        if device is not None and device >= sequence.count:
            # Of the machine's devices a sequence has the first few: what comes after them does not exist for it.
            fields = {**fields, "device": min(device + self.host.count, 2**31 - 1)}
        with self.host.watched():
            reply = self.callers.run(thread, asked)
        if sequence.records:
            for device in range(sequence.count):
                self.host.settle(device)
        devices, events = self.shown.changes(name, sequence.about, reply.startswith('{"refused"'))
        pool = f',"pool":{made}' if (made := sequence.made) else ""
        sequence.made = None
        return f'{{"applied":{{"reply":{reply}{devices}{events}{pool}}}}}'

    def close(self):
        self.callers.end()
        clean = self.sequence is None or self.sequence.end()
        self.sequence = None
        self.is_spoiled |= not clean
        return '{"closed":{"restart":true}}' if self.is_spoiled else '{"closed":{}}'

    def answer(self, line):
        (kind, asked), = json.loads(line).items()
        if kind == "apply":
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


def main(config="", limited="limited", place="cuda"):
    worker = Worker(config, limited == "limited", place == "sim")
    gc.disable()  # what is collected when is ours to say
    with os.fdopen(3, "rb") as questions:
        for line in questions:
            text = worker.answer(line) + "\n"
            left = memoryview(text.encode())
            while left:
                left = left[os.write(4, left):]
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
