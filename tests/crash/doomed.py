"""The real hub on a log that kills its process at a named point: ``python -m tests.crash.doomed serve …``.

DOOM says where: ``before:N`` the N-th write of this life is stored, ``after:N`` it is stored but before
anybody is told, ``replay:N`` at the N-th read, which is while the hub starts. Without DOOM it is the hub.
"""

import os
import signal
import sys
from collections.abc import Sequence as Seq
from typing import Any

from crossfade import bootstrap
from crossfade.cli.entry import main
from crossfade.core.values import Shard
from crossfade.engine.ports import Log, Result, StoredEvent, Tx


class DoomedLog:
    """A log with a bomb in it; everything else is the log's own."""

    def __init__(self, log: Log, point: str, countdown: int) -> None:
        self._log = log
        self._point = point
        self._left = countdown

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Store, or die."""
        self._tick("before")
        results = await self._log.append(shard, txs)
        if self._point == "after":
            self._tick("after")
        return results

    async def read(self, shard: Shard, after: Any, limit: int) -> list[StoredEvent]:
        """Read, or die."""
        self._tick("replay")
        return await self._log.read(shard, after, limit)

    def _tick(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(doom: str) -> None:
    """Have the hub open a doomed log."""
    point, _, count = doom.partition(":")
    opened = bootstrap.open_sqlite  # type: ignore[attr-defined]

    def doomed(*arguments: Any, **options: Any) -> Any:
        return DoomedLog(opened(*arguments, **options), point, int(count))

    bootstrap.open_sqlite = doomed  # type: ignore[attr-defined]


if __name__ == "__main__":
    if os.environ.get("DOOM"):
        arm(os.environ["DOOM"])
    sys.exit(main())
