"""``capacity``: measure what a hub uses and can do on this machine, and plan the stages of a rollout from it.

Exit codes of ``plan``: 0 one hub carries every stage, 5 it was not measured or the measurements do not suffice, 6 a
stage needs more than one hub.
"""

import itertools
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options
from crossfade.cli.output import Output

if TYPE_CHECKING:
    from crossfade.cli.load import One
    from crossfade.core.capacity import Model, Need, Rung, Stage
    from crossfade.core.regression import Interval
    from crossfade.fleet.capacity.campaign import Wish
    from crossfade.fleet.capacity.points import Machine, Measurements
    from crossfade.fleet.load.profile import Profile
    from crossfade.fleet.load.report import LoadReport
    from crossfade.fleet.load.run import Watch

POINTS: Final = Path("points.json")
QUICK: Final = (200, 100.0, 2.0)
SMALL: Final = (1_000, 150.0, 6.0)
"""Agents, questions a second, seconds of each point."""
SECONDS_MAX: Final = 600.0
AIM: Final = 0.15
"""Largest relative error on points that were not learnt from."""
DIGITS: Final = 3
SEVERAL: Final = (
    "Several hubs need one log for all of them, in PostgreSQL; there is none yet: one hub is the limit "
    "(docs/how-to/plan-capacity.md)"
)


def measure(
    *,
    agents: Annotated[int | None, Parameter(help="Most agents that are tried.")] = None,
    questions_per_second: Annotated[float | None, Parameter(help="Highest rate that is tried.")] = None,
    seconds: Annotated[float | None, Parameter(help="How long each point is held.")] = None,
    quick: Annotated[bool, Parameter(negative="", help="Fewer and smaller points, in about two minutes.")] = False,
    out: Annotated[Path, Parameter(help="Where the points are written.")] = POINTS,
    options: Options = PLAIN,
) -> int:
    """Measure what a hub uses by agents, rate and lane, and its ceiling; each on a hub of its own. Linux only."""
    from crossfade.fleet.capacity.campaign import Wish
    from crossfade.fleet.capacity.points import save
    from crossfade.fleet.load.profile import ProfileError

    usual = QUICK if quick else SMALL
    wish = Wish(
        agents=usual[0] if agents is None else agents,
        questions_per_second=usual[1] if questions_per_second is None else questions_per_second,
        seconds=usual[2] if seconds is None else seconds,
        quick=quick,
    )
    if not 1 <= wish.seconds <= SECONDS_MAX:
        raise usage(f"--seconds {wish.seconds:g} is not between 1 and {SECONDS_MAX:g}", "6 are enough for a first plan")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise usage(f"{out} cannot be written", "--out takes a file in a folder that exists")
    try:
        _feasible(wish)
        found = _campaign(wish, options)
        if found is None:
            Output(options).note("interrupted: nothing is written")
            return Exit.INTERRUPTED
        save(out, found)
    except ProfileError as error:
        raise CommandError("load.impossible", error.message, error.hint, Exit.USAGE) from None
    except OSError as fault:
        raise usage(f"{out}: {fault.strerror}", "name another file with --out") from None
    return _told(out, found, options)


def _feasible(wish: "Wish") -> None:
    """Raises ProfileError if this machine cannot carry one of the points: before the first is measured."""
    from crossfade.fleet.capacity.campaign import profiles_of
    from crossfade.fleet.load.feasible import LOOPBACK, of_this_machine
    from crossfade.fleet.load.feasible import plan as spread

    largest = max(profiles_of(wish), key=lambda profile: profile.agents)
    spread(largest, of_this_machine(), LOOPBACK, own_hub=True)


def _campaign(wish: "Wish", options: Options) -> "Measurements | None":
    """All measurements; None after Ctrl-C. Raises ProfileError, CommandError."""
    from crossfade.cli.load import supervised
    from crossfade.fleet.capacity.campaign import CampaignError
    from crossfade.fleet.capacity.campaign import measure as take
    from crossfade.fleet.capacity.ladder import LadderError, climb
    from crossfade.fleet.load.run import Settings
    from crossfade.fleet.load.target import own_hub

    output = Output(options)
    found: list[Measurements] = []
    interrupted = False

    async def work(one: "One") -> None:
        nonlocal interrupted

        async def point(profile: "Profile", label: str, watch: "Watch") -> "LoadReport":
            output.note(label)
            return await one(Settings(profile=profile, scenario="capacity"), label, watch)

        async def rungs(in_flight: tuple[int, ...], seconds: float) -> "list[Rung]":
            output.note(f"{', '.join(map(str, in_flight))} round trips in flight, {seconds:g} s each")
            with tempfile.TemporaryDirectory(prefix="crossfade-capacity-") as folder:
                async with own_hub(Path(folder) / "hub", ()) as target:
                    return await climb(target, in_flight, seconds)

        try:
            found.append(await take(wish, point, rungs))
        except (CampaignError, LadderError) as error:
            interrupted = one.stop.is_set()
            if not interrupted:
                hint = "give fewer --agents or --questions-per-second, or more --seconds"
                raise CommandError("capacity.unsound", str(error), hint, Exit.FAILED) from None

    supervised(work, options)
    return None if interrupted else found[0]


def _told(out: Path, found: "Measurements", options: Options) -> int:
    from crossfade.core.capacity import UndeterminedError, learn, misses

    try:
        model = learn(found.points, found.rungs)
    except UndeterminedError as error:
        hint = "measure with more --seconds or --agents; the file has what was measured"
        raise CommandError("capacity.undetermined", str(error), hint, Exit.REFUSED) from None
    errors = misses(model, found.held_out)
    worst = max(errors.values(), default=None)
    output = Output(options)
    output.one(
        {
            "file": str(out),
            "points": len(found.points),
            "held_out": len(found.held_out),
            "held_out_errors": {name: round(error, 4) for name, error in errors.items()},
            "held_out_error_max": None if worst is None else round(worst, 4),
            **_ceiling(model),
            "warnings": found.warnings,
        }
    )
    if worst is None:
        output.note("no point that was left out could be measured undisturbed: nobody knows how far off a plan is")
    elif worst > AIM:
        output.note(f"more than {AIM:.0%} off on points left out: measure with more --seconds on a quieter machine")
    return Exit.OK


def _ceiling(model: "Model") -> dict[str, object]:
    """The most that one hub does, and the coefficients of the Universal Scalability Law from which that follows."""
    alone, contention, coherency = model.ceiling.coefficients
    peak = model.ceiling.peak
    return {
        "questions_per_second_max": _interval(peak.questions_per_second),
        "in_flight": peak.in_flight,
        "scalability": {"alone": _round(alone), "contention": contention, "coherency": coherency},
    }


@Parameter(name="*", group="What is planned for")
@dataclass(frozen=True)
class Fleet:
    """What has to be carried."""

    agents: Annotated[int, Parameter(help="Agents of the whole fleet, attached at once.")]
    questions_per_second: Annotated[float, Parameter(help="Rate at the peak, of the whole fleet.")]
    stages: Annotated[str, Parameter(help="Per cent of the fleet on elicitation, rising.")] = "5,25,50,75,100"
    headroom: Annotated[float, Parameter(help="Share of each resource that stays free at the peak.")] = 0.3


def plan(
    *,
    fleet: Fleet,
    points: Annotated[Path, Parameter(help="What `capacity measure` wrote.")] = POINTS,
    beyond_measured: Annotated[bool, Parameter(negative="", help="Also beyond what was measured; it says so.")] = False,
    out: Annotated[Path | None, Parameter(help="Also write it here as JSON, for the check capacity.planned.")] = None,
    options: Options = PLAIN,
) -> int:
    """Say what each stage of a rollout takes. Needs no hub.

    A hub that finds the plan as capacity-plan.json in the folder where it was started judges it by the check
    capacity.planned.

    Exit code: 0 one hub carries every stage, 5 not measured, 6 a stage needs more than one hub.
    """
    from crossfade.core.capacity import Stage, UndeterminedError, learn, misses
    from crossfade.fleet.capacity.points import PointsError, load

    wanted = [
        Stage(agents=fleet.agents, questions_per_second=fleet.questions_per_second, elicitation_share=share)
        for share in _shares(fleet.stages)
    ]
    try:
        found = load(points)
        model = learn(found.points, found.rungs)
    except PointsError as error:
        raise CommandError("usage.points", error.message, error.hint, Exit.USAGE) from None
    except UndeterminedError as error:
        hint = "measure again with `crossfade capacity measure`"
        raise CommandError("capacity.undetermined", f"{points}: {error}", hint, Exit.REFUSED) from None
    needs = [_need(model, stage, fleet.headroom, beyond=beyond_measured) for stage in wanted]
    whole = _whole(needs, found, fleet.headroom, misses(model, found.held_out)) | {"ceiling": _ceiling(model)}
    if out is not None:
        _store(out, whole)
    _print(needs, whole, options)
    return Exit.OK if all(need.replicas == 1 for need in needs) else Exit.FAILED


def _need(model: "Model", stage: "Stage", headroom: float, *, beyond: bool) -> "Need":
    from crossfade.core.capacity import plan as planned
    from crossfade.core.decider import Refusal

    need = planned(model, stage, headroom, beyond=beyond)
    if isinstance(need, Refusal):
        kind = Exit.REFUSED if need.code == "capacity.not_measured" else Exit.USAGE
        raise CommandError(need.code, need.message, need.hint, kind)
    return need


def _shares(text: str) -> list[float]:
    try:
        found = [float(part.strip().removesuffix("%")) / 100 for part in text.split(",")]
    except ValueError:
        found = []
    rising = all(one < two for one, two in itertools.pairwise(found))
    if not found or not rising or not all(0 <= share <= 1 for share in found):
        raise usage(f"--stages {text!r} are not rising percentages", "write them like 5,25,50,75,100")
    return found


def _whole(needs: "list[Need]", found: "Measurements", headroom: float, errors: dict[str, float]) -> dict[str, object]:
    """The plan as one object, with everything that a reader has to bear in mind."""
    notes = _too_much(needs) + sorted({f"beyond what was measured: {text}" for need in needs for text in need.beyond})
    if errors and max(errors.values()) > AIM:
        notes.append(f"off by up to {max(errors.values()):.0%} on measured points that were left out")
    if not errors:
        notes.append("no measured point was left out: nobody knows how far these figures are off")
    return {
        "headroom": headroom,
        "stages": [_fields(need) for need in needs],
        "held_out_errors": {name: round(error, 4) for name, error in errors.items()},
        "machine": found.machine,
        "version": found.version,
        "notes": notes,
    }


def _too_much(needs: "list[Need]") -> list[str]:
    """What is to be said of stages that one hub does not carry: once, with all of them."""
    stages: dict[int, list[str]] = {}
    for need in needs:
        if need.replicas > 1:
            stages.setdefault(need.replicas, []).append(_per_cent(need.stage.elicitation_share))
    said = [f"{replicas} hubs would be needed at {', '.join(shares)}" for replicas, shares in stages.items()]
    return [f"{'; '.join(said)}. {SEVERAL}"] if said else []


def _per_cent(share: float) -> str:
    return f"{100 * share:.6g}%"


def _store(out: Path, whole: dict[str, object]) -> None:
    import msgspec

    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
    except OSError as fault:
        raise usage(f"{out}: {fault.strerror}", "name another file with --out") from None


def _print(needs: "list[Need]", whole: dict[str, object], options: Options) -> None:
    output = Output(options)
    if options.machine:
        output.one(whole)
        return
    rows = [_row(need) for need in needs]
    output.table(rows, list(rows[0]))
    machine = cast("Machine", whole["machine"])
    output.note(f"Each figure: what to provide, with {whole['headroom']:.0%} left free (predicted use, 95 % of cases).")
    output.note(f"Measured with {whole['version']} on {machine.processors} processors, {machine.model}.")
    for note in cast("list[str]", whole["notes"]):
        output.note(note)


def _row(need: "Need") -> dict[str, object]:
    cells = {
        name: f"{_round(need.provide[name]):g} ({_round(use.low):g} to {_round(use.high):g})"
        for name, use in need.uses.items()
    }
    share = _per_cent(need.stage.elicitation_share)
    return {"stage": share, **cells, "replicas": need.replicas, "limited_by": need.limited_by}


def _fields(need: "Need") -> dict[str, object]:
    return {
        "elicitation_share": need.stage.elicitation_share,
        "agents": need.stage.agents,
        "questions_per_second": need.stage.questions_per_second,
        "uses": {name: _interval(use) for name, use in need.uses.items()},
        "provide": {name: _round(value) for name, value in need.provide.items()},
        "replicas": need.replicas,
        "limited_by": need.limited_by,
        "one_hub_carries_it": need.replicas == 1,
        "beyond_measured": need.beyond,
    }


def _interval(found: "Interval") -> dict[str, float]:
    return {"low": _round(found.low), "value": _round(found.value), "high": _round(found.high)}


def _round(value: float) -> float:
    """To so many significant digits: more would claim too much."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
