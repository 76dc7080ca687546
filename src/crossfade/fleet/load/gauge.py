"""How a run stands, from the load processes' reports and the kernel's counts: samples, and figures at its turns.

Not an account of questions: that comes from the journals alone (fleet/load/account.py).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from crossfade.core.histograms import merged, read
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.account import Tally
from crossfade.fleet.load.crowd import LoadChild
from crossfade.fleet.load.orders import Histogrammed, Last
from crossfade.fleet.load.report import Sample
from crossfade.fleet.load.target import Target
from crossfade.fleet.load.vitals import Vitals

SAMPLE_NS: Final = 1_000_000_000
SAMPLES_MAX: Final = 20_000


class Mark:
    """What had been used at one moment."""

    __slots__ = ("at_ns", "bytes_in", "bytes_out", "clients", "empty", "hub", "requests")

    def __init__(self, hub: Vitals | None, children: Sequence[LoadChild]) -> None:
        self.at_ns = monotonic_ns()
        self.hub = hub
        self.clients = [child.state.cpu_seconds for child in children]
        self.requests = sum(child.state.requests for child in children)
        self.empty = sum(child.state.empty for child in children)
        self.bytes_in = sum(child.state.bytes_in for child in children)
        self.bytes_out = sum(child.state.bytes_out for child in children)


class Gauge:
    """Reads how it stands; remembers the turns of the run."""

    def __init__(self, target: Target, children: Sequence[LoadChild]) -> None:
        self.samples: list[Sample] = []
        self.attach_seconds = 0.0
        self.attached_then = 0
        self.marks: dict[str, Mark] = {}
        self._target = target
        self._children = children
        self._start_ns = 0
        self.waited = 0
        """Most calls that waited for a shared connection at once."""
        self._sampled: Mark | None = None
        self._alive: Mark | None = None
        """When the hub was last seen to live."""

    @property
    def target(self) -> Target:
        """The hub that is loaded."""
        return self._target

    # --- now ----------------------------------------------------------------------------------------

    @property
    def attached(self) -> int:
        """Agents that the hub holds."""
        return sum(child.state.attached for child in self._children)

    @property
    def acknowledged(self) -> int:
        """Questions that the hub has acknowledged."""
        return sum(child.state.acknowledged for child in self._children)

    @property
    def answered(self) -> int:
        """Questions whose answer is back."""
        return sum(child.state.answered for child in self._children)

    @property
    def open(self) -> int:
        """Questions without their end."""
        return sum(child.state.open for child in self._children)

    @property
    def waiting(self) -> int:
        """Calls that wait for one of the shared connections."""
        return sum(child.state.waiting for child in self._children)

    @property
    def finished(self) -> bool:
        """Every schedule is at its end."""
        return all(child.state.finished for child in self._children)

    @property
    def busy(self) -> bool:
        """Something has no end yet."""
        return any(child.state.open or child.state.answering for child in self._children)

    @property
    def lasts(self) -> list[Last]:
        """The last words that were said."""
        return [child.last for child in self._children if child.last is not None]

    @property
    def unacknowledged(self) -> int:
        """Asks to which the hub has said nothing."""
        return sum(child.state.unacknowledged for child in self._children)

    # --- samples ------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Take a sample if it is time."""
        before = self._sampled
        if before is not None and monotonic_ns() - before.at_ns < SAMPLE_NS:
            return
        now = Mark(self._target.vitals(), self._children)
        self._sampled = now
        self._alive = self._alive if now.hub is None else now
        self.waited = max(self.waited, self.waiting)
        if before is None or not self._start_ns or len(self.samples) >= SAMPLES_MAX:
            return
        sample = Sample(
            at_seconds=round((now.at_ns - self._start_ns) / 1e9, 2),
            attached=self.attached,
            open=self.open,
            hub_cpu=hub_cores(before, now),
            client_cpu=round(sum(client_cores(before, now)), 4),
            hub_rss_mib=None if now.hub is None else round(now.hub.rss_mib, 2),
        )
        self.samples.append(sample)

    # --- turns --------------------------------------------------------------------------------------

    def mark(self, name: str) -> None:
        """Remember what has been used so far."""
        self.marks[name] = Mark(self._target.vitals(), self._children)

    def empty(self) -> None:
        """The hub knows the agents, and holds none."""
        self.mark("empty")

    def all_attached(self, seconds: float) -> None:
        """The hub holds every agent."""
        self.attach_seconds = seconds
        self.mark("attached")

    def settled(self) -> None:
        """A moment without questions is over."""
        self.attached_then = self.attached
        self.mark("settled")

    def begin(self, start_ns: int) -> None:
        """Questions begin."""
        self._start_ns = start_ns
        self.mark("begin")

    def end_of_schedule(self) -> None:
        """The last question was due."""
        self.mark("end")

    def note(self) -> None:
        """Everything has its end."""
        self.mark("drained")

    def after(self) -> None:
        """And a moment later."""
        self.mark("after")

    def cut(self) -> None:
        """It goes no further."""
        self.mark("cut")

    def end(self) -> Mark | None:
        """How it stood when the last question was due, or before that if there was no hub then or no such moment."""
        end = self.marks.get("end")
        return self.last_alive() if end is None or (end.hub is None and self._alive is not None) else end

    def last_alive(self) -> Mark | None:
        """How it stands now or, with a hub that is gone, stood when it was last seen; None if it had not begun."""
        now, seen = self.last_mark(), self._alive
        if now is None or now.hub is not None or seen is None or seen.at_ns <= self.marks["begin"].at_ns:
            return now
        return seen

    @property
    def rss_peak_mib(self) -> float | None:
        """The most memory that the hub was seen to hold."""
        turns = [mark.hub.rss_mib for mark in self.marks.values() if mark.hub is not None]
        seen = [sample.hub_rss_mib for sample in self.samples if sample.hub_rss_mib is not None]
        return round(max((*turns, *seen)), 1) if turns or seen else None

    def last_mark(self) -> Mark | None:
        """How it stands now, for a run that was cut short; None if it had not begun."""
        return Mark(self._target.vitals(), self._children) if "begin" in self.marks else None

    # --- last words ---------------------------------------------------------------------------------

    def counts(self) -> Counter[str]:
        """Requests by kind and other counts, of all processes."""
        return sum((Counter(last.counts) for last in self.lasts), Counter())

    def faults(self) -> Counter[str]:
        """What was refused, of all processes."""
        return sum((Counter(last.faults) for last in self.lasts), Counter())

    def lateness(self) -> Tally:
        """How late asks were sent."""
        return _together([last.lateness for last in self.lasts])

    def reattached(self) -> Tally:
        """How long after the storm agents were held again."""
        return _together([last.reattached for last in self.lasts])


def _together(sent: Sequence[Histogrammed]) -> Tally:
    whole = Tally(merged(read(one.compact) for one in sent))
    whole.largest = max((one.largest for one in sent if one.largest is not None), default=None)
    return whole


def hub_cores(before: Mark | None, after: Mark | None) -> float | None:
    """CPU seconds per second of the hub between two marks."""
    used = _of_one(before, after)
    return None if used is None else round((used[1].cpu_seconds - used[0].cpu_seconds) / used[2], 4)


def hub_waited(before: Mark | None, after: Mark | None) -> float | None:
    """Share of the time in which the hub could have run and other processes had the processors."""
    used = _of_one(before, after)
    return None if used is None else round((used[1].waited_seconds - used[0].waited_seconds) / used[2], 4)


def _of_one(before: Mark | None, after: Mark | None) -> tuple[Vitals, Vitals, float] | None:
    """What a hub had used at two marks, and the seconds between; None unless it was one process all the time."""
    if before is None or after is None or before.hub is None or after.hub is None or after.at_ns <= before.at_ns:
        return None
    if before.hub.pid != after.hub.pid:
        return None
    return before.hub, after.hub, (after.at_ns - before.at_ns) / 1e9


def client_cores(before: Mark | None, after: Mark | None) -> list[float]:
    """The same of each load process."""
    if before is None or after is None or after.at_ns <= before.at_ns:
        return [0.0]
    seconds = (after.at_ns - before.at_ns) / 1e9
    return [round((late - early) / seconds, 4) for early, late in zip(before.clients, after.clients, strict=True)]
