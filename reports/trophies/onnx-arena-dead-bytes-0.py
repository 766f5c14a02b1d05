"""ONNX Runtime: an arena with max_dead_bytes_per_chunk 0 ends the process (SIGSEGV) at its first allocation."""
import os
import signal
import sys
import numpy
import onnxruntime as ort

MODEL = bytes.fromhex("08083a2b0a100a017812017922084964656e746974791201675a090a017812040a02080162090a017912040a02080142040a00100d")

def run(settings, *elements):  # Identity, in an arena with these settings
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(settings))
    options, shrink = ort.SessionOptions(), ort.RunOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = ort.InferenceSession(MODEL, options)
    for count in elements:
        session.run(None, {"x": numpy.zeros(count, numpy.float32)}, shrink)

child = os.fork()
if child == 0:
    run({"max_dead_bytes_per_chunk": 0, "arena_extend_strategy": 1}, 1)
    os._exit(0)
status = os.waitpid(child, 0)[1]
end = signal.Signals(status).name if os.WIFSIGNALED(status) else "lives"
print("onnxruntime", ort.__version__)
print("expected: an error, or a run")
print("actual:  ", end)
sys.exit(1 if end != "lives" else 0)
