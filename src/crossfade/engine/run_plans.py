"""Steps by plan: a step of a runsheet that lets a plan drive the hub's rollout, and is done when the plan has finished.

Rules
-----
1. The plan's text is part of the runsheet, so a run is bound to it by the runsheet's digest; ``digest`` in the args
   binds it to the values as well.
2. A run begins a plan under its lease, and then only looks: who drives is the plan alone, and the run writes nothing.
   While the run is paused, or in a freeze, its plan holds; its triggers go on.
3. Whatever was begun and is live, or has ended since, is this step's own; it is never begun twice. What is so already
   is done.
"""

from typing import Final

import msgspec

from crossfade.core import stages
from crossfade.core.decider import Refusal
from crossfade.core.run_state import Progress
from crossfade.core.runsheets import Step
from crossfade.core.stage_events import Status
from crossfade.engine.context import Context
from crossfade.engine.plan_views import ReadPlan
from crossfade.engine.planning import Planning

GOING: Final = stages.LIVE | {Status.ROLLING_BACK}


class Came(msgspec.Struct, frozen=True):
    """What a step, or its undoing, came to."""

    ok: bool
    reason: str
    seen: dict[str, object]


class PlanSteps:
    """Begins the plan of a step, and says what became of it."""

    def __init__(self, context: Context, planning: Planning) -> None:
        self._c = context
        self._planning = planning

    def under_way(self, step: Step, progress: Progress) -> bool:
        """The step's plan drives the rollout, and there is time left: there is nothing to do but to look."""
        read = self._read(step)
        return isinstance(read, ReadPlan) and self._mine(read, progress) and self._going and self._in_time(progress)

    async def carry(self, run_id: str, step: Step, progress: Progress) -> Came | None:
        """Begin the plan unless it was; None while it drives."""
        read = self._read(step)
        if isinstance(read, Refusal):
            return Came(ok=False, reason=read.code, seen={"why": read.message})
        if not self._mine(read, progress):
            begun = await self._planning.begin(read, f"run {run_id}", run_id=run_id)
            return None if begun is None else Came(ok=False, reason=begun.code, seen={"why": begun.message})
        state, share = self._c.views.plan.state, self._c.views.programme.rollout.share
        seen: dict[str, object] = {
            "plan": state.plan.name, "digest": state.digest, "status": str(state.status), "share": share,
        }  # fmt: skip
        if self._going:
            return None if self._in_time(progress) else Came(ok=False, reason="budget", seen=seen)
        if state.status is not Status.FINISHED:
            why = state.reason if state.back is None else f"{state.back.said.name}: {state.back.said.explanation}"
            return Came(ok=False, reason=f"plan {state.status}", seen={**seen, "why": why})
        reached = share == step.share
        return Came(ok=reached, reason="" if reached else "not verified: share differs", seen=seen)

    async def stop(self, step: Step, progress: Progress) -> None:
        """End the step's plan, if it drives; the share stays where it is."""
        read = self._read(step)
        if isinstance(read, ReadPlan) and self._mine(read, progress) and self._c.views.plan.state.live:
            share = self._c.views.programme.rollout.share
            command = stages.Abort(reason="the run that began it takes its steps back", share=share)
            await self._c.dispatcher.run(stages.STREAM, command, by="programme")

    def _read(self, step: Step) -> ReadPlan | Refusal:
        read = self._planning.understood(step.args.get("plan", ""))
        wanted = step.args.get("digest", "")
        if isinstance(read, Refusal) or wanted in ("", read.digest):
            return read
        said = f"The plan's digest is {read.digest}, the step says {wanted}."
        return Refusal("plan.bad_digest", said, "Put the digest right, or the plan.")

    def _mine(self, read: ReadPlan, progress: Progress) -> bool:
        state, share = self._c.views.plan.state, self._c.views.programme.rollout.share
        reached = state.status is Status.FINISHED and share == read.plan.stages[-1].share
        return state.digest == read.digest and (self._going or reached or state.accepted_at >= progress.at)

    @property
    def _going(self) -> bool:
        return self._c.views.plan.state.status in GOING

    def _in_time(self, progress: Progress) -> bool:
        return self._c.clock.now() < progress.deadline
