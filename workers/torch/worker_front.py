"""Where the processes of `torch@cuda` and `torch@sim` come from: a front that imports PyTorch once, and a process for each settings string,
forked from it before CUDA is there.

Decides which process answers a question. The front reads what comes before the first sequence and between two processes; a process
that cannot serve the next sequence hands the question back and ends. What ends a process in any other way ends the front in the same way, so that
whoever asks sees what happened.
"""

import ctypes
import gc
import json
import os
import signal
import sys

import worker

QUESTIONS, ANSWERS = 3, 4
# A process that ended so has handed back.
HANDED_BACK = 113
PR_SET_PDEATHSIG = 1


def backend(config):
    """The allocator that settings ask for, which PyTorch reads when it is imported."""
    of = [part.split(":", 1)[1].strip() for part in (config or "").split(",") if part.strip().startswith("backend:")]
    return of[-1] if of else "native"


def say(text):
    left = memoryview((text + "\n").encode())
    while left:
        left = left[os.write(ANSWERS, left):]


class Front:
    def __init__(self, config, limited, place):
        self.config, self.place = config, place
        self.made = (config, limited == "limited", place == "sim")
        self.imported = None

    def ready(self, line):
        """Imports PyTorch for the first sequence; the answer where no process here can play it."""
        (kind, asked), = json.loads(line).items()
        if kind != "open":
            return worker.Worker(*self.made).answer(line)
        wanted = worker.wanted(asked["setup"], self.config)
        if self.imported is not None:
            return None if backend(wanted) == self.imported else '{"restart":{}}'
        worker.set_settings(wanted)
        try:
            import torch  # noqa: F401: for the processes that are forked
        except Exception as error:  # noqa: BLE001: whatever keeps torch from being imported is the answer
            return json.dumps({"refused": {"error": {"message": f"{type(error).__name__}: {error}"}}})
        self.imported = backend(wanted)
        gc.freeze()
        return None

    def fork(self, line):
        """Has a process of its own answer this and what follows; the question that it handed back, or None at the end."""
        read, write = os.pipe()
        front = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(read)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != front:
                os._exit(1)
            code = 1
            try:
                code = self.serve(line, write)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(write)
        with os.fdopen(read, "rb") as handed:
            back = handed.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
            os.kill(front, number)
        code = os.WEXITSTATUS(status)
        if code == HANDED_BACK:
            return back
        sys.exit(code)

    def serve(self, line, write):
        asked = worker.Worker(*self.made)
        with os.fdopen(os.dup(QUESTIONS), "rb") as questions:
            while line:
                try:
                    say(asked.answer(line))
                except worker.Elsewhere:
                    os.write(write, line)
                    return HANDED_BACK
                if asked.is_spoiled:
                    return HANDED_BACK
                line = questions.readline()
        return 0

    def run(self):
        # Not a byte more than the question may be read here: what follows is another process's.
        questions = os.fdopen(QUESTIONS, "rb", buffering=0, closefd=False)
        line = b""
        while line := line or questions.readline():
            answer = self.ready(line)
            if answer is None:
                line = self.fork(line)
            else:
                say(answer)
                line = b""


def main(config="", limited="limited", place="cuda"):
    gc.disable()  # what is collected when is ours to say
    Front(config, limited, place).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
