"""Streams: the present state of every live stream, folded from the log.

One fold for both readers of state, the dispatcher (which decides against it) and the views. Ended
questions leave memory after a while and are folded again from the log when somebody asks for them.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

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
from crossfade.core.values import PROGRAMME, SPACE, QuestionId, Shard, StreamName
from crossfade.engine.ports import Log, StoredEvent
from crossfade.engine.slots import Slot
from crossfade.engine.views.questions import Entry

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


def shard_of(stream: str) -> Shard:
    """The shard that holds ``stream``."""
    return HOMES.get(stream.partition("/")[0], SPACE)


def empty(stream: str) -> Slot[Any]:
    """The slot of a stream without records. Raises KeyError for a kind that does not exist."""
    kind = stream.partition("/")[0]
    decider = DECIDERS[kind]
    return Slot(0, decider.initial, decider, HOMES.get(kind, SPACE))


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
        self._slots: dict[str, Slot[Any]] = {}
        self._ended: deque[QuestionId] = deque()
        """Questions that have their end."""
        self._ended_kept = ended_questions_kept

    def saved(self) -> tuple[dict[str, Slot[Any]], Iterable[str]]:
        """Every slot in memory, and the streams that have their end, in its order: what ``fill`` takes."""
        return self._slots, [f"question/{question_id}" for question_id in self._ended]

    def fill(self, slots: dict[str, Slot[Any]], ended: Iterable[str]) -> None:
        """Take over what another one had saved."""
        self._slots.update(slots)
        self._ended.extend(QuestionId(stream.removeprefix("question/")) for stream in ended)

    def peek(self, stream: str) -> Slot[Any] | None:
        """The slot if memory knows it; of the kinds that stay in memory, also the one that does not exist yet."""
        slot = self._slots.get(stream)
        if slot is None and stream.partition("/")[0] not in LEAVING:
            slot = empty(stream)
        return slot

    async def load(self, stream: StreamName) -> Slot[Any]:
        """The slot from memory or from the log; version 0 and the initial state if there is no such stream."""
        slot = self.peek(stream)
        if slot is not None:
            return slot
        slot = empty(stream)
        rows = await self._log.read_stream(slot.shard, stream)
        # Read only: a stream that is not in memory has its end and takes no further events.
        slot.version, slot.state = len(rows), slot.decider.fold(decode(row.type, row.payload) for row in rows)
        return slot

    def evolve(self, record: Recorded) -> tuple[Slot[Any], Any]:
        """Fold one record in; the slot of its stream, and the state before it. A question's slot is its ``Entry``."""
        slot = self._slots.get(record.stream) or self._begun(record)
        if record.version != slot.version + 1:
            raise AssertionError(f"{record.stream}: version {record.version} does not follow")
        before = slot.state
        slot.state = slot.decider.evolve(before, record.event)
        slot.version = record.version
        return slot, before

    def _begun(self, record: Recorded) -> Slot[Any]:
        """A slot for the first record of a stream."""
        kind, _, identifier = record.stream.partition("/")
        decider = DECIDERS[kind]
        if kind == "question":
            question_id = QuestionId(identifier)
            slot: Slot[Any] = Entry(0, decider.initial, decider, SPACE, question_id, record.sequence, record.at)
        else:
            slot = Slot(0, decider.initial, decider, HOMES.get(kind, SPACE))
        if kind != "message":  # which is a single fact: nothing can follow
            self._slots[record.stream] = slot
        return slot

    def retire(self, entry: Entry) -> Iterable[QuestionId]:
        """Note that a question has its end; those that left memory for it."""
        self._ended.append(entry.question_id)
        if len(self._ended) <= self._ended_kept:
            return ()
        gone: list[QuestionId] = []
        while len(self._ended) > self._ended_kept:
            oldest = self._ended.popleft()
            self._slots.pop(f"question/{oldest}", None)
            gone.append(oldest)
        return gone
