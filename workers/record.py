#!/usr/bin/env python3
"""Records what a live PyTorch's CUDA caching allocator does, in the format `poolproof/1`.

Decides which operations are asked and how answers are written down; predicts nothing. The format is described in
README.md beside this file. Needs the standard library, an NVIDIA GPU, and torch or a released allocator alone (`--library`). One
process makes one recording, because the allocator reads its settings once.
"""

import argparse
import concurrent.futures
import ctypes
import gc
import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import time

FORMAT = "poolproof/1"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PROFILES = ("mixed", "pressure", "streams", "waits", "gc", "multi", "ballast", "pools", "capture", "settings", "caching", "neighbour")
STREAMS = 4
SEGMENT_FIELDS = (
    "device", "address", "total_size", "allocated_size", "active_size", "requested_size",
    "stream", "segment_type", "segment_pool_id", "is_expandable",
)
BLOCK_FIELDS = ("address", "size", "requested_size", "state")
UNITS = {"": 1, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": 1 << 40}

# How many times in a thousand operations each is drawn; what is missing to a thousand is allocations and frees.
RARE = {"empty_cache": 4, "reset_peak": 7, "reset_accumulated": 6}
DRAWN = {
    "mixed": RARE,
    "pressure": {**RARE, "empty_cache": 7, "set_fraction": 9},
    "gc": {**RARE, "empty_cache": 8, "set_fraction": 7},
    "ballast": {**RARE, "empty_cache": 12},
    "streams": {**RARE, "empty_cache": 10, "record_stream": 110, "synchronize": 45, "occupy": 27},
    "waits": {**RARE, "empty_cache": 10, "record_stream": 110, "synchronize": 40, "occupy": 27, "wait_stream": 60},
    "multi": {**RARE, "empty_cache": 10, "record_stream": 100, "synchronize": 45, "occupy": 22},
    "pools": {
        **RARE, "empty_cache": 12, "record_stream": 70, "synchronize": 20, "occupy": 6, "set_fraction": 3,
        "pool_create": 14, "pool_enter": 40, "pool_exit": 44, "pool_delete": 12,
    },
    "capture": {
        **RARE, "empty_cache": 10, "record_stream": 70, "synchronize": 20, "occupy": 4,
        "pool_create": 5, "pool_enter": 12, "pool_exit": 25, "pool_delete": 4, "capture_begin": 14, "graph_reset": 8,
    },
    "settings": {**RARE, "empty_cache": 10, "set_settings": 25, "set_fraction": 4},
    "caching": {**RARE, "empty_cache": 8, "set_caching": 30, "set_fraction": 4},
    "neighbour": {**RARE, "empty_cache": 8, "neighbour": 14, "set_fraction": 4},
}


def parse_bytes(text):
    found = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?)(i?b)?\s*", text.lower())
    if not found:
        raise argparse.ArgumentTypeError(f"not a size: {text!r} (write 3GiB, 512MiB or a number of bytes)")
    return int(float(found.group(1)) * UNITS[found.group(2)])


class Block:
    """A live allocation. `outside` and `inside`: streams recorded while nothing, or something, redirected the device."""

    def __init__(self, device, stream, size, via, held, direct=False):
        self.device, self.stream, self.size, self.via, self.held = device, stream, size, via, held
        self.direct = direct  # got past the cache, which was switched off
        self.outside, self.inside = set(), set()


class Graph:
    def __init__(self, graph, device):
        self.graph, self.device, self.pool_id = graph, device, None


class Neighbour:
    """A process that holds memory of a device: one of our own, or one that the simulated device is told of."""

    def __init__(self, torch, library):
        self.torch, self.library, self.holders = torch, library, {}
        preloaded = [path for path in os.environ.get("LD_PRELOAD", "").replace(":", " ").split() if "simcuda" in path]
        self.simulated = ctypes.CDLL(preloaded[0]).poolproof_sim_neighbour if preloaded else None

    def hold(self, device, held, left):
        """Has `held` bytes held by it, or all but `left` of what is free without it. Answers how many it holds."""
        if self.simulated:
            code = self.simulated(ctypes.c_int(device), ctypes.c_uint64(held))
            if code != 0:
                raise RuntimeError(f"the simulated device took no neighbour: {code}")
            return held
        self.end(device)
        if held == 0:
            return 0
        holder = holding(left, device, self.library)
        self.holders[device] = holder
        return holder.held

    def end(self, device):
        holder = self.holders.pop(device, None)
        if holder is not None:
            ended(holder)

    def gone(self):
        for device in list(self.holders):
            self.end(device)
        if self.simulated:
            for device in range(self.torch.cuda.device_count()):
                self.simulated(ctypes.c_int(device), ctypes.c_uint64(0))


class Recorder:
    """Asks operations of PyTorch one by one and writes down what changed."""

    def __init__(self, torch, args, out):
        self.torch, self.args, self.out = torch, args, out
        self.rng = random.Random(args.seed)
        self.native = torch.cuda.get_allocator_backend() == "native"
        count = torch.cuda.device_count() if args.profile == "multi" else 1
        if args.profile == "multi" and count < 2:
            raise SystemExit("the profile `multi` needs two GPUs or more")
        self.devices = list(range(count))
        self.total = {}
        self.problems = []
        self.lines_written = 0
        self.next_block = self.next_pool = self.next_graph = 0
        self.streams = {}
        self.cycles = {}
        self.shows_idle = args.profile in ("streams", "waits", "multi", "pools", "capture")
        for device in self.devices:
            with torch.cuda.device(device):
                self.total[device] = torch.cuda.get_device_properties(device).total_memory
                others = [torch.cuda.Stream(device=device) for _ in range(STREAMS - 1)]
                self.streams[device] = [torch.cuda.default_stream(device), *others]
                if self.shows_idle:
                    self.cycles[device] = self.cycles_for(device, args.spin)
        torch.cuda.set_device(self.devices[0])
        self.neighbours = Neighbour(torch, args.library) if args.profile == "neighbour" else None
        self.fraction = {device: self.first_fraction() for device in self.devices}
        self.forget()

    def forget(self):
        """What an episode starts with: nothing."""
        self.held = {}
        self.blocks, self.pools, self.graphs, self.captured_into = {}, {}, {}, set()
        self.entered = {device: [] for device in self.devices}
        self.capture = None
        self.busy = {device: {} for device in self.devices}
        # Busy streams that have nothing of their own to do: they wait for these others.
        self.waits = {device: {} for device in self.devices}
        self.hazard = {device: set() for device in self.devices}
        self.dead_pools = False
        self.recent = []
        self.cached = self.args.caching == "on"

    # --- the device ---

    def cycles_for(self, device, seconds):
        """How many cycles the spin kernel must count to spin for so long at the fastest clock seen."""
        torch = self.torch
        torch.cuda._sleep(1000)
        torch.cuda.synchronize(device)
        rate = float(getattr(torch.cuda.get_device_properties(device), "clock_rate", 0) or 0) * 1000.0
        cycles = 50_000_000
        for _ in range(4):
            start = time.perf_counter()
            torch.cuda._sleep(cycles)
            torch.cuda.synchronize(device)
            rate = max(rate, cycles / max(time.perf_counter() - start, 1e-6))
            cycles = int(min(rate, 4e9) * 0.05)
        return int(min(rate, 4e9) * seconds)

    def first_fraction(self):
        found = re.search(r"per_process_memory_fraction:([0-9.eE+-]+)", self.args.config)
        return float(found.group(1)) if found else None

    def fractions(self, device):
        """Fractions under pressure: the same few GiB on a card of any size."""
        return [round(1.5e11 * part / self.total[device], 4) for part in (0.005, 0.01, 0.02, 0.03, 0.05)]

    def episode_fraction(self, device, episode):
        from_config = self.first_fraction()
        if from_config is not None:
            return from_config
        if self.args.profile in ("pressure", "gc"):
            return self.rng.choice(self.fractions(device)[1:])
        if self.args.profile in ("settings", "caching") and episode % 2 == 1:
            return self.rng.choice(self.fractions(device)[1:])
        if self.args.profile in ("pools", "capture") and episode % 2 == 1:
            return self.rng.choice(self.fractions(device)[2:])
        if "garbage_collection_threshold" in self.args.config and self.args.profile != "ballast":
            return self.rng.choice(self.fractions(device)[1:])
        return 1.0

    def redirected(self, device):
        return bool(self.entered[device]) or (self.capture is not None and self.capture["device"] == device)

    def idle(self):
        """Streams `query()` finds idle; waits first for those that have nothing but events on them."""
        seen = {}
        for device in self.devices:
            streams, busy = self.streams[device], self.busy[device]
            for index, stream in enumerate(streams):
                if index not in busy:
                    stream.synchronize()
            found = [i for i, s in enumerate(streams) if s.query()]
            while True:
                # A wait ends a moment after what it is for.
                over = [i for i, on in self.waits[device].items() if i not in found and on <= set(found)]
                if not over:
                    break
                for index in over:
                    streams[index].synchronize()
                found = sorted({*found, *over})
            seen[str(device)] = found
            self.busy[device] = {i: t for i, t in busy.items() if i not in found}
            self.waits[device] = {i: on for i, on in self.waits[device].items() if i not in found}
        return seen

    def stats(self):
        return {device: dict(self.torch.cuda.memory_stats(device)) for device in self.devices}

    # --- writing ---

    def write(self, line):
        self.out.write(json.dumps(line, separators=(",", ":")) + "\n")

    def step(self, line, act):
        """Does one operation, then writes down how it went and which statistics it changed."""
        try:
            line.update(act() or {})
        except Exception as error:  # noqa: BLE001: whatever PyTorch raises is the answer
            line["error"] = {"type": type(error).__name__, "message": (str(error).splitlines() or [""])[0]}
        if self.capture is None:
            idle = self.idle()
            if self.shows_idle:
                line["idle"] = idle
        if self.args.profile == "multi":
            line["current_device"] = self.torch.cuda.current_device()
        now = self.stats()
        line["stats"] = {
            str(d): changed for d in self.devices
            if (changed := {k: v for k, v in now[d].items() if self.last[d].get(k) != v})
        }
        self.moved.append({
            d: tuple(now[d].get(k, 0) - self.last[d].get(k, 0) for k in COUNTED) for d in self.devices
        })
        self.last = now
        self.lines.append(line)
        return line

    # --- operations ---

    def size(self, device):
        rng, limit = self.rng, self.args.max_bytes
        roll = rng.random()
        if roll < 0.012:
            return 0
        if roll < 0.018 and self.capture is None and self.args.profile not in ("ballast",):
            return rng.choice([1 << 40, 1 << 47, 10**15, 1 << 60, 1 << 62])
        if roll < 0.30:
            base = rng.choice([512, KIB, 3 * 512, MIB, MIB + 512, 3 * MIB // 2, 2 * MIB, 10 * MIB, 20 * MIB, *self.edges])
            size = max(1, base + rng.choice([-512, -1, 0, 1, 511, 512, 513]))
        elif roll < 0.38 and self.recent:
            size = rng.choice(self.recent)
        elif roll < 0.50:
            size = rng.randint(1, MIB)
        elif roll < 0.70:
            size = rng.randint(MIB, 10 * MIB)
        elif roll < 0.97 or self.args.profile != "ballast":
            size = int(2 ** rng.uniform(0, limit.bit_length() - 1))
        else:
            size = rng.randint(GIB, 8 * GIB)
        if self.args.profile != "ballast":
            size = min(size, limit)
            if sum(b.size for b in self.blocks.values()) + size > self.args.live_bytes:
                size = rng.randint(1, 4 * MIB)
        self.recent = [*self.recent[-15:], size]
        return size

    def alloc(self, device):
        torch, rng = self.torch, self.rng
        stream = rng.randrange(STREAMS) if self.shows_idle else 0
        if self.capture and self.capture["device"] == device and rng.random() < 0.7:
            stream = self.capture["stream"]
        size, via = self.size(device), rng.choice(["raw", "tensor"])
        block = self.next_block
        self.next_block += 1
        direct = not self.cached

        def act():
            on = self.streams[device][stream]
            if via == "raw":
                held = address = torch.cuda.caching_allocator_alloc(size, device, on.cuda_stream)
            else:
                with torch.cuda.stream(on):
                    held = torch.empty(size, dtype=torch.uint8, device=f"cuda:{device}")
                address = held.data_ptr()
            self.blocks[block] = Block(device, stream, size, via, held, direct)
            if size and not self.redirected(device):
                self.hazard[device].clear()
            return {"address": address}

        line = {"op": "alloc", "block": block, "device": device, "stream": stream, "bytes": size, "via": via}
        if direct:
            line["direct"] = True
        self.step(line, act)

    def free(self, device):
        torch, rng = self.torch, self.rng
        # A pointer goes back the way it came: the cache knows none of the driver's, and the driver knows no cached one.
        own = [n for n, b in self.blocks.items() if b.device == device and (b.via == "tensor" or b.direct != self.cached)]
        if not own:
            return self.alloc(device)
        number = rng.choice(own)
        block = self.blocks.pop(number)
        waits = self.capture is None and self.shows_idle and (not self.busy[device] or rng.random() < 0.1)

        def act():
            if block.outside and self.redirected(device):
                self.hazard[device] |= block.outside
            if block.via == "raw":
                torch.cuda.caching_allocator_delete(block.held)
            block.held = None
            if waits:
                torch.cuda.synchronize(device)

        line = {"op": "free", "block": number, "device": device, "via": block.via}
        if block.direct:
            line["direct"] = True
        if waits:
            line["synchronized"] = True
        return self.step(line, act)

    def record_stream(self, device):
        tensors = [n for n, b in self.blocks.items() if b.device == device and b.via == "tensor"]
        if not tensors:
            return self.alloc(device)
        number = self.rng.choice(tensors)
        block, stream = self.blocks[number], self.rng.randrange(STREAMS)
        if self.capture and self.capture["device"] == device and self.rng.random() < 0.5:
            stream = self.capture["stream"]

        def act():
            if stream != block.stream:
                (block.inside if self.redirected(device) else block.outside).add(stream)
            block.held.record_stream(self.streams[device][stream])

        return self.step({"op": "record_stream", "block": number, "device": device, "stream": stream}, act)

    def occupy(self, device, stream=None):
        stream = self.rng.randrange(STREAMS) if stream is None else stream

        def act():
            with self.torch.cuda.stream(self.streams[device][stream]):
                self.torch.cuda._sleep(self.cycles[device])
            # A second kernel runs after the first: the stream stays busy at least as long as the newest.
            self.busy[device].setdefault(stream, time.perf_counter())
            self.waits[device].pop(stream, None)

        self.step({"op": "occupy", "device": device, "stream": stream}, act)

    def wait_stream(self, device):
        busy = list(self.busy[device])
        on = self.rng.choice(busy) if busy and self.rng.random() < 0.8 else self.rng.randrange(STREAMS)
        stream = self.rng.choice([s for s in range(STREAMS) if s != on])

        def act():
            self.streams[device][stream].wait_stream(self.streams[device][on])
            if on in self.busy[device]:
                idle = stream not in self.busy[device]
                self.busy[device].setdefault(stream, self.busy[device][on])
                if idle:
                    self.waits[device][stream] = {on}
                elif stream in self.waits[device]:
                    self.waits[device][stream].add(on)

        self.step({"op": "wait_stream", "device": device, "stream": stream, "on": on}, act)

    def synchronize(self, device):
        self.step({"op": "synchronize", "device": device}, lambda: self.torch.cuda.synchronize(device))

    def empty_cache(self, _device=None):
        def act():
            self.torch.cuda.empty_cache()
            for device in self.devices:
                if not self.redirected(device):
                    self.hazard[device].clear()

        self.step({"op": "empty_cache"}, act)

    def reset_peak(self, device):
        self.step({"op": "reset_peak", "device": device}, lambda: self.torch.cuda.reset_peak_memory_stats(device))

    def reset_accumulated(self, device):
        act = self.torch.cuda.reset_accumulated_memory_stats
        self.step({"op": "reset_accumulated", "device": device}, lambda: act(device))

    def set_fraction(self, device):
        fraction = self.rng.choice([*self.fractions(device), self.fractions(device)[2]])
        if self.args.profile == "pools":
            fraction = self.rng.choice([1.0, *self.fractions(device)[2:]])
        act = self.torch.cuda.set_per_process_memory_fraction
        self.step({"op": "set_fraction", "device": device, "fraction": fraction}, lambda: act(fraction, device))

    # --- settings, the cache as a whole, and who else holds memory ---

    def set_settings(self, device):
        """Another settings string while memory is held; one in ten is none that PyTorch takes."""
        text = drawn_settings(self.rng, self.total[device], True, self.args.episodes)
        if self.rng.random() < 0.1:
            wrong = ["garbage_collection_threshold:1.5", "max_split_size_mb:3", "no_such_key:1", "expandable_segments:yes"]
            text = ",".join(filter(None, [text, self.rng.choice(wrong)]))
        act = getattr(self.torch._C, "_accelerator_setAllocatorSettings", None) or self.torch.cuda.memory._set_allocator_settings
        self.step({"op": "set_settings", "settings": text}, lambda: act(text) and None)

    def set_caching(self, _device=None):
        enabled = not self.cached

        def act():
            self.torch.cuda.caching_allocator_enable(enabled)
            self.cached = enabled

        self.step({"op": "set_caching", "enabled": enabled}, act)

    def neighbour(self, device, held=None):
        """Somebody else holds so much of the device from now on; unless it is said how much, all but a drawn rest, or nothing."""
        free = self.torch.cuda.mem_get_info(device)[0] + self.held.get(device, 0)
        if held is None:
            left = int(self.args.live_bytes * self.rng.choice([0.02, 0.05, 0.1, 0.2, 0.5, 1.0]))
            held = self.rng.choice([0, 1, 1]) * max(0, free - left) // (2 * MIB) * (2 * MIB)

        def act():
            self.held[device] = self.neighbours.hold(device, held, free - held) if self.neighbours else 0
            return {"bytes": self.held[device], "free_bytes": self.torch.cuda.mem_get_info(device)[0]}

        self.step({"op": "neighbour", "device": device, "bytes": held}, act)

    # --- private pools ---

    def pool_create(self, device):
        rng, number = self.rng, self.next_pool
        if len(self.pools) >= 6:
            return self.pool_delete(device)
        self.next_pool += 1
        use_on_oom, no_split = rng.random() < 0.3, rng.random() < 0.25

        def act():
            with self.torch.cuda.device(device):
                pool = self.torch.cuda.MemPool(use_on_oom=use_on_oom, no_split=no_split)
            self.pools[number] = pool
            return {"id": list(pool.id)}

        line = {"op": "pool_create", "pool": number, "device": device, "use_on_oom": use_on_oom, "no_split": no_split}
        return self.step(line, act)

    def pool_enter(self, device):
        inside = {number for number, _ in self.entered[device]}
        capturing = self.capture["pool_id"] if self.capture else None
        free = [n for n, pool in self.pools.items() if n not in inside and (tuple(pool.id),) != capturing]
        if not free:
            return self.pool_create(device) if self.capture is None else self.alloc(device)
        if len(inside) >= 3:
            return self.pool_exit(device)
        number = self.rng.choice(free)

        def act():
            manager = self.torch.cuda.use_mem_pool(self.pools[number], device=device)
            manager.__enter__()
            self.entered[device].append((number, manager))

        return self.step({"op": "pool_enter", "pool": number, "device": device}, act)

    def pool_exit(self, device):
        entered = self.entered[device]
        if not entered:
            return self.alloc(device)
        # Mostly the newest, as `with` would have it; by hand any order is possible.
        at = -1 if self.rng.random() < 0.85 else self.rng.randrange(len(entered))
        number, manager = entered.pop(at)
        line = {"op": "pool_exit", "pool": number, "device": device}
        return self.step(line, lambda: manager.__exit__(None, None, None) and None)

    def pool_delete(self, device):
        inside = {number for number, _ in self.entered[device]}
        shared = {tuple(g.pool_id) for g in self.graphs.values() if g.pool_id}
        free = [n for n, pool in self.pools.items() if n not in inside and tuple(pool.id) not in shared]
        # While anything is redirected, the end of a MemPool fails PyTorch's own assertion, in a destructor: the process dies.
        if not free or any(self.redirected(d) for d in self.devices):
            return self.alloc(device)
        number = self.rng.choice(free)

        def act():
            self.dead_pools = True
            del self.pools[number]

        return self.step({"op": "pool_delete", "pool": number}, act)

    # --- graph capture ---

    def capture_begin(self, device):
        """What `torch.cuda.graph` does, each of its steps an operation of its own."""
        if self.capture is not None or self.entered[device] or len(self.graphs) >= 5:
            return self.alloc(device)
        rng, torch = self.rng, self.torch
        self.synchronize(device)
        self.empty_cache()
        number, stream = self.next_graph, rng.randrange(1, STREAMS)
        self.next_graph += 1
        old = [n for n, g in self.graphs.items() if g.pool_id is not None]
        pool, pool_id = None, ()
        if old and rng.random() < 0.35:
            other = rng.choice(old)
            pool, pool_id = f"graph:{other}", (tuple(self.graphs[other].pool_id),)
        elif (fresh := [n for n in self.pools if n not in self.captured_into]) and rng.random() < 0.3:
            # Once only: after the first graph's reset a second capture fails in the pinned-memory allocator (torch 2.11).
            pool = rng.choice(fresh)
            self.captured_into.add(pool)
            pool_id = (tuple(self.pools[pool].id),)
        graph = Graph(torch.cuda.CUDAGraph(), device)
        on = torch.cuda.stream(self.streams[device][stream])
        line = {"op": "capture_begin", "graph": number, "device": device, "stream": stream, "pool": pool, "id": None}

        def act():
            on.__enter__()
            try:
                graph.graph.capture_begin(*pool_id, capture_error_mode="relaxed")
            except Exception:
                on.__exit__(None, None, None)
                raise
            self.graphs[number] = graph
            self.capture = {
                "graph": number, "device": device, "stream": stream, "on": on, "pool_id": pool_id,
                "line": line, "until": len(self.lines) + rng.randint(5, 60),
            }
            torch.cuda._sleep(10)  # a graph without any work would be warned of

        if "error" in self.step(line, act):
            raise RuntimeError(f"a capture could not begin: {line['error']['message']}")
        return line

    def capture_end(self):
        capture, graph = self.capture, self.graphs[self.capture["graph"]]
        device = capture["device"]
        while self.entered[device]:
            self.pool_exit(device)

        def act():
            try:
                graph.graph.capture_end()
            finally:
                self.capture = None
                capture["on"].__exit__(None, None, None)
            graph.pool_id = list(graph.graph.pool())
            capture["line"]["id"] = graph.pool_id

        line = self.step({"op": "capture_end", "graph": capture["graph"], "device": device}, act)
        if "error" in line:
            raise RuntimeError(f"a capture could not be ended: {line['error']['message']}")

    def graph_reset(self, device):
        if self.capture is not None or not self.graphs:
            return self.alloc(device)
        number = self.rng.choice(list(self.graphs))

        def act():
            self.dead_pools = True
            graph = self.graphs.pop(number)
            graph.graph.reset()
            graph.graph = None

        return self.step({"op": "graph_reset", "graph": number, "device": device}, act)

    # --- what comes next ---

    def drawn(self, device):
        """Draws an operation; what cannot be done just now becomes an allocation or a free."""
        roll = self.rng.random() * 1000
        for name, share in DRAWN[self.args.profile].items():
            scaled = min(share, self.args.occupations * 1000 / self.args.operations) if name == "occupy" else share
            if roll < scaled:
                if self.capture is None or name in ("record_stream", "pool_enter", "pool_exit", "reset_peak", "reset_accumulated"):
                    return name
                if name == "empty_cache" and not self.dead_pools:
                    return name
                break
            roll -= scaled
        live = sum(1 for b in self.blocks.values() if b.device == device)
        more = self.rng.random() < (0.85 if live < self.target else 0.40)
        return "free" if live and not more else "alloc"

    def next(self):
        """One operation, after whatever must come first for the recording to say all there is to say."""
        rng = self.rng
        device = rng.choice(self.devices)
        if self.args.profile == "multi" and rng.random() < 0.2:
            self.torch.cuda.set_device(rng.choice(self.devices))
        now = time.perf_counter()
        for other in self.devices:
            if any(now - since > self.args.spin / 2 for since in self.busy[other].values()):
                return self.synchronize(other)
        if self.capture is not None and len(self.lines) >= self.capture["until"]:
            return self.capture_end()
        for other in self.devices:
            if self.hazard[other] and not self.redirected(other):
                # The next allocation would record events and ask for them at once: a race, unless all are pending for sure.
                missing = [s for s in sorted(self.hazard[other]) if s not in self.busy[other]]
                if self.args.occupations == 0 or rng.random() < 0.5:
                    return self.empty_cache()
                return self.occupy(other, missing[0]) if missing else self.alloc(other)
        return getattr(self, self.drawn(device))(device)

    # --- episodes ---

    def episode(self, episode):
        torch = self.torch
        self.forget()
        self.target = self.rng.choice([12, 30, 60, 120])
        self.edges = [int(m) * MIB for m in re.findall(r"_mb:(\d+)", self.args.config)]
        for device in self.devices:
            fraction = self.episode_fraction(device, episode)
            # The fraction that the settings gave every device stands until something else was set.
            if self.fraction[device] != fraction:
                torch.cuda.set_per_process_memory_fraction(fraction, device)
                self.fraction[device] = fraction
            torch.cuda.reset_peak_memory_stats(device)
            torch.cuda.reset_accumulated_memory_stats(device)
        self.history()
        self.last, self.lines, self.moved = self.stats(), [], []
        self.write({
            "episode": episode,
            "fraction": {str(d): f for d, f in self.fraction.items()},
            "streams": {str(d): [s.cuda_stream for s in self.streams[d]] for d in self.devices},
            "stats": {str(d): s for d, s in self.last.items()},
        })
        if self.args.profile in ("caching", "neighbour"):
            for device in self.devices:
                self.neighbour(device, 0)  # what is free at first, so that all that can be had is known at any time
        while len(self.lines) < self.args.operations:
            self.next()
        if self.capture is not None:
            self.capture_end()
        self.close(episode)

    def history(self):
        """Starts the trace anew: switching it off clears it."""
        if not self.native:
            return
        record = self.torch.cuda.memory._record_memory_history
        record(enabled=None)
        record(enabled="all", context=None, stacks="python", max_entries=max(200_000, 60 * self.args.operations))

    def close(self, episode):
        end = {"end": episode}
        if self.native:
            found = self.torch.cuda.memory._snapshot()
            events = [
                [e["action"], device, e["addr"] if "addr" in e else e["device_free"], e["size"], e["stream"]]
                for device in self.devices for e in found["device_traces"][device] if e["action"] != "snapshot"
            ]
            end["events"] = events
            end["segments"] = [
                {
                    **{k: list(s[k]) if k == "segment_pool_id" else s[k] for k in SEGMENT_FIELDS if k in s},
                    "blocks": [{k: b[k] for k in BLOCK_FIELDS} for b in s["blocks"]],
                }
                for s in found["segments"] if s["device"] in self.devices
            ]
            self.attribute(episode, events)
        end["free_bytes"] = {str(d): self.torch.cuda.mem_get_info(d)[0] for d in self.devices}
        for line in self.lines:
            self.write(line)
        self.lines_written += len(self.lines)
        self.write(end)
        self.clean(episode)

    def attribute(self, episode, events):
        """Holds the trace against the operations, and names what PyTorch asked for on its own account."""
        queues = {d: {a: [e for e in events if e[1] == d and e[0] == a] for a in ("alloc", "free_requested", "oom")}
                  for d in self.devices}
        for number, (line, moved) in enumerate(zip(self.lines, self.moved)):
            own = []
            for device in self.devices:
                if line["op"] == "reset_accumulated" and line["device"] == device:
                    continue
                for action, count in zip(("alloc", "free_requested", "oom"), moved[device]):
                    taken, queues[device][action] = queues[device][action][:count], queues[device][action][count:]
                    if len(taken) < count:
                        self.problem(episode, number, line, f"{count} {action} counted, {len(taken)} in the trace")
                    if line["op"] not in ("alloc", "free"):
                        own.extend(taken)
                    elif line["op"] == "alloc" and action == "alloc" and taken and taken[0][2] != line.get("address"):
                        self.problem(episode, number, line, f"the trace says {taken[0]}")
            if own:
                stats = line.pop("stats")
                line["internal"] = own
                line["stats"] = stats
        for device in self.devices:
            left = {action: len(rest) for action, rest in queues[device].items() if rest}
            if left:
                self.problem(episode, len(self.lines), {}, f"device {device}: more in the trace than counted: {left}")

    def problem(self, episode, number, line, what):
        if len(self.problems) < 5:
            asked = {k: v for k, v in line.items() if k != "stats"}
            self.problems.append(f"episode {episode} operation {number} {asked}: {what}")

    def clean(self, episode):
        """Gives everything back: the next episode starts from an allocator that holds nothing."""
        torch = self.torch
        if self.neighbours:
            self.neighbours.gone()
        for device in self.devices:
            while self.entered[device]:
                self.entered[device].pop()[1].__exit__(None, None, None)
            torch.cuda.synchronize(device)
        for block in self.blocks.values():
            if block.via == "raw":
                if self.args.profile == "caching":
                    torch.cuda.caching_allocator_enable(not block.direct)
                torch.cuda.caching_allocator_delete(block.held)
            block.held = None
        if self.args.profile == "caching":
            torch.cuda.caching_allocator_enable(True)
        for graph in self.graphs.values():
            graph.graph.reset()
            graph.graph = None  # the generator's blocks go with the last reference
        self.forget()
        gc.collect()
        for device in self.devices:
            torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.empty_cache()
        # Whatever was set in between, the next episode sets its own.
        self.fraction = {device: None for device in self.devices}
        left = {d: s.get("reserved_bytes.all.current", 0) for d, s in self.stats().items()}
        if self.native and any(left.values()) and episode + 1 < self.args.episodes:
            raise RuntimeError(f"after episode {episode} the allocator still holds {left} bytes by device")

    def run(self):
        torch = self.torch
        infos = [
            {
                "index": d, "name": torch.cuda.get_device_properties(d).name,
                "total_bytes": self.total[d], "free_bytes": torch.cuda.mem_get_info(d)[0],
            }
            for d in self.devices
        ]
        self.write({
            "trace": FORMAT, "recorded_from": f"torch {torch.__version__}", "cuda": torch.version.cuda,
            "profile": self.args.profile, "seed": self.args.seed, "config": self.args.config,
            "backend": torch.cuda.get_allocator_backend(), "devices": infos,
            **({"alone": True} if self.args.library else {}),
            **({"caching": False} if self.args.caching == "off" else {}),
        })
        for episode in range(self.args.episodes):
            self.episode(episode)


def library_of(args):
    """The argument for a process that is to ask the same."""
    return ["--library", args.library] if args.library else []


ENVIRONMENT = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")
COUNTED = ("allocation.all.allocated", "allocation.all.freed", "num_ooms")


def release_of(folder):
    from c10_library import Release

    return Release(folder)


def hold(leave, device, library):
    """The neighbour: takes all of the GPU's memory but `leave` bytes, until its input is closed."""
    if library:
        import c10_library

        print(f"holding {c10_library.hold(release_of(library), leave, device, 2 * MIB)}", flush=True)
        sys.stdin.read()
        return
    import torch

    torch.cuda.set_device(device)
    torch.cuda.caching_allocator_alloc(512, device)
    torch.cuda.synchronize(device)
    free = torch.cuda.mem_get_info(device)[0]
    take = (free - leave) // (2 * MIB) * (2 * MIB)
    if take > 0:
        torch.cuda.caching_allocator_alloc(take, device)
    print(f"holding {max(take, 0)}", flush=True)
    sys.stdin.read()


def holding(leave, device, library):
    """A process that holds all of the GPU's memory but `leave` bytes."""
    command = [sys.executable, os.path.abspath(__file__), "--hold", str(leave), "--device", str(device)]
    if library:
        command += ["--library", library]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={k: v for k, v in os.environ.items() if k not in ENVIRONMENT},
    )
    answer = holder.stdout.readline()
    if not answer.startswith("holding"):
        ended(holder)
        raise RuntimeError("the neighbour that should hold the card's memory did not start")
    holder.held = int(answer.split()[1])
    return holder


def ended(holder):
    """Has such a process give the memory back."""
    holder.stdin.close()
    try:
        holder.wait(timeout=30)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()


def record(args):
    """Makes one recording in this process. The file appears whole, or not at all."""
    for name in ENVIRONMENT:  # the first that exists wins: only ours may
        os.environ.pop(name, None)
    release = release_of(args.library) if args.library else None
    if args.config:
        os.environ[release.variable if release else "PYTORCH_CUDA_ALLOC_CONF"] = args.config
    if args.caching == "off":
        os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    if release:
        import c10_as_torch

        torch = c10_as_torch.opened(release)
    else:
        import torch

    gc.disable()
    started = time.perf_counter()
    torch.cuda.init()
    neighbour = recorder = None
    temporary = f"{args.out}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            out = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
            recorder = Recorder(torch, args, out)
            if args.profile == "ballast":
                neighbour = holding(args.ballast_leave, 0, args.library)
            recorder.run()
            out.flush()
            out.detach()
        os.replace(temporary, args.out)
    finally:
        if neighbour is not None:
            ended(neighbour)
        if recorder is not None and recorder.neighbours:
            recorder.neighbours.gone()
        if os.path.exists(temporary):
            os.unlink(temporary)
    seconds = time.perf_counter() - started
    print(f"{args.out}: {recorder.lines_written} operations, {args.profile}, config {args.config!r}, {seconds:.1f} s")
    for problem in recorder.problems:
        print(f"  DOUBTFUL {problem}")
    return 3 if recorder.problems else 0


# --- many at once ---

def drawn_settings(rng, total_bytes, at_run_time=False, episodes=1):
    """Settings drawn at random: none, one, mostly two, sometimes more of those the native backend knows."""
    large = rng.choice([20, 20, 20, 12, 16, 24, 32, 64, 128])
    floor = max(20, large)

    def rounding():
        if rng.random() < 0.5:
            return f"roundup_power2_divisions:{rng.choice([1, 2, 4, 8, 16, 32])}"
        edges = sorted(rng.sample([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024], rng.randint(1, 4)))
        pairs = [f"{edge}:{rng.choice([0, 1, 2, 4, 8, 16])}" for edge in edges]
        if rng.random() < 0.7:
            pairs.append(f">:{rng.choice([1, 2, 4, 8])}")
        return f"roundup_power2_divisions:[{','.join(pairs)}]"

    def above(choices):
        return rng.choice([c for c in choices if c > floor])

    fractions = [round(1.5e11 * part / total_bytes, 4) for part in (0.01, 0.02, 0.05, 0.1)]
    offers = {
        "expandable_segments": lambda: "expandable_segments:True",
        "max_split_size_mb": lambda: f"max_split_size_mb:{above([21, 32, 48, 64, 100, 128, 256, 512, 1024])}",
        "garbage_collection_threshold": lambda: f"garbage_collection_threshold:{rng.choice([0.2, 0.4, 0.6, 0.8, 0.95])}",
        "roundup_power2_divisions": rounding,
        "large_segment_size_mb": lambda: f"large_segment_size_mb:{large}",
        "max_non_split_rounding_mb": lambda: f"max_non_split_rounding_mb:{above([21, 24, 40, 64, 100, 150, 256])}",
        "per_process_memory_fraction": lambda: f"per_process_memory_fraction:{rng.choice(fractions)}",
    }
    if at_run_time:
        # A fraction is set by a call of its own then; and what is on stays on, unless it is switched off by name.
        del offers["per_process_memory_fraction"]
        # Ranges that an earlier episode left behind keep the pages that they were made with (torch 2.11).
        if episodes > 1:
            del offers["large_segment_size_mb"]
        offers["expandable_segments"] = lambda: f"expandable_segments:{rng.choice(['True', 'True', 'False'])}"
    names = rng.sample(list(offers), rng.choice([0, 1, 1, 2, 2, 2, 2, 2, 3, 4]))
    if "large_segment_size_mb" not in names:
        floor = 20
    if "max_non_split_rounding_mb" in names and "max_split_size_mb" not in names and rng.random() < 0.7:
        names.append("max_split_size_mb")
    return ",".join(offers[name]() for name in names)


def gpus():
    """How many GPUs there are and how big the first is, without loading torch here."""
    try:
        command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()
        return len(lines), int(lines[0]) * MIB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 1, 140 * GIB


def batch(args):
    count, total = gpus()
    rng = random.Random(args.seed)
    if args.profile:
        offered = [name for name in args.profile.split(",") if name]
    else:
        offered = ["mixed"] * 3 + ["pressure"] * 5 + ["streams"] * 4 + ["gc"] * 4 + ["ballast", "pools", "pools", "capture", "capture"]
        offered += ["multi"] * 3 if count > 1 else []
    os.makedirs(args.out_dir, exist_ok=True)
    jobs = []
    for number in range(args.batch):
        profile, config = rng.choice(offered), drawn_settings(rng, total)
        seed = rng.randrange(1 << 31)
        if profile == "gc" and "garbage_collection_threshold" not in config:
            config = ",".join(filter(None, [config, f"garbage_collection_threshold:{rng.choice([0.3, 0.5, 0.7, 0.9])}"]))
        if args.config is not None:
            config = args.config
        out = os.path.join(args.out_dir, f"{number:03d}-{profile}.jsonl.gz")
        command = [
            sys.executable, os.path.abspath(__file__), "--out", out, "--profile", profile, "--config", config,
            "--seed", str(seed), "--episodes", str(args.episodes), "--operations", str(args.operations),
            "--ballast-leave", str(args.ballast_leave), "--max-bytes", str(args.max_bytes),
            "--live-bytes", str(args.live_bytes), "--spin", str(args.spin), "--occupations", str(args.occupations),
            *library_of(args),
        ]
        jobs.append((number, profile, config, command))
    done, failed, started = 0, [], time.perf_counter()

    def one(job):
        number, _, _, command = job
        begun = time.perf_counter()
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=args.deadline, stdin=subprocess.DEVNULL)
            code, said = found.returncode, (found.stdout.strip() or found.stderr.strip()[-600:])
            if code not in (0, 3):
                said = (found.stderr.strip() or found.stdout.strip())[-600:]
        except subprocess.TimeoutExpired:
            code, said = -1, f"not finished after {args.deadline:.0f} s"
        return job, code, said, time.perf_counter() - begun

    def report(result):
        nonlocal done
        (number, profile, config, command), code, said, seconds = result
        done += 1
        if code != 0:
            failed.append(number)
        mark = {0: "ok", 3: "DOUBTFUL"}.get(code, f"FAILED ({code})")
        elapsed = time.perf_counter() - started
        print(f"[{done}/{len(jobs)} {elapsed:.0f}s] {number:03d} {profile} {config!r} {seconds:.1f} s {mark}", flush=True)
        if code != 0:
            print("    " + said.replace("\n", "\n    ") + f"\n    again: {' '.join(map(repr, command))}", flush=True)

    together = [job for job in jobs if job[1] != "ballast"]
    with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs)) as executor:
        for future in concurrent.futures.as_completed([executor.submit(one, job) for job in together]):
            report(future.result())
    for job in jobs:
        if job[1] == "ballast":  # needs the whole card, so alone
            report(one(job))
    good = len(jobs) - len(failed)
    print(f"{good} of {len(jobs)} recordings, {good * args.episodes * args.operations} operations or more, in {args.out_dir}")
    return 1 if failed else 0


def arguments(argv):
    parser = argparse.ArgumentParser(
        description="Record what PyTorch's CUDA caching allocator does: random operations, every statistic after each of them, "
        "the trace events and the final segments, as gzipped JSON Lines (poolproof/1).",
        epilog="""profiles:
  mixed     sizes from 0 to --max-bytes around every boundary, empty_cache, resets, absurd sizes
  pressure  a small memory fraction that also changes: retries, flushes, OOM
  streams   four streams, record_stream, streams kept busy
  gc        a small fraction, for --config garbage_collection_threshold:0.6
  multi     every GPU (two or more), the current device changing at random
  ballast   a neighbour process holds all but --ballast-leave of the card: the driver refuses, not the fraction
  pools     MemPools made, entered, nested, left and dropped
  capture   CUDA graphs captured and reset, with allocations on the capturing stream and beside it

examples:
  python record.py --out mine.jsonl.gz --profile pressure --config expandable_segments:True
  python record.py --out mine.jsonl.gz --library ~/.cache/poolproof/torch-2.15.0
  python record.py --batch 50 --out-dir recordings --operations 2000 --episodes 1 --seed 1 --jobs 4
  poolproof replay --exact mine.jsonl.gz
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", metavar="FILE", help="where the recording goes (.jsonl.gz)")
    parser.add_argument("--profile", help="what is stressed (mixed); with --batch a list to draw from, mixed,streams")
    parser.add_argument("--config", help="PYTORCH_CUDA_ALLOC_CONF; default: as in the environment; with --batch: drawn at random")
    parser.add_argument("--library", metavar="DIR", help="a release that `poolproof setup torch` made: its allocator alone, no torch")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--episodes", type=int, default=4, help="each starts from an empty allocator (4)")
    parser.add_argument("--operations", type=int, default=400, help="in each episode, at least (400)")
    parser.add_argument("--ballast-leave", type=parse_bytes, default=3 * GIB, metavar="SIZE", help="what the neighbour leaves (3GiB)")
    parser.add_argument("--max-bytes", type=parse_bytes, default=2 * GIB, metavar="SIZE", help="the largest usual request (2GiB)")
    parser.add_argument("--live-bytes", type=parse_bytes, default=6 * GIB, metavar="SIZE", help="requests alive at once (6GiB)")
    parser.add_argument("--spin", type=float, default=None, metavar="SECONDS", help="how long a stream is kept busy (0.6; batch 0.4)")
    parser.add_argument("--occupations", type=int, default=25, metavar="N", help="how often in an episode, about, at most (25)")
    parser.add_argument("--batch", type=int, metavar="N", help="make N recordings with settings drawn at random")
    parser.add_argument("--out-dir", default="recordings", metavar="DIR", help="where a batch goes (recordings)")
    parser.add_argument("--jobs", type=int, default=2, metavar="K", help="recordings of a batch made at once (2)")
    parser.add_argument("--deadline", type=float, default=180.0, metavar="SECONDS", help="given to each recording of a batch (180)")
    parser.add_argument("--caching", choices=("on", "off"), default="on", help="off: PYTORCH_NO_CUDA_MEMORY_CACHING=1, nothing is cached")
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--device", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.hold is None and (args.out is None) == (args.batch is None):
        parser.error("say either --out FILE or --batch N")
    for name in (args.profile or "").split(","):
        if name and name not in PROFILES:
            parser.error(f"no profile is called {name!r}; there are {', '.join(PROFILES)}")
    if args.out is not None:
        args.profile = args.profile or "mixed"
        if "," in args.profile:
            parser.error("one recording has one profile")
        if args.config is None:
            args.config = os.environ.get("PYTORCH_CUDA_ALLOC_CONF", os.environ.get("PYTORCH_ALLOC_CONF", ""))
    if args.library and (args.caching == "off" or {"settings", "caching"} & set((args.profile or "").split(","))):
        parser.error("with --library settings do not change, nor is the cache switched off")
    if args.caching == "off" and args.profile not in (None, "mixed"):
        parser.error("without a cache there is nothing that a profile could stress: --caching off goes with `mixed`")
    if min(args.episodes, args.operations, args.jobs) < 1 or args.max_bytes < 1:
        parser.error("--episodes, --operations, --jobs and --max-bytes must be at least 1")
    args.spin = args.spin if args.spin is not None else (0.6 if args.batch is None else 0.4)
    return args


def main(argv=None):
    args = arguments(argv)
    if args.hold is not None:
        hold(args.hold, args.device, args.library)
        return 0
    return batch(args) if args.batch is not None else record(args)


if __name__ == "__main__":
    sys.exit(main())
