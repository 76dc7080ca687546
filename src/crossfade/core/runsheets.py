"""Runsheets: a migration procedure as data, typed. What a runsheet can say, and nothing about how it is run.

Read from YAML by crossfade.runsheets (which also keeps the place of every value); reviewed by
core/review; executed by core/runs. A section that is missing says "not planned", and a review will say so.

Rules
-----
1. Values only: nothing decides by a name, a title or a version.
2. One metric has one threshold (``slos``); gates and triggers refer to it by id.
3. Dates are week and day; ``instant_of`` turns them into instants. There is no week 0: week -1 is
   followed by week 1.
4. Inside everything is UTC. A time zone is for display.
"""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from crossfade.core.values import SECOND, Instant

FORMAT: Final = 1

Week = Annotated[int, msgspec.Meta(ge=-52, le=520)]
"""Never 0 (linting says so); bounded, so that no date lies beyond the calendar."""
WeekDay = Annotated[int, msgspec.Meta(ge=1, le=7)]
"""1 is Monday."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
TimeOfDay = Annotated[time, msgspec.Meta(tz=False)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A section of a runsheet."""


class Role(StrEnum):
    """The specialists who review and sign."""

    DEVOPS = "devops"
    SECURITY = "security"
    PERFORMANCE = "performance"


class Outcome(StrEnum):
    """What a specialist says, in a review and in a sign-off; from good to bad."""

    APPROVED = "approved"
    APPROVED_WITH_CONTROLS = "approved_with_controls"
    """Holds while every named control holds."""
    CONDITIONAL = "conditional"
    """Holds once the conditions do."""
    EMERGENCY_STOP = "emergency_stop"


# --- when and what ------------------------------------------------------------------------------------


class Calendar(_Part, frozen=True, kw_only=True):
    start: date
    """Monday of the first week."""
    first_week: Week = -1
    last_week: Week = 12
    timezone: str = "UTC"
    """For display only."""


class Target(_Part, frozen=True, kw_only=True):
    """What the share is a share of: the hub's own rollout, or any system by command or HTTP."""

    kind: Literal["hub", "command", "http"] = "hub"
    set_share: str = ""
    """Command line or URL that sets the share; ``{share}`` (0 to 1) and ``{percent}`` are filled in."""
    drain: str = ""
    verify: str = ""
    """Command whose exit status, or URL whose 2xx, says that the share is in force."""
    roll_back: str = ""
    counts: str = ""
    """Where counts come from: ``csv:PATH`` or ``prometheus:URL?query=…``."""


class Slo(_Part, frozen=True, kw_only=True):
    """One metric and its one threshold."""

    metric: str
    """Of the catalogue in docs/reference/metrics.md, e.g. ``latency_p99_ms``, ``error_rate``."""
    kind: Literal["minimum", "goal"]
    """A minimum is a gate; a goal is reported."""
    max: float | None = None
    min: float | None = None
    investigate: float | None = None
    """Beyond this, somebody looks; between threshold and this, the verdict is HOLD."""
    roll_back: float | None = None
    """Beyond this, the trigger goes back."""


class Improvement(_Part, frozen=True, kw_only=True):
    """How much better the new way is expected to be, as a factor on latency over the old one."""

    low: Amount
    high: Amount
    measured: bool = False
    """Reported from measurements with an interval; never a constant."""


# --- what has to be there -----------------------------------------------------------------------------


class Baseline(_Part, frozen=True, kw_only=True):
    days: Amount
    gap_seconds_max: Amount = 60
    samples_min: Count = 0
    hourly_profile: bool = False


class Capacity(_Part, frozen=True, kw_only=True):
    shares: tuple[Share, ...]
    """Stages for which cores, memory, log writes a second and connections are planned."""
    headroom: Share
    """Free share of each resource at the peak, e.g. 0.3."""
    measured: bool = False


class AutoScaling(_Part, frozen=True, kw_only=True):
    replicas_min: Count
    replicas_max: Count
    utilisation: Share
    """Share of CPU at which a replica is added."""
    validated_at: tuple[Share, ...] = ()
    """Shares at which the scaling is tried."""


class LoadTest(_Part, frozen=True, kw_only=True):
    agents_max: Count
    endurance_hours: Amount = 0
    leak_detection: bool = False
    scenarios: tuple[str, ...] = ()
    coordination_metrics: tuple[str, ...] = ()
    """Measures of agents working together, not of single requests."""


class Scan(_Part, frozen=True, kw_only=True):
    every: timedelta
    kinds: tuple[str, ...]


class Security(_Part, frozen=True, kw_only=True):
    authentication_checkpoints: tuple[str, ...] = ()
    """Phases in which authentication is validated before the phase may end."""
    tests: tuple[str, ...] = ()
    """Areas under security test, of: authentication, authorisation, injection, replay, flood, isolation, …"""
    scanning: Scan | None = None
    siem: str = ""
    """Where security events are sent."""
    threat_detection: tuple[str, ...] = ()
    """Detections made for this migration: downgrade, replay across lanes, share tampering, …"""
    data_protection: tuple[str, ...] = ()
    """Of: encryption_in_transit, encryption_at_rest, erasure, retention, minimisation, …"""
    compliance: tuple[str, ...] = ()
    """Of: GDPR, SOC2, …"""
    rollback_keeps_controls: bool = False
    """Going back never reopens a hole: controls after it are at least those before."""
    rollback_validated: bool = False
    """Security is validated after each rollback."""


class RollbackStep(_Part, frozen=True, kw_only=True):
    id: str
    title: str = ""
    budget: timedelta
    do: str = ""
    verify: str = ""


class Rollback(_Part, frozen=True, kw_only=True):
    budget: timedelta
    """By the clock, from the trigger to traffic being safe."""
    automatic: bool = False
    steps: tuple[RollbackStep, ...] = ()
    restores_event_store: bool = False
    incident_report: bool = False
    rehearsed_before: str = ""
    """Phase that may not begin before a rehearsal passed."""


class Shift(_Part, frozen=True, kw_only=True):
    id: str
    start: TimeOfDay
    """UTC."""
    end: TimeOfDay
    """UTC; 00:00 is the end of the day."""
    members: tuple[str, ...] = ()


class Operations(_Part, frozen=True, kw_only=True):
    shifts: tuple[Shift, ...] = ()
    handoff: Literal["", "documented", "acknowledged"] = ""
    escalation: tuple[str, ...] = ()
    """Whom to page, in order."""
    automation: str = ""
    """The script that brings a hub up, upgrades it and takes it back."""


class IncidentResponse(_Part, frozen=True, kw_only=True):
    respond_within: dict[str, timedelta]
    """``SEV1`` … ``SEV4`` → time to the first response."""
    postmortem_within: timedelta | None = None


class Training(_Part, frozen=True, kw_only=True):
    drills: tuple[str, ...]
    score_min: Share = 0.0
    """Share of the points that passes a drill."""
    before: str = ""
    """Phase that may not begin before the team has passed."""


class RoleMembers(_Part, frozen=True, kw_only=True):
    members: tuple[str, ...]
    """Identities on the hub, agents or people."""
    quorum: Count = 1
    deadline: timedelta = timedelta(days=2)
    valid_for: timedelta = timedelta(days=14)


# --- windows ------------------------------------------------------------------------------------------


class RiskWindow(_Part, frozen=True, kw_only=True):
    id: str
    title: str = ""
    week: Week
    day: WeekDay
    days: Count = 1
    staffed: bool = False
    """Round the clock."""
    incident_team: bool = False
    """On standby."""
    scans: tuple[str, ...] = ()
    """Extra scans during the window."""


class Freeze(_Part, frozen=True, kw_only=True):
    id: str
    start: date
    end: date
    """Inclusive. No share rises in between."""


# --- the procedure ------------------------------------------------------------------------------------


class Gate(_Part, frozen=True, kw_only=True):
    """A condition for going on: an SLO, a check, or a fact that was recorded."""

    id: str
    title: str = ""
    slo: str = ""
    """Id in ``slos``."""
    check: str = ""
    """Name of a check or measurement, e.g. ``rollback.rehearsed``; not implemented = errored, never passed."""


class SignOff(_Part, frozen=True, kw_only=True):
    roles: tuple[Role, ...]
    about: str = ""


class Step(_Part, frozen=True, kw_only=True):
    """One thing to do. Exactly one of the kinds' own fields is used."""

    id: str
    title: str = ""
    kind: Literal["command", "http", "hub", "wait", "measure", "check", "ask", "meeting", "share"]
    run: str = ""
    """Command line; URL; hub call (``rollout.deprecate`` …); name of the measurement or check.

    ``rollout.plan`` has the text of a plan as its argument ``plan``, and may pin it with ``digest``."""
    args: dict[str, str] = {}
    share: Share | None = None
    """For ``share``: what to set, 0 to 1; for ``rollout.plan``: that of the plan's last stage."""
    wait: timedelta | None = None
    to: tuple[str, ...] = ()
    """For ``ask`` and ``meeting``: identities or ``role:devops``."""
    message: str = ""
    choices: tuple[str, ...] = ()
    quorum: Count = 1
    probe: str = ""
    """Says whether it is done already (exit status 0, or 2xx): recovery looks before it does."""
    verify: str = ""
    undo: str = ""
    budget: timedelta = timedelta(minutes=5)
    retries: Count = 0
    irreversible: bool = False
    day: WeekDay | None = None
    """Day of the phase's first week on which it begins, 1 to 7; None = when the one before is done."""
    week: Week | None = None

    @property
    def by_plan(self) -> bool:
        """It lets a plan drive the hub's rollout, and is done when the plan has finished."""
        return self.kind == "hub" and self.run == "rollout.plan"

    @property
    def moves_share(self) -> bool:
        """The share is another after it."""
        return self.kind == "share" or self.by_plan


class Phase(_Part, frozen=True, kw_only=True):
    id: str
    title: str
    first_week: Week
    last_week: Week
    share: Share = 0.0
    """Share at the end of the phase."""
    bake: timedelta | None = None
    """Time that the last share has to stand before the exit gates are judged."""
    focus: tuple[str, ...] = ()
    entry: tuple[Gate, ...] = ()
    entry_signoffs: tuple[SignOff, ...] = ()
    steps: tuple[Step, ...] = ()
    exit: tuple[Gate, ...] = ()
    exit_signoffs: tuple[SignOff, ...] = ()


class Runsheet(_Part, frozen=True, kw_only=True):
    """The whole procedure."""

    runsheet: int
    """Version of the format: 1."""
    name: str
    version: str = ""
    title: str = ""
    owner: str = ""
    calendar: Calendar
    target: Target = Target()
    slos: dict[str, Slo] = {}
    improvement: Improvement | None = None
    baseline: Baseline | None = None
    capacity: Capacity | None = None
    auto_scaling: AutoScaling | None = None
    load_test: LoadTest | None = None
    security: Security | None = None
    rollback: Rollback | None = None
    operations: Operations | None = None
    incident_response: IncidentResponse | None = None
    training: Training | None = None
    roles: dict[Role, RoleMembers] = {}
    risk_windows: tuple[RiskWindow, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    phases: tuple[Phase, ...] = ()
    notes: tuple[str, ...] = ()


def weeks_between(first: int, last: int) -> int:
    """Calendar weeks from ``first`` to ``last``, both included; there is no week 0."""
    return last - first + (0 if first < 0 < last else 1)


def instant_of(calendar: Calendar, week: int, day: int, at: time = time()) -> Instant:
    """The instant of a week (never 0), day (1 = Monday … 7) and time of day in UTC."""
    days = (weeks_between(calendar.first_week, week) - 1) * 7 + day - 1
    moment = datetime.combine(calendar.start, at, tzinfo=UTC) + timedelta(days=days)
    return Instant(int(moment.timestamp()) * SECOND)
