"""The profile of a load: every knob with its unit, and what makes no sense in it.

Not whether this machine can do it (fleet/load/feasible.py).
"""

import math
from enum import StrEnum
from typing import Final

import msgspec

from crossfade.fleet.model import ATTENTIVE, AgentModel

LINES_MAX: Final = 1_000
"""Connections that all askers share."""
CLUSTERS_MIN: Final = 8
AGENTS_MAX: Final = 100_000
PAYLOAD_BYTES_MAX: Final = 60_000
"""A hub takes questions of 64 KiB, text and all."""
MAIL_ABOVE: Final = 0.5
"""Askers wait in their call unless the questions open at once would take more than this share of the lines."""


class Carrier(StrEnum):
    """What agents on the elicitation lane hold open."""

    ATTEND = "attend"
    """``attend``: asked natively in the call."""
    UNCHANGED = "unchanged"
    """``wait_for_messages`` as before, by a client that can be asked natively: nobody changed the agent."""
    STREAM = "stream"
    """The event stream; answers go over the shared connections."""


class Phase(msgspec.Struct, frozen=True):
    """A stretch of time with a steady rate."""

    name: str
    seconds: float
    questions_per_second: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One load."""

    agents: int = 1_000
    phases: tuple[Phase, ...] = (Phase("steady", 10.0, 100.0),)
    share: float = 0.0
    """Of the agents, on the elicitation lane."""
    carrier: Carrier = Carrier.ATTEND
    model: AgentModel = ATTENTIVE
    payload_bytes: int = 64
    """Text of a question."""
    fan_out: int = 1
    """Agents that are asked at once, a question each, by the same asker."""
    burst: float = 1.0
    """Mean number of askers that begin at the same instant: arrivals come in batches, geometrically distributed."""
    clusters: int = 0
    """Groups of agents; 0: one for every 25 agents, but some in a small fleet, so that a share can be had."""
    within: float = 0.8
    """Share of questions that stay in the asker's cluster."""
    experts: int = 0
    """The first so many agents are those who are asked; all others ask them. 0: everybody asks everybody."""
    storm_at_seconds: float = 0.0
    """When every agent loses its connection at once; 0: never."""
    processes: int = 0
    """Load processes; 0: two, or as many as descriptors ask for."""
    lines: int = LINES_MAX
    """Connections that the askers share, of all processes together; 0: as many as fit, at most LINES_MAX."""
    sources: int = 0
    """Loopback addresses to call from; 0: as many as ports ask for."""
    seed: int = 1

    @property
    def seconds(self) -> float:
        """All phases together."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def rate(self) -> float:
        """Mean questions a second."""
        return sum(phase.seconds * phase.questions_per_second for phase in self.phases) / self.seconds

    @property
    def peak(self) -> float:
        """Highest questions a second of any phase."""
        return max(phase.questions_per_second for phase in self.phases)

    @property
    def groups(self) -> int:
        """Clusters there are."""
        return self.clusters or max(1, min(self.agents // 2, max(CLUSTERS_MIN, self.agents // 25)))

    @property
    def ends_by_mail(self) -> bool:
        """Askers do not wait in their call, because they would need too many lines: the end comes to their mailbox."""
        open_at_once = self.peak * (self.model.think_seconds + self.model.work_seconds / 2)
        return open_at_once > MAIL_ABOVE * self.lines


class ProfileError(Exception):
    """The profile cannot be meant, or cannot be met. ``hint`` says what to change."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def check(profile: Profile) -> None:
    """Raises ProfileError for what makes no sense anywhere."""
    _bounded(profile)
    for phase in profile.phases:
        if not (math.isfinite(phase.seconds) and 0 < phase.seconds <= 7 * 86_400):
            raise ProfileError(
                f"{phase.seconds:g} seconds is no time to run", "--seconds takes more than 0, up to 604800"
            )
        rate = phase.questions_per_second
        if not (math.isfinite(rate) and 0 < rate <= 1_000_000):
            raise ProfileError(
                f"{rate:g} questions a second is no rate", "--questions-per-second takes a number above 0"
            )
    if profile.rate * profile.seconds < 1:
        raise ProfileError(
            f"{profile.rate:g} questions a second for {profile.seconds:g} s are less than one question",
            "a higher --questions-per-second, or more --seconds",
        )
    _peers(profile)


def _peers(profile: Profile) -> None:
    """Whoever asks finds as many others to ask as it asks at once."""
    if profile.experts >= profile.agents:
        raise ProfileError(
            f"{profile.experts} experts among {profile.agents} agents leave nobody to ask them",
            "fewer --experts or more --agents",
        )
    if profile.groups * 2 > profile.agents and profile.groups > 1:
        raise ProfileError(
            f"{profile.agents} agents cannot form {profile.groups} clusters of at least two",
            "fewer --clusters or more --agents",
        )
    if profile.fan_out >= profile.agents:
        raise ProfileError(f"a fan-out of {profile.fan_out} needs more agents than {profile.agents}", "lower --fan-out")
    if 0 < profile.experts < profile.fan_out:
        raise ProfileError(
            f"a fan-out of {profile.fan_out} needs as many experts, and there are {profile.experts}",
            f"--fan-out {profile.experts} at most, or more --experts",
        )
    smallest = profile.agents // profile.groups
    if not profile.experts and profile.within == 1 and profile.fan_out >= smallest:
        raise ProfileError(
            f"a fan-out of {profile.fan_out} within clusters of {smallest} agents asks more than there are in one",
            "lower --fan-out or --within, or fewer --clusters",
        )


_BOUNDS: Final = (
    ("agents", 2, AGENTS_MAX),
    ("share", 0, 1),
    ("payload_bytes", 1, PAYLOAD_BYTES_MAX),
    ("fan_out", 1, 256),
    ("burst", 1, 10_000),
    ("clusters", 0, AGENTS_MAX),
    ("within", 0, 1),
    ("experts", 0, AGENTS_MAX),
    ("processes", 0, 64),
    ("lines", 0, LINES_MAX),
    ("sources", 0, 250),
    ("storm_at_seconds", 0, 604_800),
)


FLAGS: Final = {"lines": "--connections", "storm_at_seconds": "--seconds"}
"""Options whose name is not the field's."""


def _bounded(profile: Profile) -> None:
    for name, low, high in _BOUNDS:
        value = getattr(profile, name)
        if not low <= value <= high:  # also false for NaN
            flag = FLAGS.get(name) or f"--{name.replace('_', '-')}"
            raise ProfileError(
                f"{flag} {value} is not between {low:,} and {high:,}", f"give {flag} a number in between"
            )
