"""Seeded randomness of the simulated fleet: the same seed gives the same load.

Not for secrets. The generator is splitmix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom
Number Generators", 2014): one word of state, so every agent can afford its own.
"""

import math
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_MASK: Final = 2**64 - 1


class Dice:
    """An endless row of numbers that depends on the seed alone."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def word(self) -> int:
        """The next 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def fraction(self) -> float:
        """From 0 up to but not including 1."""
        return (self.word() >> 11) / 2**53

    def gap(self, mean: float) -> float:
        """Time to the next arrival when arrivals are independent: exponential with this mean."""
        return -mean * math.log(1.0 - self.fraction())

    def pick(self, things: Sequence[T]) -> T:
        """One of ``things``, which must not be empty."""
        return things[self.word() % len(things)]
