"""Opens memory snapshots with PyTorch's own viewer functions, as a user would.

Decides whether `torch.cuda._memory_viz` accepts a file, and whether what it prints agrees with the
file's own figures. Needs torch, but no GPU: `python check_memory_viz.py FILE.pickle[.gz]...`
"""

import contextlib
import gzip
import io
import pickle
import sys
import warnings


def load(path):
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rb") as file:
        return pickle.load(file)


def plain(lines):
    """In place of the flame graph, whose script is fetched from the network."""
    return lines


def check(path, viz):
    snapshot = load(path)
    for key in ("segments", "device_traces", "allocator_settings", "external_annotations"):
        assert key in snapshot, f"{path}: no {key}"
    reserved = sum(segment["total_size"] for segment in snapshot["segments"])

    summary = viz.segsum(snapshot)
    assert f"segments: {len(snapshot['segments'])}" in summary, summary
    assert f"total_reserved: {viz.Bytes(reserved)!r}" in summary, summary

    # Bytes of every block, by stream and stack: they add up to all that is reserved.
    total = sum(int(line.rsplit(" ", 1)[1]) for line in viz.memory(snapshot, plain).splitlines())
    assert total == reserved, f"{path}: memory() counts {total} of {reserved} bytes"
    viz.segments(snapshot, plain)

    with contextlib.redirect_stdout(io.StringIO()) as differences:
        viz.compare(snapshot["segments"], snapshot["segments"], plain)
    assert "only_before = []" in differences.getvalue(), differences.getvalue()

    # trace() keeps its own names of blocks and fails on figures of the wrong type.
    text = viz.trace(snapshot)
    for device, events in enumerate(snapshot["device_traces"]):
        if events:
            assert f"Device {device} ---" in text and f"{len(events)} entries" in text, text[:200]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pages = [viz.trace_plot(snapshot), viz.trace_plot(snapshot, plot_segments=True)]
        if hasattr(viz, "segment_plot"):
            pages.append(viz.segment_plot(snapshot))
    for page in pages:
        assert "<script" in page and "MemoryViz.js" in page
    return len(snapshot["segments"]), sum(map(len, snapshot["device_traces"]))


def main():
    import torch
    from torch.cuda import _memory_viz

    if len(sys.argv) < 2:
        sys.exit("usage: check_memory_viz.py FILE.pickle[.gz]...")
    for path in sys.argv[1:]:
        segments, events = check(path, _memory_viz)
        print(f"{path}: {segments} segments, {events} events, torch {torch.__version__}")
    print("ok")


if __name__ == "__main__":
    main()
