"""How a live PyTorch's figures, segments and events are told: what changed, in the words of poolproof-worker/2.

Decides what is read after which operation: figures of the device that was asked of after each, of all others every few, the trace
where memory went back to a device, where a request failed on one, where a segment grew by pages, and every few hundred operations.
"""

import itertools
import json
import operator

# After so many operations the figures of every device are read, and after so many the trace.
EVERY_DEVICE, EVERY_EVENTS = 16, 256
HISTORY = 200_000
# What the allocator has no part in.
NO_CALL = ("fill", "use", "verify", "occupy", "finish", "cycle_end")
STATES = {"active_allocated": "active_allocated", "active_pending_free": "active_pending_free",
          "active_awaiting_free": "active_pending_free", "inactive": "inactive"}
FAMILIES = ("allocation", "segment", "active", "inactive_split", "allocated_bytes", "reserved_bytes", "active_bytes",
            "inactive_split_bytes", "requested_bytes")
OVERSIZE = ("oversize_allocations", "oversize_segments")
ROWS, COLUMNS = ("all", "small_pool", "large_pool"), ("current", "peak", "allocated", "freed")
COUNTERS = ("num_alloc_retries", "num_ooms", "max_split_size", "num_sync_all_streams", "num_device_alloc", "num_device_free")
# All figures, in the order in which the protocol lists them.
NAMES = (*COUNTERS, *(f"{f}.{r}.{c}" for f in FAMILIES for r in ROWS for c in COLUMNS), *(f"{o}.{c}" for o in OVERSIZE for c in COLUMNS))
SEGMENT = ("device", "address", "total_size", "allocated_size", "active_size", "requested_size", "stream")
LINE = ",".join(["%d"] * len(NAMES))
# What moves when a device is called: what was got, what went back, what failed.
CALLS = operator.itemgetter(*map(NAMES.index, (
    "num_device_alloc", "reserved_bytes.all.allocated", "num_device_free", "reserved_bytes.all.freed", "num_ooms", "num_alloc_retries")))


def fraction(value):
    if value != value:
        return "NaN"
    return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, value)


class Shown:
    def __init__(self, torch, host):
        self.torch, self.host = torch, host
        self.raw = torch.cuda.memory.memory_stats_as_nested_dict
        self.native = torch.cuda.get_allocator_backend() == "native"
        # As in the releases that are known; in another each figure is looked for by its name.
        self.is_in_order = tuple(self.flat(self.raw(0))) == NAMES
        # Where a segment lies that an operation got for itself shows in the address that it answers.
        settings = torch.cuda.memory._snapshot().get("allocator_settings", {}) if self.native else {}
        self.shows_segments = not settings.get("expandable_segments", True)

    def begin(self, count, streams):
        self.count, self.streams = count, streams
        # Counters that no reset touches go on from sequence to sequence; a sequence counts its own.
        self.earlier = [{k: v for k, v in self.raw(d).items() if k.startswith("num_") and v} for d in range(count)]
        self.last = [self.read(d) for d in range(count)]
        self.free = [self.torch.cuda.mem_get_info(d)[0] for d in range(count)]
        self.fractions = [self.fraction(d) for d in range(count)]
        self.idle = [self.host.idle(d) for d in range(count)]
        self.operations = self.untold = 0
        if self.native:
            record = self.torch.cuda.memory._record_memory_history
            record(enabled=None)
            record(enabled="all", context=None, stacks="python", max_entries=HISTORY)

    def fraction(self, device):
        """As PyTorch reads it back; the driver's pools cannot."""
        return self.torch.cuda.get_per_process_memory_fraction(device) if self.native else self.host.fractions[device]

    # --- figures ---

    def read(self, device):
        """All of a device. That is most of the work after an operation, and so is left to C where it can be."""
        stats = self.raw(device)
        for key, value in self.earlier[device].items():
            stats[key] -= value
        if not self.is_in_order:
            flat = self.flat(stats)
            return tuple(flat.get(name, 0) for name in NAMES)
        of = tuple(stats.values())
        at, end = len(COUNTERS), len(COUNTERS) + len(FAMILIES)
        every = itertools.chain.from_iterable
        return (*of[:at], *every(map(dict.values, every(map(dict.values, of[at:end])))), *every(map(dict.values, of[end:])))

    def counted(self, device, flat):
        """All figures of a device by name, in PyTorch's order."""
        earlier = self.earlier[device] if 0 <= device < self.count else {}
        return [(key, value - earlier.get(key, 0)) for key, value in flat.items()]

    def reset(self, device):
        """Counters were set to 0, those that can be."""
        earlier, now = self.earlier[device], self.raw(device)
        self.earlier[device] = {key: min(value, now[key]) for key, value in earlier.items() if now[key]}

    def whole(self):
        """Everything of every device."""
        return [
            {"stats": self.last[d], "free_bytes": self.free[d], "total_bytes": self.host.total(d),
             "fraction": fraction(self.fractions[d]), "idle": self.idle[d]}
            for d in range(self.count)
        ]

    @staticmethod
    def flat(nested):
        flat = {}
        for family, of in nested.items():
            if isinstance(of, dict):
                for row, columns in of.items():
                    if isinstance(columns, dict):
                        flat.update({f"{family}.{row}.{column}": value for column, value in columns.items()})
                    else:
                        flat[f"{family}.{row}"] = columns
            else:
                flat[family] = of
        return flat

    def changes(self, name, device, refused, asked=True):
        """What changed since the last look, as the end of an answer: devices, events; and whether a request was refused, or memory
        went back to a device. Who only looks is told no events."""
        self.operations += 1
        touched = range(self.count)
        if name in NO_CALL:
            return self.idle_changes(), "", refused
        if self.count > 1 and device is not None and 0 <= device < self.count and self.operations % EVERY_DEVICE:
            touched = (device,)
        told, went_back, is_due = None, False, False
        for d in touched:
            stats, last = self.read(d), self.last[d]
            parts = []
            if stats != last:
                parts.append(f'"stats":[{LINE % stats}]')
                self.last[d] = stats
                if (calls := CALLS(stats)) != (before := CALLS(last)):
                    went_back |= calls[2:4] != before[2:4]
                    # One segment, at the first attempt, lies where the request does: the trace may be read later.
                    is_due |= not (self.shows_segments and name == "alloc" and calls[0] == before[0] + 1 and calls[2:] == before[2:])
                    free = self.torch.cuda.mem_get_info(d)[0]
                    if free != self.free[d]:
                        self.free[d] = free
                        parts.append(f'"free_bytes":{free}')
            if name == "set_fraction" and self.fractions[d] != (now := self.fraction(d)):
                self.fractions[d] = now
                parts.append(f'"fraction":{json.dumps(fraction(now))}')
            if (idle := self.host.idle(d)) != self.idle[d]:
                self.idle[d] = idle
                parts.append(f'"idle":{idle}')
            if parts:
                told = told or ["null"] * self.count
                told[d] = f"{{{','.join(parts)}}}"
        devices = f',"devices":[{",".join(told)}]' if told else ""
        self.untold += 1
        events = self.events() if asked and self.native and (is_due or self.untold >= EVERY_EVENTS) else ""
        return devices, events, refused or went_back

    def idle_changes(self):
        told = None
        for d in range(self.count):
            if (idle := self.host.idle(d)) != self.idle[d]:
                self.idle[d] = idle
                told = told or ["null"] * self.count
                told[d] = f'{{"idle":{idle}}}'
        return f',"devices":[{",".join(told)}]' if told else ""

    # --- segments and events ---

    def snapshot(self, segments, count):
        found = []
        for segment in segments:
            if segment["device"] >= count:
                continue
            blocks, address = [], segment["address"]
            for block in segment["blocks"]:
                at = block.get("address", address)
                blocks.append({"address": at, "size": block["size"], "requested_size": block["requested_size"],
                               "state": STATES[block["state"]]})
                address = at + block["size"]
            found.append({
                **{key: segment[key] for key in SEGMENT},
                "segment_type": segment["segment_type"], "blocks": blocks, "is_expandable": segment["is_expandable"],
                "segment_pool_id": list(segment["segment_pool_id"]),
            })
        found.sort(key=lambda s: (s["device"], s["address"]))
        return {"segments": found}

    def events(self):
        """All that was traced since this was last asked."""
        self.untold = 0
        traces = self.torch.cuda.memory._snapshot()["device_traces"]
        told = [
            [{"action": e["action"], "address": e["addr"] if "addr" in e else e["device_free"], "bytes": e["size"], "stream": e["stream"]}
             for e in traces[d] if e["action"] != "snapshot"]
            if d < len(traces) else []
            for d in range(self.count)
        ]
        self.torch.cuda.memory._record_memory_history(
            enabled="all", context=None, stacks="python", max_entries=HISTORY, clear_history=True)
        return f',"events":{json.dumps(told)}'
