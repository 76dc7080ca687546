"""Committer: group commit. Everything queued for a shard goes to the log as one durable batch.

While one batch is being made durable the next one gathers, so the disk is never idle and one sync
serves many. Order in the shard is order of submission. Whoever waits is told only after the batch is
durable and the projector has seen it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from functools import partial
from typing import Final

from crossfade.core.records import Event, Recorded
from crossfade.core.values import Sequence, Shard
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Committed, Log, LogError, Result, Tx, UnavailableError, UnknownOutcomeError
from crossfade.engine.streams import recorded

CATCH_UP_RECORDS: Final = 1_000
"""Records read at a time after an unknown outcome."""
GATHER_TURNS: Final = 2
"""Turns of the loop that a batch waits at most for further commands."""

logger = logging.getLogger("crossfade.log")

Told = Callable[[Result | LogError], None]
Pending = tuple[Tx, tuple[Event, ...], Told]
"""A Tx of one stream, its events as objects, and whom to tell."""


class Committer:
    """The only writer of one shard in this process."""

    def __init__(
        self, log: Log, shard: Shard, limits: Limits, project: Callable[[Seq[Recorded]], None], head: Sequence
    ) -> None:
        """``project`` gets every committed record exactly once, in order; ``head`` is what it has seen."""
        self._log = log
        self._shard = shard
        self._limits = limits
        self._project = project
        self._queue: deque[Pending] = deque()
        self._untold: deque[Pending] = deque()
        """The batch under way, as far as its callers have not heard."""
        self._worker: asyncio.Task[None] | None = None
        self.head = head
        self.fault: LogError | None = None
        """The last fault of the log; None again after the next success."""
        self.unwitnessed = ""
        """Why no checkpoint covers what is written; empty while all is well."""
        self.read_only = ""
        """Why this process must not write to the shard; empty while it may."""
        self.held = False
        """Too much is unwitnessed: nothing is taken until it is not."""
        self._uncertain = False
        """A batch may have been stored without our knowing."""

    @property
    def failed(self) -> LogError | None:
        """What is wrong now: with the log, or with the place that its checkpoints are kept in."""
        if self.fault is None and self.unwitnessed:
            return UnavailableError(self.unwitnessed)
        return self.fault

    @property
    def pending(self) -> int:
        """Commands waiting for the disk."""
        return len(self._queue)

    def submit(self, tx: Tx, events: tuple[Event, ...]) -> "asyncio.Future[Result]":
        """Store ``tx``; the future is done once it is durable and projected.

        The future raises UnavailableError when too many wait already, and what the log raises. A cancelled
        caller does not undo its Tx: the same key tells what became of it.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.post(tx, events, partial(_settle, future))
        return future

    def post(self, tx: Tx, events: tuple[Event, ...], told: Told) -> None:
        """Store ``tx``; ``told`` gets the result or the fault."""
        if self.read_only or self.held or len(self._queue) >= self._limits.pending_commits_max:
            told(self._closed())
            return
        self._queue.append((tx, events, told))
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._drain())
            self._worker.add_done_callback(self._ended)

    def _closed(self) -> UnavailableError:
        """Why nothing can be taken now."""
        if self.read_only or self.held:
            return UnavailableError(self.read_only or self.unwitnessed)
        return UnavailableError(f"{len(self._queue)} commands are waiting for the disk")

    async def flush(self) -> None:
        """Return when nothing is waiting."""
        while self._worker is not None:
            await asyncio.wait((self._worker,))

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._gather()
                self._take()
                await self._commit(self._untold)
        finally:
            self._worker = None

    def _take(self) -> None:
        """Move what makes up a batch from the queue, usually all of it."""
        if len(self._queue) <= self._limits.events_per_batch_max:
            self._queue, self._untold = self._untold, self._queue  # everybody of the last batch has been told
        else:
            self._untold.extend(self._queue.popleft() for _ in range(self._limits.events_per_batch_max))

    async def _gather(self) -> None:
        """Let what arrives together share a batch: a turn of the loop, and another if that one brought more.

        A batch costs what several commands do (docs/adr/0021).
        """
        before = 0
        for _ in range(GATHER_TURNS):
            if len(self._queue) == before:
                return
            before = len(self._queue)
            await asyncio.sleep(0)

    def _ended(self, worker: "asyncio.Task[None]") -> None:
        """After a fault that is not the log's, or an end in the middle: everybody hears, and nothing is built on it."""
        if not worker.cancelled() and worker.exception() is None:
            return
        self._worker = None
        self.read_only = "the hub stopped writing after a fault of its own; start it again"
        self.fault = fault = UnknownOutcomeError(self.read_only)
        cause = None if worker.cancelled() else worker.exception()
        logger.error("log.committer_failed", exc_info=cause, extra={"shard": self._shard})
        while self._untold:
            self._untold.popleft()[2](fault)
        while self._queue:
            self._queue.popleft()[2](UnavailableError(self.read_only))

    async def _commit(self, batch: deque[Pending]) -> None:
        """Store a batch and tell everybody; who has been told is in it no more."""
        try:
            if self._uncertain:
                await self._catch_up()
            results = await self._log.append(self._shard, [pending[0] for pending in batch])
            if self._uncertain:  # the log may have recovered between the two, and show what it could not before
                await self._catch_up(min((one.first for one in results if isinstance(one, Committed)), default=None))
        except LogError as fault:
            self.fault = fault
            self._uncertain |= isinstance(fault, UnknownOutcomeError)
            while batch:
                batch.popleft()[2](fault)
            await self._look()
            return
        self.fault = None
        self._uncertain = False
        self._project(self._recorded(batch, results))
        for result in results:
            batch.popleft()[2](result)

    async def recovered(self) -> None:
        """The log answers again: see what the fault left in it, and take commands. Raises LogError."""
        if self._worker is None and not self.read_only:  # else a command is about to find out, or nothing can help
            await self._catch_up()
            self.fault = None

    async def _look(self) -> None:
        """See at once what an unknown outcome left: without it, what was stored would wait for the next write.

        If the log cannot be read either, the next command looks again.
        """
        if self._uncertain:
            with contextlib.suppress(LogError):
                await self._catch_up()

    async def _catch_up(self, before: Sequence | None = None) -> None:
        """Project what an unknown outcome left in the log, or the next record would not follow."""
        while before is None or self.head + 1 < before:
            limit = CATCH_UP_RECORDS if before is None else min(CATCH_UP_RECORDS, before - 1 - self.head)
            rows = await self._log.read(self._shard, self.head, limit)
            if not rows:
                return
            self.head = rows[-1].sequence
            self._project([recorded(self._shard, row) for row in rows])

    def _recorded(self, batch: Iterable[Pending], results: list[Result]) -> list[Recorded]:
        out: list[Recorded] = []
        shard, sequence = self._shard, self.head
        for (tx, events, _), result in zip(batch, results, strict=True):
            if not isinstance(result, Committed):
                continue
            if result.first != sequence + 1:
                raise AssertionError(f"shard {shard}: expected {sequence + 1}, got {result.first}")
            version = tx.expect[0][1]
            for new, event in zip(tx.events, events, strict=True):
                version += 1
                sequence = Sequence(sequence + 1)
                out.append(
                    Recorded(
                        shard=shard,
                        sequence=sequence,
                        stream=new.stream,
                        version=version,
                        at=new.at,
                        actor=new.actor,
                        cause=new.cause,
                        event=event,
                    )
                )
        self.head = sequence
        return out


def _settle(future: "asyncio.Future[Result]", result: Result | LogError) -> None:
    """Tell whoever awaits ``future``, if anybody still does."""
    if future.done():
        return
    if isinstance(result, LogError):
        future.set_exception(result)
    else:
        future.set_result(result)
