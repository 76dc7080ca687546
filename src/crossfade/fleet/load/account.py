"""What the journals of a run say: lost, doubled, latencies as histograms, and every second of it.

Lost and doubled are fleet/reconcile.py's, a bucket of questions at a time, so that memory is bounded. Not a
reader of the hub's counters.

Definitions
-----------
*delivery*: from the instant a question was due to its first arrival at its addressee. *answer*: from the instant it
was due to the answer at its asker, less the time that the answerer meant to think. *waiting*, *busy*: delivery,
where the addressee was in the call that brought it when the question was due, and where it was not yet: thinking,
answering, or at its own work. *unfinished*: only of a run that was cut short: questions that had not come to their
end, or not yet to their addressee, when it was cut.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from crossfade.core.histograms import Histogram
from crossfade.fleet.journal import Entry, Step, read_journal
from crossfade.fleet.load.journals import BUCKETS, bucket_files
from crossfade.fleet.load.profile import Phase
from crossfade.fleet.reconcile import Account, Fault, reconcile

FAULTS_SHOWN_MAX: Final = 20
MS: Final = 1e6
SECOND_NS: Final = 1_000_000_000
CUT: Final = frozenset({"never received by its addressee", "no end at its asker", "received but in no asker's journal"})
"""Faults that only say that a run was cut short, if it was."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles in milliseconds, to 1 %; ``max`` exact. None if there are no samples."""

    n: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None


class Tally:
    """A histogram that remembers its largest value."""

    __slots__ = ("histogram", "largest")

    def __init__(self, histogram: Histogram | None = None) -> None:
        self.histogram = histogram or Histogram()
        self.largest: float | None = None

    def add(self, value_ms: float) -> None:
        """Count a value; one before its time counts as 0."""
        value_ms = max(0.0, value_ms)
        self.histogram.add(value_ms)
        self.largest = value_ms if self.largest is None or value_ms > self.largest else self.largest

    def times(self) -> Times:
        """The quantiles."""
        found = [self.histogram.quantile(part) for part in (0.5, 0.95, 0.99, 0.999)]
        # A bucket's middle may lie beyond the largest value in it.
        bound = float("inf") if self.largest is None else self.largest
        p50, p95, p99, p999 = (None if value is None else round(min(value, bound), 3) for value in found)
        largest = None if self.largest is None else round(self.largest, 3)
        return Times(n=self.histogram.n, p50=p50, p95=p95, p99=p99, p999=p999, max=largest)


class Lane:
    """The tallies of the questions that came on one lane, or in one phase."""

    __slots__ = ("answer", "delivery")

    def __init__(self) -> None:
        self.delivery = Tally()
        self.answer = Tally()


class Second:
    """What happened in one second of the schedule."""

    __slots__ = ("answer", "answered", "asked")

    def __init__(self) -> None:
        self.asked = 0
        """Questions that were due in it."""
        self.answered = 0
        """Answers that came back in it."""
        self.answer = Histogram()
        """Of the questions that were due in it."""


class Findings:
    """The whole account."""

    def __init__(self, phases: Sequence[Phase], start_ns: int) -> None:
        self.questions = self.answered = self.repeats = self.unfinished = 0
        self.lost = self.doubled = self.delivered = 0
        self.faults: list[Fault] = []
        self.whole = Lane()
        self.waiting, self.busy = Tally(), Tally()
        self.lanes: dict[str, Lane] = {}
        self.channels: dict[str, int] = {}
        self.phases = [Lane() for _ in phases]
        self.seconds: dict[int, Second] = {}
        self.last_end_ns = start_ns
        self.start_ns = start_ns
        self._ends: list[float] = []
        at = 0.0
        for phase in phases:
            at += phase.seconds
            self._ends.append(at)

    def add(self, journals: Sequence[Sequence[Entry]], *, cut: bool) -> None:
        """Add all entries about some questions; ``cut``: the run did not come to its end."""
        self._account(reconcile(journals), cut=cut)
        stories: dict[str, dict[Step, Entry]] = {}
        for journal in journals:
            for entry in journal:
                stories.setdefault(entry.question, {}).setdefault(entry.step, entry)
        for story in stories.values():
            if Step.ASKED in story:
                self._time(story)

    def _account(self, account: Account, *, cut: bool) -> None:
        self.questions += account.questions
        self.answered += account.answered
        self.repeats += account.repeats
        for channel, count in account.channels.items():
            self.channels[channel] = self.channels.get(channel, 0) + count
            self.delivered += count
        lost, half = _apart(account.lost, cut=cut)
        doubled, stray = _apart(account.doubled, cut=cut)
        self.unfinished += half + stray
        self.lost += len(lost)
        self.doubled += len(doubled)
        self.faults += (*lost, *doubled)[: FAULTS_SHOWN_MAX - len(self.faults)]

    def _time(self, story: dict[Step, Entry]) -> None:
        due_ns = story[Step.ASKED].since_ns
        number = (due_ns - self.start_ns) // SECOND_NS
        second = self.seconds.setdefault(number, Second())
        second.asked += 1
        received, ended, answered = story.get(Step.RECEIVED), story.get(Step.ENDED), story.get(Step.ANSWERED)
        if received is None:
            return
        lane = self.lanes.setdefault(received.lane, Lane())
        phase = self._phase(due_ns)
        for tallies in (self.whole, lane, phase):
            tallies.delivery.add((received.at_ns - due_ns) / MS)
        if received.since_ns:
            found = self.waiting if received.since_ns <= due_ns else self.busy
            found.add((received.at_ns - due_ns) / MS)
        if ended is None or ended.status != "answered":
            return
        took_ms = (ended.at_ns - due_ns - (answered.own_ns if answered is not None else 0)) / MS
        for tallies in (self.whole, lane, phase):
            tallies.answer.add(took_ms)
        second.answer.add(max(0.0, took_ms))
        self.seconds.setdefault((ended.at_ns - self.start_ns) // SECOND_NS, Second()).answered += 1
        self.last_end_ns = max(self.last_end_ns, ended.at_ns)

    def _phase(self, due_ns: int) -> Lane:
        at = (due_ns - self.start_ns) / SECOND_NS
        number = next((number for number, end in enumerate(self._ends) if at < end), len(self._ends) - 1)
        return self.phases[number]


def _apart(faults: Iterable[Fault], *, cut: bool) -> tuple[list[Fault], int]:
    """Real faults, and how many there were that only say that the run was cut short."""
    real = [fault for fault in faults if not (cut and fault.what in CUT)]
    return real, sum(1 for _ in faults) - len(real)


def findings(folder: Path, phases: Sequence[Phase], start_ns: int, *, cut: bool) -> Findings:
    """Read all journals of a run."""
    found = Findings(phases, start_ns)
    for bucket in range(BUCKETS):
        found.add([list(read_journal(file, cut=cut)) for file in bucket_files(folder, bucket)], cut=cut)
    return found
