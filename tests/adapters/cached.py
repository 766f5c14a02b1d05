"""A caching allocator with a cache by size and stream, for tests: sound, or with one mistake (MISTAKE), or a worker that goes
wrong at its 20th operation (GONE), or one that serves one life a process (RESTART, told at its end or at the next `open`), or one
that is asked ahead and counts in the file AHEAD how often."""

import json
import os
import sys
import time

MISTAKE, GONE = os.environ.get("MISTAKE", ""), os.environ.get("GONE", "")
RESTART, lives = os.environ.get("RESTART", ""), 0
AHEAD, asked_ahead, passes_over, held = os.environ.get("AHEAD", ""), 0, False, {}
ask, tell = os.fdopen(3), os.fdopen(4, "w")
ROUND = 512


class Device:
    def __init__(self, base, size):
        self.free, self.live, self.cache = {base: size}, {}, {}
        self.frees, self.ran_out, self.waited = 0, False, False

    def take(self, need):
        for address, have in sorted(self.free.items()):
            if have >= need and not (self.ran_out and MISTAKE == "no-recovery"):
                del self.free[address]
                if have > need:
                    self.free[address + need] = have - need
                return address
        return None

    def give(self, address, size):
        for before, have in list(self.free.items()):
            if before + have == address:
                address, size = before, have + size
                del self.free[before]
        self.free[address] = size + self.free.pop(address + size, 0)

    def key(self, need, stream, thread):
        stream = 0 if MISTAKE == "other-stream" else stream
        return (need, stream, thread) if MISTAKE == "threads" else (need, stream)

    def malloc(self, size, stream, thread):
        need = -(-size // ROUND) * ROUND
        if MISTAKE == "wraps":
            need %= 1 << 64
        if MISTAKE == "too-small" and size % ROUND == 1 and size > ROUND:
            need -= ROUND
        need = max(need, ROUND)
        cached = self.cache.get(self.key(need, stream, thread))
        address = cached.pop() if cached else self.take(need)
        if address is None:  # nothing fits: what is cached goes back, after a wait for the work on it
            self.waited = True
            for (bytes_, *_), addresses in self.cache.items():
                for at in addresses:
                    self.give(at, bytes_)
            self.cache = {}
            address = self.take(need)
        if address is None:
            self.ran_out = True
            raise MemoryError
        self.live[address] = (need, stream, thread)
        return address - (ROUND // 2 if MISTAKE == "overlap" and len(self.live) % 9 == 8 else 0)

    def release(self, address, thread):
        if MISTAKE == "overlap" and address not in self.live:
            address += ROUND // 2
        need, stream, owner = self.live.pop(address)
        self.frees += 1
        if MISTAKE == "leak" and self.frees % 16 == 0:
            return
        self.cache.setdefault(self.key(need, stream, owner), []).append(address)
        if MISTAKE == "threads" and thread != owner:
            self.cache.setdefault(self.key(need, stream, thread), []).append(address)


def go_wrong():
    if GONE == "garbage":
        tell.write("hello there\n")
    elif GONE == "half-a-line":
        tell.write('{"applied":')
        tell.flush()
        os._exit(0)
    elif GONE == "nothing":
        time.sleep(600)
    elif GONE == "too-much":
        while True:
            tell.write("x" * 65536)
    elif GONE == "exit":
        print("last words", file=sys.stderr)
        os._exit(3)
    elif GONE == "segfault":
        os.kill(os.getpid(), 11)
    elif GONE == "fork":
        if os.fork() == 0:
            time.sleep(600)
        os._exit(4)
    elif GONE == "flood":
        while True:
            print("y" * 65536, file=sys.stderr)


operations, devices = 0, []
for line in ask:
    question = json.loads(line)
    if "hello" in question:
        answer = {"hello": {"protocol": "poolproof-worker/1" if GONE == "version" else "poolproof-worker/2"}}
    elif "open" in question:
        sizes = question["open"]["setup"]["device_bytes"]
        devices, operations, passes_over, held = [Device((at + 1) << 44, size) for at, size in enumerate(sizes)], 0, False, {}
        info = {"devices": [{"total_bytes": s} for s in sizes], "streams": 4, "alignment": 256, "ahead": bool(AHEAD)}
        answer = {"opened": {"info": info}}
        lives += 1
        if RESTART and lives > 1:
            answer = {"restart": {}} if RESTART == "open" else {"refused": {"error": {"message": "a second life"}}}
    elif passes_over and question.get("apply", {}).get("ahead"):
        answer = {"passed_over": {}}
    elif "apply" in question:
        operations += 1
        asked_ahead += question["apply"].get("ahead", False)
        if operations == 20 and GONE:
            go_wrong()
        op, about, thread = question["apply"]["op"], question["apply"].get("about"), question["apply"].get("thread", 0)
        try:
            if "alloc" in op:
                place, size = op["alloc"]["device"], op["alloc"]["bytes"]
                if not 0 <= place < len(devices):
                    raise ValueError
                address = devices[place].malloc(size, op["alloc"]["stream"], thread) if size else 0
                reply = {"allocated": {"address": address}}
                held[op["alloc"]["block"]] = {"address": address, "bytes": size, "device": place}
            else:
                about = held.pop(op["free"]["block"])  # nobody says it of what is asked ahead
                if about["bytes"]:
                    devices[about["device"]].release(about["address"], thread)
                reply = "done"
        except MemoryError:
            reply = "refused" if AHEAD else {"refused": {"class": "out_of_memory"}}
        except ValueError:
            reply = {"refused": {"class": "invalid_argument"}}
        waited = [{"device": at} for at, device in enumerate(devices) if device.waited]
        for device in devices:
            device.waited = False
        passes_over = bool(waited) or "refused" in reply  # as poolproof may ask something else now
        answer = {"applied": {"reply": reply, "waited": waited}}
        if RESTART:
            answer["applied"]["colour"] = "red"  # a field that nobody knows
    else:
        if AHEAD:
            with open(AHEAD, "w") as file:
                file.write(str(asked_ahead))
        answer = {"observed": {}} if "observe" in question else {"closed": {"restart": True} if RESTART == "closed" else {}}
    tell.write(json.dumps(answer) + "\n")
    tell.flush()
