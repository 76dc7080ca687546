"""Reactions: who hears of which record, once it is in the views.

Nearly all records are of questions and messages, which most of the engine has nothing to do with: those go by their
event to the few that have. All others go to everybody, and each looks for itself.
"""

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from typing import Final

from crossfade.core import messages, questions
from crossfade.core.records import Event, Recorded
from crossfade.engine.tallying import Tallies

React = Callable[[Recorded], None]
ENDS: Final = (questions.Answered, questions.Declined, questions.Withdrawn, questions.Expired)


class Reactions:
    """A listener of the projector."""

    def __init__(self, tallies: Tallies, everybody: Seq[React]) -> None:
        self._tallies = tallies
        self._everybody = tuple(everybody)
        self._known: Mapping[type[Event], list[React]] = {
            kind: [] for kind in (*questions.QuestionEvent.__args__, messages.Sent)
        }

    def hear(self, react: React, *events: type[Event]) -> None:
        """Tell ``react`` of these events of questions and messages."""
        for event in events:
            self._known[event].append(react)

    def __call__(self, record: Recorded) -> None:
        """Tell those who are concerned; the block of measurements under way counts first."""
        concerned = self._known.get(type(record.event))
        if concerned is None:
            for react in self._everybody:
                react(record)
            return
        if self._tallies.on:
            self._tallies.react(record)
        for react in concerned:
            react(record)
