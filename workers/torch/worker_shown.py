"""How a live PyTorch's figures, segments and events are told: what changed, in the words of poolproof-worker/2.

Decides what is read after which operation: figures of the device that was asked of after each, of all others every few, the trace
where a device was called, where a request was refused, and every few hundred events.
"""

import json

# After so many operations the figures of every device are read, and after so many events the trace.
EVERY_DEVICE, EVERY_EVENTS = 16, 256
HISTORY = 200_000
# What the allocator has no part in.
NO_CALL = ("fill", "use", "verify", "occupy", "finish", "cycle_end")
DRIVER = ("num_device_alloc", "num_device_free", "num_ooms", "num_alloc_retries")
STATES = {"active_allocated": "active_allocated", "active_pending_free": "active_pending_free",
          "active_awaiting_free": "active_pending_free", "inactive": "inactive"}
SEGMENT = ("device", "address", "total_size", "allocated_size", "active_size", "requested_size", "stream")


def fraction(value):
    if value != value:
        return "NaN"
    return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, value)


class Shown:
    def __init__(self, torch, host):
        self.torch, self.host = torch, host
        self.raw = torch.cuda.memory.memory_stats_as_nested_dict
        self.native = torch.cuda.get_allocator_backend() == "native"
        self.families = []

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
        stats = self.raw(device)
        for key, value in self.earlier[device].items():
            stats[key] -= value
        return stats

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
            {"stats": self.flat(self.last[d]), "free_bytes": self.free[d], "total_bytes": self.host.total(d),
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
        """What changed since the last look, as the end of an answer: devices, events; and whether a device was called, or a request
        refused. Who only looks is told no events."""
        self.operations += 1
        touched = range(self.count)
        if name in NO_CALL:
            return self.idle_changes(), "", refused
        if self.count > 1 and device is not None and 0 <= device < self.count and self.operations % EVERY_DEVICE:
            touched = (device,)
        told, called = None, refused
        for d in touched:
            stats = self.read(d)
            last = self.last[d]
            parts = []
            if stats != last:
                figures, was_called = self.differences(stats, last)
                parts.append(f'"stats":{{{figures}}}')
                self.last[d] = stats
                called |= was_called
                if was_called:
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
        events = self.events() if asked and self.native and (called or self.untold >= EVERY_EVENTS) else ""
        return devices, events, called

    def idle_changes(self):
        told = None
        for d in range(self.count):
            if (idle := self.host.idle(d)) != self.idle[d]:
                self.idle[d] = idle
                told = told or ["null"] * self.count
                told[d] = f'{{"idle":{idle}}}'
        return f',"devices":[{",".join(told)}]' if told else ""

    def lay_out(self, stats):
        """Of each family its rows, and of each row the text that its figures go into."""
        found = []
        for family, of in stats.items():
            if not isinstance(of, dict):
                found.append((None, f'"{family}":%d'))
                continue
            rows = []
            for row, columns in of.items():
                names = [f"{family}.{row}.{c}" for c in columns] if isinstance(columns, dict) else [f"{family}.{row}"]
                rows.append((row, ",".join(f'"{name}":%d' for name in names)))
            found.append((rows, None))
        self.families, self.driver_keys = found, [key for key in DRIVER if key in stats]

    def differences(self, stats, last):
        """The rows with figures that differ, and whether the device was called for it."""
        if len(self.families) != len(stats):
            self.lay_out(stats)
        found = []
        # PyTorch lists them in the same order each time.
        for of, was, (rows, text) in zip(stats.values(), last.values(), self.families):
            if of == was:
                continue
            if rows is None:
                found.append(text % of)
                continue
            for row, text in rows:
                if (columns := of[row]) != was[row]:
                    found.append(text % (tuple(columns.values()) if isinstance(columns, dict) else columns))
        called = stats["reserved_bytes"]["all"] != last["reserved_bytes"]["all"]
        for key in self.driver_keys:
            called |= stats[key] != last[key]
        return ",".join(found), called

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
