"""What the process keeps of memory that nobody uses, and giving it back to the machine.

Only what the C library keeps: buffers, dictionaries, everything above 512 bytes. The interpreter's own small blocks lie
in megabytes that it gives back by itself, each when nothing in it is used any more (docs/adr/0034). With
``PYTHONMALLOC=malloc`` in its environment all of it is the C library's.
"""

import ctypes


def give_back() -> bool:
    """Give back whole pages that are free; whether there were any. Some 5 ms for 100 MiB, when all else stops.

    Nothing, and False, where the C library is not glibc.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another library; no shared one; Windows
        return False
    return bool(trim(ctypes.c_size_t(0)))
