"""Streams: the present state of every live stream, folded from the log.

One fold for both readers of state, the dispatcher (which decides against it) and the views. Ended
questions leave memory after a while and are folded again from the log when somebody asks for them.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from crossfade.core import (
    agents,
    board,
    certificates,
    credentials,
    evidence,
    measurements,
    messages,
    questions,
    rollouts,
    runs,
    signoffs,
    stages,
)
from crossfade.core.decider import Decider
from crossfade.core.records import Recorded, decode
from crossfade.core.values import PROGRAMME, SPACE, Shard, StreamName
from crossfade.engine.ports import Log, StoredEvent

DECIDERS: Final[dict[str, Decider[Any, Any, Any]]] = {
    "agent": agents.DECIDER,
    "certificate": certificates.DECIDER,
    "evidence": evidence.DECIDER,
    "mailbox": messages.MAILBOX,
    "measurement": measurements.DECIDER,
    "message": messages.DECIDER,
    "plan": stages.DECIDER,
    "question": questions.DECIDER,
    "review": board.DECIDER,
    "rollout": rollouts.DECIDER,
    "run": runs.DECIDER,
    "signoff": signoffs.DECIDER,
    "token": credentials.DECIDER,
}
"""The machine of each kind of stream: the part of the stream's name before the slash."""


HOMES: Final[dict[str, Shard]] = dict.fromkeys(
    ("certificate", "evidence", "measurement", "plan", "review", "rollout", "run", "signoff", "token"), PROGRAMME
)
"""Kinds of streams that live in the programme's shard; all others live in the space's."""

LEAVING: Final = frozenset({"message", "question"})
"""Kinds that grow without end, and therefore leave memory."""


class Slot(msgspec.Struct, gc=False):
    """A stream's version and state. Not tracked by the collector: a state is data and holds no slot."""

    version: int
    state: Any


def decider_of(stream: str) -> Decider[Any, Any, Any]:
    """The machine that rules ``stream``. Raises KeyError for a kind that does not exist."""
    return DECIDERS[stream.partition("/")[0]]


def shard_of(stream: str) -> Shard:
    """The shard that holds ``stream``."""
    return HOMES.get(stream.partition("/")[0], SPACE)


def recorded(shard: Shard, row: StoredEvent) -> Recorded:
    """The row as a record with its event decoded. Raises UnknownEventError for a later release's type."""
    return Recorded(
        shard=shard,
        sequence=row.sequence,
        stream=row.stream,
        version=row.version,
        at=row.at,
        actor=row.actor,
        cause=row.cause,
        event=decode(row.type, row.payload),
    )


class Streams:
    """States by stream name; bounded for the kinds that grow without end."""

    def __init__(self, log: Log, ended_questions_kept: int) -> None:
        self._log = log
        self._slots: dict[str, Slot] = {}
        self._ended: deque[str] = deque()
        self._ended_kept = ended_questions_kept

    def saved(self) -> tuple[dict[str, Slot], Iterable[str]]:
        """Every slot in memory, and the streams that have their end, in its order: what ``fill`` takes."""
        return self._slots, self._ended

    def fill(self, slots: dict[str, Slot], ended: Iterable[str]) -> None:
        """Take over what another one had saved."""
        self._slots.update(slots)
        self._ended.extend(ended)

    def peek(self, stream: str) -> Slot | None:
        """The slot if memory knows it; of the kinds that stay in memory, also the one that does not exist yet."""
        slot = self._slots.get(stream)
        if slot is None and stream.partition("/")[0] not in LEAVING:
            slot = Slot(0, decider_of(stream).initial)
        return slot

    async def load(self, stream: StreamName) -> Slot:
        """The slot from memory or from the log; version 0 and the initial state if there is no such stream."""
        slot = self.peek(stream)
        if slot is not None:
            return slot
        decider = decider_of(stream)
        rows = await self._log.read_stream(shard_of(stream), stream)
        # Read only: a stream that is not in memory has its end and takes no further events.
        return Slot(len(rows), decider.fold(decode(row.type, row.payload) for row in rows))

    def evolve(self, record: Recorded) -> tuple[Any, Any]:
        """Fold one record in; the states before and after it."""
        decider = DECIDERS[record.stream.partition("/")[0]]
        slot = self._slots.get(record.stream)
        before, version = (decider.initial, 0) if slot is None else (slot.state, slot.version)
        if record.version != version + 1:
            raise AssertionError(f"{record.stream}: version {record.version} does not follow")
        after = decider.evolve(before, record.event)
        if slot is not None:
            slot.version = record.version
            slot.state = after
        elif decider is not messages.DECIDER:  # a message is a single fact; nothing can follow
            self._slots[record.stream] = Slot(record.version, after)
        return before, after

    def retire(self, stream: str) -> list[str]:
        """Note that ``stream`` has its end; the names of those that left memory for it."""
        self._ended.append(stream)
        gone: list[str] = []
        while len(self._ended) > self._ended_kept:
            oldest = self._ended.popleft()
            self._slots.pop(oldest, None)
            gone.append(oldest)
        return gone
