"""How the C library keeps memory."""

import ctypes

_M_ARENA_MAX = -8
"""mallopt(3)."""


def share_one_heap() -> None:
    """Have all threads take their memory from one heap, before there is more than one thread.

    glibc gives each thread a heap of its own, and what one has let go of no other may use. That is quick where threads compute side
    by side, which ours do not. Other C libraries have one heap anyhow.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
