"""The rollout over HTTP: look, start, set the share, hold, resume, deprecate, remove, and the kill switch.

The kill switch is answered even when the log cannot write: the hub puts everybody on polling first and
records it as soon as it can.
"""

from typing import Annotated

from msgspec import Meta

from crossfade.engine.requests import RolloutView
from crossfade.inbound.api.routes import Call, Outcome, Strict

Reason = Annotated[str, Meta(max_length=1_000, description="Why; it goes into the log.")]


class StartBody(Strict, frozen=True, kw_only=True):
    """A rollout to begin."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    salt: Annotated[str, Meta(min_length=1, max_length=64, description="Left out: drawn at random.")] | None = None


class SetBody(Strict, frozen=True, kw_only=True):
    """How much of the fleet's weight belongs on the elicitation lane."""

    share: Annotated[float, Meta(ge=0, le=1)]
    reason: Reason = ""


class ReasonBody(Strict, frozen=True, kw_only=True):
    """Why."""

    reason: Reason = ""


class DeprecateBody(Strict, frozen=True, kw_only=True):
    """What those still polling are told, and until when they have time."""

    sunset_seconds: Annotated[float, Meta(ge=0, le=366 * 86_400, description="From now on.")]
    notice: Annotated[str, Meta(max_length=2_000)] = ""


async def view(call: Call[Strict, Strict]) -> RolloutView:
    """Where the rollout is."""
    return call.hub.rollout()


async def start(call: Call[Strict, StartBody]) -> Outcome:
    """Begin a rollout at share 0."""
    return await call.hub.rollout_start(call.caller, call.body.name, salt=call.body.salt)


async def set_share(call: Call[Strict, SetBody]) -> Outcome:
    """Set the share."""
    return await call.hub.rollout_set(call.caller, call.body.share, call.body.reason)


async def hold(call: Call[Strict, ReasonBody]) -> Outcome:
    """Stop promoting."""
    return await call.hub.rollout_hold(call.caller, call.body.reason)


async def resume(call: Call[Strict, ReasonBody]) -> Outcome:
    """Go on after a hold."""
    return await call.hub.rollout_resume(call.caller, call.body.reason)


async def kill(call: Call[Strict, ReasonBody]) -> Outcome:
    """Put the share to 0 now."""
    return await call.hub.rollout_kill(call.caller, call.body.reason, source="http")


async def deprecate(call: Call[Strict, DeprecateBody]) -> Outcome:
    """Announce the end of the polling lane."""
    return await call.hub.rollout_deprecate(call.caller, call.body.sunset_seconds, call.body.notice)


async def remove(call: Call[Strict, Strict]) -> Outcome:
    """End the polling lane."""
    return await call.hub.rollout_remove(call.caller)
