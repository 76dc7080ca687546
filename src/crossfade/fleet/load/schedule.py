"""When questions are due and who asks whom: fixed before the first is asked, by the profile and the seed alone.

The hub cannot slow it down: a question that could not be asked in time is asked late and timed from when it was
due, so that a stall shows in the latencies instead of hiding in fewer questions (no coordinated omission).

Rules
-----
1. Arrivals are a Poisson process of each phase's rate whose number is given, the rate times the seconds: so many
   independent instants. With ``burst`` above 1 they come in batches, of which there are fewer, at as many instants.
2. Each load process draws its own part, as large as its share of the askers; together they have the profile's number.

Source: D. E. Knuth, "The Art of Computer Programming" 2, 3.4.2 algorithm S, for the batches; instants in order, one at
a time: L. Devroye, "Non-Uniform Random Variate Generation", 1986, ch. V.3.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.profile import Phase, Profile

SECOND_NS: Final = 1_000_000_000
TRIES_MAX: Final = 16


def asks_of(profile: Profile, before: int = 0, mine: int = 1, every: int = 1) -> list[int]:
    """How many asks of each phase are due from ``mine`` of ``every`` asker, when ``before`` others have their part.

    In all phases and of all askers together it is what the rate and the seconds come to, and at least one.
    """
    asks, total = 0.0, [0]
    for phase in profile.phases:
        asks += phase.seconds * phase.questions_per_second / profile.fan_out
        total.append(int(asks + 0.5))
    total[-1] = max(1, total[-1])
    # Parts of what is due until the end of each phase, so that roundings do not add up.
    ends = [end * (before + mine) // every - end * before // every for end in total]
    return [late - early for early, late in pairwise(ends)]


def arrivals(phases: Sequence[Phase], asks: Sequence[int], burst: float, dice: Dice) -> Iterator[int]:
    """Nanoseconds after the start at which asks are due, in order: so many in each phase.

    One for each asker that asks; it then asks ``fan_out`` questions.
    """
    begins = 0.0
    for phase, count in zip(phases, asks, strict=True):
        yield from _of_phase(phase, begins, count, burst, dice)
        begins += phase.seconds


def _of_phase(phase: Phase, begins: float, count: int, burst: float, dice: Dice) -> Iterator[int]:
    at, ends = begins, begins + phase.seconds
    batches = max(1, round(count / burst))
    for left in range(count, 0, -1):
        if left in (count, batches) or dice.fraction() < batches / left:
            # The earliest of so many instants that are still to come.
            at += (ends - at) * (1.0 - (1.0 - dice.fraction()) ** (1.0 / batches))
            batches -= 1
        yield int(at * SECOND_NS)


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
