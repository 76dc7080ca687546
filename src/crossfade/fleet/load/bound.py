"""Run a module as a child that cannot be left behind: ``python -m crossfade.fleet.load.bound serve …``.

The hub of a load run. It gets a session of its own, so that Ctrl-C in a terminal is the load's to deal with, and
on Linux it is told to end when whoever started it is gone, even by SIGKILL.
"""

import contextlib
import ctypes
import os
import runpy
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def bind() -> None:
    """Detach from the terminal and tie the process to its parent."""
    os.setsid()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # it died before we asked
            sys.exit(1)


if __name__ == "__main__":
    bind()
    runpy.run_module("crossfade", run_name="__main__", alter_sys=True)
