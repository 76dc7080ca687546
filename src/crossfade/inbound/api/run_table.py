"""The routes of runs; table.py takes them in."""

from typing import Final

from crossfade.engine.run_views import RunExport, RunView
from crossfade.inbound.api import runs
from crossfade.inbound.api.routes import ANYONE, OPERATE, AnyRoute, Nothing, Route

RUNS: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST", path="/v1/runs", name="create_run", summary="Begin a run of a runsheet", grants=OPERATE,
        run=runs.create, gives=RunView, query=Nothing, body=runs.CreateBody, status=201, refuses=(403, 409),
    ),
    Route(
        method="GET", path="/v1/runs", name="runs", summary="List runs", grants=ANYONE, run=runs.listing,
        gives=runs.RunPage, query=runs.RunsQuery, body=Nothing,
    ),
    Route(
        method="GET", path="/v1/runs/{run_id}", name="run", summary="Read a run with its nodes", grants=ANYONE,
        run=runs.run, gives=RunView, query=Nothing, body=Nothing, refuses=(404,),
    ),
    Route(
        method="GET", path="/v1/runs/{run_id}/export", name="export_run", summary="Read the whole of a run",
        grants=OPERATE, run=runs.export, gives=RunExport, query=Nothing, body=Nothing, refuses=(404,),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/pause", name="pause_run", summary="Begin nothing more", grants=OPERATE,
        run=runs.pause, gives=RunView, query=Nothing, body=runs.RunReasonBody, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/resume", name="resume_run", summary="Go on after a pause",
        grants=OPERATE, run=runs.resume, gives=RunView, query=Nothing, body=runs.ResumeBody, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/release", name="release_node", summary="Try again what is held",
        grants=OPERATE, run=runs.release, gives=RunView, query=Nothing, body=runs.ReleaseBody, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/skip", name="skip_node", summary="Leave out a step", grants=OPERATE,
        run=runs.skip, gives=RunView, query=Nothing, body=runs.SkipBody, refuses=(403, 404, 409),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/waive", name="waive_node", summary="Ask that what is held may pass",
        grants=OPERATE, run=runs.waive, gives=RunView, query=Nothing, body=runs.WaiveBody, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/abort", name="abort_run", summary="Stop, and undo what can be undone",
        grants=OPERATE, run=runs.abort, gives=RunView, query=Nothing, body=runs.RunReasonBody, refuses=(404, 409),
    ),
    Route(
        method="POST", path="/v1/runs/{run_id}/migrate", name="migrate_run", summary="Go on with another runsheet",
        grants=OPERATE, run=runs.migrate, gives=RunView, query=Nothing, body=runs.MigrateBody, refuses=(404, 409),
    ),
)  # fmt: skip
