"""What must be true of the log at every write, whatever clients believe: checked as each row is stored.

The numbers are those of the list of invariants in docs/reliability.md.
"""

from collections import defaultdict

from crossfade.core import messages, questions, rollouts, shapes
from crossfade.core.decider import Refusal
from crossfade.core.records import Event, decode
from crossfade.core.values import PROGRAMME, SPACE, Shard
from crossfade.engine.ports import StoredEvent
from crossfade.logs.codec import GENESIS, verify

ENDS = (questions.Answered, questions.Declined, questions.Withdrawn, questions.Expired)
CHECK = shapes.check_raw
"""As it is when this module is imported, whatever a test plants later."""


class Watch:
    """Looks over the disk's shoulder. Raises AssertionError at the write that breaks a promise."""

    def __init__(self) -> None:
        self.asked: dict[str, questions.Asked] = {}
        self.ends: dict[str, tuple[Event, int]] = {}
        """Question → its end and the instant of it."""
        self.sent: dict[str, messages.Sent] = {}
        self.cursors: dict[str, int] = defaultdict(int)
        self.counts: dict[str, int] = defaultdict(int)
        self._heads: dict[Shard, tuple[int, int]] = {PROGRAMME: (0, 0), SPACE: (0, 0)}
        self._rollout = rollouts.DECIDER.initial
        self._marks: list[tuple[Shard, int, bytes]] = []

    def stored(self, shard: Shard, row: StoredEvent) -> None:
        """Check one row against everything before it."""
        sequence, at = self._heads[shard]
        assert row.sequence == sequence + 1, f"I10: shard {shard} goes from {sequence} to {row.sequence}"
        assert row.at >= at, f"I4: the log's clock went back from {at} to {row.at} at {row.sequence}"
        self._heads[shard] = row.sequence, row.at
        event = decode(row.type, row.payload)
        kind, _, identifier = row.stream.partition("/")
        self.counts[row.type] += 1
        if kind == "question":
            self._question(identifier, event, row)
        elif kind == "message":
            assert isinstance(event, messages.Sent)
            assert identifier not in self.sent, f"I8: message {identifier} twice"
            assert row.actor == event.sender, f"I5: {row.actor} wrote for {event.sender}"
            self.sent[identifier] = event
        elif kind == "mailbox":
            assert isinstance(event, messages.Acknowledged)
            assert event.through > self.cursors[identifier], f"I9: the cursor of {identifier} went back"
            assert event.through < row.sequence, f"I9: {identifier} acknowledged what was not there"
            self.cursors[identifier] = event.through
        elif kind == "rollout":
            self._moved(event, row)

    def _question(self, identifier: str, event: Event, row: StoredEvent) -> None:
        if isinstance(event, questions.Asked):
            assert identifier not in self.asked, f"I8: question {identifier} twice"
            assert row.actor == event.asker, f"I5: {row.actor} asked for {event.asker}"
            self.asked[identifier] = event
            return
        asked = self.asked[identifier]
        assert identifier not in self.ends, f"I2: {identifier} has an end and got {row.type}"
        if not isinstance(event, ENDS):
            return
        self.ends[identifier] = event, row.at
        late = row.at >= asked.deadline
        if isinstance(event, questions.Expired):
            assert late, f"I4: {identifier} expired {asked.deadline - row.at} ns early"
            return
        assert not late, f"I4: {identifier} ended {row.at - asked.deadline} ns late as {row.type}"
        by = asked.asker if isinstance(event, questions.Withdrawn) else asked.addressee
        assert event.by == by == row.actor, f"I5: {row.type} of {identifier} by {row.actor}, not {by}"
        if isinstance(event, questions.Answered):
            fit = CHECK(asked.schema, event.content)
            assert not isinstance(fit, Refusal), f"I7: {identifier} was answered with {bytes(event.content)!r}"

    def _moved(self, event: Event, row: StoredEvent) -> None:
        before = self._rollout
        after = self._rollout = rollouts.DECIDER.evolve(before, event)
        if after.threshold > before.threshold:
            rises = (rollouts.ShareSet, rollouts.Completed, rollouts.Restored)
            assert isinstance(event, rises), f"I16: {row.type} raised the share"
            assert not before.held, f"I16: {row.type} raised a share that was held"
            assert row.actor == "root", f"I16: {row.actor} raised the share"
        if isinstance(event, rollouts.Killed):
            assert after.threshold == 0, "I16: a kill left somebody on the lane"

    def mark(self, shard: Shard, sequence: int, chain: bytes) -> None:
        """Note the head now: from here on it must be part of the log."""
        self._marks.append((shard, sequence, chain))

    def verify(self, rows: dict[Shard, list[StoredEvent]]) -> None:
        """Check the whole chain, and that every head that ever was is in it."""
        for shard, those in rows.items():
            bad = verify(shard, those, 0, GENESIS)
            assert bad is None, f"I10: the chain of shard {shard} breaks at {bad}"
        for shard, sequence, chain in self._marks:
            if sequence:
                assert rows[shard][sequence - 1].chain == chain, f"I17: shard {shard} changed before {sequence}"
