"""RMM's memory resources for poolproof, without a GPU: PyPI's `rmm` over an upstream of made-up addresses.

    poolproof setup rmm
    poolproof run --target 'rmm@host?mr=statistics+limiting:limit=75%+pool:initial=1MiB'

The argument is a stack, the outermost resource first, each over the next and the last over the device. A size is a number of
bytes, one with KiB, MiB or GiB, or a share of the device (75%). Speaks poolproof-worker/2 (docs/worker-protocol.md).

`guard` in front of a stack is no resource of RMM: it refuses sizes that RMM cannot round up to 256 and answers requests of 0
bytes itself, so that what lies behind those two mistakes can be looked for.

Without a device RMM takes all streams for one, because none has an identity that it could ask CUDA for: `streams` is 1. What RMM
promises and what it does not is in CLAIMS. A resource is no cache that could be emptied, so nothing here says `empty_cache`.
"""

import json
import os
import re
import sys

SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")  # as `poolproof setup rmm` puts it there
if os.path.isdir(SITE):
    sys.path.insert(0, SITE)

import rmm  # noqa: E402
from rmm import mr as resources  # noqa: E402

ALIGNMENT = 256  # rmm::CUDA_ALLOCATION_ALIGNMENT
APART = 1 << 52  # between the addresses of two devices, more than any sequence asks for

# By kind: options with what they are where nothing is said, and promises of the resource.
OPTIONS = {
    "guard": {},
    "pool": {"initial": "0", "max": ""},
    "fixed": {"block": "1MiB", "count": "16"},
    "binning": {"min": "8", "max": "14", "count": "128"},
    "limiting": {"limit": "75%"},
    "tracking": {},
    "statistics": {},
    "failure": {"retries": "1"},
    "prefetch": {},
}
CLAIMS = {"pool": ["caching", "keeps_cached", "cuts_any_block", "merges_at_free"], "fixed": ["caching", "keeps_cached"]}
NEEDS_A_GPU = ("arena", "async", "managed", "cuda", "logging", "system", "pinned")


def size_of(text, total):
    """Bytes, rounded down to what RMM takes."""
    found = re.fullmatch(r"(\d+)(KiB|MiB|GiB|%)?", text)
    if not found:
        sys.exit(f"`{text}` is no size: 4096, 64MiB or 75%")
    number, unit = int(found[1]), found[2]
    if unit == "%":
        number = total * number // 100
    else:
        number <<= {None: 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
    return number // ALIGNMENT * ALIGNMENT


def read_stack(text):
    """Kinds with their options, the outermost first."""
    stack = []
    for part in text.split("+"):
        kind, _, given = part.partition(":")
        if kind not in OPTIONS:
            why = "needs a GPU" if kind in NEEDS_A_GPU else "is no resource: " + ", ".join(OPTIONS)
            sys.exit(f"`{kind}` {why}")
        options = dict(OPTIONS[kind])
        for option in filter(None, given.split(",")):
            key, _, value = option.partition("=")
            if key not in options:
                sys.exit(f"`{kind}` has no option `{key}`: {', '.join(options) or 'none'}")
            options[key] = value
        stack.append((kind, options))
    return stack


class Device:
    """What RMM calls upstream: a device of so many bytes, of which each piece takes a multiple of `unit`. Addresses lie side by
    side and are used again, lowest first."""

    def __init__(self, base, total, unit):
        self.top, self.total, self.used, self.unit = base, total, 0, unit
        self.live, self.gaps = {}, {}
        self.events = []

    def allocate(self, size, stream):
        if size == 0:
            return 0
        taken = -(-size // self.unit) * self.unit
        if taken > self.total - self.used:
            raise MemoryError(f"the device has {self.total - self.used} of {self.total} bytes left, not {size}")
        room = -(-size // ALIGNMENT) * ALIGNMENT
        at = min((at for at, have in self.gaps.items() if have >= room), default=None)
        if at is None:
            at, self.top = self.top, self.top + room
        else:
            have = self.gaps.pop(at)
            if have > room:
                self.gaps[at + room] = have - room
        self.live[at] = size
        self.used += taken
        self.events.append(b'{"action":"segment_alloc","address":%d,"bytes":%d,"stream":0}' % (at, size))
        return at

    def deallocate(self, at, size, stream):
        if at == 0 and size == 0:
            return
        if self.live.get(at) != size:
            # Told as it came: an event of memory that was never got is what the harness convicts.
            self.events.append(b'{"action":"segment_free","address":%d,"bytes":%d,"stream":0}' % (at, size))
            return
        del self.live[at]
        self.used -= -(-size // self.unit) * self.unit
        self.events.append(b'{"action":"segment_free","address":%d,"bytes":%d,"stream":0}' % (at, size))
        room = -(-size // ALIGNMENT) * ALIGNMENT
        room += self.gaps.pop(at + room, 0)
        for before, have in self.gaps.items():
            if before + have == at:
                self.gaps[before] = have + room
                return
        self.gaps[at] = room


class Placed:
    """The stack on one device, and what of it can be seen."""

    def __init__(self, stack, base, total):
        # A pool's figure is exact to the byte, so the device's has to be.
        self.device = Device(base, total, 1 if any(kind == "pool" for kind, _ in stack) else ALIGNMENT)
        self.first = {}
        self.least, self.largest, self.limit, self.fewest, self.most = ALIGNMENT, None, None, 0, 1 << 64
        made = resources.CallbackMemoryResource(self.device.allocate, self.device.deallocate)
        for kind, options in reversed(stack):
            made = self.over(made, kind, options, total)
            self.first[kind] = made
        self.mr = made
        self.shown = b""

    def over(self, upstream, kind, options, total):
        if kind == "guard":
            self.fewest, self.most = 1, (1 << 64) - ALIGNMENT
            return upstream
        sizes = {key: size_of(value, total) for key, value in options.items() if key not in ("count", "retries") and value}
        if kind == "pool":
            # It grows by half of what is left below its maximum, or doubles as long as the device has as much again.
            self.limit = sizes.get("max")
            self.least = (min(total, total if self.limit is None else self.limit) + 1) // 2
            return resources.PoolMemoryResource(upstream, sizes["initial"], sizes.get("max"))
        if kind == "fixed":
            count = int(options["count"])
            self.least, self.largest = max(self.least, sizes["block"] * count), sizes["block"]
            return resources.FixedSizeMemoryResource(upstream, sizes["block"], count)
        if kind == "binning":
            low, high, count = (int(options[key]) for key in ("min", "max", "count"))
            self.least = max(self.least, count << high)
            if count == 128:
                return resources.BinningMemoryResource(upstream, low, high)
            bins = resources.BinningMemoryResource(upstream)
            for exponent in range(low, high + 1):
                bins.add_bin(1 << exponent, resources.FixedSizeMemoryResource(upstream, 1 << exponent, count))
            return bins
        if kind == "limiting":
            if "pool" not in self.first:  # what a pool has reserved is not what this one counts
                self.limit = sizes["limit"]
            return resources.LimitingResourceAdaptor(upstream, sizes["limit"])
        if kind == "failure":
            return resources.FailureCallbackResourceAdaptor(upstream, self.failed(int(options["retries"])))
        kinds = {"tracking": "Tracking", "statistics": "Statistics", "prefetch": "Prefetch"}
        return getattr(resources, kinds[kind] + "ResourceAdaptor")(upstream)

    def failed(self, retries):
        """A callback that asks for so many more attempts, at each request anew."""
        state = {"left": retries}

        def callback(size):
            state["left"] -= 1
            if state["left"] < 0:
                state["left"] = retries
                return False
            return True

        return callback

    def seeing(self):
        """What the stack shows: functions that write figures, and the names of those."""
        names, readers = [], []
        first = self.first
        if "statistics" in first:
            counts = first["statistics"]
            text = (
                b'"requested_bytes.current":%d,"requested_bytes.peak":%d,"requested_bytes.allocated":%d,'
                b'"allocation.current":%d,"allocation.peak":%d,"allocation.allocated":%d'
            )

            def read_statistics():
                c = counts.allocation_counts
                return text % (c.current_bytes, c.peak_bytes, c.total_bytes, c.current_count, c.peak_count, c.total_count)

            readers.append(read_statistics)
            names += [f"{f}.{c}" for f in ("requested_bytes", "allocation") for c in ("current", "peak", "allocated")]
        elif "tracking" in first:
            tracked = first["tracking"]
            readers.append(lambda: b'"requested_bytes.current":%d' % tracked.get_allocated_bytes())
            names.append("requested_bytes.current")
        if "limiting" in first:
            limited = first["limiting"]
            readers.append(lambda: b'"allocated_bytes.current":%d' % limited.get_allocated_bytes())
            names.append("allocated_bytes.current")
        if "pool" in first:
            pool = first["pool"]
            readers.append(lambda: b'"reserved_bytes.current":%d' % pool.pool_size())
        else:
            # Who has no pool holds what the device has given.
            readers.append(lambda: b'"reserved_bytes.current":%d' % self.device.used)
        names.append("reserved_bytes.current")
        self.readers = readers
        return ["stats:" + name for name in names]

    def described(self):
        limit = {} if self.limit is None else {"limit_bytes": self.limit}
        return {"total_bytes": self.device.total, **limit}

    def figures(self):
        """What is shown of the device, or nothing where it is as it was."""
        stats = b",".join([read() for read in self.readers])
        shown = b'{"stats":{%s},"free_bytes":%d}' % (stats, self.device.total - self.device.used)
        if shown == self.shown:
            return b"null"
        self.shown = shown
        return shown


class Worker:
    def __init__(self, text):
        self.stack = read_stack(text)
        self.places = []
        self.before = self.between = ()

    def open(self, sizes):
        self.places.clear()  # the resources of the life before give their memory back now
        try:
            for at, total in enumerate(sizes):
                self.places.append(Placed(self.stack, (at + 1) * APART, total))
        except (MemoryError, RuntimeError) as error:
            self.places.clear()
            return json.dumps({"refused": {"error": {"message": f"RMM: {error}"}}}).encode()
        shows = [place.seeing() for place in self.places]
        claims = set.intersection(*(set(CLAIMS.get(kind, ())) for kind, _ in self.stack if kind in CLAIMS)) if any(
            kind in CLAIMS for kind, _ in self.stack
        ) else set()
        largest = [place.largest for place in self.places if place.largest]
        # Under a limit of what callers hold, over a pool that holds more, what the device has free owes nothing.
        kinds = [kind for kind, _ in self.stack]
        owes = "memory_info" if not {"limiting", "pool"} <= set(kinds) else "oom_typed"
        info = {
            "name": "+".join(kind for kind, _ in self.stack),
            "devices": [place.described() for place in self.places],
            "streams": 1,
            "alignment": ALIGNMENT,
            "growth": {
                "least": max((place.least for place in self.places), default=ALIGNMENT),
                "granule": ALIGNMENT,
                "numerator": 1,
                "denominator": 1,
                # A pool that gets no more tries half, and half of that, down to the request; the others take what is asked.
                **({"largest": min(largest)} if largest else {}),
                "backs_off": not any(kind in ("fixed", "binning") for kind, _ in self.stack),
            },
            "capabilities": sorted({*claims, *(shows[0] if shows else ()), owes, "oom_typed", "device_events"}),
        }
        opened = {"opened": {"info": info, "versions": {"allocator": rmm.__version__}}}
        # What was got while the resources were made is told with the first answer of the device.
        shown = b",".join([place.figures() for place in self.places])
        self.before = [b"null," * at for at in range(len(sizes))]
        self.after = [b",null" * (len(sizes) - at - 1) for at in range(len(sizes))]
        self.empty = [b"[]," * at for at in range(len(sizes))]
        return json.dumps(opened).encode()[:-2] + b',"devices":[%s]}}' % shown

    def answer(self, at, reply):
        """A reply with what the operation did to device `at`."""
        place = self.places[at]
        events = place.device.events
        told = b""
        if events:
            told = b',"events":[%s[%s]]' % (self.empty[at], b",".join(events))
            events.clear()
        shown = place.figures()
        if shown != b"null":
            told += b',"devices":[%s%s%s]' % (self.before[at], shown, self.after[at])
        return b'{"applied":{"reply":%s%s}}' % (reply, told)

    def alloc(self, device, stream, size):
        if not 0 <= device < len(self.places):
            return refused("invalid_argument", f"there is no device {device}")
        place = self.places[device]
        try:
            if size > place.most:
                raise MemoryError(f"{size} bytes cannot be rounded up")
            address = place.mr.allocate(size) if size >= place.fewest else 0
        except MemoryError as error:
            return self.answer(device, refusal("out_of_memory", error))
        except Exception as error:
            return self.answer(device, refusal("device_error", error))
        if size:
            place.device.events.append(b'{"action":"alloc","address":%d,"bytes":%d,"stream":0}' % (address, size))
        return self.answer(device, b'{"allocated":{"address":%d}}' % address)

    def free(self, address, size, device):
        place = self.places[device]
        if size >= place.fewest:
            place.mr.deallocate(address, size)
        if size:
            freed = b'"address":%d,"bytes":%d,"stream":0}' % (address, size)
            events = place.device.events
            events.insert(0, b'{"action":"free_requested",' + freed)
            events.insert(1, b'{"action":"free_completed",' + freed)
        return self.answer(device, b'"done"')

    def other(self, question):
        if "hello" in question:
            return b'{"hello":{"protocol":"poolproof-worker/2","version":"rmm %s"}}' % rmm.__version__.encode()
        if "open" in question:
            return self.open(question["open"]["setup"]["device_bytes"])
        if "apply" in question:
            op, about = question["apply"]["op"], question["apply"].get("about")
            if "alloc" in op:
                asked = op["alloc"]
                return self.alloc(asked["device"], asked.get("stream", 0), asked["bytes"])
            if "free" in op:
                return self.free(about["address"], about["bytes"], about["device"])
            if "memory_info" in op:
                at = op["memory_info"]["device"]
                if not 0 <= at < len(self.places):
                    return refused("invalid_argument", f"there is no device {at}")
                device = self.places[at].device
                info = b'{"memory_info":{"free_bytes":%d,"total_bytes":%d}}' % (device.total - device.used, device.total)
                return b'{"applied":{"reply":%s}}' % info
            return refused("unsupported", "RMM has no such operation")
        return b'{"observed":{}}' if "observe" in question else b'{"closed":{}}'


def refusal(kind, message):
    return json.dumps({"refused": {"class": kind, "message": str(message)}}).encode()


def refused(kind, message):
    return b'{"applied":{"reply":%s}}' % refusal(kind, message)


# The two questions that nearly all are, as poolproof writes them; whatever is written otherwise is read as any JSON.
ALLOC = re.compile(rb'\{"apply":\{"op":\{"alloc":\{"block":\d+,"device":(-?\d+),"stream":(\d+),"bytes":(\d+),"via":"\w+"\}\}[,}]')
FREE = re.compile(
    rb'\{"apply":\{"op":\{"free":\{"block":\d+\}\},"about":\{"address":(\d+),"bytes":(\d+),"device":(\d+),"stream":\d+\}[,}]'
)


def lines(descriptor):
    rest = b""
    while read := os.read(descriptor, 1 << 16):
        *whole, rest = (rest + read).split(b"\n")
        yield from whole


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--version":
        return print(rmm.__version__)
    rmm.set_logging_level(rmm.level_enum.off)
    worker = Worker(sys.argv[1])
    alloc, free = ALLOC.match, FREE.match
    for line in lines(3):
        if found := alloc(line):
            answer = worker.alloc(int(found[1]), int(found[2]), int(found[3]))
        elif found := free(line):
            answer = worker.free(int(found[1]), int(found[2]), int(found[3]))
        else:
            answer = worker.other(json.loads(line))
        answer += b"\n"
        while answer:
            answer = answer[os.write(4, answer) :]


main()
