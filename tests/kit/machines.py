"""Runs a state machine by the names of its commands, so that its decision table can be read by eye."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crossfade.core.decider import Decider, Refusal
from crossfade.core.values import Instant

Given = Mapping[str, tuple[Sequence[str], Instant]]
"""Name of a state, the commands that lead there, and the present in which it is looked at."""


class Machine:
    """A decider, its commands by name, and the states to try them in."""

    def __init__(
        self,
        decider: Decider[Any, Any, Any],
        commands: Mapping[str, Any],
        given: Given,
        describe: Callable[[Any], str],
        begin: Instant,
    ) -> None:
        self.decider = decider
        self.commands = commands
        self.given = given
        self.describe = describe
        self.begin = begin

    def after(self, *names: str, state: Any = None) -> Any:
        """The state after commands that must all be accepted and record something."""
        state = self.decider.initial if state is None else state
        for name in names:
            late = getattr(state, "deadline", Instant(0)) if name == "expire" else self.begin
            events = self.decider.decide(state, self.commands[name], late)
            assert not isinstance(events, Refusal), (name, events)
            assert events, name
            for event in events:
                state = self.decider.evolve(state, event)
        return state

    def events(self, given: str, command: str) -> tuple[Any, ...] | Refusal:
        """What is decided about a row."""
        names, now = self.given[given]
        return self.decider.decide(self.after(*names), self.commands[command], now)

    def outcome(self, given: str, command: str) -> str:
        """What the table says about a row: a refusal, ``-`` for nothing new, or events and the state they lead to."""
        events = self.events(given, command)
        if isinstance(events, Refusal):
            return events.code
        if not events:
            return "-"
        state = self.after(*self.given[given][0])
        for event in events:
            state = self.decider.evolve(state, event)
        return "+".join(type(event).__name__ for event in events) + f" -> {self.describe(state)}"

    def pairs(self) -> list[tuple[str, str]]:
        """Every state with every command, in the order of the table."""
        return list(itertools.product(self.given, self.commands))

    def transitions(self) -> set[tuple[Any, type]]:
        """Every (status, event type) that the table reaches."""
        reached = set()
        for given, command in self.pairs():
            events = self.events(given, command)
            state = self.after(*self.given[given][0])
            for event in () if isinstance(events, Refusal) else events:
                reached.add((state.status, type(event)))
                state = self.decider.evolve(state, event)
        return reached

    def refused(self) -> list[Refusal]:
        """Every refusal of the sweep, in its order."""
        return [outcome for pair in self.pairs() if isinstance(outcome := self.events(*pair), Refusal)]

    def refusals(self) -> set[str]:
        """Every code that the table shows."""
        return {refusal.code for refusal in self.refused()}


def documented(decide: Callable[..., Any]) -> set[str]:
    """The codes that the docstring of a ``decide`` names."""
    said = (decide.__doc__ or "").split("Refuses with: ")[1].partition(" and ")[0]
    return {code.strip(" .\n") for code in said.split(",")}
