"""What a demonstration found: the object that ``crossfade demo --json`` prints, and what makes it a success."""

import msgspec

from crossfade.fleet.ramp import Stage
from crossfade.fleet.reconcile import Account, Fault, LaneTimes

FAULTS_SHOWN_MAX = 20
"""Faults listed one by one; the counts are always whole."""


class OfficialCount(msgspec.Struct, frozen=True, kw_only=True):
    """What the agents on the official client did, by the revision of the asker."""

    agents: int
    questions: int
    answered: int
    received: dict[str, int]
    """Questions that reached agents of this revision, by channel."""


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a demonstration. Every count comes from the agents' journals."""

    questions: int
    answered: int
    lost: int
    doubled: int
    repeats: int
    """Ends that were shown to an asker more than once; allowed, and told apart by id."""
    shed: int
    """Questions that were due but not asked because the agent had too many waiting."""
    unfinished: int
    """Agents that still had something open when the drain was given up."""
    stages: tuple[Stage, ...]
    channels: dict[str, int]
    lanes: dict[str, LaneTimes]
    official: dict[str, OfficialCount]
    """Protocol revision → count."""
    agents: int
    clusters: int
    hub_restarts: int
    reconnects: int
    seconds: float
    faults: tuple[Fault, ...]
    """The first ``FAULTS_SHOWN_MAX`` of them."""
    journals: str
    """Folder of the journals; empty if it was a scratch folder that is gone."""

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing doubled, and there was something to lose."""
        return self.questions > 0 and not self.lost and not self.doubled and not self.unfinished

    def fields(self) -> dict[str, object]:
        """The report as plain data, for JSON."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


def faults_of(account: Account) -> tuple[Fault, ...]:
    """The first faults, lost ones before doubled ones."""
    return (*account.lost, *account.doubled)[:FAULTS_SHOWN_MAX]
