"""``rollout``: look at it, steer it, and the kill switch, which works without a running hub as well."""

import asyncio
import sys
from typing import Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, call, seconds, settings
from crossfade.cli.output import Output, row_of
from crossfade.client.api import Api
from crossfade.client.views import Object, RolloutView

WATCHED: Final = ("status", "name", "share", "achieved", "agents", "agents_on_elicitation", "held", "open_questions")
WATCH_SECONDS: Final = 1.0
Reason = Annotated[str, Parameter(help="Why; it goes into the log.")]


def status(
    *,
    watch: Annotated[bool, Parameter(negative="", help="Print a line at every change; stop with Ctrl-C.")] = False,
    options: Options = PLAIN,
) -> int:
    """Show where the rollout stands."""
    output = Output(options)
    if not watch:
        return _standing(options, output)
    output.header(WATCHED)

    async def work(api: Api) -> None:
        shown: object = None
        while True:
            row = row_of(await api.rollout(), WATCHED)
            if row != shown:
                output.line(row)
                shown = row
            await asyncio.sleep(WATCH_SECONDS)

    call(options, work, patience_seconds=60.0)
    return Exit.OK


def _standing(options: Options, output: Output) -> int:
    from crossfade.cli import rollout_plan

    async def both(api: Api) -> tuple[RolloutView, Object | None]:
        return await api.rollout(), await rollout_plan.driving(api)

    view, plan = call(options, both)
    if options.machine:
        output.one(row_of(view) if plan is None else {**row_of(view), "plan": plan})
        return Exit.OK
    output.one(row_of(view))
    if plan is not None:
        print()
        rollout_plan.told(plan, output)
    return Exit.OK


def start(
    name: Annotated[str, Parameter(help="What it is called in the log; a plan has its own name.")] = "",
    *,
    plan: Annotated[str, Parameter(help="A plan that then drives the rollout by itself: a YAML file.")] = "",
    salt: Annotated[str | None, Parameter(help="Decides which clusters come first; drawn if not given.")] = None,
    options: Options = PLAIN,
) -> int:
    """Begin a rollout at share 0; with ``--plan`` the hub then drives it stage by stage by itself."""
    if bool(name) == bool(plan) or (plan and salt):
        raise usage("give either a name or a plan", "crossfade rollout start autumn, or rollout start --plan plan.yaml")
    if plan:
        from crossfade.cli import rollout_plan

        return rollout_plan.start(plan, options)
    return _steer(options, "start", {"name": name, "salt": salt})


def set_share(
    share: Annotated[str, Parameter(help="Like 25% or 0.25.")], *, reason: Reason = "", options: Options = PLAIN
) -> int:
    """Set the share of the fleet on the elicitation lane: ``25%``, or ``0.25``."""
    return _steer(options, "set", {"share": _share(share), "reason": reason})


def hold(*, reason: Reason = "", options: Options = PLAIN) -> int:
    """Stop promoting; nobody changes lanes until it is resumed."""
    return _steer(options, "hold", {"reason": reason})


def resume(*, reason: Reason = "", options: Options = PLAIN) -> int:
    """Go on after a hold or a kill."""
    return _steer(options, "resume", {"reason": reason})


def deprecate(
    *,
    sunset: Annotated[str, Parameter(help="When it ends, from now.")] = "30d",
    notice: Annotated[str, Parameter(help="What those who still poll are told.")] = "",
    options: Options = PLAIN,
) -> int:
    """Announce the end of the polling lane, SUNSET from now."""
    return _steer(options, "deprecate", {"sunset_seconds": seconds(sunset), "notice": notice})


def remove(
    *, yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False, options: Options = PLAIN
) -> int:
    """End the polling lane: who still polls is refused and told what to use."""
    if not yes:
        if not sys.stdin.isatty():
            raise usage("removing the polling lane needs a confirmation", "crossfade rollout remove --yes")
        print("Polling ends for everybody. Type 'remove' to go on: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != "remove":
            raise CommandError(
                "usage.aborted", "not confirmed, nothing changed", "crossfade rollout status", Exit.ABORTED
            )
    return _steer(options, "remove", {})


def kill(*, reason: Reason = "killed from the command line", options: Options = PLAIN) -> int:
    """Put the share to 0 at once.

    When the hub cannot be reached, a kill file is written into the data folder; the hub obeys it from then on,
    until it is deleted.
    """
    try:
        return _steer(options, "kill", {"reason": reason})
    except CommandError as error:
        if error.exit_code is not Exit.UNREACHABLE or options.url is not None:
            raise
        return _kill_by_file(options, reason, error)


def _kill_by_file(options: Options, reason: str, error: CommandError) -> int:
    from crossfade.bootstrap import write_kill_file

    config = settings(options)
    path = config.kill_path
    try:
        at = write_kill_file(config, reason)
    except OSError as fault:
        what = f"{error.message}, and {path} cannot be written: {fault.strerror}"
        raise CommandError(
            "rollout.kill_failed", what, "name the hub's data folder: --data", Exit.UNREACHABLE
        ) from None
    output = Output(options)
    output.note(f"{error.message}; wrote the kill file instead. To lift it: rm {path}")
    output.one({"kill_file": str(path), "reason": reason, "at": at})
    return Exit.OK


def _steer(options: Options, action: str, body: Object) -> int:
    given: Object = {name: value for name, value in body.items() if value is not None}

    async def work(api: Api) -> RolloutView:
        return await api.steer(action, given)

    Output(options).one(row_of(call(options, work)))
    return Exit.OK


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / (100.0 if text.strip().endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise usage(f"{text!r} is not a share", "write it like 25% or 0.25")
    return share
