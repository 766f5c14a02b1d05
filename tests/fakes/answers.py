"""What is read of a process that had answered and then died, or stayed in an operation (`worker_front.Answers`).

    answers.py workers/torch
"""

import os
import signal
import sys
import threading
import types

sys.path.insert(0, sys.argv[1])
sys.modules["worker"] = types.ModuleType("worker")  # the front asks it for nothing here

import worker_front  # noqa: E402

LONG = "9" * (worker_front.ROOM + 1)


def played(act, seen_before_the_end):
    """The answers of a process that does this, and whether so much of them came while it was still there."""
    said, worker_front.ANSWERS = os.pipe()
    handed, back = os.pipe()
    go, let_go = os.pipe()
    answers = worker_front.Answers()
    child = os.fork()
    if child == 0:
        os.close(handed)
        os.close(let_go)
        act(answers, lambda: os.read(go, 1))
        os._exit(0)
    os.close(back)
    waits = threading.Thread(target=lambda: worker_front.Front.wait(os.fdopen(handed, "rb"), answers))
    waits.start()
    text = b""
    while len(text) < len(seen_before_the_end):
        text += os.read(said, 4096)
    os.write(let_go, b"!")
    waits.join()
    os.waitpid(child, 0)
    os.close(worker_front.ANSWERS)
    while more := os.read(said, 1 << 16):
        text += more
    return text.decode().replace(LONG, "long").split()


def dies(answers, _):
    answers.add("1", False)
    answers.add("2", True)
    answers.add("3", True)
    os.kill(os.getpid(), signal.SIGKILL)


def stays(answers, until_let_go):
    answers.add("1", True)
    answers.add("2", True)
    until_let_go()
    answers.add("3", True)
    answers.add("4", False)


def goes_on(answers, until_let_go):
    for nth in range(1000):
        answers.add(str(nth), nth % 7 != 0)
    until_let_go()


def is_long(answers, until_let_go):
    answers.add("1", True)
    answers.add(LONG, True)
    answers.add("2", False)
    until_let_go()


print("dies:", *played(dies, b""))
print("stays:", *played(stays, b"1\n2\n"))
print("goes on:", played(goes_on, b"") == [str(nth) for nth in range(1000)])
print("is long:", *played(is_long, f"1\n{LONG}\n2\n".encode()))
