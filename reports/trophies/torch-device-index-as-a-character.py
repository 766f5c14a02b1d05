"""A bad device index is printed as a character: 42 as `*`; and -1 ends in UnicodeDecodeError."""
import sys

import torch

torch.cuda.init()
said = {}
for index in (42, -2):
    try:
        torch.cuda.memory_stats(index)
        said[index] = "not refused"
    except (RuntimeError, ValueError, IndexError) as error:
        said[index] = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
expected = "a refusal that names 42, and one that names -2"
actual = said
is_broken = any(str(index) not in text for index, text in said.items())
print("torch", torch.__version__)
print("expected:", expected)
print("actual:  ", actual)
sys.exit(int(is_broken))
