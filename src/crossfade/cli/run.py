"""``runsheet run`` and what is done to a run: look, pause, resume, release, skip, waive, abort, migrate, archive.

A hub drives its runs by itself; these commands create and steer them. ``run --once`` needs no hub: it drives the run
in this process, on the data folder, as far as it goes without people or dates, and can be called again.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Options, call
from crossfade.cli.output import Output, Row
from crossfade.cli.run_once import run_once
from crossfade.cli.runsheet import File, loaded
from crossfade.client.api import Api
from crossfade.client.views import Object
from crossfade.runsheets import Loaded

SHORT: Final = (
    "run_id", "runsheet", "status", "held", "node", "reason", "waits_until", "share", "settled", "nodes_total",
)  # fmt: skip
NODES: Final = ("node", "status", "verdict", "reason", "owner", "by", "why", "signoff")
WATCH_SECONDS: Final = 1.0
RunId = Annotated[str, Parameter(name="--run-id", help="As `crossfade runsheet status` prints it.")]
Reason = Annotated[str, Parameter(help="Why; it goes into the log.")]
Node = Annotated[str, Parameter(help="As `status` prints it, e.g. canary/exit/gate/p99.")]


def run(
    file: File,
    *,
    once: Annotated[bool, Parameter(negative="", help="Without a hub: drive it here, as far as it goes.")] = False,
    force_unready: Annotated[str, Parameter(help="Why, although its review says not ready; needs admin.")] = "",
    options: Options = PLAIN,
) -> int:
    """Begin a run of a runsheet, which the hub then drives by itself."""
    found = sound(file)
    if once:
        return run_once(found, force_unready, Output(options))
    body: Object = {"runsheet": source(found), "digest": found.digest, "forced": force_unready}
    made = call(options, lambda api: api.create_run(body))
    Output(options).one(_short(made))
    Output(options).note(f"watch it: crossfade runsheet status {made['run_id']} --watch")
    return Exit.OK


def sound(file: str) -> Loaded:
    """The runsheet, if it makes sense; raises CommandError with the first thing that does not."""
    from crossfade.runsheets.lint import lint

    found = loaded(file)
    wrong = [problem for problem in lint(found) if problem.severity == "error"]
    if wrong:
        hint = wrong[0].hint or f"crossfade runsheet lint {file}"
        raise CommandError(f"runsheet.{wrong[0].code}", str(wrong[0]), hint, Exit.USAGE)
    return found


def source(found: Loaded) -> str:
    """The canonical JSON of a runsheet."""
    from crossfade.runsheets.export import as_json

    return as_json(found.runsheet).decode()


def status(
    run_id: Annotated[str, Parameter(name="--run-id", help="One run; else all of them.")] = "",
    *,
    watch: Annotated[bool, Parameter(negative="", help="Print a line at every change, until it has ended.")] = False,
    options: Options = PLAIN,
) -> int:
    """Show the runs, or one run with everything that was done, is held, or was passed by."""
    output = Output(options)
    if not run_id:
        output.table([_short(one) for one in call(options, lambda api: api.runs())], SHORT)
        return Exit.OK
    if watch:
        return _watch(run_id, output)
    found = call(options, lambda api: api.run(run_id))
    if options.machine:
        output.one(found)
        return Exit.OK
    output.one({name: value for name, value in found.items() if name not in ("nodes", "passed_by")})
    nodes = found["nodes"]
    output.table([_row(one, NODES) for one in nodes] if isinstance(nodes, list) else [], NODES)
    _explained(output, nodes if isinstance(nodes, list) else [])
    _passed_by(output, found)
    return Exit.OK


def _watch(run_id: str, output: Output) -> int:
    output.header(SHORT)

    async def work(api: Api) -> str:
        shown: object = None
        while True:
            row = _short(await api.run(run_id))
            if row != shown:
                output.line(row)
                shown = row
            if row["status"] in ("completed", "aborted"):
                return str(row["status"])
            await asyncio.sleep(WATCH_SECONDS)

    ended = call(output.options, work, patience_seconds=60.0)
    return Exit.OK if ended == "completed" else Exit.ABORTED


def _explained(output: Output, nodes: list[Object]) -> None:
    """The numbers behind what is held."""
    for one in nodes:
        evidence = one["evidence"]
        if one["status"] == "held" and isinstance(evidence, dict) and evidence.get("explanation"):
            output.note(f"{one['node']}: {evidence['explanation']}")


def _passed_by(output: Output, found: Object) -> None:
    """Waivers and skips are never left out."""
    passed = found["passed_by"]
    for one in passed if isinstance(passed, list) else []:
        output.note(f"{one['status']}: {one['node']} by {one['by']} ({one['grounds']} {one['signoff']}): {one['why']}")


def pause(run_id: RunId, *, reason: Reason, options: Options = PLAIN) -> int:
    """Begin nothing more; what is begun ends."""
    return _steer(options, run_id, "pause", {"reason": reason})


def resume(
    run_id: RunId,
    *,
    reason: Reason = "",
    file: Annotated[str, Parameter(help="The runsheet you hold; refused if the run has another.")] = "",
    options: Options = PLAIN,
) -> int:
    """Go on after a pause."""
    body: Object = {"reason": reason}
    if file:
        body["digest"] = loaded(file).digest
    return _steer(options, run_id, "resume", body)


def release(run_id: RunId, node: Node, *, reason: Reason, options: Options = PLAIN) -> int:
    """Try what is held again from the beginning."""
    return _steer(options, run_id, "release", {"node": node, "reason": reason})


def skip(
    run_id: RunId,
    node: Node,
    *,
    reason: Reason,
    signoff: Annotated[str, Parameter(help="Approved, and about this run; without one it takes an admin.")] = "",
    options: Options = PLAIN,
) -> int:
    """Leave out a step; every later view and report shows it."""
    return _steer(options, run_id, "skip", {"node": node, "reason": reason, "signoff": signoff})


def waive(
    run_id: RunId,
    node: Node,
    *,
    reason: Reason,
    role: Annotated[list[str] | None, Parameter(help="Who signs, may be repeated; else every role.")] = None,
    options: Options = PLAIN,
) -> int:
    """Ask the specialists to sign that what is held may be passed; every later view and report shows it."""
    return _steer(options, run_id, "waive", {"node": node, "reason": reason, "roles": role or []})


def abort(run_id: RunId, *, reason: Reason, options: Options = PLAIN) -> int:
    """Stop, and undo what can be undone, the last first."""
    return _steer(options, run_id, "abort", {"reason": reason})


def migrate(run_id: RunId, file: File, *, reason: Reason, options: Options = PLAIN) -> int:
    """Go on with another version of the runsheet: the run paused, the version reviewed as ready."""
    found = sound(file)
    body: Object = {"runsheet": source(found), "digest": found.digest, "reason": reason}
    return _steer(options, run_id, "migrate", body)


def archive(
    run_id: RunId,
    *,
    to: Annotated[str, Parameter(help="File to write; else standard output.")] = "",
    options: Options = PLAIN,
) -> int:
    """Print the whole of a run as JSON: runsheet, every record with its link of the chain, what it came to."""
    content = call(options, lambda api: api.export_run(run_id))
    if not to:
        print(content.decode())
        return Exit.OK
    try:
        Path(to).write_bytes(content + b"\n")
    except OSError as fault:
        raise CommandError("usage.file", f"{to}: {fault.strerror}", "name another file", Exit.USAGE) from None
    Output(options).one({"file": to, "size_bytes": len(content) + 1})
    return Exit.OK


def _steer(options: Options, run_id: str, action: str, body: Object) -> int:
    Output(options).one(_short(call(options, lambda api: api.steer_run(run_id, action, body))))
    return Exit.OK


def _short(found: Object) -> Row:
    return _row(found, SHORT)


def _row(found: Object, fields: tuple[str, ...]) -> Row:
    return {name: found.get(name, "") for name in fields}
