"""A process that has torch and is asked by lines of JSON.

Decides what it is started with, how long an answer is waited for, and what its end means.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

PREPARATION = 120  # seconds for torch to be imported, or CUDA to be initialised
SETTINGS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_NO_CUDA_MEMORY_CACHING")
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "monitoring.py")


class Gone(Exception):
    """A process ended, or was ended because it did not answer."""

    def __init__(self, outcome, how):
        super().__init__(how)
        self.outcome = outcome


class Refused(Exception):
    """A process answered that it could not."""


class Child:
    """A process that has torch and answers requests."""

    number = 0

    def __init__(self, scratch, environment=None):
        Child.number += 1
        self.log = open(os.path.join(scratch, f"process-{Child.number}.log"), "w+b")  # noqa: SIM115
        self.heard, theirs = os.pipe()
        self.buffer = b""
        env = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        env.update({"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})})
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, "--serve", str(theirs)], stdin=subprocess.PIPE, stdout=self.log,
            stderr=self.log, env=env, pass_fds=[theirs])
        os.close(theirs)
        self.is_ready = False

    def ready(self):
        if not self.is_ready:
            self.hear(PREPARATION)
            self.is_ready = True
        return self

    def send(self, request, **arguments):
        self.ready()
        with contextlib.suppress(OSError):  # That it is gone is heard.
            self.process.stdin.write(json.dumps({"request": request, **arguments}).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, request, limit=PREPARATION, **arguments):
        self.send(request, **arguments)
        return self.hear(limit)

    def hear(self, limit):
        deadline = time.monotonic() + limit
        while b"\n" not in self.buffer:
            if not select.select([self.heard], [], [], max(0, deadline - time.monotonic()))[0]:
                self.close(signal.SIGKILL)
                raise Gone("hung", f"no answer within {limit:g} s{self.printed()}")
            piece = os.read(self.heard, 1 << 16)
            if not piece:
                raise Gone("crashed", ended(self.process.wait()) + self.printed())
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        if "error" in message:
            raise Refused(message["error"])
        return message["answer"]

    def printed(self):
        """The last line that it printed, where a reason stands."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        lines = [line for line in lines if not line.startswith("poolproof-simcuda:")]
        return f"; it printed: {lines[-1][:300]}" if lines else ""

    def close(self, by=None):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if by is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ended(code):
    if code >= 0:
        return f"the process ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process was ended by signal {-code}"
