"""The baseline's use cases: begin it, look at it, stop it. What is measured meanwhile is measuring.py's."""

from typing import Final

from crossfade.core import measurements
from crossfade.core.baselines import Wanted
from crossfade.core.decider import Refusal
from crossfade.core.measurements import BASELINE_SECONDS_DEFAULT, Reason
from crossfade.core.values import Caller, Scope
from crossfade.engine.context import Context, needs
from crossfade.engine.measuring import Measuring
from crossfade.engine.measuring_views import BaselineView, MeasurementsView, baseline_view, window_view
from crossfade.engine.views.instants import iso

IN_USE: Final = Refusal(
    "baseline.lane_in_use",
    "Not everybody is on the polling lane, so it cannot be measured by itself.",
    "Measure a baseline before the share of a rollout rises, or after going back to 0.",
)


class Baselines:
    """Start, show, stop."""

    def __init__(self, context: Context, measuring: Measuring) -> None:
        self._c = context
        self._measuring = measuring

    async def start(self, caller: Caller, seconds: float = BASELINE_SECONDS_DEFAULT) -> BaselineView | Refusal:
        """Measure the polling lane for so long; a new baseline takes the place of the last one."""
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is None and self._c.views.programme.rollout.share > 0:
            refusal = IN_USE
        check_seconds = self._c.limits.check_seconds
        command = measurements.Begin(reason=Reason.BASELINE, check_seconds=check_seconds, seconds=seconds)
        refusal = refusal or await self._measuring.command(command, caller.name)
        return self.view() if refusal is None else self._c.refuse(refusal)

    async def stop(self, caller: Caller, why: str = "") -> BaselineView | Refusal:
        """End the baseline before its time; what it has must do."""
        command = measurements.End(reason=Reason.BASELINE, why=why or "stopped")
        refusal = needs(caller, Scope.OPERATOR) or await self._measuring.command(command, caller.name)
        return self.view() if refusal is None else self._c.refuse(refusal)

    def view(self, wanted: Wanted | None = None) -> BaselineView:
        """The newest baseline, held against its own plan unless another one is given."""
        return baseline_view(self._c.views.measurements.kept.baseline, wanted)

    def measurements(self) -> MeasurementsView:
        """What is being measured, and what was."""
        kept = self._c.views.measurements.kept
        looked_at = self._measuring.looked_at
        return MeasurementsView(
            reasons=kept.reasons,
            check_seconds=kept.check_seconds,
            looked_at=iso(looked_at) if looked_at else None,
            whole=None if kept.whole is None else window_view(kept.whole),
            stage=None if kept.stage is None else window_view(kept.stage),
        )
