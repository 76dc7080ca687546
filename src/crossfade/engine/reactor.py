"""Reactor: what follows from a record, as further commands.

Level-triggered: each reaction looks at the state, not at the one record that woke it, so running it
again after a crash in the middle does the rest and nothing twice.
"""

from crossfade.core import questions
from crossfade.core.question_events import QUESTION_ID
from crossfade.core.records import Recorded
from crossfade.core.values import Lane, stream_of
from crossfade.engine.context import Context
from crossfade.engine.views.questions import Entry

BLINK_SECONDS = 1.0
"""After a fault of the log, a due expiry or a taken-back lane comes again after this long."""


class Reactor:
    """Expires questions, and takes them back to polling when the rollout takes lanes back."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._epoch = -1

    def start(self) -> None:
        """After the replay: arm every deadline, finish what a crash interrupted."""
        for entry in self._c.views.questions.values():
            if entry.open:
                self._arm(entry)
        self.take_back()

    def react(self, record: Recorded) -> None:
        """Called after each live record is in the views."""
        if record.stream.startswith("rollout/") and self._c.views.programme.rollout.epoch != self._epoch:
            self.take_back()

    def asked(self, record: Recorded) -> None:
        """Called after each new question is in the views."""
        self._arm(self._c.views.questions[record.stream[QUESTION_ID:]])

    def take_back(self) -> None:
        """Offer again as text what was begun on elicitation and whose addressee is on polling now."""
        programme = self._c.views.programme
        self._epoch = programme.rollout.epoch
        for entry in self._c.views.questions.values():
            if entry.open and self._stranded(entry):
                self._c.dispatcher.post(
                    stream_of("question", entry.question_id),
                    questions.Requeue(reason="lane"),
                    by="system",
                    on_fault=lambda: self._c.again(BLINK_SECONDS, self.take_back),
                )

    def _stranded(self, entry: Entry) -> bool:
        state = entry.state
        if state.as_text or state.lane is not Lane.ELICITATION:
            return False
        programme = self._c.views.programme
        if state.epoch == programme.rollout.epoch and not programme.killed:
            return False
        return self._c.lane_of(self._c.views.directory.member(state.addressee)) is Lane.POLLING

    def _arm(self, entry: Entry) -> None:
        entry.deadline_timer = self._c.timers.at(entry.state.deadline, self._expire, entry)

    def _expire(self, entry: Entry) -> None:
        stream = stream_of("question", entry.question_id)
        self._c.dispatcher.post(stream, questions.Expire(), by="system",
            on_fault=lambda: self._c.again(BLINK_SECONDS, lambda: self._expire(entry)),
        )  # fmt: skip
