"""Captures of graphs on NVIDIA's devices, and what becomes of a stream meanwhile.

Decides what is asked in the place of a stream that captures. Used by worker_device.py; which calls a capture is made of is
worker_sequence.py's.
"""

import sys
import warnings


class Graphs:
    """For a host with streams of several devices."""

    # The stream that captures, and what was put on it before.
    capturing = before_capture = None
    # The number that PyTorch gives the pool of the next graph that has one of its own.
    next_graph = 1

    def captures(self, device, stream=None):
        """A stream begins to capture; none, where no device is named. Nobody may ask a stream that captures how far it is."""
        self.capturing = None if device is None else (device, stream)
        if device is not None:
            self.before_capture = self.all_streams[device][stream].record_event()

    def is_capturing(self, device, stream):
        return self.capturing == (device, stream)

    def work(self, device, stream):
        """What can be asked how far a stream is, or waited for."""
        return self.before_capture if self.capturing == (device, stream) else self.all_streams[device][stream]

    def graph_pool(self):
        """The id that PyTorch gives the pool of the next graph that has one of its own."""
        return (self.next_graph, 0)

    def keep_generators(self):
        """Has each device's random numbers take the memory that they keep while there are graphs, past the cache: nobody asked for it."""
        warnings.filterwarnings("ignore", message="The CUDA Graph is empty")
        self.keepers = [self.cuda.CUDAGraph() for _ in range(self.count)]
        self.cuda.memory.caching_allocator_enable(False)
        for device, graph in enumerate(self.keepers):
            with self.cuda.stream(self.all_streams[device][1]):
                graph.capture_begin(capture_error_mode="relaxed")
                graph.capture_end()
            self.next_graph = graph.pool()[0] + 1
            graph.reset()
        self.cuda.memory.caching_allocator_enable(True)


if __name__ == "__main__":
    sys.exit("this is a part of worker.py")
