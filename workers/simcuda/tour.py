"""Shows what goes with PyTorch over simulated CUDA devices, and what is refused.

    poolproof simcuda --devices 2 --bytes 1GiB -- python workers/simcuda/tour.py

Needs torch built for CUDA 12 or 13, and no GPU. Prints one line a thing. Exit code 0: everything that should go goes, and everything that
cannot is refused with an error. 1: something is otherwise. 2: there are no simulated devices in this process, or not two of 1 GiB.
"""

import ctypes
import gc
import os
import pathlib
import subprocess
import sys
import tempfile

MIB = 1 << 20
LIBRARY = "libpoolproof_simcuda.so"
# Settings are read once a process: what needs others runs in one of its own.
PARTS = {
    "expandable": "expandable_segments:True",
    "async": "backend:cudaMallocAsync",
}

failures = []


def simulator():
    """The library that brings the devices, for what a test may do to them."""
    for path in os.environ.get("LD_PRELOAD", "").replace(":", " ").split():
        if os.path.basename(path) == LIBRARY:
            library = ctypes.CDLL(path)
            library.poolproof_sim_occupy.argtypes = [ctypes.c_uint64]
            library.poolproof_sim_finish.argtypes = [ctypes.c_uint64]
            library.poolproof_sim_neighbour.argtypes = [ctypes.c_int, ctypes.c_uint64]
            for name in ("refused", "misuse"):
                getattr(library, "poolproof_sim_" + name).argtypes = [ctypes.c_char_p, ctypes.c_size_t]
                getattr(library, "poolproof_sim_" + name).restype = ctypes.c_size_t
            return library
    return None


def lines(tell):
    room = tell(None, 0) + 1
    buffer = ctypes.create_string_buffer(room)
    tell(buffer, room)
    return buffer.value.decode().splitlines()


def first_line(value):
    return str(value).strip().split("\n")[0][:150]


def goes(name):
    def run(thing):
        try:
            found = thing()
            print(f"goes     {name}" + ("" if found is None else f": {first_line(found)}"), flush=True)
        except BaseException as error:
            failures.append(name)
            print(f"FAILS    {name}: {type(error).__name__}: {first_line(error)}", flush=True)
        return thing

    return run


def refused(name, thing):
    try:
        thing()
    except Exception as error:
        print(f"refused  {name}: {type(error).__name__}: {first_line(error)}", flush=True)
        return
    failures.append(name)
    print(f"FAILS    {name}: it was not refused", flush=True)


def stat(key, device=0):
    return cuda.memory_stats(device)[key]


def empty(mib, device="cuda"):
    return torch.empty(mib * MIB, dtype=torch.uint8, device=device)


def oom(mib):
    try:
        empty(mib)
    except cuda.OutOfMemoryError as error:
        return str(error)
    raise AssertionError(f"{mib} MiB were given")


def check(condition, text="it is otherwise"):
    if not condition:
        raise AssertionError(text)


def devices():
    @goes("torch.cuda.is_available, device_count")
    def _():
        check(cuda.is_available() and cuda.device_count() == 2)
        return f"{cuda.device_count()} devices, torch {torch.__version__}"

    @goes("get_device_properties, get_device_capability, mem_get_info")
    def _():
        properties = cuda.get_device_properties(1)
        free, total = cuda.mem_get_info(1)
        check(free == total == properties.total_memory == 1 << 30)
        check(cuda.get_device_capability() == (9, 0) and properties.pci_bus_id == 2)
        return properties.name

    @goes("one device does not see the other's memory")
    def _():
        check(not cuda.can_device_access_peer(0, 1))


def memory():
    @goes("torch.empty, memory_stats, free")
    def _():
        x = empty(30)
        check(stat("allocated_bytes.all.current") == 30 * MIB)
        reserved = stat("reserved_bytes.all.current")
        del x
        check(stat("allocated_bytes.all.current") == 0 and stat("reserved_bytes.all.current") == reserved)
        return f"{reserved} bytes reserved for 30 MiB"

    @goes("empty_cache gives the memory back")
    def _():
        cuda.empty_cache()
        check(stat("reserved_bytes.all.current") == 0 and cuda.mem_get_info() == (1 << 30, 1 << 30))

    @goes("memory_snapshot, _record_memory_history, _dump_snapshot")
    def _():
        cuda.memory._record_memory_history(max_entries=1000)
        x = empty(30)
        snapshot = cuda.memory._snapshot()
        check([segment["allocated_size"] for segment in snapshot["segments"]] == [30 * MIB])
        check(x.data_ptr() == snapshot["segments"][0]["address"])
        with tempfile.TemporaryDirectory() as folder:
            cuda.memory._dump_snapshot(f"{folder}/snapshot.pickle")
        cuda.memory._record_memory_history(enabled=None)
        return [event["action"] for event in snapshot["device_traces"][0]]

    @goes("memory_summary")
    def _():
        check("CUDA OOMs" in cuda.memory_summary())

    @goes("out of memory is refused, counted, and passes")
    def _():
        text = oom(2000)
        check("Tried to allocate 1.95 GiB. GPU 0 has a total capacity of 1024.00 MiB" in text, text)
        check(stat("num_ooms") == 1)
        empty(30)
        return text.split(". If reserved")[0]

    @goes("a fraction is a limit, and is named")
    def _():
        cuda.empty_cache()
        cuda.set_per_process_memory_fraction(0.25)
        empty(200)
        cuda.empty_cache()
        text = oom(300)
        cuda.set_per_process_memory_fraction(1.0)
        check("256.00 MiB allowed" in text, text)
        empty(300)

    @goes("memory that another process holds")
    def _():
        cuda.empty_cache()
        check(sim.poolproof_sim_neighbour(0, 900 * MIB) == 0)
        text = oom(300)
        sim.poolproof_sim_neighbour(0, 0)
        return text.split("Including")[0].split("is free. ")[1]

    @goes("torch.cuda.MemPool, use_mem_pool")
    def _():
        pool = cuda.MemPool()
        with cuda.use_mem_pool(pool):
            x = empty(30)
        outside = empty(30)
        held = pool.snapshot()
        check(len(held) == 1 and held[0]["address"] == x.data_ptr() != outside.data_ptr())
        del x, pool
        gc.collect()
        cuda.empty_cache()
        check(stat("reserved_bytes.all.current") == 30 * MIB)

    @goes("the second device counts for itself")
    def _():
        cuda.empty_cache()
        x = empty(30, "cuda:1")
        check(stat("allocated_bytes.all.current", 1) == 30 * MIB and stat("allocated_bytes.all.current", 0) == 0)
        check(cuda.mem_get_info(0)[0] == 1 << 30)
        del x


def streams():
    @goes("a block that a busy stream uses is not given again")
    def _():
        side = cuda.Stream()
        x = empty(30)
        address = x.data_ptr()
        check(sim.poolproof_sim_occupy(side.cuda_stream) == 0)
        x.record_stream(side)
        del x
        check(empty(30).data_ptr() != address, "it was given again")
        sim.poolproof_sim_finish(side.cuda_stream)
        torch.empty(0, device="cuda")
        check(empty(30).data_ptr() == address, "it was not given again when the stream was done")

    @goes("events and waits of streams")
    def _():
        one, other = cuda.Stream(), cuda.Stream(priority=-1)
        sim.poolproof_sim_occupy(one.cuda_stream)
        event = one.record_event()
        other.wait_event(event)
        check(not event.query() and not other.query())
        sim.poolproof_sim_finish(one.cuda_stream)
        check(event.query() and other.query())
        cuda.synchronize()
        return one


def contents():
    numbers = torch.arange(1000, dtype=torch.float64)

    @goes(".to('cuda'), .cpu(), clone, copy_ between devices keep what they carry")
    def _():
        first = numbers.to("cuda:0")
        second = first.clone().to("cuda:1")
        check(torch.equal(second.cpu(), numbers) and torch.equal(first[10:20].cpu(), numbers[10:20]))
        first.copy_(numbers.flip(0))
        check(torch.equal(first.cpu(), numbers.flip(0)) and first[7].item() == 992)

    @goes("memory that is pinned")
    def _():
        pinned = numbers.pin_memory()
        check(pinned.is_pinned() and torch.equal(pinned.to("cuda", non_blocking=True).cpu(), numbers))

    @goes("a module, its parameters and a checkpoint")
    def _():
        module = torch.nn.Linear(40, 50)
        weight = module.weight.detach().clone()
        module.cuda()
        with tempfile.TemporaryDirectory() as folder:
            torch.save(module.state_dict(), f"{folder}/x.pt")
            loaded = torch.load(f"{folder}/x.pt")
        check(loaded["weight"].is_cuda and torch.equal(loaded["weight"].cpu(), weight))


def not_here():
    x = torch.empty(4, 4, device="cuda")
    refused("a kernel that fills (zeros, zero_, fill_, full)", lambda: torch.zeros(3, device="cuda"))
    refused("a kernel that computes", lambda: x + 1)
    refused("random numbers", lambda: torch.randn(3, device="cuda"))
    refused("a copy of another type", lambda: x.to(torch.float64))
    refused("a copy of what does not lie in one piece", lambda: x[:, 1:3].cpu())
    refused("printing a tensor (it computes; print x.cpu())", lambda: repr(x))
    refused("cuBLAS (matmul)", lambda: x @ x)
    refused("cuDNN (convolution)", lambda: torch.nn.functional.conv2d(x[None, None], x[None, None]))
    refused("cuFFT", lambda: torch.fft.fft(x))
    refused("torch.cuda._sleep", lambda: cuda._sleep(100))
    refused("time between events", elapsed)
    refused("torch.cuda.graph (it fills before it captures)", capture)
    refused("sharing memory with another process", lambda: x.untyped_storage()._share_cuda_())

    @goes("after all that the device is as before")
    def _():
        check(torch.arange(3).cuda().cpu().tolist() == [0, 1, 2])


def elapsed():
    one, other = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    one.record()
    other.record()
    one.elapsed_time(other)


def capture():
    with cuda.graph(cuda.CUDAGraph()):
        torch.empty(3, device="cuda")


def expandable():
    @goes("expandable_segments:True: one segment grows and shrinks")
    def _():
        blocks = [empty(30) for _ in range(3)]
        segment = cuda.memory_snapshot()
        check(len(segment) == 1 and segment[0]["is_expandable"], segment)
        blocks[2].copy_(torch.arange(30 * MIB, dtype=torch.int32).to(torch.uint8))
        check(blocks[2][77].item() == 77)
        del blocks
        cuda.empty_cache()
        check(cuda.mem_get_info()[0] == 1 << 30)


def asynchronous():
    refused("backend:cudaMallocAsync", lambda: empty(1))


def in_their_own_processes():
    for part, settings in PARTS.items():
        environment = dict(os.environ, PYTORCH_CUDA_ALLOC_CONF=settings, PYTORCH_ALLOC_CONF=settings)
        command = [sys.executable, str(pathlib.Path(__file__).resolve()), part]
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            failures.append(part)


sim = simulator()
if sim is None:
    print(f"no simulated devices: poolproof simcuda --devices 2 --bytes 1GiB -- python {sys.argv[0]}", file=sys.stderr)
    sys.exit(2)

import torch  # noqa: E402
from torch import cuda  # noqa: E402

if torch.version.cuda is None:
    print(f"torch {torch.__version__} is built without CUDA", file=sys.stderr)
    sys.exit(2)
part = sys.argv[1] if len(sys.argv) > 1 else ""
if part == "expandable":
    expandable()
elif part == "async":
    asynchronous()
else:
    sizes = [cuda.get_device_properties(device).total_memory for device in range(cuda.device_count())]
    if sizes != [1 << 30] * 2:
        print(f"two devices of 1 GiB are needed, and not {sizes}: --devices 2 --bytes 1GiB", file=sys.stderr)
        sys.exit(2)
    for show in (devices, memory, streams, contents, not_here):
        show()
    in_their_own_processes()
    for line in lines(sim.poolproof_sim_refused):
        print(f"named    {line[:150]}")
for line in lines(sim.poolproof_sim_misuse):
    failures.append(line)
    print(f"MISUSE   {line}")
sys.stdout.flush()
if failures:
    print(f"{len(failures)} of it otherwise than it should be", file=sys.stderr)
    sys.exit(1)
