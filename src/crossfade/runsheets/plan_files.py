"""A plan file to a typed plan with every default written out; every mistake with its line and column.

The reader is that of runsheets: every scalar is text until its field says what it is, so ``NaN`` is no number, an
unknown field is a mistake, and all mistakes are told at once.

Rule: the digest is SHA-256 over the canonical JSON (RFC 8785) of the whole plan, defaults included. A rollout is bound
to it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import rfc8785

from crossfade.core.catalogue import METRICS
from crossfade.core.measurements import EDGES_MS, QUANTILES
from crossfade.core.plans import (
    FORMAT,
    GATED,
    INVARIANTS,
    SHARES_MAX,
    STREAMS,
    TRIGGERED,
    Gate,
    Plan,
    Trigger,
    resolved,
)
from crossfade.runsheets.loader import bytes_of, tree_of
from crossfade.runsheets.problems import START, Place, Problem
from crossfade.runsheets.reading import Reading
from crossfade.runsheets.slips import Slip, unknown

NAME_LENGTH_MAX: Final = 64


class PlanFile(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and where it came from."""

    plan: Plan
    """Resolved."""
    canonical: bytes
    """JSON (RFC 8785) of ``plan``."""
    digest: str
    """64 hexadecimal digits: SHA-256 of ``canonical``."""
    file: str


def load_plan(path: str) -> PlanFile | list[Problem]:
    """Read a plan from a file; a list holds what is wrong, never empty."""
    source = bytes_of(Path(path), path, "examples/plan.yaml is one to start from")
    return [source] if isinstance(source, Problem) else parse_plan(source, path)


def parse_plan(source: bytes, file: str = "plan.yaml") -> PlanFile | list[Problem]:
    """The plan in ``source``; ``file`` is only what messages call it."""
    root = tree_of(source, file)
    if isinstance(root, Problem):
        return [root]
    reading = Reading(file)
    written = reading.typed(root, Plan)
    if written is None:
        return sorted(reading.problems, key=lambda problem: (problem.line, problem.column))
    plan = resolved(written)
    mine = msgspec.structs.replace(plan, triggers=written.triggers or plan.triggers)  # no mistake is told twice
    wrong = [_placed(slip, reading.places, file) for rule in RULES for slip in rule(mine)]
    if wrong:
        return sorted(wrong, key=lambda problem: (problem.line, problem.column, problem.code))
    canonical = rfc8785.dumps(_given(msgspec.to_builtins(plan)))
    return PlanFile(plan=plan, canonical=canonical, digest=hashlib.sha256(canonical).hexdigest(), file=file)


def _given(value: Any) -> Any:
    """The value without the fields that have none."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list | tuple) else value


def _placed(slip: Slip, places: Mapping[str, Place], file: str) -> Problem:
    """The slip with its place, or that of the nearest section that the file has."""
    path = slip.path
    while path not in places:
        path = path.rpartition(".")[0]
    place = places.get(path, START)
    return Problem(
        code=f"plan.{slip.code}", file=file, line=place.line, column=place.column, path=slip.path,
        message=slip.message, hint=slip.hint,
    )  # fmt: skip


# --- rules --------------------------------------------------------------------------------------------------


def _format(plan: Plan) -> Iterator[Slip]:
    if plan.plan != FORMAT:
        yield Slip("format_unknown", "plan", f"format {plan.plan} is not known here", f"this version reads {FORMAT}")
    if not 1 <= len(plan.name) <= NAME_LENGTH_MAX:
        yield Slip("bad_name", "name", f"a name has 1 to {NAME_LENGTH_MAX} characters")


def _stages(plan: Plan) -> Iterator[Slip]:
    if not 1 <= len(plan.stages) <= SHARES_MAX:
        yield Slip("bad_stages", "stages", f"{len(plan.stages)} stages", f"give 1 to {SHARES_MAX}")
        return
    if plan.stages[0].share == 0:
        yield Slip("shares_not_rising", "stages.0.share", "a stage at share 0 moves nobody", "begin above 0")
    for place, (before, stage) in enumerate(pairwise(plan.stages), start=1):
        if stage.share <= before.share:
            said = f"{stage.share:.6g} does not rise above {before.share:.6g}"
            yield Slip("shares_not_rising", f"stages.{place}.share", said, "each stage has a larger share")


def _sizes(plan: Plan) -> Iterator[Slip]:
    for name, value in (("alpha", plan.alpha), ("sample_ratio.alpha", plan.sample_ratio.alpha)):
        if not 1e-9 <= value <= 0.2:
            yield Slip("bad_alpha", name, f"an error probability of {value:g}", "write one from 0.0000001% to 20%")
    whole = sum(stage.bake_seconds or 0 for stage in plan.stages)
    if plan.programme_seconds < max(whole, plan.check_seconds):
        said = f"the stages take {whole:g} seconds at least, the triggers are sized for {plan.programme_seconds:g}"
        yield Slip("programme_too_short", "programme_seconds", said, "give the longest time that the plan may take")


def _gates(plan: Plan) -> Iterator[Slip]:
    yield from _once("gates", {name: gate.metric for name, gate in plan.gates.items()})
    for name, gate in plan.gates.items():
        path = f"gates.{name}"
        yield from unknown("unknown_metric", f"{path}.metric", gate.metric, GATED, "metric for a gate")
        if gate.metric in GATED:
            yield from _limit(path, gate)


def _limit(path: str, gate: Gate) -> Iterator[Slip]:
    wanted, other, name = _side(gate.metric, gate.max, gate.min)
    if wanted is None or other is not None:
        better = METRICS[gate.metric].better
        yield Slip("threshold_side", path, f"{gate.metric} is better when {better}: its threshold is {name}")
        return
    yield from _edge(f"{path}.{name}", gate.metric, wanted)


def _side(metric: str, most: float | None, least: float | None) -> tuple[float | None, float | None, str]:
    """(The threshold that makes sense, the one that does not, its name)."""
    return (most, least, "max") if METRICS[metric].better == "lower" else (least, most, "min")


def _edge(path: str, metric: str, limit: float) -> Iterator[Slip]:
    """A limit that can be counted beyond exactly."""
    if metric in QUANTILES and limit not in EDGES_MS:
        known = ", ".join(str(edge) for edge in EDGES_MS)
        yield Slip("no_edge", path, f"nothing is counted beyond {limit:g} ms", f"one of: {known}")
    elif metric in ("error_rate", "delivery_rate", "availability") and not 0 < limit < 1:
        yield Slip("bad_limit", path, f"{limit:g} is no share between 0 and 1", "write it like 0.1%")
    elif metric in ("data_loss", "security_incidents") and limit != 0:
        yield Slip("bad_limit", path, f"one {metric.replace('_', ' ')} is too many", "write 0")


def _triggers(plan: Plan) -> Iterator[Slip]:
    for exposure in ("new", "mixed"):
        same = {name: one.metric for name, one in plan.triggers.items() if one.exposure == exposure}
        yield from _once("triggers", same)
    gated = [gate for gate in plan.gates.values() if gate.metric in METRICS]
    limits = {gate.metric: _side(gate.metric, gate.max, gate.min)[0] for gate in gated}
    for name, trigger in plan.triggers.items():
        path = f"triggers.{name}"
        yield from unknown("unknown_metric", f"{path}.metric", trigger.metric, TRIGGERED, "metric for a trigger")
        if trigger.metric in TRIGGERED:
            yield from _graded(path, trigger, limits.get(trigger.metric))
        if trigger.metric in INVARIANTS and trigger.exposure != "new":
            said = f"{trigger.metric} is of the whole hub, whichever lane it happens on"
            yield Slip("exposure_of_all", f"{path}.exposure", said, "leave the exposure out")


def _graded(path: str, trigger: Trigger, gate: float | None) -> Iterator[Slip]:
    """Gate, investigate, roll_back: from mild to grave."""
    if trigger.investigate is None and trigger.roll_back is None:
        yield Slip("trigger_of_nothing", path, "a trigger without a limit", "give roll_back, or investigate")
    lower = METRICS[trigger.metric].better == "lower"
    steps = (("gate", gate), ("investigate", trigger.investigate), ("roll_back", trigger.roll_back))
    given = [(field, value) for field, value in steps if value is not None]
    for field, value in given:
        if field != "gate":
            yield from _edge(f"{path}.{field}", trigger.metric, value)
    for (before, bound), (field, value) in pairwise(given):
        if (value < bound) if lower else (value > bound):
            side = "below" if lower else "above"
            said = f"{field} {value:g} is {side} the {before} limit {bound:g} of {trigger.metric}"
            hint = "gate, investigate, roll_back: from mild to grave"
            yield Slip("thresholds_contradict", f"{path}.{field}", said, hint)


def _once(section: str, metrics: Mapping[str, str]) -> Iterator[Slip]:
    seen: dict[str, str] = {}
    for name, metric in metrics.items():
        if metric in seen:
            said = f"{metric} already has a threshold, in {section}.{seen[metric]}"
            yield Slip("metric_twice", f"{section}.{name}.metric", said, "one metric, one threshold")
        seen.setdefault(metric, name)


def _compared(plan: Plan) -> Iterator[Slip]:
    gated = [gate.metric for gate in plan.gates.values()]
    for place, metric in enumerate((plan.ab.metrics or ()) if plan.ab.required else ()):
        path = f"ab.metrics.{place}"
        yield from unknown("unknown_metric", path, metric, STREAMS, "metric to compare")
        if metric in STREAMS and metric not in gated:
            yield Slip("not_gated", path, f"{metric} has no gate whose limit could be compared", "add it to gates")


RULES: Final[tuple[Callable[[Plan], Iterator[Slip]], ...]] = (_format, _stages, _sizes, _gates, _triggers, _compared)
