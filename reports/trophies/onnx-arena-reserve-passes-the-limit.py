"""ONNX Runtime: OrtAllocator::Reserve takes 4 MiB from an arena of max_mem 1 MiB, and then the arena has no limit any more."""
import ctypes, glob, os, sys
from ctypes import byref

P, N = ctypes.c_void_p, ctypes.c_size_t
folder = os.environ.get("ONNXRUNTIME") or os.path.dirname(__import__("onnxruntime").__file__)  # of the package
library = ctypes.CDLL(glob.glob(folder + "/capi/libonnxruntime.so.*")[0])
library.OrtGetApiBase.restype = ctypes.POINTER(ctypes.CFUNCTYPE(ctypes.POINTER(P), ctypes.c_uint32))
api = library.OrtGetApiBase()[0](23)
MODEL = bytes.fromhex("08083a2b0a100a017812017922084964656e746974791201675a090a017812040a02080162090a017912040a02080142040a00100d")
env, memory, config, options, session, arena, block = (P() for _ in range(7))


def call(place, *given):  # a function by its place in OrtApi; whether it went well
    return not ctypes.CFUNCTYPE(P)(api[place])(*given)


keys, values = (ctypes.c_char_p * 2)(b"max_mem", b"arena_extend_strategy"), (N * 2)(1 << 20, 1)
call(3, 4, b"", byref(env)), call(68, b"Cpu", 1, 0, 0, byref(memory)), call(164, keys, values, N(2), byref(config))
call(144, env, memory, config), call(10, byref(options)), call(130, options, b"session.use_env_allocators", b"1")
call(8, env, MODEL, N(len(MODEL)), options, byref(session)), call(131, session, memory, byref(arena))
before = call(75, arena, N(4 << 20), byref(block))
table = ctypes.cast(arena, ctypes.POINTER(P))  # version, Alloc, Free, Info, Reserve
reserved = ctypes.CFUNCTYPE(P, P, N)(table[4])(arena, 4 << 20)
after = call(75, arena, N(64 << 20), byref(block))
print("expected: 1 MiB is the limit: False, None, False")
print("actual:   4 MiB:", before, "| 4 MiB by Reserve:", reserved and "served", "| then 64 MiB:", after)
sys.exit(1 if after else 0)
