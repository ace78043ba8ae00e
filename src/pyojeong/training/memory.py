"""Keep freed memory in the process, so that training steps do not request it again from the system."""

import ctypes
import sys

# From glibc's malloc.h; musl and other systems have no such options.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_NEVER = 2**31 - 1


def keep_memory() -> None:
    """Make this process keep the memory it frees.

    glibc returns large blocks, such as a step's feature maps, to the system, which then clears each page again. This
    takes a sixth of a step of MobileNetV3-Small on two cores (``benchmarks/train.py``, ``kept_memory`` 1.21). In return
    the process never shrinks. Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
