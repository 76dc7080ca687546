"""Runs of runsheets over HTTP: create, look, pause, resume, release, skip, waive, abort, migrate, export."""

from typing import Annotated

import msgspec
from msgspec import Meta

from crossfade.core.runsheets import Role
from crossfade.engine.run_views import CreateRequest, MigrateRequest, RunView, SkipRequest, WaiveRequest
from crossfade.inbound.api.questions import Key, Limit
from crossfade.inbound.api.routes import Call, Outcome, Strict

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the canonical JSON, in hex.")]
Source = Annotated[str, Meta(min_length=2, max_length=1 << 20, description="Canonical JSON of the runsheet, as text.")]
Why = Annotated[str, Meta(min_length=1, max_length=1_000, description="Why; it goes into the log.")]
NodeId = Annotated[str, Meta(min_length=1, max_length=200, description="As the run's view names it.")]


class CreateBody(Strict, frozen=True, kw_only=True):
    """A run to begin."""

    runsheet: Source
    digest: Digest
    forced: Annotated[str, Meta(max_length=1_000, description="Why, although it is not ready; needs admin.")] = ""
    key: Key | None = None


class RunReasonBody(Strict, frozen=True, kw_only=True):
    """Why."""

    reason: Why


class ResumeBody(Strict, frozen=True, kw_only=True):
    """What was settled, and the runsheet that the operator holds."""

    reason: Annotated[str, Meta(max_length=1_000)] = ""
    digest: Digest | None = None


class ReleaseBody(Strict, frozen=True, kw_only=True):
    """What is tried again."""

    node: NodeId
    reason: Why


class SkipBody(Strict, frozen=True, kw_only=True):
    """A step to leave out."""

    node: NodeId
    reason: Why
    signoff: Annotated[str, Meta(max_length=64, description="Approved, and about this run; else an admin skips.")] = ""


class WaiveBody(Strict, frozen=True, kw_only=True):
    """What is held and shall be passed."""

    node: NodeId
    reason: Why
    roles: Annotated[tuple[Role, ...], Meta(max_length=16, description="Who signs; left out: every role.")] = ()


class MigrateBody(Strict, frozen=True, kw_only=True):
    """The runsheet to go on with."""

    runsheet: Source
    digest: Digest
    reason: Why


class RunsQuery(Strict, frozen=True, kw_only=True):
    """How many."""

    limit: Limit = 100


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, newest first, without their nodes."""

    runs: list[RunView]


async def create(call: Call[Strict, CreateBody]) -> Outcome:
    """Begin a run."""
    body = call.body
    wanted = CreateRequest(runsheet=body.runsheet, digest=body.digest, forced=body.forced, key=body.key or call.key)
    return await call.hub.runs.create(call.caller, wanted)


async def listing(call: Call[RunsQuery, Strict]) -> Outcome:
    """The newest runs."""
    return RunPage(runs=call.hub.runs.runs(call.query.limit))


async def run(call: Call[Strict, Strict]) -> Outcome:
    """One run with its nodes."""
    return call.hub.runs.run(call.name)


async def export(call: Call[Strict, Strict]) -> Outcome:
    """The whole of it."""
    return await call.hub.runs.export(call.caller, call.name)


async def pause(call: Call[Strict, RunReasonBody]) -> Outcome:
    """Begin nothing more."""
    return await call.hub.runs.pause(call.caller, call.name, call.body.reason)


async def resume(call: Call[Strict, ResumeBody]) -> Outcome:
    """Go on."""
    return await call.hub.runs.resume(call.caller, call.name, call.body.reason, call.body.digest or "")


async def release(call: Call[Strict, ReleaseBody]) -> Outcome:
    """Try again what is held."""
    return await call.hub.runs.release(call.caller, call.name, call.body.node, call.body.reason)


async def skip(call: Call[Strict, SkipBody]) -> Outcome:
    """Leave out a step."""
    body = call.body
    wanted = SkipRequest(node=body.node, reason=body.reason, signoff=body.signoff)
    return await call.hub.runs.skip(call.caller, call.name, wanted)


async def waive(call: Call[Strict, WaiveBody]) -> Outcome:
    """Ask for a waiver."""
    body = call.body
    wanted = WaiveRequest(node=body.node, reason=body.reason, roles=body.roles)
    return await call.hub.runs.waive(call.caller, call.name, wanted)


async def abort(call: Call[Strict, RunReasonBody]) -> Outcome:
    """Stop and undo."""
    return await call.hub.runs.abort(call.caller, call.name, call.body.reason)


async def migrate(call: Call[Strict, MigrateBody]) -> Outcome:
    """Go on with another runsheet."""
    body = call.body
    wanted = MigrateRequest(runsheet=body.runsheet, digest=body.digest, reason=body.reason)
    return await call.hub.runs.migrate(call.caller, call.name, wanted)
