"""ONNX Runtime: an arena with initial_chunk_size_bytes 0 never answers its first request (strategy kNextPowerOfTwo)."""
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
    signal.alarm(5)  # a run takes less than a millisecond
    run({"initial_chunk_size_bytes": 0, "arena_extend_strategy": 0}, 1)
    os._exit(0)
hangs = os.WIFSIGNALED(os.waitpid(child, 0)[1])
print("onnxruntime", ort.__version__)
print("expected: an error, or a run")
print("actual:  ", "no answer within 5 s" if hangs else "an answer")
sys.exit(1 if hangs else 0)
