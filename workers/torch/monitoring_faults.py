"""`torch.cuda.list_gpu_processes` where the device is not there, or pynvml or NVML's library is missing, old or failing.

Decides which rows there are. A promise is what anybody expects: a device that is not there ends in an error that names it, what is
missing or fails is named in a text or an error, a refusal of memory stays one whatever NVML does, and the process goes on.
"""

import os
import shutil

import monitoring_fakes
from monitoring_rows import OWN, Row, judge_wrong, still

LIST = "torch.cuda.list_gpu_processes({})"
SONAME = b"libnvidia-ml.so.1"


def in_one_process(session, asked):
    """What can be asked of a process that goes on."""
    count = len(session.facts["names"])
    for name, device, word in [("past-the-end", count, str(count)), ("far-past-the-end", 99, "99"), ("negative", -1, "-1"),
                               ("cpu", "cpu", "cpu"), ("string-past-the-end", "cuda:99", "99")]:
        row = Row(session, f"wrong/{name}", LIST.format(repr(device)), ["wrong_device", "alive"])

        def judge(row=row, device=device, word=word):
            if session.facts["nvml_missing"]:
                row.ends("not_applicable", "no_nvml")
                return
            judge_wrong(row, asked.ask("listing", device=device, opinion=False), word)
            still(row, asked)
        row.while_asked(judge)
    for name, (text, truth, words) in monitoring_fakes.MODULES.items():
        if not name.startswith("module-"):
            made_up(session, asked, name, text, truth, words)


def apart(session):
    """What wants a process of its own from the start; to be done in any order, side by side."""
    jobs = [(lambda n=name, m=made: library(session, n, m)) for name, made in monitoring_fakes.LIBRARIES.items()]
    jobs += [(lambda n=name, m=made: module(session, n, m)) for name, made in monitoring_fakes.MODULES.items()
             if name.startswith("module-")]
    return jobs


def made_up(session, asked, name, text, truth, words):
    """A stand-in for pynvml, in a process that has imported torch already."""
    promises = ["listed", "bytes", "alive"] if truth is not None else ["missing_said", "alive"]
    row = Row(session, f"pynvml/{name}", LIST.format(0), promises)
    folder = monitoring_fakes.module(os.path.join(session.scratch, name), monitoring_fakes.MADE_UP + text)

    def judge():
        seen = asked.ask("listing", device=0, opinion=False, folder=folder)
        row.saw(seen)
        if truth is None:
            row.judge_said(seen, words)
        else:
            row.says_nvml(truth)
            row.judge_list(seen, truth)
        still(row, asked)
    row.while_asked(judge)


def module(session, name, made):
    """One that is there before torch is imported."""
    text, _truth, words = made
    row = Row(session, f"pynvml/{name}", LIST.format(0), ["missing_said", "alive"])
    folder = monitoring_fakes.module(os.path.join(session.scratch, name), monitoring_fakes.MADE_UP + text)

    def judge():
        with session.child(session.path(folder)) as child:
            seen = child.ask("listing", device=0, opinion=False)
            row.saw(seen)
            row.judge_said(seen, words)
            still(row, child)
    row.while_asked(judge)


def library(session, name, made):
    """A library that is found in place of NVML's."""
    functions, words = made
    listed = Row(session, f"nvml/{name}", LIST.format(0), ["missing_said", "alive"])
    refused = Row(session, f"nvml/{name}-refusal", "torch.cuda.caching_allocator_alloc(2 * total)", ["refusal", "alive"])
    folder = os.path.join(session.scratch, name)
    try:
        monitoring_fakes.library(folder, functions)
    except KeyError:  # No code for this processor.
        for row in (listed, refused):
            row.ends("not_applicable", "processor")
            row.say()
        return
    with session.child({**session.environment(), **in_place_of_nvml(session, folder)}) as child:
        def judge_listed():
            seen = child.ask("listing", device=0, opinion=False)
            listed.saw(seen)
            listed.judge_said(seen, words)
            still(listed, child)

        def judge_refused():
            seen = child.ask("refusal", device=0, opinion=False)
            refused.saw(seen)
            if seen["kind"] != "OutOfMemoryError":
                said = (seen["error"] or "it was served").split("Exception raised")[0]
                refused.breaks("refusal", f"{seen['kind']}: {said}")
            still(refused, child)

        listed.while_asked(judge_listed)
        refused.while_asked(judge_refused)


def in_place_of_nvml(session, folder):
    """The environment in which a program finds the library of this folder, and not the driver's."""
    before = os.environ.get("LD_LIBRARY_PATH")
    path = {"LD_LIBRARY_PATH": folder + (":" + before if before else "")}
    if not session.simulated:
        return path
    # simcuda's library is loaded by then under the name that is looked for: in a copy it has another.
    own, copy = os.path.dirname(session.simulated), os.path.join(folder, "simcuda")
    shutil.copytree(own, copy)
    with open(os.path.join(copy, SONAME.decode()), "r+b") as file:
        text = file.read()
        file.seek(0)
        file.write(text.replace(SONAME, SONAME.replace(b"-ml", b"-xx")))
    preloaded = os.path.join(copy, os.path.basename(session.simulated))
    return {**path, "LD_PRELOAD": os.environ["LD_PRELOAD"].replace(session.simulated, preloaded)}


def visible(session):
    """All devices named by CUDA_VISIBLE_DEVICES, and one more asked for."""
    count = len(session.facts["names"])
    row = Row(session, "wrong/past-the-visible", LIST.format(count), ["wrong_device"])
    devices = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(str(d) for d in range(count))

    def judge():
        if session.facts["nvml_missing"]:
            row.ends("not_applicable", "no_nvml")
            return
        with session.child({**session.environment(), "CUDA_VISIBLE_DEVICES": devices}) as child:
            judge_wrong(row, child.ask("listing", device=count, opinion=False), str(count))
    row.while_asked(judge)


def reordered(session):
    """Devices in another order: the first of them is the last of NVML's."""
    count = len(session.facts["names"])
    row = Row(session, "reordered/listed", LIST.format(0), ["listed", "bytes"])
    head = Row(session, "reordered/heading", LIST.format(0), ["heading"])
    if count < 2 or os.environ.get("CUDA_VISIBLE_DEVICES"):
        for one in (row, head):
            one.ends("not_applicable", "one_device" if count < 2 else "visible_set")
            one.say()
        return
    backwards = ",".join(str(d) for d in reversed(range(count)))
    with session.child({**session.environment(), "CUDA_VISIBLE_DEVICES": backwards}) as child:
        def asked(judged):
            child.ask("hold", device=0, size=OWN)
            if session.simulated:
                child.ask("sim_neighbour", device=0, size=OWN)
            seen = child.ask("listing", device=0)
            judged.saw(seen)
            return seen

        def judge_listed():
            seen = asked(row)
            if not seen["stable"]:
                row.ends("not_applicable", "restless")
                return
            row.judge_list(seen, seen["nvml"]["processes"])

        def judge_heading():
            lines = (asked(head)["text"] or "").splitlines()
            if not lines or lines[0] != "GPU:0":
                head.breaks("heading", f"the first line is {lines[0] if lines else ''}, and 0 was asked for")

        row.while_asked(judge_listed)
        head.while_asked(judge_heading)
