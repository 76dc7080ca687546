"""The command ``crossfade``: the way in, and the one place where a failure becomes two lines and an exit code.

``--version`` is answered before anything is imported; help imports no command.
"""

import os
import sys
from typing import Final, NoReturn

from crossfade import __version__

INTERRUPTED: Final = 130
"""Exit.INTERRUPTED; ended at once, so that no half-made event loop complains on the way out."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; exits with a code of exits.py."""
    if sys.stdout is None:  # closed by whoever started us; the next file that is opened must not be taken for it
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    given = sys.argv[1:] if arguments is None else arguments
    if given in (["--version"], ["-V"], ["version"]):
        _say_version()
    from crossfade.cli.failing import guarded

    code = guarded(given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code == INTERRUPTED:
        os._exit(code)
    sys.exit(code)


def _say_version() -> NoReturn:
    try:
        sys.stdout.write(f"crossfade {__version__}\n")
        sys.stdout.flush()
    except OSError as fault:
        from crossfade.cli.failing import unwritten

        sys.exit(unwritten(fault, machine=False))
    sys.exit(0)
