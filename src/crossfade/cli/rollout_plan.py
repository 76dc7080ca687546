"""``rollout plan``: check a plan without a hub, look at the one that drives the rollout, end it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Options, call
from crossfade.cli.output import Output
from crossfade.client.api import Api
from crossfade.client.errors import CrossfadeError
from crossfade.client.views import Object

if TYPE_CHECKING:
    from crossfade.runsheets.plan_files import PlanFile

FIELDS: Final = ("severity", "code", "file", "line", "column", "path", "message", "try")
GATES: Final = ("name", "verdict", "reason", "n", "bad", "evidence", "threshold", "needed", "eta_seconds", "clusters")
STAGES: Final = ("stage", "share", "bake_seconds", "status")
BRIEF: Final = (
    "name", "status", "stage", "stages_total", "share", "bake_left_seconds", "held", "cause", "reason", "owner",
    "hold_deadline", "overdue", "eta_seconds", "measured_until",
)  # fmt: skip
File = Annotated[str, Parameter(name="--file", help="A YAML file.")]


def lint(file: File, *, options: Options = PLAIN) -> int:
    """Check that a plan makes sense: every problem with its place. Exit code 2 if there is one."""
    from crossfade.runsheets.plan_files import load_plan

    found = load_plan(file)
    problems = found if isinstance(found, list) else []
    output = Output(options)
    if options.machine:
        rows = [msgspec.to_builtins(problem) for problem in problems]
        output.table([{name: row["hint" if name == "try" else name] for name in FIELDS} for row in rows], FIELDS)
    else:
        for problem in problems:
            print(problem)
    output.note(f"{file}: {len(problems)} error(s)")
    return Exit.USAGE if problems else Exit.OK


def show(
    file: Annotated[str, Parameter(name="--file", help="A YAML file; left out: the plan of the hub.")] = "",
    *,
    options: Options = PLAIN,
) -> int:
    """Show a plan with every default written out, or the one that drives the rollout, with its gates."""
    output = Output(options)
    if file:
        found = loaded(file)
        output.one({**msgspec.json.decode(found.canonical), "digest": found.digest})
        return Exit.OK
    told(call(options, lambda api: api.plan()), output)
    return Exit.OK


def stop(
    *,
    reason: Annotated[str, Parameter(help="Why; it goes into the log.")] = "",
    options: Options = PLAIN,
) -> int:
    """End the plan; the share stays where it is, and is raised by hand again."""
    ended = call(options, lambda api: api.stop_plan(reason))
    Output(options).one({name: ended[name] for name in ("name", "status", "reason", "share")})
    return Exit.OK


def loaded(file: str) -> "PlanFile":
    """The plan; raises CommandError with the first problem, and how many more there are."""
    from crossfade.runsheets.plan_files import load_plan

    found = load_plan(file)
    if not isinstance(found, list):
        return found
    first, more = found[0], len(found) - 1
    what = str(msgspec.structs.replace(first, hint="")) + (f" (and {more} more)" if more else "")
    hint = f"crossfade rollout plan lint {file}" if more else first.hint or f"put line {first.line} right"
    raise CommandError(first.code, what, hint, Exit.USAGE)


def start(file: str, options: Options) -> int:
    """Have the hub drive the rollout by a plan."""
    loaded(file)  # says what is wrong before anybody is asked
    text = Path(file).read_text("utf-8-sig")
    made = call(options, lambda api: api.start_plan(text, file))
    output = Output(options)
    output.one({name: made[name] for name in BRIEF} | {"digest": made["digest"]})
    output.note("watch it: crossfade rollout status; why: crossfade gate explain NAME")
    return Exit.OK


async def driving(api: Api) -> Object | None:
    """The plan that drives the rollout, or drove it last; None if there has been none."""
    try:
        return await api.plan()
    except CrossfadeError as error:
        if error.code == "plan.unknown":
            return None
        raise


def told(plan: Object, output: Output) -> None:
    """Print a plan: where it is, its stages, its gates."""
    if output.options.machine:
        output.one(plan)
        return
    output.one({name: plan[name] for name in BRIEF})
    output.table(_rows(plan["stages"]), STAGES)
    output.table(_rows(plan["gates"]), GATES)


def _rows(found: object) -> list[dict[str, object]]:
    return msgspec.convert(found, list[dict[str, object]])
