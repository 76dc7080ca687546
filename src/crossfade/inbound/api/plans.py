"""Plans over HTTP: let one drive the rollout, look at it, end it, and its gates. With their routes."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from crossfade.core.decider import Refusal
from crossfade.engine.plan_views import GateStory, GateView, PlanView
from crossfade.inbound.api.routes import ANYONE, OPERATE, AnyRoute, Call, Nothing, Outcome, Route, Strict


class PlanBody(Strict, frozen=True, kw_only=True):
    """The plan that is to drive the rollout."""

    plan: Annotated[str, Meta(min_length=2, max_length=1 << 20, description="Text of a plan, as YAML or JSON.")]
    file: Annotated[str, Meta(max_length=200, description="What messages call it.")] = "plan.yaml"


class StopBody(Strict, frozen=True, kw_only=True):
    """Why."""

    reason: Annotated[str, Meta(max_length=500, description="Why; it goes into the log.")] = ""


class GatePage(msgspec.Struct, frozen=True, kw_only=True):
    """Every gate, trigger and comparison of the plan as it stands; empty if there has been no plan."""

    gates: list[GateView]


async def accept(call: Call[Strict, PlanBody]) -> Outcome:
    """Let a plan drive the rollout."""
    return await call.hub.plans.accept(call.caller, call.body.plan, file=call.body.file)


async def plan(call: Call[Strict, Strict]) -> Outcome:
    """The plan that drives the rollout, or drove it last."""
    return call.hub.plans.plan()


async def stop(call: Call[Strict, StopBody]) -> Outcome:
    """End the plan."""
    return await call.hub.plans.stop(call.caller, call.body.reason)


async def gates(call: Call[Strict, Strict]) -> Outcome:
    """Every gate."""
    found = call.hub.plans.gates()
    return found if isinstance(found, Refusal) else GatePage(gates=found)


async def gate(call: Call[Strict, Strict]) -> Outcome:
    """One gate with its story."""
    return await call.hub.plans.gate(call.name)


PLANS: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST", path="/v1/rollout/plan", name="rollout_plan_start", summary="Let a plan drive the rollout",
        grants=OPERATE, run=accept, gives=PlanView, query=Nothing, body=PlanBody, status=201, refuses=(409,),
    ),
    Route(
        method="GET", path="/v1/rollout/plan", name="rollout_plan", summary="Read the plan and its gates",
        grants=ANYONE, run=plan, gives=PlanView, query=Nothing, body=Nothing, refuses=(404,),
    ),
    Route(
        method="POST", path="/v1/rollout/plan/stop", name="rollout_plan_stop",
        summary="End the plan; the share stays where it is", grants=OPERATE, run=stop, gives=PlanView, query=Nothing,
        body=StopBody, refuses=(409,),
    ),
    Route(
        method="GET", path="/v1/gates", name="gates", summary="List the gates of the plan", grants=ANYONE, run=gates,
        gives=GatePage, query=Nothing, body=Nothing,
    ),
    Route(
        method="GET", path="/v1/gates/{gate}", name="gate", summary="Read a gate with its story", grants=ANYONE,
        run=gate, gives=GateStory, query=Nothing, body=Nothing, refuses=(404,),
    ),
)  # fmt: skip
