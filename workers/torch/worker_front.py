"""Where the processes of `torch@cuda` and `torch@sim` come from: a front that imports PyTorch once, and a process for each settings string,
forked from it before CUDA is there.

Decides which process answers a question. The front reads what comes before the first sequence and between two processes; a process
that cannot serve the next sequence hands the question back and ends. What ends a process in any other way ends the front in the same way, so that
whoever asks sees what happened.
"""

import ctypes
import fcntl
import gc
import json
import mmap
import os
import select
import signal
import sys
import traceback

import worker

QUESTIONS, ANSWERS = 3, 4
# A process that ended so has handed back.
HANDED_BACK = 113
PR_SET_PDEATHSIG = 1
# Answers that are kept before they are written together: each write wakes whoever reads.
TOGETHER = 8
# Room for those that are kept, behind two counts of bytes; a longer one is written at once.
ROOM, COUNTS = 1 << 20, 16
# An operation that takes so long, in ms, is not waited for with those answered before it.
PATIENCE = 100


def backend(config):
    """The allocator that settings ask for, which PyTorch reads when it is imported."""
    of = [part.split(":", 1)[1].strip() for part in (config or "").split(",") if part.strip().startswith("backend:")]
    return of[-1] if of else "native"


def say(text):
    write((text + "\n").encode())


def write(data):
    left = memoryview(data)
    while left:
        left = left[os.write(ANSWERS, left):]


class Answers:
    """What a process has answered and not written yet, where the front sees it: that writes what is left where the process ends or
    stays in an operation, so that whoever asked knows in which. Only the process appends, and either writes, under a lock."""

    def __init__(self):
        self.file = os.memfd_create("answers")
        os.ftruncate(self.file, ROOM)
        self.room = mmap.mmap(self.file, ROOM)
        # So far appended, and so far written.
        self.counts = (ctypes.c_uint64 * 2).from_buffer(self.room)
        self.kept = 0

    def add(self, text, more):
        data = (text + "\n").encode()
        at = COUNTS + self.counts[0]
        if at + len(data) > ROOM:
            self.flush(data)
            return
        self.room[at:at + len(data)] = data
        self.counts[0] += len(data)
        self.kept += 1
        if not more or self.kept >= TOGETHER:
            self.flush()

    def flush(self, data=b""):
        self.write_rest(data, 0)
        self.kept = 0

    def write_rest(self, data=b"", go_on_at=None):
        fcntl.lockf(self.file, fcntl.LOCK_EX)
        try:
            end = self.counts[0]
            write(self.room[COUNTS + self.counts[1]:COUNTS + end] + data)
            self.counts[1] = end
            if go_on_at is not None:
                self.counts[:] = (go_on_at, go_on_at)
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN)


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
        read, hand_back = os.pipe()
        front, answers = os.getpid(), Answers()
        child = os.fork()
        if child == 0:
            os.close(read)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != front:
                os._exit(1)
            code = 1
            try:
                code = self.serve(line, answers, hand_back)
            except BaseException:  # noqa: BLE001: whoever asked is shown what was printed last
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(hand_back)
        with os.fdopen(read, "rb") as handed:
            back = self.wait(handed, answers)
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

    @staticmethod
    def wait(handed, answers):
        """What the process hands back at its end. Meanwhile an answer that it keeps for longer than a moment is written."""
        end, seen = select.poll(), None
        end.register(handed, select.POLLIN)
        while not end.poll(PATIENCE):
            now = answers.counts[:]
            if now == seen and now[0] > now[1]:
                answers.write_rest()
            seen = now
        back = handed.read()
        answers.write_rest()
        os.close(answers.file)
        return back

    def serve(self, line, answers, hand_back):
        asked = worker.Worker(*self.made)
        with os.fdopen(os.dup(QUESTIONS), "rb") as questions:
            while line:
                try:
                    answers.add(asked.answer(line), asked.more)
                except worker.Elsewhere:
                    os.write(hand_back, line)
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
