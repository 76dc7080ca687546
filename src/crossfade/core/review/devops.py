"""What a DevOps engineer looks for: going back in time, capacity, automation, people round the clock.

Not here: what to do with a finding. Every rule reads values and nothing else.
"""

from collections.abc import Iterator
from datetime import time, timedelta
from typing import Final

from crossfade.core.review.facts import (
    covered,
    first_moving,
    irreversible,
    lacking,
    moving,
    raises,
    share_text,
    shares_in_use,
    shares_of,
    slos_of,
    time_text,
    unheld,
)
from crossfade.core.review.findings import Cause, Rule, Severity
from crossfade.core.runsheets import Gate, Operations, Runsheet

ROLLBACK_LEAST: Final = timedelta(minutes=15)
ROLLBACK_MOST: Final = timedelta(minutes=20)
HEADROOM_LEAST: Final = 0.2
UTILISATION: Final = (0.2, 0.85)
RESPOND_WITHIN: Final = {
    "SEV1": timedelta(minutes=5),
    "SEV2": timedelta(minutes=15),
    "SEV3": timedelta(hours=1),
    "SEV4": timedelta(hours=4),
}
POSTMORTEM_WITHIN: Final = timedelta(hours=48)
ESCALATION_LEAST: Final = 2
DAY_MINUTES: Final = 24 * 60


def rollback_timing(runsheet: Runsheet) -> Iterator[Cause]:
    """A rollback that is timed, automatic, rehearsed, and long enough to be verified."""
    plan = runsheet.rollback
    if plan is None:
        yield Cause("rollback", "no rollback is planned")
        return
    if plan.budget < ROLLBACK_LEAST:
        said = f"{time_text(plan.budget)} are not enough to drain, restore, verify and check security"
        yield Cause("rollback.budget", said)
    if plan.budget > ROLLBACK_MOST:
        yield Cause("rollback.budget", f"{time_text(plan.budget)} are longer than the service can bear")
    total = sum((step.budget for step in plan.steps), timedelta())
    if total > plan.budget:
        yield Cause("rollback.steps", f"the steps take {time_text(total)} of a budget of {time_text(plan.budget)}")
    if not plan.steps:
        yield Cause("rollback.steps", "it has no steps")
    for place, step in enumerate(plan.steps):
        if not step.do or not step.verify:
            yield Cause(f"rollback.steps.{place}", f"step {step.id} does not say how it is done and verified")
    if not plan.automatic:
        yield Cause("rollback.automatic", "somebody has to start it by hand")
    if not plan.incident_report:
        yield Cause("rollback.incident_report", "no incident report follows")
    yield from _rehearsal(runsheet, plan.rehearsed_before)


def _rehearsal(runsheet: Runsheet, before: str) -> Iterator[Cause]:
    ids = [phase.id for phase in runsheet.phases]
    first = first_moving(runsheet)
    if before not in ids or (first is not None and ids.index(before) > first):
        yield Cause("rollback.rehearsed_before", "it is not rehearsed before the first share")
    yield from unheld(runsheet, "rollback.rehearsed", "the rollback was rehearsed")
    ends = [(index, phase) for index, phase in moving(runsheet) if max(shares_of(phase)) < 1]
    unready = {f"phases.{index}.exit": phase.id for index, phase in ends if not _held(phase.exit, "rollback.ready")}
    yield from lacking(unready, "no gate rollback.ready ends phase")


def _held(gates: tuple[Gate, ...], check: str) -> bool:
    return any(gate.check == check for gate in gates)


def capacity_planning(runsheet: Runsheet) -> Iterator[Cause]:
    """Resources for every share, measured, with headroom, and scaling that was tried."""
    plan, used = runsheet.capacity, shares_in_use(runsheet)
    if plan is None:
        yield Cause("capacity", "no capacity is planned")
    else:
        missing = [share_text(share) for share in used if share not in plan.shares]
        if missing:
            yield Cause("capacity.shares", f"none is planned for {', '.join(missing)}")
        if not HEADROOM_LEAST <= plan.headroom < 1:
            yield Cause("capacity.headroom", f"headroom of {share_text(plan.headroom)} leaves no room for a peak")
        if not plan.measured:
            yield Cause("capacity.measured", "it is estimated, not measured")
    yield from unheld(runsheet, "capacity.planned", "capacity is planned")
    if not any(slo.min for _, slo in slos_of(runsheet, "resource_efficiency")):
        yield Cause("slos", "no goal for the resources that each message takes")
    yield from _scaling(runsheet, [share for share in used if share < 1][1:])


def _scaling(runsheet: Runsheet, ramp: list[float]) -> Iterator[Cause]:
    scaling = runsheet.auto_scaling
    if scaling is None:
        yield Cause("auto_scaling", "nothing scales by itself")
        return
    if not 0 < scaling.replicas_min < scaling.replicas_max:
        said = f"{scaling.replicas_min} to {scaling.replicas_max} replicas leave nothing to scale"
        yield Cause("auto_scaling.replicas_max", said)
    if not UTILISATION[0] <= scaling.utilisation <= UTILISATION[1]:
        yield Cause(
            "auto_scaling.utilisation", f"scaling at {share_text(scaling.utilisation)} comes too late or too soon"
        )
    untried = [share_text(share) for share in ramp if share not in scaling.validated_at]
    if untried:
        yield Cause("auto_scaling.validated_at", f"scaling is not tried at {', '.join(untried)}")
    for index, phase in moving(runsheet):
        if set(shares_of(phase)) & set(ramp) and not _held(phase.exit, "autoscaling.validated"):
            yield Cause(f"phases.{index}.exit", f"no gate autoscaling.validated ends phase {phase.id}")


def deployment_automation(runsheet: Runsheet) -> Iterator[Cause]:
    """One script brings a hub up, upgrades it and takes it back."""
    if runsheet.operations is None or not runsheet.operations.automation:
        yield Cause("operations.automation", "no script brings it up, upgrades it and takes it back")
    yield from unheld(runsheet, "deployment.automated", "deployment is automated")


def round_the_clock(runsheet: Runsheet) -> Iterator[Cause]:
    """People on duty, trained, who know whom to call and how fast."""
    plan = runsheet.operations
    if plan is None:
        yield Cause("operations", "nobody is on duty")
    else:
        yield from _duty(plan)
    yield from unheld(runsheet, "operations.staffed", "every shift is staffed")
    yield from _handoffs(runsheet)
    yield from _incidents(runsheet)
    yield from unheld(runsheet, "incident.procedures", "incident response is established")
    yield from _training(runsheet)
    yield from _windows(runsheet)


def _duty(plan: Operations) -> Iterator[Cause]:
    uncovered = DAY_MINUTES - covered_minutes(plan)
    if uncovered:
        yield Cause("operations.shifts", f"{uncovered / 60:g} of 24 hours have no shift")
    for place, shift in enumerate(plan.shifts):
        if not shift.members:
            yield Cause(f"operations.shifts.{place}", f"nobody is in shift {shift.id}")
    if not plan.handoff:
        yield Cause("operations.handoff", "no handoff between shifts")
    if len(set(plan.escalation)) < ESCALATION_LEAST:
        yield Cause("operations.escalation", "no chain of escalation")


def _handoffs(runsheet: Runsheet) -> Iterator[Cause]:
    """From the first share on, a phase begins when the shift has been handed over."""
    first = first_moving(runsheet)
    moved = [] if first is None else list(enumerate(runsheet.phases))[first:]
    loose = {f"phases.{at}.entry": phase.id for at, phase in moved if not _held(phase.entry, "handoff.acknowledged")}
    yield from lacking(loose, "no gate handoff.acknowledged begins phase")


def covered_minutes(plan: Operations) -> int:
    """Minutes of a day in which some shift is on duty."""
    on_duty: set[int] = set()
    for shift in plan.shifts:
        begin, end = _minute(shift.start), _minute(shift.end)
        on_duty.update(range(begin, end) if end > begin else [*range(begin, DAY_MINUTES), *range(end)])
    return len(on_duty)


def _minute(at: time) -> int:
    return at.hour * 60 + at.minute


def _incidents(runsheet: Runsheet) -> Iterator[Cause]:
    plan = runsheet.incident_response
    if plan is None:
        yield Cause("incident_response", "no incident response is planned")
        return
    for severity, longest in RESPOND_WITHIN.items():
        within = plan.respond_within.get(severity)
        if within is None or within > longest:
            said = f"no response to {severity} within {time_text(longest)}"
            yield Cause(f"incident_response.respond_within.{severity}", said)
    if plan.postmortem_within is None or plan.postmortem_within > POSTMORTEM_WITHIN:
        yield Cause("incident_response.postmortem_within", "no post-mortem within 48 hours")


def _training(runsheet: Runsheet) -> Iterator[Cause]:
    plan = runsheet.training
    if plan is None or not plan.drills:
        yield Cause("training", "the operations team is not trained")
    else:
        ids = [phase.id for phase in runsheet.phases]
        first = first_moving(runsheet)
        if plan.before not in ids or (first is not None and ids.index(plan.before) > first):
            yield Cause("training.before", "the team is not trained before the first share")
        if not 0 < plan.score_min <= 1:
            yield Cause("training.score_min", "any score passes a drill")
    yield from unheld(runsheet, "operations.trained", "the team is trained")


def _windows(runsheet: Runsheet) -> Iterator[Cause]:
    yield from lacking(
        {f"risk_windows.{place}.staffed": w.id for place, w in enumerate(runsheet.risk_windows) if not w.staffed},
        "not staffed round the clock: risk window",
    )
    yield from lacking(
        {f"risk_windows.{place}": w.id for place, w in enumerate(runsheet.risk_windows) if not w.incident_team},
        "no incident team stands by in risk window",
    )
    for raised in (*raises(runsheet), *irreversible(runsheet)):
        if not any(covered(runsheet, window, raised) for window in runsheet.risk_windows):
            yield Cause(raised.path, f"step {raised.step.id} lies in no risk window")


def ungated(runsheet: Runsheet) -> Iterator[Cause]:
    """Every phase that raises the share has to be left through a gate."""
    for index, phase in moving(runsheet):
        if not phase.exit:
            yield Cause(f"phases.{index}.exit", f"phase {phase.id} raises the share and ends without a gate")


def unsigned(runsheet: Runsheet) -> Iterator[Cause]:
    """What cannot be undone needs somebody's name."""
    for raised in irreversible(runsheet):
        if not runsheet.phases[raised.phase].entry_signoffs:
            yield Cause(raised.path, f"step {raised.step.id} cannot be undone and nobody signs for it")


def ungated_removal(runsheet: Runsheet) -> Iterator[Cause]:
    """What cannot be undone begins behind a gate and is looked at afterwards."""
    for dated in irreversible(runsheet):
        phase = runsheet.phases[dated.phase]
        if not _held(phase.entry, "polling.silent") and runsheet.target.kind == "hub":
            yield Cause(f"phases.{dated.phase}.entry", f"step {dated.step.id} does not wait until nobody polls")
        if not phase.entry:
            yield Cause(f"phases.{dated.phase}.entry", f"no gate stands before step {dated.step.id}")
        if not any(gate.check for gate in phase.exit):
            yield Cause(f"phases.{dated.phase}.exit", f"nothing is checked after step {dated.step.id}")


def data_loss(runsheet: Runsheet) -> Iterator[Cause]:
    """Nothing acknowledged may be lost."""
    found = slos_of(runsheet, "data_loss")
    if not found:
        yield Cause("slos", "nothing says that no data may be lost")
    for path, slo in found:
        if slo.max != 0 or slo.kind != "minimum":
            yield Cause(f"{path}.max", "loss of data is tolerated")


def target_moves(runsheet: Runsheet) -> Iterator[Cause]:
    """There is something to move, and a way to move it back."""
    if first_moving(runsheet) is None:
        yield Cause("phases", "no phase raises the share above 0")
    target = runsheet.target
    if target.kind == "hub":
        return
    for name in ("set_share", "verify", "roll_back", "counts"):
        if not getattr(target, name):
            yield Cause(f"target.{name}", f"the target has no {name}")


RULES: Final = (
    Rule(
        "devops.rollback_timing",
        Severity.MAJOR,
        "rollback timing is unrealistic",
        "plan 15 to 20 minutes in steps that each have a budget and are verified, and rehearse it first",
        rollback_timing,
    ),
    Rule(
        "devops.capacity_planning",
        Severity.MAJOR,
        "infrastructure capacity planning is missing",
        "plan cores, memory, log writes and connections for every share, from measurements, and let it scale",
        capacity_planning,
    ),
    Rule(
        "devops.deployment_automation",
        Severity.MAJOR,
        "deployment automation is missing",
        "name the script in operations.automation",
        deployment_automation,
    ),
    Rule(
        "devops.operations_24_7",
        Severity.MAJOR,
        "24/7 operations are not planned",
        "cover 24 hours with shifts, handoffs, escalation, response times, training and staffed risk windows",
        round_the_clock,
    ),
    Rule("devops.ungated_phase", Severity.MAJOR, "the share rises unchecked", "give the phase exit gates", ungated),
    Rule(
        "devops.irreversible_unsigned",
        Severity.MAJOR,
        "a step that cannot be undone is not signed for",
        "ask for a sign-off in entry_signoffs of its phase",
        unsigned,
    ),
    Rule(
        "devops.irreversible_ungated",
        Severity.MAJOR,
        "a step that cannot be undone is not guarded",
        "begin its phase with a gate, polling.silent for the hub, and end it with a check",
        ungated_removal,
    ),
    Rule(
        "devops.data_loss",
        Severity.MAJOR,
        "loss of data is not ruled out",
        "add a minimum with metric data_loss and max 0",
        data_loss,
    ),
    Rule(
        "devops.target",
        Severity.MAJOR,
        "the runsheet cannot move its target",
        "give the target what it needs to be moved, checked and moved back, and a phase that raises the share",
        target_moves,
    ),
)
