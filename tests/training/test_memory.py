import subprocess
import sys

import pytest

# A block of 64 MB that is freed: afterwards the process is as small as before, or it keeps it.
MEASURE = """
import ctypes, sys
from pyojeong.training.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
size = 64 << 20
before = resident()
block = libc.malloc(ctypes.c_size_t(size))
ctypes.memset(block, 1, size)
libc.free(block)
print((resident() - before) * 4096 > size // 2)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
@pytest.mark.parametrize(("how", "kept"), [("keep", "True"), ("not", "False")])
def test_what_is_freed_is_kept(how: str, kept: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, how], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == kept
