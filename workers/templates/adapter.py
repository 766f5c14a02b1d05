"""An adapter for poolproof: a small allocator and the worker protocol around it (docs/worker-protocol.md of poolproof).

    poolproof check-worker 'python3 adapter.py'
    poolproof run --target 'exec:python3 adapter.py@host'
"""

import json
import os

ask, tell = os.fdopen(3), os.fdopen(4, "w")  # questions come in and answers go out here; print() disturbs nobody
ROUND = 256


class Device:
    """Replace this by calls of your allocator."""

    def __init__(self, base, size):
        self.free = {base: size}  # address: bytes
        self.live = {}

    def malloc(self, size, stream):
        need = max(-(-size // ROUND) * ROUND, ROUND)
        for address, have in sorted(self.free.items()):
            if have >= need:
                del self.free[address]
                if have > need:
                    self.free[address + need] = have - need
                self.live[address] = need
                return address
        raise MemoryError

    def release(self, address):
        size = self.live.pop(address)
        for before, have in list(self.free.items()):
            if before + have == address:
                address, size = before, have + size
                del self.free[before]
        self.free[address] = size + self.free.pop(address + size, 0)


def apply(op, about):
    if "alloc" in op:
        device = op["alloc"]["device"]
        if not 0 <= device < len(devices):
            return {"refused": {"class": "invalid_argument", "message": f"there is no device {device}"}}
        if op["alloc"]["bytes"] == 0:
            return {"allocated": {"address": 0}}
        try:
            return {"allocated": {"address": devices[device].malloc(op["alloc"]["bytes"], op["alloc"]["stream"])}}
        except MemoryError:
            return {"refused": {"class": "out_of_memory", "message": "nothing fits"}}
    if "free" in op:
        if about["bytes"]:
            devices[about["device"]].release(about["address"])
        return "done"
    return {"refused": {"class": "unsupported", "message": "not here"}}


for line in ask:
    question = json.loads(line)
    if "hello" in question:
        answer = {"hello": {"protocol": "poolproof-worker/2"}}
    elif "open" in question:  # a world of its own for each sequence
        sizes = question["open"]["setup"]["device_bytes"]
        devices = [Device((at + 1) << 44, size) for at, size in enumerate(sizes)]
        answer = {"opened": {"info": {"devices": [{"total_bytes": size} for size in sizes], "alignment": ROUND}}}
    elif "apply" in question:
        answer = {"applied": {"reply": apply(question["apply"]["op"], question["apply"].get("about"))}}
    elif "observe" in question:
        answer = {"observed": {}}
    else:
        answer = {"closed": {}}
    tell.write(json.dumps(answer) + "\n")
    tell.flush()
