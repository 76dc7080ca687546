"""Measuring: records a block of counts every few seconds, for as long as something is to be compared.

Rules
-----
1. A block that could not be stored is stored later under the same key, and what happens meanwhile goes into the
   next one: nothing is lost while the hub lives. What a kill takes is a stretch without a block: missing.
2. An idle block is recorded too, because it proves that somebody looked; several in a row are one.
3. Time in which the hub could not serve counts as down within its block: the log failed, or the hub stood still.
4. A hub that stood still for long (a machine asleep, a clock that jumped) was not there: the stretch is missing.

Not here: what is counted (tallying.py), how it is added up (views/measurements.py).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from crossfade.core import measurements, rollouts
from crossfade.core.decider import Refusal
from crossfade.core.measurements import BlockRecorded, Reason
from crossfade.core.records import Recorded
from crossfade.core.values import SECOND, Instant
from crossfade.engine.context import Context
from crossfade.engine.ports import LogError, UnavailableError, UnknownOutcomeError
from crossfade.engine.timers import Timer

IDLE_SECONDS: Final = 30.0
"""Idle blocks are recorded as one up to this length: less than half of a gap that has to be named."""
LATE_SECONDS: Final = 1.0
"""A block that ends so much too late says that the hub stood still."""
ABSENT_CHECKS: Final = 3
"""Standing still for so many blocks is not having been there."""
LOOK_SECONDS: Final = 1.0
"""How often a log that failed is looked at again."""

COMPLETE: Final = "complete"
"""Why a baseline ended that was not cut short."""

T = TypeVar("T")
logger = logging.getLogger("crossfade.engine")


class Measuring:
    """Begins, ends and records."""

    def __init__(self, context: Context, ready: Callable[[], bool]) -> None:
        """``ready``: whether the hub serves."""
        self._c = context
        self._ready = ready
        self.tallies = context.tallies
        self._view = context.views.measurements
        self._from = Instant(0)
        """Where the block under way began."""
        self._idle_until = Instant(0)
        """Up to here nothing happened in it."""
        self._looked_at = Instant(0)
        """When it was last looked at, by the clock of the timers."""
        self._due = Instant(0)
        self._tick: Timer | None = None
        self._unstored: deque[tuple[bytes, BlockRecorded]] = deque()
        """Closed blocks that the log does not have yet, each with its key."""
        self._storing = asyncio.Lock()
        self._down_since: Instant | None = None
        self._down = 0
        self._live = False
        self._settling = False
        """A command of our own is on its way."""

    @property
    def on(self) -> bool:
        """Blocks are being recorded."""
        return bool(self._view.kept.reasons)

    @property
    def looked_at(self) -> Instant:
        """Up to when it is known what happened, recorded or not: an idle block is not recorded at once."""
        return self._looked_at

    # --- life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """After the replay: go on where recording was on."""
        self._live = True
        if self.on:
            self._begin_blocks()
        self._settle()

    def react(self, record: Recorded) -> None:
        """Called after each live record is in the views."""
        if record.stream.startswith("rollout/"):
            self.tallies.lanes_moved()
            if self.on:
                self._c.background.spawn(self.close(force=True), "measurements")
            self._settle()
        elif record.stream == measurements.STREAM:
            if self.on and not self.tallies.on:
                self._begin_blocks(record.at)
            elif not self.on:
                self._end_blocks()

    async def finish(self) -> None:
        """The hub is going down in order: record what there is."""
        self._live = False
        if self.tallies.on:
            await self.close(force=True)
            self._end_blocks()

    def _settle(self) -> None:
        """A rollout is measured from its start until polling cannot come back; a baseline until anything moves."""
        if not self._live or self._settling:
            return
        rollout, kept = self._c.views.programme.rollout, self._view.kept
        over = rollout.status is rollouts.Status.REMOVED and self._c.clock.now() >= (rollout.undo_until or 0)
        if rollout.started and not over and Reason.ROLLOUT not in kept.reasons:
            check_seconds = self._c.limits.check_seconds
            self._spawn(measurements.Begin(reason=Reason.ROLLOUT, check_seconds=check_seconds))
        elif over and Reason.ROLLOUT in kept.reasons:
            self._spawn(measurements.End(reason=Reason.ROLLOUT, why="polling is removed for good"))
        if Reason.BASELINE in kept.reasons and kept.baseline is not None:
            if rollout.status is not rollouts.Status.POLLING:
                self._spawn(measurements.End(reason=Reason.BASELINE, why="the rollout began to move"))
            elif self._c.dispatcher.now() >= kept.baseline.planned_until:
                self._spawn(measurements.End(reason=Reason.BASELINE, why=COMPLETE))

    def _spawn(self, command: measurements.Command) -> None:
        if not self._settling:
            self._settling = True
            self._c.background.spawn(self._act(command), "measurements")

    async def _act(self, command: measurements.Command) -> None:
        """Carry out one command at a time; the next look says what is left to do."""
        try:
            refused = await self.command(command, "system") is not None
        except LogError:
            self._c.again(LOOK_SECONDS, self._settle)
            return
        finally:
            self._settling = False
        if not refused:
            self._settle()

    async def command(self, command: measurements.Command, by: str) -> Refusal | None:
        """Begin or end; the block under way ends with it, so that none belongs half to a baseline."""
        if self.tallies.on:
            await self.close(force=True)
        outcome = await self._c.dispatcher.run(measurements.STREAM, command, by=by)
        return outcome if isinstance(outcome, Refusal) else None

    def _begin_blocks(self, at: Instant | None = None) -> None:
        self._from = self._idle_until = at or self._c.dispatcher.now()
        self.tallies.begin()
        self._appoint()

    def _end_blocks(self) -> None:
        self.tallies.end()
        self._unstored.clear()
        self._down_since, self._down = None, 0
        if self._tick is not None:
            self._tick.cancel()

    # --- requests -------------------------------------------------------------------------------------------

    def served(self, name: str, cause: str = "", question_id: str = "") -> None:
        """Count a request of this caller, about this question; ``cause`` of the server's fault, or empty."""
        if self.tallies.on:
            self.tallies.served(name, cause, question_id)
            if cause:
                self._look()

    async def request(self, name: str, work: Awaitable[T], question_id: str = "") -> T:
        """The result of ``work``, counted as a request of this caller; one that was cancelled counts for nothing."""
        cause: str | None = "unexpected"
        try:
            result = await work
            cause = ""
        except LogError as fault:
            cause = cause_of(fault)
            raise
        except asyncio.CancelledError:
            cause = None
            raise
        finally:
            if cause:
                self.served(name, cause, question_id)
            elif cause is not None:
                self.tallies.served(name, "", question_id)
        return result

    # --- blocks ---------------------------------------------------------------------------------------------

    def _appoint(self) -> None:
        self._looked_at = self._c.clock.now()
        self._due = self._c.later(self._view.kept.check_seconds)
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self._c.timers.at(self._due, self._ticked)

    def _ticked(self) -> None:
        now = self._c.clock.now()
        late = now - self._due
        if late > ABSENT_CHECKS * self._view.kept.check_seconds * SECOND:
            self._put(Instant(max(self._from, self._due)))
            self._from = self._idle_until = self._c.dispatcher.now()
        elif late > LATE_SECONDS * SECOND and self._down_since is None:
            self._down += late
        self._look()
        self._appoint()
        self._c.background.spawn(self.close(), "measurements")

    async def close(self, *, force: bool = False) -> None:
        """End the block under way, unless it is idle and short, and store what is not stored."""
        self.tallies.overdue()
        await self._store()
        if self._unstored or not self.tallies.on:
            return  # what happens meanwhile goes into the block under way
        now = self._c.dispatcher.now()
        idle = self.tallies.idle and not self._down and self._down_since is None
        if idle and not force and now - self._from < IDLE_SECONDS * SECOND:
            self._idle_until = now
            return
        if not idle and self._idle_until > self._from:  # all that happened did so after that
            self._unstored.append((self._c.ids.key(), BlockRecorded(from_at=self._from, until_at=self._idle_until)))
            self._from = self._idle_until
        self._put(now)
        await self._store()
        self._settle()

    def _put(self, until: Instant) -> None:
        """Close the block under way."""
        slices, coordination, counts = self.tallies.take()
        if self._down_since is not None:
            self._down += until - self._down_since
            self._down_since = until
        down = max(0, min(self._down, until - self._from)) / SECOND
        self._down = 0
        block = BlockRecorded(
            from_at=self._from, until_at=until, slices=slices, down_seconds=down, coordination=coordination, hub=counts
        )
        self._unstored.append((self._c.ids.key(), block))
        self._from = self._idle_until = until

    async def _store(self) -> None:
        """Store the closed blocks in their order, as far as the log takes them."""
        async with self._storing:
            while self._unstored:
                key, block = self._unstored[0]
                command = measurements.Record(block=block)
                try:
                    outcome = await self._c.dispatcher.run(measurements.STREAM, command, by="system", key=key)
                except LogError:
                    self._look()
                    return
                if isinstance(outcome, Refusal):
                    logger.error("measurements.refused", extra={"code": outcome.code, "reason": outcome.message})
                if self._unstored and self._unstored[0][0] == key:
                    self._unstored.popleft()

    # --- being down -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Note since when the hub cannot serve."""
        if self._down_since is None and not self._ready():
            self._down_since = self._c.dispatcher.now()
            self._c.again(LOOK_SECONDS, self._look_again)

    def _look_again(self) -> None:
        """Note that it serves again."""
        if self._down_since is None:
            return
        if self._ready():
            self._down += self._c.dispatcher.now() - self._down_since
            self._down_since = None
        else:
            self._c.again(LOOK_SECONDS, self._look_again)


def cause_of(fault: LogError) -> str:
    """The cause under which a fault of the log is counted."""
    if isinstance(fault, UnknownOutcomeError):
        return "log_unknown"
    return "log_unavailable" if isinstance(fault, UnavailableError) else "log_failed"
