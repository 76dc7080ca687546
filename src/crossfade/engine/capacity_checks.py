"""Whether capacity is planned: read from the plan that a step of the run has recorded, or from the one that is stored.

A plan is made outside the hub, from measured points, by ``crossfade capacity plan --json``: as a step of kind
``command`` its object is the step's evidence; ``--out`` stores the same object where the hub was started. The newest
recorded one counts, else the stored one. Passed says that every share of the runsheet has cores, memory, log writes and
connections, that one hub carries each, that nothing was guessed, and how far predictions were off where they were
checked. No plan is ``not_measured`` and never passes.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from crossfade.core.run_events import Verdict
from crossfade.core.run_state import State
from crossfade.core.runsheets import Runsheet
from crossfade.engine.printed import newest_printed
from crossfade.engine.run_ports import Finding

STORED: Final = "capacity-plan.json"
"""The file that a stored plan is in."""
PLAN_BYTES_MAX: Final = 262_144
ABSENT: Final = (
    f"no step of this run has recorded a plan, and {STORED} is not there: crossfade capacity plan --out {STORED}"
)
SAME: Final = 1e-6
"""Shares this near are the same."""
SHOWN: Final = ("cores", "memory_mib", "log_writes_per_second", "connections")

Numbers = dict[str, float | str]


class _Stage(msgspec.Struct, frozen=True):
    elicitation_share: float
    agents: int
    questions_per_second: float
    provide: dict[str, float]
    replicas: int
    one_hub_carries_it: bool
    beyond_measured: tuple[str, ...]


class _Machine(msgspec.Struct, frozen=True):
    processors: int
    model: str


class _Plan(msgspec.Struct, frozen=True):
    """What ``crossfade capacity plan --json`` prints."""

    headroom: float
    stages: tuple[_Stage, ...]
    held_out_errors: dict[str, float]
    machine: _Machine
    version: str


_READ_PLAN = msgspec.json.Decoder(_Plan)


def capacity_planned(state: State, stored: bytes) -> Finding:
    """What the check says about a run; ``stored`` is the plan that is kept beside it, empty if none is."""
    newest = newest_printed(state, _READ_PLAN)
    if newest is not None:
        step, plan = newest
        return _judged(plan, state.sheet, step)
    if not stored:
        return Finding(verdict=Verdict.ERRORED, reason="not_measured", numbers={"explanation": ABSENT})
    try:
        plan = _READ_PLAN.decode(stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Finding(verdict=Verdict.ERRORED, reason="bad_plan", numbers={"explanation": f"{STORED}: {error}"})
    return _judged(plan, state.sheet, STORED)


def _judged(plan: _Plan, sheet: Runsheet, source: str) -> Finding:
    numbers = _numbers(plan, source)
    wrong = next(_wrong(plan, sheet), None)
    if wrong is None:
        return Finding(verdict=Verdict.PASSED, numbers=numbers)
    verdict, reason, explanation = wrong
    return Finding(verdict=verdict, reason=reason, numbers=numbers | {"explanation": explanation})


def _wrong(plan: _Plan, sheet: Runsheet) -> Iterator[tuple[Verdict, str, str]]:
    """Verdict, reason and words of everything that keeps the plan from being one of this runsheet."""
    wanted = sheet.capacity
    shares = [stage.elicitation_share for stage in plan.stages]
    missing = [one for one in (wanted.shares if wanted else ()) if not any(abs(one - share) < SAME for share in shares)]
    if missing or not shares:
        yield (
            Verdict.FAILED,
            "share not planned",
            f"not planned: {', '.join(f'{share:.4g}' for share in missing) or 'any'}",
        )
    if wanted is not None and plan.headroom < wanted.headroom - SAME:
        yield Verdict.FAILED, "headroom", f"planned with {plan.headroom:.0%} free, {wanted.headroom:.0%} is asked for"
    agents, goal = min((stage.agents for stage in plan.stages), default=0), _agents(sheet)
    if agents < goal:
        yield Verdict.FAILED, "agents", f"planned for {agents:,} agents, the runsheet is for {goal:,.0f}"
    several = [stage for stage in plan.stages if not stage.one_hub_carries_it]
    if several:
        said = ", ".join(f"{stage.replicas} hubs at {stage.elicitation_share:.4g}" for stage in several)
        yield Verdict.FAILED, "more than one hub", said
    guessed = sorted({text for stage in plan.stages for text in stage.beyond_measured})
    if guessed:
        yield Verdict.INCONCLUSIVE, "beyond measured", "; ".join(guessed)
    if not plan.held_out_errors:
        yield Verdict.INCONCLUSIVE, "not checked", "no measured point was left out to check the predictions on"
    elif max(plan.held_out_errors.values()) > plan.headroom:
        off = max(plan.held_out_errors.values())
        yield Verdict.INCONCLUSIVE, "too far off", f"predictions were off by {off:.0%}, more than what is left free"


def _agents(sheet: Runsheet) -> float:
    """Agents that the runsheet has as its goal; 0 if it names none."""
    return max((slo.min or 0.0 for slo in sheet.slos.values() if slo.metric == "concurrent_agents"), default=0.0)


def _numbers(plan: _Plan, source: str) -> Numbers:
    numbers: Numbers = {
        "plan": source, "headroom": plan.headroom, "measured_with": plan.version,
        "measured_on": f"{plan.machine.processors} processors, {plan.machine.model}",
        "held_out_error_max": max(plan.held_out_errors.values(), default=0.0),
    }  # fmt: skip
    for stage in plan.stages:
        place = f"share_{stage.elicitation_share:g}"
        numbers |= {f"{place}_{name}": stage.provide[name] for name in SHOWN if name in stage.provide}
    if plan.stages:
        numbers |= {
            "agents": min(stage.agents for stage in plan.stages),
            "questions_per_second": min(stage.questions_per_second for stage in plan.stages),
        }
    return numbers
