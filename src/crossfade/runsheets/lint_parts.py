"""Lint rules about sections: thresholds, rollback, roles, references between them, the target."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final

from crossfade.core.catalogue import METRICS
from crossfade.core.review.facts import first_moving
from crossfade.core.runsheets import Gate, Role, Runsheet, SignOff, Slo
from crossfade.runsheets.slips import Slip, twice, unknown

SEVERITIES: Final = ("SEV1", "SEV2", "SEV3", "SEV4")


def thresholds(runsheet: Runsheet) -> Iterator[Slip]:
    """Each metric is known and has one threshold, on the side that makes sense."""
    seen: dict[str, str] = {}
    for name, slo in runsheet.slos.items():
        path = f"slos.{name}"
        yield from unknown("unknown_metric", f"{path}.metric", slo.metric, METRICS, "metric")
        if slo.metric in seen:
            said = f"{slo.metric} already has a threshold, in slos.{seen[slo.metric]}"
            yield Slip("metric_twice", f"{path}.metric", said, "one metric, one threshold")
        seen.setdefault(slo.metric, name)
        if slo.metric in METRICS:
            yield from _sided(path, slo)


def _sided(path: str, slo: Slo) -> Iterator[Slip]:
    lower = METRICS[slo.metric].better == "lower"
    wanted, other = (slo.max, slo.min) if lower else (slo.min, slo.max)
    name = "max" if lower else "min"
    if wanted is None or other is not None:
        said = f"{slo.metric} is better when {'lower' if lower else 'higher'}: its threshold is {name}"
        yield Slip("threshold_side", path, said)
        return
    steps = [(name, wanted), ("investigate", slo.investigate), ("roll_back", slo.roll_back)]
    given = [(field, value) for field, value in steps if value is not None]
    for (before, bound), (field, value) in pairwise(given):
        if (value < bound) if lower else (value > bound):
            said = f"{field} {value:g} is {'below' if lower else 'above'} {before} {bound:g}"
            yield Slip("thresholds_contradict", f"{path}.{field}", said, "from mild to grave")


def rollback(runsheet: Runsheet) -> Iterator[Slip]:
    """The steps of a rollback fit into its budget."""
    plan = runsheet.rollback
    if plan is None:
        return
    yield from twice("rollback.steps", (step.id for step in plan.steps), "rollback step")
    spent = timedelta()
    for index, step in enumerate(plan.steps):
        spent += step.budget
        if spent > plan.budget:
            said = f"after step {step.id} {spent} have passed of a budget of {plan.budget}"
            yield Slip("rollback_over_budget", f"rollback.steps.{index}.budget", said)
            break
    phases = [phase.id for phase in runsheet.phases]
    yield from unknown("unknown_phase", "rollback.rehearsed_before", plan.rehearsed_before, phases, "phase")


def references(runsheet: Runsheet) -> Iterator[Slip]:
    """Phases that are named elsewhere exist; severities are the four that there are."""
    phases = [phase.id for phase in runsheet.phases]
    if runsheet.training:
        yield from unknown("unknown_phase", "training.before", runsheet.training.before, phases, "phase")
    for index, name in enumerate(runsheet.security.authentication_checkpoints if runsheet.security else ()):
        yield from unknown("unknown_phase", f"security.authentication_checkpoints.{index}", name, phases, "phase")
    for name in runsheet.incident_response.respond_within if runsheet.incident_response else ():
        path = f"incident_response.respond_within.{name}"
        yield from unknown("unknown_severity", path, name, SEVERITIES, "severity")


def ids(runsheet: Runsheet) -> Iterator[Slip]:
    """An id names one thing."""
    yield from twice("phases", (phase.id for phase in runsheet.phases), "phase")
    yield from twice("risk_windows", (window.id for window in runsheet.risk_windows), "risk window")
    yield from twice("freezes", (freeze.id for freeze in runsheet.freezes), "freeze")
    yield from twice(
        "operations.shifts", (s.id for s in runsheet.operations.shifts) if runsheet.operations else (), "shift"
    )
    for index, phase in enumerate(runsheet.phases):
        for name in ("entry", "steps", "exit"):
            yield from twice(f"phases.{index}.{name}", (part.id for part in getattr(phase, name)), "id")


def roles(runsheet: Runsheet) -> Iterator[Slip]:
    """Every role that is asked has enough members."""
    for role, held in runsheet.roles.items():
        if not held.members:
            yield Slip("role_unheld", f"roles.{role}.members", f"nobody holds the role {role}", "name its members")
        elif not 1 <= held.quorum <= len(set(held.members)):
            said = f"a quorum of {held.quorum} among {len(set(held.members))} member(s)"
            yield Slip("quorum_impossible", f"roles.{role}.quorum", said)
    for index, phase in enumerate(runsheet.phases):
        for name in ("entry_signoffs", "exit_signoffs"):
            yield from _signers(runsheet, f"phases.{index}.{name}", getattr(phase, name))


def _signers(runsheet: Runsheet, path: str, signoffs: tuple[SignOff, ...]) -> Iterator[Slip]:
    for place, signoff in enumerate(signoffs):
        if not signoff.roles:
            yield Slip("signoff_of_nobody", f"{path}.{place}", "a sign-off that asks no role")
        for role in signoff.roles:
            yield from role_held(runsheet, f"{path}.{place}.roles", role)


def role_held(runsheet: Runsheet, path: str, role: str) -> Iterator[Slip]:
    """A slip if a role that is asked is not in ``roles``."""
    if role not in tuple(Role):
        yield from unknown("unknown_role", path, role, tuple(Role), "role")
    elif Role(role) not in runsheet.roles:
        yield Slip("role_unheld", path, f"nobody holds the role {role}", f"add roles.{role}.members")


def gates(runsheet: Runsheet) -> Iterator[Slip]:
    """Every phase is left through a gate, and every gate asks for one thing that exists."""
    for index, phase in enumerate(runsheet.phases):
        if not phase.exit:
            yield Slip("phase_without_gate", f"phases.{index}", f"phase {phase.id} ends without a gate", "add exit:")
        for name in ("entry", "exit"):
            for place, gate in enumerate(getattr(phase, name)):
                yield from _asks(runsheet, f"phases.{index}.{name}.{place}", gate)


def _asks(runsheet: Runsheet, path: str, gate: Gate) -> Iterator[Slip]:
    if bool(gate.slo) == bool(gate.check):
        yield Slip("gate_of_nothing", path, f"gate {gate.id} needs either slo or check")
    yield from unknown("unknown_slo", f"{path}.slo", gate.slo, runsheet.slos, "threshold")


def target(runsheet: Runsheet) -> Iterator[Slip]:
    """A target that is not the hub says how it is moved."""
    if runsheet.target.kind == "hub":
        return
    for name in ("set_share", "roll_back"):
        if not getattr(runsheet.target, name):
            yield Slip("target_incomplete", "target", f"a target of kind {runsheet.target.kind} needs {name}")
    for name in ("verify", "counts"):
        if not getattr(runsheet.target, name):
            said = f"without {name} nothing is known about the target"
            yield Slip("target_incomplete", "target", said, severity="warning")


def sizes(runsheet: Runsheet) -> Iterator[Slip]:
    """There is something to do."""
    if not runsheet.phases:
        yield Slip("no_phases", "phases", "there are no phases")
    elif first_moving(runsheet) is None:
        yield Slip("nothing_moves", "phases", "no phase raises the share above 0", severity="warning")


PART_RULES: Final[tuple[Callable[[Runsheet], Iterator[Slip]], ...]] = (
    thresholds,
    rollback,
    references,
    ids,
    roles,
    gates,
    target,
    sizes,
)
