"""One sequence of operations on a live PyTorch: which function of `torch` each becomes, and how it answers.

Decides what is live, and that nothing is left at the end. Used by worker.py.
"""

import gc
import json
import sys

import worker_shown


class Unknown(Exception):
    """A block, a pool or a graph that nobody has made, or no more."""


class Block:
    """What a caller holds: the address of a raw request, or a tensor."""

    __slots__ = ("device", "stream", "bytes", "address", "tensor", "recorded")

    def __init__(self, device, stream, size, address, tensor):
        self.device, self.stream, self.bytes, self.address, self.tensor = device, stream, size, address, tensor
        self.recorded = False


class Sequence:
    """What is live in it. A function for each operation, of its name."""

    def __init__(self, torch, host, shown, setup, most_streams):
        self.torch, self.host, self.shown = torch, host, shown
        self.cuda, self.memory = torch.cuda, torch.cuda.memory
        self.count = min(len(setup["device_bytes"]), torch.cuda.device_count())
        self.streams = min(setup["streams"], most_streams)
        self.blocks, self.pools, self.contexts = {}, {}, []
        # Graphs with their device and stream; by name the id of each one's pool, of graphs that were reset, too.
        self.graphs, self.graph_pools = {}, {}
        # A capture failed to begin or to end: what PyTorch has begun for it by then nobody can end.
        self.is_lost = False
        self.former = {}
        # The device that the latest call was about, and the one where it recorded events.
        self.about = self.unsettled = None
        # PyTorch's number for the pool that the latest call made.
        self.made = None
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
        if held.recorded:
            self.unsettled = held.device
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
        held.recorded = True
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
        return f'{{"contents":"{found}"}}' if isinstance(found, str) else json.dumps({"contents": found})

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
        place = self.cuda.current_device() if device is None else device
        self.host.fractions[place] = number(fraction)
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
        self.host.snapshots += 1
        return json.dumps({"snapshot": self.shown.snapshot(self.memory.memory_snapshot(), self.count)})

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
        self.made = list(made.id)
        self.pools[pool] = made
        return '"done"'

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

    # --- graphs ---

    def capture_begin(self, graph, device, stream, pool=None):
        on = self.host.stream(self.place(device), stream)  # a capture names a stream, and no stream is on a device that is not there
        made = self.cuda.CUDAGraph()
        if pool is None:
            shared, of = self.host.graph_pool(), {}
        else:
            (kind, name), = pool.items()
            shared = self.pool(name).id if kind == "pool" else self.graph_pools.get(name)
            if shared is None:
                raise Unknown("no_such_pool")
            of = {"pool": shared}
        with self.cuda.stream(on):
            self.host.captures(device, stream)
            self.is_lost = True
            made.capture_begin(**of, capture_error_mode="relaxed")
            self.is_lost = False
        self.graphs[graph], self.graph_pools[graph] = (made, device, stream), shared
        if pool is None:
            self.host.next_graph += 1
            self.made = list(shared)
        return '"done"'

    def capture_end(self, graph):
        made, device, stream = self.graph(graph)
        self.about = device
        self.is_lost = True
        with self.cuda.stream(self.host.stream(device, stream)):
            made.capture_end()
        self.is_lost = False
        self.host.captures(None)
        if made.pool() != self.graph_pools[graph]:
            raise RuntimeError(f"the pool of a graph is {made.pool()}, where {self.graph_pools[graph]} was to come (asked by the harness)")
        return '"done"'

    def graph_reset(self, graph):
        made, self.about, _ = self.graph(graph)
        made.reset()
        del self.graphs[graph]
        return '"done"'

    def graph(self, graph):
        if graph not in self.graphs:
            raise Unknown("no_such_pool")
        return self.graphs[graph]

    # --- the end ---

    def place(self, device):
        if not 0 <= device < self.count:
            raise ValueError(f"device {device} does not exist: there are {self.count}")
        return device

    def end(self):
        """Gives everything back: the next sequence begins with an allocator that holds nothing. Says whether it does."""
        if self.is_lost:
            self.host.let_words_go()  # whoever ends the process waits for nothing
            return False
        for made, device, stream in self.graphs.values():
            if self.host.is_capturing(device, stream):
                with self.cuda.stream(self.host.stream(device, stream)):
                    made.capture_end()
                self.host.captures(None)
            made.reset()
        self.graphs.clear()
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
        if self.host.native:
            self.memory.caching_allocator_enable(True)
        self.cuda.empty_cache()
        self.cuda.empty_cache()
        for device in range(self.count):
            self.memory.set_per_process_memory_fraction(self.host.first_fraction, device)
            if self.host.native:  # the driver's pools have no sums
                self.memory.reset_accumulated_memory_stats(device)
            self.memory.reset_peak_memory_stats(device)
        self.cuda.set_device(0)
        left = self.memory.memory_reserved if self.host.native else self.memory.memory_allocated
        return all(left(device) == 0 for device in range(self.count))


def number(value):
    """A float as the protocol writes it: those that JSON has no word for are texts."""
    return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.get(value, value)


if __name__ == "__main__":
    sys.exit("this is a part of worker.py")
