"""What asking costs: nanoseconds a call of each figure, beside an allocation that the cache serves.

Decides how often each is called and which blocks are live meanwhile; the median of several runs is told.
"""

import time

RUNS = 7
LEAST = 10_000_000  # nanoseconds of a run
LIVE = (10, 1000, 10000)
BLOCK = 512
CALLS = 8


def run(session):
    for device in session.devices():
        with session.child(session.environment()) as child:
            for cost in child.ask("cost", device=device, limit=300):
                session.say(cost={"device": device, **cost})


def cost(state, device):
    torch = state["torch"]
    cuda, held = torch.cuda, []
    cuda.set_device(device)
    calls = {
        "torch.empty + free": lambda: torch.empty(1 << 20, dtype=torch.uint8, device=f"cuda:{device}"),
        "memory_allocated": lambda: cuda.memory_allocated(device),
        "memory_reserved": lambda: cuda.memory_reserved(device),
        "memory_stats": lambda: cuda.memory_stats(device),
        "memory_stats_as_nested_dict": lambda: cuda.memory_stats_as_nested_dict(device),
        "mem_get_info": lambda: cuda.mem_get_info(device),
        "memory_snapshot": cuda.memory_snapshot,
        "list_gpu_processes": lambda: cuda.list_gpu_processes(device),
    }
    costs = []
    for live in LIVE:
        while len(held) < live:
            held.append(cuda.caching_allocator_alloc(BLOCK, device))
        for name, call in calls.items():
            try:
                runs = measured(call)
            except Exception as error:  # noqa: BLE001
                costs.append({"call": name, "live_blocks": live, "ns": None, "runs": [], "why": f"{error}"[:300]})
            else:
                costs.append({"call": name, "live_blocks": live, "ns": sorted(runs)[len(runs) // 2], "runs": runs})
    for pointer in held:
        cuda.caching_allocator_delete(pointer)
    return costs


def measured(call):
    """Nanoseconds a call in each run."""
    call()
    began = time.monotonic_ns()
    call()
    once = max(1, time.monotonic_ns() - began)
    times = max(1, LEAST // once)
    runs = []
    for _ in range(RUNS):
        began = time.monotonic_ns()
        for _ in range(times):
            call()
        runs.append((time.monotonic_ns() - began) / times)
    return [round(one, 1) for one in runs]


REQUESTS = {"cost": cost}
