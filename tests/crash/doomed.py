"""The real hub on a log that kills its process at a named point: ``python -m tests.crash.doomed serve …``.

DOOM says where: ``before:N`` the N-th write of this life is stored, ``after:N`` it is stored but before
anybody is told, ``replay:N`` at the N-th read, which is while the hub starts, ``unmarked:N`` before the N-th
checkpoint is in its second place, ``marked:N`` right after. Without DOOM it is the hub.

``forget:N`` is a hub that must be caught: it acknowledges every N-th answer and stores something else in its
place, so that the log is sound and the checkpoints hold, and only clients can tell that the answer is gone.
"""

import os
import signal
import sys
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

import msgspec

from crossfade import bootstrap
from crossfade.cli.entry import main
from crossfade.core.question_events import Dismissal, Dismissed
from crossfade.core.records import encode
from crossfade.core.values import Channel, Shard
from crossfade.engine.ports import Log, NewEvent, Result, StoredEvent, Tx

DEATHS = "deaths.txt"
"""In the hub's folder: the named points at which it died, one a line."""
NO_END = Dismissed(channel=Channel.POLL, reason=Dismissal.CANCELLED)


class DoomedLog:
    """A log with a bomb in it; everything else is the log's own."""

    def __init__(self, log: Log, point: str, countdown: int) -> None:
        self._log = log
        self._point = point
        self._left = countdown
        self._answers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Store, or die."""
        self._tick("before")
        if self._point == "forget":
            txs = [msgspec.structs.replace(tx, events=tuple(map(self._forgotten, tx.events))) for tx in txs]
        results = await self._log.append(shard, txs)
        if self._point == "after":
            self._tick("after")
        return results

    async def read(self, shard: Shard, after: Any, limit: int) -> list[StoredEvent]:
        """Read, or die."""
        self._tick("replay")
        return await self._log.read(shard, after, limit)

    def _forgotten(self, event: NewEvent) -> NewEvent:
        if event.type != "question.answered/1":
            return event
        self._answers += 1
        if self._answers % self._left:
            return event
        return msgspec.structs.replace(event, type="question.dismissed/1", payload=encode(NO_END))

    def _tick(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                die(point)


def die(point: str) -> None:
    """As by the kernel, here and now; in the hub's folder stays where."""
    with Path(DEATHS).open("a", encoding="utf-8") as deaths:
        deaths.write(f"{point}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, count: int) -> None:
    """Have the hub open a doomed log, or keep its checkpoints at a doomed place."""
    if point in ("unmarked", "marked"):
        _arm_witness(point, count)
        return
    opened = bootstrap.open_sqlite  # type: ignore[attr-defined]

    def doomed(*arguments: Any, **options: Any) -> Any:
        return DoomedLog(opened(*arguments, **options), point, count)

    bootstrap.open_sqlite = doomed  # type: ignore[attr-defined]


def _arm_witness(point: str, count: int) -> None:
    keep = bootstrap.FolderWitness.keep_now  # type: ignore[attr-defined]
    left = count

    def doomed(witness: Any, checkpoints: Any) -> None:
        nonlocal left
        left -= 1
        if left <= 0 and point == "unmarked":
            die(point)
        keep(witness, checkpoints)
        if left <= 0:
            die(point)

    bootstrap.FolderWitness.keep_now = doomed  # type: ignore[attr-defined, assignment]


if __name__ == "__main__":
    if os.environ.get("DOOM"):
        name, _, number = os.environ["DOOM"].partition(":")
        arm(name, int(number))
    sys.exit(main())
