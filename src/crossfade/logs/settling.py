"""What a start finds of a file is brought to the disk before anything is built upon it.

After a sync that failed the system may go on showing bytes that never reached the disk, also to the next process, and
a further sync of the same file does not write them. If such bytes of the write-ahead log are copied into the log's
file, a power cut leaves a newer file beside an older write-ahead log, which is then laid over it. To write them again
in their place would tear, at a cut, what was durable. So they are written to another file, which takes the name.

Sources: Rebello et al., "Can Applications Recover from fsync Failures?" (2020); research/reliability.md, section 1.3.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1024 * 1024


def settle(path: Path) -> None:
    """Let ``path`` be a file whose bytes, the same as now, are on the disk; nothing is done if there is none.

    For the time being twice the room is needed. Raises OSError, and then the file is as it was.
    """
    try:
        found = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    part = path.with_name(path.name + ".part")
    try:
        _copy(found, part)
        os.replace(part, path)  # noqa: PTH105 - the calls by which power cuts are tried are those of os
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise
    finally:
        os.close(found)
    sync(path.parent)


def sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(found: int, part: Path) -> None:
    copy = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while chunk := os.read(found, CHUNK_BYTES):
            left = memoryview(chunk)
            while left:
                left = left[os.write(copy, left) :]
        os.fsync(copy)
    finally:
        os.close(copy)
