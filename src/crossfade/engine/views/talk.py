"""Who talks to whom, as far as computing clusters needs it: in the same room however long a hub runs.

Each sender has its ``PARTNERS_MAX`` main partners with a count each; how much an identity says and hears altogether is
exact. When a sender with as many partners talks to one more, a hand that goes round takes one from the count where it
stands, and a partner whose count comes to nothing makes room: so who is talked to often stays, and who was talked to
once goes. The room of a sender is taken at its first word, 384 bytes: it does not grow.

After: Misra, Gries, "Finding repeated elements", Science of Computer Programming 2 (1982), which takes one from all
counts at once; one at a time costs the same however many partners there are.
"""

from array import array
from collections.abc import Iterator
from typing import Final

import msgspec

PARTNERS_MAX: Final = 32
"""Partners of each sender that are told apart."""
NOBODY: Final = 0
"""Not the number of anybody."""


class SavedTalk(msgspec.Struct, frozen=True, array_like=True):
    """All of it."""

    names: list[str]
    """In the order of their numbers, which begin at 1."""
    totals: list[int]
    rows: list[tuple[int, list[int], list[int], int]]
    """Sender, its partners, their counts, and where the hand stands."""


class Row:
    """The partners of one sender."""

    __slots__ = ("counts", "hand", "partners")

    def __init__(self) -> None:
        self.partners = array("I", (NOBODY,)) * PARTNERS_MAX
        self.counts = array("Q", (0,)) * PARTNERS_MAX
        self.hand = 0

    def add(self, partner: int) -> None:
        """Count one word to ``partner``."""
        try:
            self.counts[self.partners.index(partner)] += 1
        except ValueError:
            self._meet(partner)

    def _meet(self, partner: int) -> None:
        at = self.hand
        self.hand = (at + 1) % PARTNERS_MAX
        if self.counts[at] > 1:
            self.counts[at] -= 1
        else:  # free, or free now
            self.partners[at], self.counts[at] = partner, 1


class Talk:
    """The counts of one hub."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        """Name → its number, from 1 on in the order in which they were first seen."""
        self._totals = array("Q", (0,))
        """By number: questions and messages, both ways."""
        self._rows: dict[int, Row] = {}

    def __len__(self) -> int:
        """Pairs that are told apart."""
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[tuple[tuple[str, str], int]]:
        """((Sender, recipient), count) of each pair that is told apart."""
        names = ["", *self._numbers]
        for sender, row in self._rows.items():
            for partner, count in zip(row.partners, row.counts, strict=True):
                if partner != NOBODY:
                    yield (names[sender], names[partner]), count

    def add(self, sender: str, recipient: str) -> None:
        """Count a question or a message."""
        numbers = self._numbers
        speaker = numbers.get(sender) or self._number(sender)
        hearer = numbers.get(recipient) or self._number(recipient)
        self._totals[speaker] += 1
        self._totals[hearer] += 1
        row = self._rows.get(speaker)
        if row is None:
            row = self._rows[speaker] = Row()
        row.add(hearer)

    def total(self, name: str) -> int:
        """Questions and messages that the identity sent or was sent, ever."""
        number = self._numbers.get(name)
        return 0 if number is None else self._totals[number]

    def saved(self) -> SavedTalk:
        """All of it, in an order that the log decides."""
        rows = [(sender, row.partners.tolist(), row.counts.tolist(), row.hand) for sender, row in self._rows.items()]
        return SavedTalk(list(self._numbers), self._totals.tolist(), rows)

    def fill(self, saved: SavedTalk) -> None:
        """Take over what was saved."""
        self._numbers = {name: number for number, name in enumerate(saved.names, 1)}
        self._totals = array("Q", saved.totals)
        for sender, partners, counts, hand in saved.rows:
            row = self._rows[sender] = Row()
            row.partners, row.counts, row.hand = array("I", partners), array("Q", counts), hand

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._totals)
            self._totals.append(0)
        return number
