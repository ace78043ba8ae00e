"""Memory that a training step gives back and the next one takes again."""

import ctypes
import sys

# Of glibc's malloc.h; musl and the other systems have none of it.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_NEVER = 2**31 - 1


def keep_memory() -> None:
    """Let this process keep what it frees.

    glibc gives large blocks, such as a step's maps, back to the system, which clears each page when it is taken again:
    a sixth of a step of MobileNetV3-Small on two cores (``benchmarks/train.py``, ``kept_memory`` 1.21). Afterwards the
    process stays as large as it once was. Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
