"""``runsheet run --once``: a run driven in this process, without a hub, as far as it goes by itself.

It ends when the run does, when something is held or asked, or when the next date is further off than
``PATIENCE_SECONDS``. Called again, it goes on with the same run; an edited file is refused.
"""

import asyncio
from hashlib import sha256
from typing import Final

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import settings
from crossfade.cli.output import Output
from crossfade.core.decider import Refusal
from crossfade.engine.hub import Hub
from crossfade.engine.run_views import CreateRequest, RunView
from crossfade.runsheets import Loaded

PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05
HELD: Final = {"failed": Exit.FAILED, "inconclusive": Exit.INCONCLUSIVE, "errored": Exit.ERRORED}
SHOWN: Final = ("run_id", "runsheet", "digest", "status", "held", "node", "verdict", "reason", "waits_until", "share")


def run_once(found: Loaded, forced: str, output: Output) -> int:
    """Drive a run of ``found``; the exit code says how far it came."""
    view = asyncio.run(_drive(found, forced, output))
    output.one({name: getattr(view, name) for name in SHOWN})
    for one in view.passed_by:
        output.note(f"{one.status}: {one.node} by {one.by}: {one.why}")
    if view.status == "completed":
        return Exit.OK
    if view.status in ("aborting", "aborted"):
        return Exit.ABORTED
    if view.held:
        return HELD.get(view.verdict, Exit.ERRORED)
    return Exit.UNSIGNED if "/signoff/" in view.node else Exit.TIMED_OUT


async def _drive(found: Loaded, forced: str, output: Output) -> RunView:
    from crossfade.bootstrap import opened_hub

    async with opened_hub(settings(output.options)) as hub:
        run_id = await _begun(hub, found, forced)
        shown = ""
        while True:
            view = _given(hub.runs.run(run_id))
            if view.node != shown and not view.held:
                output.note(f"{view.settled}/{view.nodes_total} {view.node or view.status}")
                shown = view.node
            if _stuck(hub, view):
                return view
            await asyncio.sleep(LOOK_SECONDS)


async def _begun(hub: Hub, found: Loaded, forced: str) -> str:
    """The run of this runsheet that goes on, or a new one. Raises CommandError if it was edited under its run."""
    from crossfade.bootstrap import ROOT
    from crossfade.runsheets.export import as_json

    for one in hub.runs.runs():
        if one.runsheet == found.runsheet.name and one.status in ("running", "paused", "aborting"):
            if one.digest != found.digest:
                raise CommandError(
                    "run.digest_differs",
                    f"{found.file} was edited under {one.run_id}, which has {one.digest[:12]}",
                    "go on with the old file, or review the new one and `crossfade runsheet migrate`",
                    Exit.CONFLICT,
                )
            return one.run_id
    source = as_json(found.runsheet)
    digest = sha256(source).hexdigest()
    made = await hub.runs.create(ROOT, CreateRequest(runsheet=source.decode(), digest=digest, forced=forced))
    return _given(made).run_id


def _given(view: RunView | Refusal) -> RunView:
    if isinstance(view, Refusal):
        raise CommandError(view.code, view.message, view.hint, Exit.REFUSED)
    return view


def _stuck(hub: Hub, view: RunView) -> bool:
    """It has ended, or goes on only when somebody acts or a far date has come."""
    if view.status not in ("running", "aborting") or view.held:
        return True
    current = next((node for node in view.nodes if node.node == view.node), None)
    if current is not None and current.status == "asked":
        return True
    return hub.runs.seconds_to_wait(view.run_id) > PATIENCE_SECONDS
