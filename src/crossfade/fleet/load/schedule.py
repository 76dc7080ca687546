"""When questions are due and who asks whom: fixed before the first is asked, by the profile and the seed alone.

The hub cannot slow it down: a question that could not be asked in time is asked late and timed from when it was
due, so that a stall shows in the latencies instead of hiding in fewer questions (no coordinated omission).

Rules
-----
1. Arrivals are a Poisson process of each phase's rate; with ``burst`` above 1, a compound one: batches of
   geometric size whose instants are further apart, so that the mean rate is the same.
2. Each load process draws its own schedule, of its own askers; together they have the profile's rate.
"""

from array import array
from collections.abc import Iterator
from typing import Final

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.profile import Phase, Profile

SECOND_NS: Final = 1_000_000_000
TRIES_MAX: Final = 16


def arrivals(profile: Profile, dice: Dice, portion: float) -> "array[int]":
    """Nanoseconds after the start at which ``portion`` of the profile's asks are due, in order.

    One for each asker that asks; it then asks ``fan_out`` questions.
    """
    found: array[int] = array("q")
    begins = 0.0
    for phase in profile.phases:
        _of_phase(found, phase, begins, phase.questions_per_second * portion / profile.fan_out, profile.burst, dice)
        begins += phase.seconds
    return found


def _of_phase(found: "array[int]", phase: Phase, begins: float, rate: float, burst: float, dice: Dice) -> None:
    if rate <= 0:
        return
    ends = begins + phase.seconds
    at = begins + dice.gap(burst / rate)
    while at < ends:
        found.append(int(at * SECOND_NS))
        while burst > 1 and dice.fraction() >= 1 / burst:
            found.append(int(at * SECOND_NS))
        at += dice.gap(burst / rate)


class Shape:
    """Who asks whom: clusters of agents by number, or experts and those who ask them."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._groups = profile.groups

    def cluster(self, index: int) -> int:
        """The cluster of an agent."""
        return index % self._groups

    def asks(self, index: int) -> bool:
        """Whether the agent asks at all."""
        return index >= self._profile.experts

    def peers(self, index: int, dice: Dice) -> Iterator[int]:
        """Whom the agent asks this time: ``fan_out`` different agents, never itself."""
        seen = {index}
        for _ in range(self._profile.fan_out):
            peer = self._other(index, dice, seen)
            seen.add(peer)
            yield peer

    def _other(self, index: int, dice: Dice, seen: set[int]) -> int:
        """One that is not in ``seen``: drawn, or the next in turn where the draws only find who was asked already."""
        for _ in range(TRIES_MAX):
            peer = self._draw(index, dice)
            if peer not in seen:
                return peer
        agents = range(self._profile.experts or self._profile.agents)
        if not self._profile.experts and self._profile.within == 1:
            agents = agents[self.cluster(index) :: self._groups]
        first: int = dice.word() % len(agents)
        turn: tuple[int, ...] = (*agents[first:], *agents[:first])
        return next(peer for peer in turn if peer not in seen)

    def _draw(self, index: int, dice: Dice) -> int:
        profile = self._profile
        if profile.experts:
            return dice.word() % profile.experts
        if self._groups > 1 and dice.fraction() < profile.within:
            size = (profile.agents - index % self._groups - 1) // self._groups + 1
            return index % self._groups + self._groups * (dice.word() % size)
        return dice.word() % profile.agents
