"""Memory of the process."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library


def keep_freed_memory() -> None:
    """Tell the GNU C library to keep freed blocks instead of handing them back to the system.

    By default each large tensor is a fresh mapping: its first touch faults in every page, and
    freeing it gives the pages back. A training step allocates the same sizes over and over.
    On other C libraries this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)  # not M_MMAP_THRESHOLD: that refuses values above 32 MB
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
