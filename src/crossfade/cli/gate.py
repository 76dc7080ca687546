"""``gate``: judge anybody's counts with the code that judges a rollout, and try a gate before it is needed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options
from crossfade.cli.output import Output, Row
from crossfade.core.gates import Kind, Ruling, Spec, Verdict, judge
from crossfade.core.gates.said import errored
from crossfade.runsheets.counts import Counts, CountsError, load_counts
from crossfade.runsheets.gate_files import load_gates
from crossfade.runsheets.problems import Problem

if TYPE_CHECKING:
    from crossfade.fleet.gate_traffic import Traffic

SpecFile = Annotated[str, Parameter(name="--spec", help="A YAML file with one gate, or several under `gates:`.")]
GateName = Annotated[str, Parameter(name="--gate", help="Which gate, if the file has several.")]
EXITS: Final = {
    Verdict.PASSED: Exit.OK,
    Verdict.FAILED: Exit.FAILED,
    Verdict.INCONCLUSIVE: Exit.INCONCLUSIVE,
    Verdict.ERRORED: Exit.ERRORED,
}
FORMAT_HINT: Final = "docs/reference/gates.md has the format"


def evaluate(
    *,
    spec: SpecFile,
    counts: Annotated[str, Parameter(help="A CSV file with columns at, cluster, exposure, n, bad.")],
    gate: GateName = "",
    options: Options = PLAIN,
) -> int:
    """Judge counts by a gate. Exit code: 0 passed or quiet, 6 failed or fired, 7 inconclusive, 1 errored."""
    wanted = chosen(spec, gate)
    if isinstance(wanted, Spec):
        table = _counts(counts)
        if isinstance(table, Counts):
            return say(judge(wanted, table, exposed=table.exposed(wanted.exposure)), options)
        return _refused(wanted.name, wanted, "counts", [table], options)
    return _refused(gate, None, "spec", wanted, options)


def chosen(path: str, name: str) -> Spec | list[Problem]:
    """The gate of a file that is meant, or what is wrong."""
    specs = load_gates(path)
    if isinstance(specs, list):
        return specs
    names = ", ".join(spec.name for spec in specs)
    if not name and len(specs) > 1:
        raise CommandError("usage", f"{path} has {len(specs)} gates", f"name one with --gate: {names}", Exit.USAGE)
    found = [spec for spec in specs if name in ("", spec.name)]
    if not found:
        raise CommandError("usage", f"{path} has no gate {name!r}", f"it has: {names}", Exit.USAGE)
    return found[0]


def _counts(path: str) -> Counts | Problem:
    try:
        return load_counts(path)
    except CountsError as fault:
        return fault.problem


def say(ruling: Ruling, options: Options) -> int:
    """Print a ruling; its exit code."""
    output = Output(options)
    output.one(row_of(ruling) if options.machine else _short(ruling))
    if not options.machine and ruling.verdict is Verdict.ERRORED:
        raise CommandError(f"gate.{ruling.reason}", ruling.explanation, FORMAT_HINT)
    return EXITS[ruling.verdict]


def row_of(ruling: Ruling) -> Row:
    """All fields, as programs read them."""
    from crossfade.engine.views.instants import iso

    row = msgspec.to_builtins(ruling)
    return {**row, "at": None if ruling.at is None else iso(ruling.at)}


def _short(ruling: Ruling) -> Row:
    """What fits on half a screen."""
    row = row_of(ruling)
    fields: tuple[str, ...] = ("name", "verdict", "reason", "explanation")
    if ruling.verdict is not Verdict.ERRORED:
        fields += ("evidence", "threshold", "needed", "n", "bad", "guarantee")
    figures = {name: f"{row[name]:.3g}" for name in ("evidence", "threshold") if row[name] is not None}
    return {name: value for name in fields if (value := {**row, **figures}[name]) not in (None, "")}


def _refused(name: str, spec: Spec | None, reason: str, problems: list[Problem], options: Options) -> int:
    """A file that is not what it has to be: an errored ruling that names the place."""
    first, more = problems[0], len(problems) - 1
    what = str(msgspec.structs.replace(first, hint="")) + (f" (and {more} more)" if more else "")
    told = errored(f"{what}; {first.hint}" if first.hint else what)
    kind = spec.kind if spec else None
    ruling = Ruling(name=name, kind=kind, verdict=Verdict.ERRORED, reason=reason, explanation=told)
    Output(options).one(row_of(ruling) if options.machine else _short(ruling))
    if not options.machine:
        raise CommandError(f"gate.{reason}", what, first.hint or FORMAT_HINT)
    return Exit.ERRORED


@Parameter(name="*", group="Traffic")
@dataclass(frozen=True)
class Modelled:
    """The traffic that is made up."""

    rate: Annotated[float | None, Parameter(help="Rate of bad events while all is well.")] = None
    clusters: Annotated[int, Parameter(help="Clusters on each side.")] = 20
    traffic: Annotated[float, Parameter(help="Observations a second of each side, all clusters together.")] = 25.0
    burst: Annotated[float, Parameter(help="Mean number of bad events in a burst of one cluster.")] = 1.0
    days: Annotated[float | None, Parameter(help="Days; 14, or 1 for a trigger, if left out.")] = None
    runs: Annotated[int, Parameter(help="Runs of each scenario.")] = 100
    seed: Annotated[int, Parameter(help="Another seed, another traffic.")] = 1


MODELLED: Final = Modelled()


def simulate(*, spec: SpecFile, gate: GateName = "", model: Modelled = MODELLED, options: Options = PLAIN) -> int:
    """Try a gate on made-up traffic: how often it says what, and after how long, before you start."""
    from crossfade.fleet.gate_traffic import COUNTS_MAX, Outcome, counts_of
    from crossfade.fleet.gate_traffic import simulate as simulated

    wanted = chosen(spec, gate)
    if not isinstance(wanted, Spec):
        return _refused(gate, None, "spec", wanted, options)
    given = _traffic(wanted, model)
    if (many := counts_of(wanted, given)) > COUNTS_MAX:
        raise usage(f"that takes {many:,} counts, at most {COUNTS_MAX:,}", "fewer runs, days or clusters will do")
    output = Output(options)
    output.note(f"{wanted.name}: {many:,} counts, {given.days:g} days, rate {given.rate:g}, seed {given.seed}")
    output.table((msgspec.to_builtins(one) for one in simulated(wanted, given)), Outcome.__struct_fields__)
    return Exit.OK


def _traffic(spec: Spec, model: Modelled) -> "Traffic":
    """The model with what it leaves to the gate; raises a usage error for what cannot be meant."""
    from crossfade.fleet.gate_traffic import Traffic

    usual = 0.001 if spec.max_rate is None else spec.max_rate / (2 if spec.kind is Kind.PROMOTION else 10)
    rate = usual if model.rate is None else model.rate
    days = model.days if model.days is not None else 1.0 if spec.kind is Kind.TRIGGER else 14.0
    for name, value, low, high in (
        ("rate", rate, 0.0, 1.0), ("clusters", model.clusters, 1, 100_000), ("traffic", model.traffic, 1e-6, 1e9),
        ("burst", model.burst, 1.0, 1e6), ("days", days, 1e-3, 400.0), ("runs", model.runs, 1, 1_000_000),
    ):  # fmt: skip
        if not low <= value <= high:
            raise usage(f"--{name} {value:g} lies outside {low:g} to {high:g}", "crossfade gate simulate --help")
    return Traffic(
        rate=rate, clusters=model.clusters, per_second=model.traffic, burst=model.burst, days=days, runs=model.runs,
        seed=model.seed,
    )  # fmt: skip
