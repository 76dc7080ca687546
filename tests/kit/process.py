"""A hub as a process of its own, the way a reader of the documentation starts one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120


@contextmanager
def hub_process(folder: Path, *flags: str) -> Iterator[str]:
    """The URL of a development hub on a free port; it is asked to stop at the end, and has to."""
    command = [sys.executable, "-m", "crossfade", "up", "--port", "0", "--no-demo", "--jsonl", *flags]
    errors = folder / "hub.stderr"
    with (
        errors.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [*command, "--data", str(folder / "data")], stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=folder
        ) as hub,
    ):
        try:
            assert hub.stdout is not None
            line = hub.stdout.readline()
            if not line:
                raise AssertionError(f"the hub did not start: {errors.read_text('utf-8')}")
            yield str(json.loads(line)["url"])
        finally:
            hub.terminate()
            hub.wait(START_SECONDS)
