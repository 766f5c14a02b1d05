"""The adapter of `torch@cuda` and `torch@sim`: asks a live PyTorch, through what its users call, what poolproof asks.

Decides which function of `torch` an operation becomes, and when the process has to be another one. Speaks poolproof-worker/2
(docs/worker-protocol.md) over descriptors 3 and 4. What the devices are made to do is worker_device.py's, how figures and events
are told worker_shown.py's. PyTorch is imported when the first sequence says under which settings.
"""

import gc
import json
import os
import queue
import sys
import threading

import worker_device
import worker_shown

PROTOCOL = "poolproof-worker/2"
STREAMS = 8
VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")
# A request that cannot be a tensor: 0 bytes have no memory, and more than this never reach the allocator.
TENSOR_LIMIT = 1 << 60


class Unknown(Exception):
    """A block, a pool or a graph that nobody has made, or no more."""


class Block:
    """What a caller holds: the address of a raw request, or a tensor."""

    __slots__ = ("device", "stream", "bytes", "address", "tensor", "recorded")

    def __init__(self, device, stream, size, address, tensor):
        self.device, self.stream, self.bytes, self.address, self.tensor = device, stream, size, address, tensor
        self.recorded = False


class Life:
    """One sequence: what is live in it."""

    def __init__(self, torch, host, shown, setup):
        self.torch, self.host, self.shown = torch, host, shown
        self.cuda, self.memory = torch.cuda, torch.cuda.memory
        self.count = min(len(setup["device_bytes"]), torch.cuda.device_count())
        self.streams = min(setup["streams"], STREAMS)
        self.blocks, self.pools, self.contexts, self.graphs = {}, {}, [], {}
        self.reset_graphs = {}
        self.former = {}
        # The device that the latest call was about, and whether a block was recorded on a stream.
        self.about, self.records = None, False
        # PyTorch's numbers for pools go on from sequence to sequence; a sequence counts its own.
        self.pool_numbers = {}
        self.told_limits = host.limited(self.count, setup["device_bytes"])
        host.begin(self.count, self.streams)
        shown.begin(self.count, self.streams)

    # --- memory ---

    def alloc(self, block, stream, bytes, device=None, via="raw"):
        if via == "tensor":
            return self.tensor(block, device, stream, bytes)
        on = self.host.handle(device, stream) if device is None or 0 <= device < self.count else 0
        if device is None:
            address = self.memory.caching_allocator_alloc(bytes, stream=on)
            device = self.cuda.current_device()
        else:
            address = self.memory.caching_allocator_alloc(bytes, device, on)
        self.about = device
        self.blocks[block] = Block(device, stream, bytes, address, None)
        return f'{{"allocated":{{"address":{address}}}}}'

    def tensor(self, block, device, stream, size):
        where = "cuda" if device is None else f"cuda:{device}"
        if stream and (device is None or 0 <= device < self.count):
            with self.cuda.stream(self.host.stream(device, stream)):
                tensor = self.torch.empty(size, dtype=self.torch.uint8, device=where)
        else:
            tensor = self.torch.empty(size, dtype=self.torch.uint8, device=where)
        address, self.about = tensor.data_ptr(), tensor.device.index
        self.blocks[block] = Block(tensor.device.index, stream, size, address, tensor)
        return f'{{"allocated":{{"address":{address}}}}}'

    def free(self, block):
        held = self.block(block)
        if held.tensor is None:
            self.memory.caching_allocator_delete(held.address)
        del self.blocks[block]
        self.former[block] = held.address
        held.tensor = None
        return '"done"'

    def block(self, block):
        held = self.blocks.get(block)
        if held is None:
            raise Unknown("no_such_block")
        self.about = held.device
        return held

    def free_pointer(self, pointer):
        if pointer == "null":
            address = 0
        else:
            (kind, of), = pointer.items()
            if kind == "wild":
                address = of["address"]
            elif kind == "freed":
                address = self.former.get(of["block"])
            else:
                address = self.block(of["block"]).address + of["offset"]
        if address is None:
            raise Unknown("no_such_block")
        self.memory.caching_allocator_delete(address)
        return '"done"'

    def record_stream(self, block, stream):
        held = self.block(block)
        if held.tensor is None:
            if held.bytes == 0:
                return '"done"'
            raise NotImplementedError("only a tensor can be recorded on a stream, and this block is none")
        held.tensor.record_stream(self.host.stream(held.device, stream))
        held.recorded = self.records = True
        return '"done"'

    def empty_cache(self):
        self.cuda.empty_cache()
        return '"done"'

    # --- contents ---

    def fill(self, block):
        held = self.block(block)
        self.host.write(held.device, held.stream, held.address, held.bytes, block)
        return '"done"'

    def use(self, block, stream):
        held = self.block(block)
        self.host.write(held.device, stream, held.address, held.bytes, block)
        return '"done"'

    def verify(self, block):
        held = self.block(block)
        found = self.host.check(held.device, held.stream, held.address, held.bytes, block)
        return json.dumps({"contents": found})

    # --- streams ---

    def occupy(self, device, stream):
        self.host.occupy(self.place(device), stream)
        return '"done"'

    def finish(self, device, stream):
        self.host.finish(self.place(device), stream)
        return '"done"'

    def wait_stream(self, device, stream, on):
        self.host.wait_stream(self.place(device), stream, on)
        return '"done"'

    def synchronize(self, device):
        self.host.release(self.place(device))
        self.cuda.synchronize(device)
        return '"done"'

    # --- limits, figures, texts ---

    def set_fraction(self, fraction, device=None):
        self.memory.set_per_process_memory_fraction(number(fraction), device)
        return '"done"'

    def get_fraction(self, device=None):
        return json.dumps({"fraction": worker_shown.fraction(self.memory.get_per_process_memory_fraction(device))})

    def memory_info(self, device):
        free, total = self.memory.mem_get_info(device)
        return f'{{"memory_info":{{"free_bytes":{free},"total_bytes":{total}}}}}'

    def reset_peak(self, device):
        self.memory.reset_peak_memory_stats(device)
        return '"done"'

    def reset_accumulated(self, device):
        self.memory.reset_accumulated_memory_stats(device)
        if 0 <= device < self.count:
            self.shown.reset(device)
        return '"done"'

    def dictionary(self, device):
        return json.dumps({"dictionary": self.shown.counted(device, self.memory.memory_stats(device))})

    def summary(self, device, abbreviated):
        return json.dumps({"text": self.memory.memory_summary(device, abbreviated)})

    def snapshot(self):
        return json.dumps({"snapshot": self.shown.snapshot(self.memory.memory_snapshot(), self.count, self.pool_number)})

    def set_current(self, device):
        self.cuda.set_device(device)
        return '"done"'

    def set_caching(self, enabled):
        self.memory.caching_allocator_enable(enabled)
        return '"done"'

    def cycle_end(self):
        return '"done"'

    # --- private pools ---

    def pool_create(self, pool, device, use_on_oom=False, no_split=False):
        with self.cuda.device(device):
            made = self.cuda.MemPool(use_on_oom=use_on_oom, no_split=no_split)
        self.pool_numbers[tuple(made.id)] = pool + 1
        self.pools[pool] = made
        return '"done"'

    def pool_number(self, numbers):
        """As a process would have numbered it whose first pool was the sequence's pool 0."""
        first, second = numbers
        return [first, self.pool_numbers.get((first, second), second)]

    def pool(self, pool):
        if pool not in self.pools:
            raise Unknown("no_such_pool")
        return self.pools[pool]

    def pool_enter(self, pool, device):
        context = self.memory.use_mem_pool(self.pool(pool), device)
        context.__enter__()
        self.contexts.append((pool, device, context))
        return '"done"'

    def pool_exit(self, pool, device):
        for at in reversed(range(len(self.contexts))):
            if self.contexts[at][:2] == (pool, device):
                self.contexts.pop(at)[2].__exit__(None, None, None)
                return '"done"'
        raise Unknown("not_nested")

    def pool_delete(self, pool):
        self.pool(pool)
        del self.pools[pool]
        return '"done"'

    # --- the end ---

    def place(self, device):
        if not 0 <= device < self.count:
            raise ValueError(f"device {device} does not exist: there are {self.count}")
        return device

    def end(self):
        """Gives everything back: the next sequence begins with an allocator that holds nothing."""
        self.host.end_all()
        while self.contexts:
            self.contexts.pop()[2].__exit__(None, None, None)
        for held in self.blocks.values():
            if held.tensor is None:
                self.memory.caching_allocator_delete(held.address)
            held.tensor = None
        self.blocks.clear()
        self.pools.clear()
        gc.collect()
        for device in range(self.count):
            self.cuda.synchronize(device)
        self.memory.caching_allocator_enable(True)
        self.cuda.empty_cache()
        self.cuda.empty_cache()
        for device in range(self.count):
            self.memory.set_per_process_memory_fraction(self.host.first_fraction, device)
            self.memory.reset_accumulated_memory_stats(device)
            self.memory.reset_peak_memory_stats(device)
        self.cuda.set_device(0)
        return all(self.memory.memory_reserved(device) == 0 for device in range(self.count))


def number(value):
    """A float as the protocol writes it: those that JSON has no word for are texts."""
    return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.get(value, value)


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
        self.queues = {}

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

    @staticmethod
    def serve(asked, answered):
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
        self.torch = self.host = self.shown = self.life = None
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
        self.shown = worker_shown.Shown(torch, self.host)
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
        self.life = Life(self.torch, self.host, self.shown, setup)
        info = {
            "devices": [
                {"name": self.host.name(d), "total_bytes": self.host.total(d), "streams": self.host.handles(d, self.life.streams),
                 **({"limit_bytes": limit} if (limit := self.life.told_limits[d]) is not None else {})}
                for d in range(self.life.count)
            ],
            "streams": self.life.streams,
            "capabilities": self.host.capabilities(),
            "config": self.read or None,
        }
        versions = {"allocator": self.torch.__version__, "driver": self.host.driver()}
        return json.dumps({"opened": {"info": info, "versions": versions, "devices": self.shown.whole()}})

    def apply(self, op, thread):
        name, fields = (op, {}) if isinstance(op, str) else next(iter(op.items()))
        life = self.life
        act = getattr(life, name, None)
        if act is None:
            return '{"applied":{"reply":{"refused":{"class":"unsupported","message":"PyTorch has no call for it"}}}}'

        def asked():
            try:
                return act(**fields)
            except Unknown as unknown:
                return f'{{"dropped":"{unknown}"}}'
            except Exception as error:  # noqa: BLE001: whatever PyTorch raises is the answer
                return refusal(self.torch, error)

        life.about = fields.get("device")
        with self.host.watched():
            reply = self.callers.run(thread, asked)
        if life.records:
            for device in range(life.count):
                self.host.settle(device)
        devices, events = self.shown.changes(name, life.about, reply.startswith('{"refused"'))
        return f'{{"applied":{{"reply":{reply}{devices}{events}}}}}'

    def close(self):
        self.callers.end()
        clean = self.life is None or self.life.end()
        self.life = None
        self.is_spoiled |= not clean
        return '{"closed":{"restart":true}}' if self.is_spoiled else '{"closed":{}}'

    def answer(self, line):
        (kind, asked), = json.loads(line).items()
        if kind == "apply":
            return self.apply(asked["op"], asked.get("thread", 0))
        if kind == "observe":
            return f'{{"observed":{{{self.shown.changes("", None, False)[0][1:]}}}}}'
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
