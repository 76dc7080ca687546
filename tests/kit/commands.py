"""The command line in this process: what a command printed, and how it ended."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfade.cli.failing import guarded

Said = tuple[int, str, str]
"""Exit code, stdout, stderr."""
Cli = Callable[..., Said]


def local_operator(url: str, folder: Path, patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs commands as the local operator of the hub at ``url`` whose data is below ``folder``."""
    for name in [name for name in os.environ if name.startswith("CROSSFADE_")]:
        patch.delenv(name)
    patch.chdir(folder)
    patch.setenv("CROSSFADE_URL", url)
    patch.setenv("CROSSFADE_DATA_FOLDER", str(folder / "data"))

    def run(*words: str) -> Said:
        capfd.readouterr()
        code = guarded(list(words))
        said = capfd.readouterr()
        return code, said.out, said.err

    return run
