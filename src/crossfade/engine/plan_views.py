"""What is handed to the plans and got back: plain data, like engine/requests.py."""

import math
from collections.abc import Callable, Mapping

import msgspec

from crossfade.core import stages
from crossfade.core.decider import Refusal
from crossfade.core.plans import Plan
from crossfade.core.stage_events import Said
from crossfade.core.stage_next import Reading, bake_left, unproven
from crossfade.engine.views.instants import iso

EVIDENCE_MAX = 1e300


class ReadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that was read and makes sense."""

    plan: Plan
    canonical: bytes
    digest: str


PlanReader = Callable[[str, str], ReadPlan | Refusal]
"""Text and the name of its file to a plan, or the first thing that is wrong with its line and column."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The newest plan and all that its gates say; nothing is copied."""

    state: stages.State
    said: tuple[Said, ...]
    """None before the first plan."""
    fired: Mapping[str, int]
    """Trigger → how often one of that name fired, in all plans of the log."""


class GateView(msgspec.Struct, frozen=True, kw_only=True):
    """One gate, trigger or comparison as it stands."""

    name: str
    kind: str
    """promotion, trigger, ab, sample-ratio or exact."""
    metric: str
    limit: float | None
    verdict: str
    """passed, failed, inconclusive or errored; of a trigger passed is quiet and failed is fired."""
    reason: str
    n: int
    bad: int
    rate: float | None
    """Of bad ones among the observations."""
    evidence: float | None
    """E-value; the verdict stands at ``threshold``."""
    threshold: float | None
    needed: int | None
    eta_seconds: float | None
    clusters: int
    named: tuple[str, ...]
    guarantee: str
    explanation: str


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    stage: int
    share: float
    bake_seconds: float
    status: str
    """done, now or ahead."""


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that drives the rollout, or drove it last."""

    number: int
    name: str
    digest: str
    status: str
    """waiting, entering, baking, rolling_back, rolled_back, aborted or finished."""
    stage: int
    """From 1; 0 before the first."""
    stages_total: int
    share: float
    """Of the stage."""
    bake_left_seconds: float
    held: bool
    cause: str
    """Why it holds, in a word."""
    reason: str
    """Why it holds, ended or went back."""
    owner: str
    held_since: str | None
    hold_deadline: str | None
    overdue: bool
    eta_seconds: float | None
    """When the hold is expected to settle by itself."""
    accepted_at: str
    ended_at: str | None
    measured_until: str | None
    """End of the newest measurement that counts."""
    fault: str
    """Why the measurements cannot be judged; empty if they can."""
    stages: tuple[StageView, ...]
    gates: tuple[GateView, ...]


class GateStory(msgspec.Struct, frozen=True, kw_only=True):
    """A gate with everything that somebody needs who was asleep."""

    gate: GateView
    story: tuple[str, ...]
    """In words: what it guards, what it says, what happened, what was done."""
    history: tuple[msgspec.Raw, ...]
    """The plan's records in which it stands, as they are in the log."""


def gate_view(said: Said) -> GateView:
    """A verdict as users read it."""
    return GateView(
        name=said.name, kind=said.kind, metric=said.metric, limit=said.limit, verdict=said.verdict, reason=said.reason,
        n=said.n, bad=said.bad, rate=said.bad / said.n if said.n else None, evidence=_raised(said.log_evidence),
        threshold=_raised(said.log_threshold), needed=said.needed, eta_seconds=said.eta_seconds,
        clusters=said.clusters, named=said.named, guarantee=said.guarantee, explanation=said.explanation,
    )  # fmt: skip


def _raised(log: float | None) -> float | None:
    if log is None:
        return None
    return math.exp(log) if log < math.log(EVIDENCE_MAX) else EVIDENCE_MAX


def plan_view(state: stages.State, reading: Reading, said: tuple[Said, ...]) -> PlanView:
    """The plan as users read it, with what its gates say."""
    hold, back = state.hold, state.back
    reason, eta = (hold.reason, hold.eta_seconds) if hold else (state.reason, None)
    now_open = unproven(state, reading) if hold and hold.cause is stages.Cause.GATES else None
    if now_open is not None:  # what it needs by now, not what it needed when the hold began
        reason, eta = now_open.reason, now_open.eta_seconds
    if back is not None and not hold:
        reason = f"{back.said.name}: {back.said.explanation}"
    return PlanView(
        number=state.number, name=state.plan.name, digest=state.digest, status=state.status, stage=state.stage + 1,
        stages_total=len(state.plan.stages), share=state.share,
        bake_left_seconds=bake_left(state, reading) if state.live else 0.0,
        held=hold is not None, cause=str(hold.cause) if hold else "", reason=reason,
        owner=state.plan.owner, held_since=iso(hold.since) if hold else None,
        hold_deadline=iso(hold.deadline) if hold else None, overdue=hold is not None and hold.overdue,
        eta_seconds=eta, accepted_at=iso(state.accepted_at),
        ended_at=iso(state.ended_at) if state.ended_at else None,
        measured_until=iso(reading.until_at) if reading.until_at else None, fault=reading.fault,
        stages=tuple(_stage(state, place) for place in range(len(state.plan.stages))),
        gates=tuple(gate_view(one) for one in said),
    )  # fmt: skip


def _stage(state: stages.State, place: int) -> StageView:
    ended = "done" if place < state.stage or state.status is stages.Status.FINISHED else "ahead"
    status = "now" if place == state.stage and state.live else ended
    return StageView(
        stage=place + 1, share=state.plan.stages[place].share, bake_seconds=state.plan.bake_of(place), status=status
    )
