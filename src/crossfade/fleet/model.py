"""The published model of an agent: how long it thinks, how long it is busy, which waits it makes. Data only.

Both lanes are compared with the same model; a different one for each lane would decide the comparison before
it began. Not the behaviour (fleet/agents.py and fleet/load/member.py act it out), not the load put on it.

The agent, on either lane: it waits in one call; what arrives ends the call; it thinks about each question, one
after the other, and answers; then it works for itself, hearing nothing; then it waits again. A wait that comes
back empty is followed by work, too.
"""

from typing import Final

import msgspec

from crossfade.fleet.dice import Dice

LONGEST_MEANS: Final = 12.0
"""Of an exponential distribution, 6 in a million are longer than so many means."""


class AgentModel(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of agent. Durations are means of exponential distributions, 0 is exactly 0."""

    name: str
    help: str
    think_seconds: float = 0.0
    """From having a question in front of it to sending the answer."""
    work_seconds: float = 0.0
    """Between two waits: busy with its own work, hears nothing."""
    poll_timeout_seconds: int = 30
    """``timeout_seconds`` of ``wait_for_messages``."""
    attend_wait_seconds: int = 30
    """``wait_seconds`` of ``attend``: the same patience on the other lane."""
    ask_wait_seconds: int = 25
    """``wait_seconds`` of ``ask``; what has no end by then is waited for with ``question``."""

    @property
    def busy_fraction(self) -> float:
        """Share of its time in which an agent to whom nothing is addressed hears nothing."""
        return self.work_seconds / (self.work_seconds + self.poll_timeout_seconds)

    @property
    def longest_seconds(self) -> float:
        """Longer than this an agent is away, and thinks about a question, less than once in 100,000 times."""
        return LONGEST_MEANS * (self.think_seconds + self.work_seconds)

    def think(self, dice: Dice) -> float:
        """Draw how long one question takes, in seconds."""
        return dice.gap(self.think_seconds) if self.think_seconds else 0.0

    def work(self, dice: Dice) -> float:
        """Draw how long it is busy before it waits again, in seconds."""
        return dice.gap(self.work_seconds) if self.work_seconds else 0.0


ATTENTIVE: Final = AgentModel(name="attentive", help="Always waiting, answers at once: what is measured is the hub.")
ASSISTANT: Final = AgentModel(
    name="assistant",
    help="A model at work: thinks 2 s about a question, works 20 s for itself between two waits.",
    think_seconds=2.0,
    work_seconds=20.0,
)
SERVICE: Final = AgentModel(name="service", help="A program: answers in 50 ms, is never away.", think_seconds=0.05)
VISITOR: Final = AgentModel(
    name="visitor",
    help="Looks in between its own work: thinks 0.5 s, works 5 s, and waits 5 s at most.",
    think_seconds=0.5,
    work_seconds=5.0,
    poll_timeout_seconds=5,
    attend_wait_seconds=5,
)
MODELS: Final = {model.name: model for model in (ATTENTIVE, ASSISTANT, SERVICE, VISITOR)}
