"""Dispatcher: the only place where a command becomes events.

Load the stream's state, decide, append expecting the version decided on, and decide again if another
command won the race. The same idempotency key brings the first outcome back, also when the state has
moved on so far that the command would now be refused.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.records import Event, encode, type_name
from crossfade.core.values import SECOND, SPACE, Instant, Sequence, Shard, StreamName
from crossfade.engine.committer import Committer, Told
from crossfade.engine.limits import Limits
from crossfade.engine.ports import (
    Clock,
    Committed,
    Conflict,
    Duplicate,
    Ids,
    Log,
    LogError,
    NewEvent,
    Result,
    Tx,
    UnavailableError,
)
from crossfade.engine.slots import Slot
from crossfade.engine.streams import DECIDERS, HOMES, Streams, empty, shard_of

logger = logging.getLogger("crossfade.engine")


class Applied(msgspec.Struct, frozen=True, gc=False):
    """Accepted: the events are durable. ``first`` > ``last`` when there was nothing new to record."""

    first: Sequence
    last: Sequence
    duplicate: bool = False
    """The key was used before; these are the records of that first time."""


NOTHING: Final = Applied(Sequence(1), Sequence(0))


Envelope = tuple[Instant, str, str]
"""What is written around an event: when, by whom, because of what."""


class Dispatcher:
    """Turns commands into durable events, one Tx each."""

    def __init__(
        self, log: Log, clock: Clock, ids: Ids, limits: Limits, streams: Streams, committers: dict[Shard, Committer]
    ) -> None:
        self._log = log
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._streams = streams
        self._committers = committers
        self._last_at = Instant(0)

    def now(self) -> Instant:
        """The instant of the next record: never before the last one."""
        self._last_at = max(self._last_at, self._clock.now())
        return self._last_at

    def seen(self, at: Instant) -> None:
        """Take note of a replayed record's instant."""
        self._last_at = max(self._last_at, at)

    def go_on(self) -> None:
        """Set the clock to the last record if it is behind: records would stand still, and deadlines come late."""
        behind = self._last_at - self._clock.now()
        if behind > 0:
            logger.warning("hub.clock_behind", extra={"seconds": behind / SECOND})
            self._clock.not_before(self._last_at)

    def head(self, shard: Shard) -> Sequence:
        """The last sequence that the views have seen."""
        return self._committers[shard].head

    async def load(self, stream: StreamName) -> Slot[Any]:
        """Version and state of a stream; version 0 if there is no such stream."""
        return await self._streams.load(stream)

    async def run(
        self,
        stream: StreamName,
        command: Any,
        *,
        by: str,
        key: bytes | None = None,
        cause: str = "",
        fresh: bool = False,
    ) -> Applied | Refusal:
        """Decide ``command`` and store its events; returns once they are durable.

        ``fresh`` says that the stream's id was made just now, so the log need not be asked for it.
        Raises LogError when the log cannot say yes or no. With a key, the caller may try again.
        """
        for _ in range(self._limits.retries_max):
            slot = self._streams.peek(stream)
            if slot is None:
                slot = empty(stream) if fresh else await self._streams.load(stream)
            now = self.now()
            outcome = slot.decider.decide(slot.state, command, now)
            if not isinstance(outcome, tuple):
                return await self._refused(stream, key, outcome)
            if not outcome:
                return NOTHING
            tx = self._tx(stream, slot.version, outcome, (now, by, cause), key)
            result = await self._committers[slot.shard].submit(tx, outcome)
            if isinstance(result, Committed):  # nearly always
                return Applied(result.first, result.last)
            if isinstance(result, Duplicate):
                return Applied(result.first, result.last, duplicate=True)
        raise UnavailableError(f"{stream} is too busy")

    def create(
        self, stream: StreamName, command: Any, told: Told, envelope: Envelope, key: bytes | None
    ) -> Refusal | None:
        """Decide the first command to a stream whose id was made just now: a refusal, or ``told`` hears of it later.

        It gets the result, or the fault of the log, once the events are durable and in the views, within the
        committer's turn: a caller that would only go on waiting need not be woken for it. The instant in the
        ``envelope`` is one that ``now`` gave in this turn of the loop.
        """
        kind = stream.partition("/")[0]
        decider = DECIDERS[kind]
        outcome = decider.decide(decider.initial, command, envelope[0])
        if not isinstance(outcome, tuple):
            return outcome
        tx = self._tx(stream, 0, outcome, envelope, key)
        self._committers[HOMES.get(kind, SPACE)].post(tx, outcome, told)
        return None

    def post(self, stream: StreamName, command: Any, *, by: str, on_fault: Callable[[], object] | None = None) -> None:
        """Record something nobody waits for, such as an offer or an expiry.

        A refusal drops it. So does a fault of the log, or a race lost too often, after ``on_fault`` was
        told: of an offer it is then simply not claimed that it was made, an expiry comes again.
        """
        self._post(stream, command, by, on_fault, self._limits.retries_max)

    def _post(
        self,
        stream: StreamName,
        command: Any,
        by: str,
        on_fault: Callable[[], object] | None,
        attempts: int,
    ) -> None:
        slot = self._streams.peek(stream)
        if slot is None:
            return
        now = self.now()
        outcome = slot.decider.decide(slot.state, command, now)
        if isinstance(outcome, Refusal) or not outcome:
            return
        tx = self._tx(stream, slot.version, outcome, (now, by, ""), None)

        def again(result: Result | LogError) -> None:
            if isinstance(result, Conflict) and attempts > 1:
                self._post(stream, command, by, on_fault, attempts - 1)
            elif isinstance(result, Conflict | LogError) and on_fault is not None:
                on_fault()

        self._committers[slot.shard].post(tx, outcome, again)

    def _tx(
        self,
        stream: StreamName,
        version: int,
        events: tuple[Event, ...],
        envelope: Envelope,
        key: bytes | None,
    ) -> Tx:
        if len(events) == 1:  # nearly always
            event, (at, by, cause) = events[0], envelope
            new: tuple[NewEvent, ...] = (NewEvent(stream, type_name(event), at, by, cause, encode(event)),)
        else:
            new = tuple([NewEvent(stream, type_name(event), *envelope, encode(event)) for event in events])
        return Tx(key or self._ids.key(), ((stream, version),), new)

    async def _refused(self, stream: StreamName, key: bytes | None, refusal: Refusal) -> Applied | Refusal:
        """The refusal, unless the same key was accepted before."""
        if key is None:
            return refusal
        first = await self._log.find(shard_of(stream), key)
        return refusal if first is None else Applied(first.first, first.last, duplicate=True)
