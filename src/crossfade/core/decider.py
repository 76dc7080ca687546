"""The one shape of every state machine: commands to events, events to state.

Rules
-----
1. A decider reads its arguments and nothing else: no clock, randomness, I/O or logging.
2. ``decide`` may refuse; ``evolve`` may not, because an event is a fact.
3. A refusal is ordinary, so it is a value; an impossible history is a bug, so it raises.

The names follow the "Decider" pattern (J. Chassaing).
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from crossfade.core.values import Instant

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


class Refusal(msgspec.Struct, frozen=True):
    """Why a command was not accepted."""

    code: str
    """Stable and documented, ``area.reason``, e.g. ``question.closed``."""
    message: str
    """What is wrong, in one sentence for people; carries no secret."""
    hint: str = ""
    """What to do next, in one sentence; shown as ``try:``."""
    details: dict[str, str] = {}
    """Machine-readable particulars, e.g. ``{"field": "verdict"}``."""


class Decider(msgspec.Struct, Generic[S, C, E], frozen=True):
    """The functions that make a state machine."""

    initial: S
    decide: Callable[[S, C, Instant], tuple[E, ...] | Refusal]
    evolve: Callable[[S, E], S]
    deadline: Callable[[S], Instant | None]
    """When time alone will next matter to this state; None if never."""

    def fold(self, events: Iterable[E]) -> S:
        """The state after ``events``, from the beginning."""
        state = self.initial
        for event in events:
            state = self.evolve(state, event)
        return state
