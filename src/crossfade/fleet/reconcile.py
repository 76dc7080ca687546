"""Compare the journals of a fleet: what was lost, what was doubled, how long things took.

Not a reader of the hub's log or counters; its input is journals alone. Pure: no clock, no files.

Definitions
-----------
*lost*: a question whose ask the hub acknowledged and that (a) its addressee never received, (b) has no
end at its asker, or only ran out of time, or (c) ended at the asker with something else than the answer
that the hub acknowledged to the addressee.
*doubled*: a question (a) for which the asker saw two different ends, (b) that reached the addressee
again after the addressee's answer was acknowledged, (c) of which two different answers were accepted,
or (d) that was received although no asker has it: the same ask was stored twice.
*repeats*: the same end shown to the asker again. Allowed (at least once, with ids), but counted.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from crossfade.fleet.journal import Entry, Step

QUANTILES = (("p50", 500), ("p95", 950), ("p99", 990), ("p999", 999))
"""Name and per mille."""
SAMPLES_BEYOND = 10
"""A quantile is reported only with this many samples expected beyond it."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles of a duration in milliseconds; None below 10/(1-q) samples."""

    n: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None


class LaneTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How one lane served the questions that reached their addressee on it."""

    delivery_ms: Times
    """Wanting to ask → received by the addressee."""
    answer_ms: Times
    """Wanting to ask → the answer is with the asker."""


class Fault(msgspec.Struct, frozen=True):
    """One question that went wrong, and how."""

    question: str
    what: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the journals say, all together."""

    questions: int
    """Asks that the hub acknowledged."""
    answered: int
    """Of these: answered, and the answer is with the asker."""
    lost: tuple[Fault, ...]
    doubled: tuple[Fault, ...]
    repeats: int
    channels: dict[str, int]
    """Channel of the first arrival → questions."""
    lanes: dict[str, LaneTimes]


class _Story:
    """All entries about one question."""

    def __init__(self) -> None:
        self.asked: Entry | None = None
        self.received: list[Entry] = []
        self.answered: list[Entry] = []
        self.ended: list[Entry] = []
        self.again = 0
        """Arrivals at the addressee after its answer had been accepted."""

    def add(self, entry: Entry) -> None:
        match entry.step:
            case Step.ASKED:
                self.asked = self.asked or entry
            case Step.RECEIVED:
                self.again += any(before.status == "accepted" for before in self.answered)
                self.received.append(entry)
            case Step.ANSWERED:
                self.answered.append(entry)
            case Step.ENDED:
                self.ended.append(entry)

    @property
    def accepted(self) -> set[str]:
        return {entry.content for entry in self.answered if entry.status == "accepted"}

    @property
    def ends(self) -> set[tuple[str, str]]:
        return {(entry.status, entry.content) for entry in self.ended}

    def lost(self) -> str:
        """Why the question counts as lost; empty if it does not."""
        if self.asked is None:
            return ""
        if not self.received:
            return "never received by its addressee"
        if not self.ended:
            return "no end at its asker"
        if any(status == "expired" for status, _ in self.ends):
            return "ran out of time"
        got = {content for status, content in self.ends if status == "answered"}
        if self.accepted and got and not got & self.accepted:
            return "its asker got another answer than the accepted one"
        return ""

    def doubled(self) -> str:
        """Why the question counts as doubled; empty if it does not."""
        if self.asked is None:
            return "received but in no asker's journal" if self.received else ""
        if len(self.ends) > 1:
            return "two different ends at its asker"
        if self.again:
            return "received again after its answer was accepted"
        if len(self.accepted) > 1:
            return "two different answers accepted"
        return ""


def reconcile(journals: Iterable[Sequence[Entry]]) -> Account:
    """Draw up the account of a finished run; every journal in its own order."""
    stories: dict[str, _Story] = {}
    for journal in journals:
        for entry in journal:
            stories.setdefault(entry.question, _Story()).add(entry)
    known = {question: story for question, story in stories.items() if story.asked is not None}
    lost = tuple(Fault(question, why) for question, story in stories.items() if (why := story.lost()))
    doubled = tuple(Fault(question, why) for question, story in stories.items() if (why := story.doubled()))
    return Account(
        questions=len(known),
        answered=sum(any(status == "answered" for status, _ in story.ends) for story in known.values()),
        lost=lost,
        doubled=doubled,
        repeats=sum(max(0, len(story.ended) - 1) for story in known.values()),
        channels=dict(Counter(story.received[0].channel for story in known.values() if story.received)),
        lanes=_lanes(known.values()),
    )


def _lanes(stories: Iterable[_Story]) -> dict[str, LaneTimes]:
    delivery: dict[str, list[int]] = {"polling": [], "elicitation": []}
    answer: dict[str, list[int]] = {"polling": [], "elicitation": []}
    for story in stories:
        if story.asked is None or not story.received:
            continue
        lane = story.received[0].lane
        delivery.setdefault(lane, []).append(story.received[0].at_ns - story.asked.since_ns)
        if story.ended:
            answer.setdefault(lane, []).append(story.ended[0].at_ns - story.asked.since_ns)
    return {
        lane: LaneTimes(delivery_ms=quantiles(delivery[lane]), answer_ms=quantiles(answer.get(lane, ())))
        for lane in delivery
    }


def quantiles(samples_ns: Sequence[int]) -> Times:
    """Nearest-rank quantiles in milliseconds; a quantile is None below 10/(1-q) samples."""
    ordered = sorted(samples_ns)
    count = len(ordered)
    found: dict[str, float | None] = {}
    for name, per_mille in QUANTILES:
        enough = count * (1000 - per_mille) >= SAMPLES_BEYOND * 1000
        rank = math.ceil(count * per_mille / 1000)
        found[name] = round(ordered[rank - 1] / 1e6, 3) if enough else None
    return Times(n=count, **found)
