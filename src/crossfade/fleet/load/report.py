"""What a load run found: the object that ``crossfade load --json`` prints, and what makes it sound."""

from collections.abc import Sequence
from typing import Final

import msgspec

from crossfade.fleet.load.account import Times
from crossfade.fleet.load.slope import Slope
from crossfade.fleet.reconcile import Fault

TARGETS_MS: Final = {"p50": 50.0, "p95": 200.0, "p99": 300.0, "p999": 1_000.0}
"""From due to answered, the answerer's own time excluded."""


class LaneReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one lane, or one phase, was served."""

    name: str
    questions: int
    delivery_ms: Times
    answer_ms: Times


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """Every agent lost its connection at once; how long until each was held again."""

    agents: int
    reattach_ms: Times


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """How it stood at one moment."""

    at_seconds: float
    """Since the first question was due; negative while agents connect."""
    attached: int
    open: int
    hub_cpu: float | None
    """Cores, since the last sample."""
    client_cpu: float
    hub_rss_mib: float | None


class SecondRow(msgspec.Struct, frozen=True, array_like=True):
    """One second of the schedule."""

    second: int
    asked: int
    answered: int
    p50_ms: float | None
    p99_ms: float | None


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one run. Counts and times come from the agents' journals; see docs/how-to/load-testing.md."""

    questions: int
    """Acknowledged by the hub."""
    answered: int
    lost: int
    doubled: int
    questions_per_second: float
    """Answered, from the first due instant to the last answer."""
    delivery_ms: Times
    answer_ms: Times
    client_cpu: float
    """CPU seconds per second of all load processes together, that is cores, while questions were due."""
    hub_cpu: float | None
    """The same of the hub; None if it is not on this machine."""
    hub_rss_mib: float | None
    """At the end of the schedule."""
    scenario: str
    agents: int
    attached: int
    """Agents that the hub held when the questions began."""
    attach_seconds: float
    share: float
    """Of the agents, on the elicitation lane."""
    carrier: str
    model: str
    offered_per_second: float
    seconds: float
    """Of the schedule."""
    client_cpu_busiest: float
    """Of the busiest load process."""
    hub_waited: float | None
    """Share of the time in which the hub could have run and other processes had the processors."""
    hub_idle_cpu: float | None
    """Cores with all agents attached and no question."""
    hub_kib_per_agent: float | None
    """Growth of the hub's memory while the agents attached."""
    hub_rss_peak_mib: float | None
    hub_rss_after_mib: float | None
    """When everything had its end."""
    requests: int
    bytes_in: int
    """Received by the agents."""
    bytes_out: int
    delivered: int
    """Questions that reached their addressee."""
    requests_per_delivery: float | None
    bytes_per_delivery: float | None
    hub_cpu_ms_per_delivery: float | None
    empty_polls: int
    connections: int
    """Made in all."""
    repeated_requests: int
    """Sent again, because the first got no answer or was told to come back."""
    kinds: dict[str, int]
    """Requests by what they were."""
    channels: dict[str, int]
    """How questions reached their addressee."""
    repeats: int
    """Ends shown to an asker more than once: allowed."""
    unfinished: int
    unacknowledged: int
    """Asks to which the hub never said anything."""
    lateness_ms: Times
    """How much later than due the load sent its asks; part of every latency."""
    waiting_ms: Times
    """From due to delivered, of questions whose addressee was in the call that brought it when they were due."""
    busy_ms: Times
    """The same of those whose addressee was thinking, answering or at its own work then."""
    lanes: tuple[LaneReport, ...]
    phases: tuple[LaneReport, ...]
    targets_met: bool
    storm: Storm | None = None
    leak: Slope | None = None
    """Slope of the hub's memory, MiB per hour."""
    leaks: bool = False
    """It grows, in a run that was made to find that out and long enough for it."""
    faults: dict[str, int] = {}
    wrong: tuple[Fault, ...] = ()
    """The first questions that were lost or doubled."""
    warnings: tuple[str, ...] = ()
    reason: str = ""
    """Why the run did not come to its end; empty if it did."""
    journals: str = ""
    """Folder of the journals, if they were kept."""
    samples: tuple[Sample, ...] = ()
    rows: tuple[SecondRow, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    """Share of the answers, and the milliseconds that they did not exceed."""

    @property
    def sound(self) -> bool:
        """It came to its end, nothing was lost, doubled or refused, and a long run found no leak."""
        clean = not (self.lost or self.doubled or self.unfinished or self.unacknowledged or self.faults)
        return clean and not self.leaks and not self.reason and self.questions > 0

    def fields(self, *, series: bool = False) -> dict[str, object]:
        """As plain data, for JSON; the series only where they are wanted."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        if not series:
            del plain["samples"], plain["rows"], plain["curve"]
        return plain


def missed(times: Times) -> Sequence[str]:
    """The targets that are not met, in words; all of them if there is nothing to judge."""
    said = []
    for name, limit in TARGETS_MS.items():
        value = getattr(times, name)
        if value is None or value >= limit:
            what = "p99.9" if name == "p999" else name
            said.append(f"{what} {'not measured' if value is None else f'{value:g} ms'}, target < {limit:g} ms")
    return said
