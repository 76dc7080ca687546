"""A runsheet as the nodes of a run, in the order in which they are settled. What a run then does: runs.py.

Ids are stable, because they are on disk: ``PHASE/entry/gate/ID``, ``PHASE/entry/signoff/N``, ``PHASE/step/ID``,
``PHASE/bake``, ``PHASE/exit/gate/ID``, ``PHASE/exit/signoff/N``. ``Created`` pins the ids of a run, so a
release that knows more kinds of nodes adds nothing to a run that exists.
"""

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from crossfade.core.runsheets import Freeze, Gate, Phase, RiskWindow, Runsheet, SignOff, Step, instant_of
from crossfade.core.values import SECOND, Instant

DAY: Final = 86_400 * SECOND


class NodeKind(StrEnum):
    GATE = "gate"
    SIGNOFF = "signoff"
    STEP = "step"
    BAKE = "bake"


class PlanNode(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to settle."""

    id: str
    kind: NodeKind
    phase: Phase
    earliest: Instant | None = None
    """Not before this instant; None = when the one before is settled."""
    gate: Gate | None = None
    signoff: SignOff | None = None
    step: Step | None = None

    @property
    def sets_share(self) -> bool:
        """It moves the share."""
        return self.step is not None and self.step.moves_share

    @property
    def reversible(self) -> bool:
        """There is a way to take its effect back."""
        step = self.step
        return step is not None and not step.irreversible and (bool(step.undo) or self.sets_share)


def plan_of(runsheet: Runsheet) -> tuple[PlanNode, ...]:
    """Every node of the runsheet, in order."""
    return tuple(node for phase in runsheet.phases for node in _phase(runsheet, phase))


def _phase(runsheet: Runsheet, phase: Phase) -> list[PlanNode]:
    begins = instant_of(runsheet.calendar, phase.first_week, 1)
    nodes = [
        PlanNode(id=f"{phase.id}/entry/gate/{gate.id}", kind=NodeKind.GATE, phase=phase, earliest=begins, gate=gate)
        for gate in phase.entry
    ]
    nodes += [
        PlanNode(
            id=f"{phase.id}/entry/signoff/{place}",
            kind=NodeKind.SIGNOFF, phase=phase, earliest=begins, signoff=signoff,
        )
        for place, signoff in enumerate(phase.entry_signoffs)
    ]  # fmt: skip
    nodes += [
        PlanNode(
            id=f"{phase.id}/step/{step.id}",
            kind=NodeKind.STEP, phase=phase, earliest=_step_at(runsheet, phase, step) or begins, step=step,
        )
        for step in phase.steps
    ]  # fmt: skip
    if phase.bake is not None:
        nodes.append(PlanNode(id=f"{phase.id}/bake", kind=NodeKind.BAKE, phase=phase))
    nodes += [
        PlanNode(id=f"{phase.id}/exit/gate/{gate.id}", kind=NodeKind.GATE, phase=phase, gate=gate)
        for gate in phase.exit
    ]
    nodes += [
        PlanNode(id=f"{phase.id}/exit/signoff/{place}", kind=NodeKind.SIGNOFF, phase=phase, signoff=signoff)
        for place, signoff in enumerate(phase.exit_signoffs)
    ]
    return nodes


def _step_at(runsheet: Runsheet, phase: Phase, step: Step) -> Instant | None:
    if step.week is None and step.day is None:
        return None
    week = phase.first_week if step.week is None else step.week
    return instant_of(runsheet.calendar, week, step.day or 1)


def duplicate(nodes: tuple[PlanNode, ...]) -> str:
    """An id that two nodes have; empty if none."""
    seen: set[str] = set()
    for node in nodes:
        if node.id in seen:
            return node.id
        seen.add(node.id)
    return ""


def freeze_at(runsheet: Runsheet, now: Instant) -> tuple[Freeze, Instant] | None:
    """The freeze that is on, and the instant at which it is over."""
    for freeze in runsheet.freezes:
        start = _midnight(datetime.combine(freeze.start, time(), tzinfo=UTC))
        end = _midnight(datetime.combine(freeze.end, time(), tzinfo=UTC) + timedelta(days=1))
        if start <= now < end:
            return freeze, end
    return None


def window_at(runsheet: Runsheet, now: Instant) -> RiskWindow | None:
    """The risk window that is open."""
    for window in runsheet.risk_windows:
        start = instant_of(runsheet.calendar, window.week, window.day)
        if start <= now < start + window.days * DAY:
            return window
    return None


def _midnight(moment: datetime) -> Instant:
    return Instant(int(moment.timestamp()) * SECOND)


def span(duration: timedelta) -> int:
    """A duration in nanoseconds."""
    return (duration.days * 86_400 + duration.seconds) * SECOND + duration.microseconds * 1_000
