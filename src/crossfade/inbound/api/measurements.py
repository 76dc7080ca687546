"""Measurements over HTTP: what is measured, and the baseline: start, look, stop. With their routes."""

from typing import Annotated, Final

from msgspec import Meta

from crossfade.core.measurements import BASELINE_SECONDS_DEFAULT, BASELINE_SECONDS_MAX
from crossfade.engine.measuring_views import BaselineView, MeasurementsView
from crossfade.inbound.api.routes import ANYONE, OPERATE, AnyRoute, Call, Nothing, Outcome, Route, Strict


class BaselineBody(Strict, frozen=True, kw_only=True):
    """How long the polling lane is to be measured."""

    seconds: Annotated[float, Meta(ge=1, le=BASELINE_SECONDS_MAX, description="Seven days if left out.")] = (
        BASELINE_SECONDS_DEFAULT
    )


class WhyBody(Strict, frozen=True, kw_only=True):
    """Why."""

    reason: Annotated[str, Meta(max_length=500, description="Why; it goes into the log.")] = ""


async def view(call: Call[Strict, Strict]) -> MeasurementsView:
    """What is measured."""
    return call.hub.baselines.measurements()


async def baseline(call: Call[Strict, Strict]) -> BaselineView:
    """The newest baseline."""
    return call.hub.baselines.view()


async def start(call: Call[Strict, BaselineBody]) -> Outcome:
    """Begin a baseline."""
    return await call.hub.baselines.start(call.caller, call.body.seconds)


async def stop(call: Call[Strict, WhyBody]) -> Outcome:
    """End the baseline."""
    return await call.hub.baselines.stop(call.caller, call.body.reason)


MEASUREMENTS: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET", path="/v1/measurements", name="measurements", summary="Read what was measured", grants=ANYONE,
        run=view, gives=MeasurementsView, query=Nothing, body=Nothing,
    ),
    Route(
        method="GET", path="/v1/baseline", name="baseline", summary="Read the baseline", grants=ANYONE, run=baseline,
        gives=BaselineView, query=Nothing, body=Nothing,
    ),
    Route(
        method="POST", path="/v1/baseline/start", name="baseline_start", summary="Begin to measure the polling lane",
        grants=OPERATE, run=start, gives=BaselineView, query=Nothing, body=BaselineBody, refuses=(409,),
    ),
    Route(
        method="POST", path="/v1/baseline/stop", name="baseline_stop", summary="End the baseline", grants=OPERATE,
        run=stop, gives=BaselineView, query=Nothing, body=WhyBody, refuses=(409,),
    ),
)  # fmt: skip
