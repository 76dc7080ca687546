"""The ramp of a demonstration: up to half the fleet, back to nothing by the kill switch, then all the way.

Not a runsheet: no gates and no sign-offs, only the mechanics, through the hub's public API.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from crossfade.client.api import Api
from crossfade.client.errors import RefusedError
from crossfade.client.views import RolloutView


class Step(msgspec.Struct, frozen=True):
    """One thing to do to the rollout, and what it is called."""

    name: str
    action: str
    share: float
    """Share expected after it."""


RAMP: Final = (
    Step("baseline", "start", 0.0),
    Step("5 %", "set", 0.05),
    Step("25 %", "set", 0.25),
    Step("50 %", "set", 0.5),
    Step("kill switch", "kill", 0.0),
    Step("resume", "resume", 0.0),
    Step("5 % again", "set", 0.05),
    Step("25 % again", "set", 0.25),
    Step("50 % again", "set", 0.5),
    Step("75 %", "set", 0.75),
    Step("100 %", "set", 1.0),
)


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub said when a stage began."""

    name: str
    share: float
    achieved: float
    agents_on_elicitation: int
    agents: int
    """All that the hub counts: the fleet, and whoever else it knows."""
    status: str
    asked: int
    """Questions that the fleet had asked by then."""


OnStage = Callable[[Stage], None]


class Ramp:
    """Takes a hub through ``steps``, staying ``stage_seconds`` at each."""

    def __init__(self, api: Api, stage_seconds: float, asked: Callable[[], int], on_stage: OnStage) -> None:
        self.stages: list[Stage] = []
        self._api = api
        self._stage_seconds = stage_seconds
        self._asked = asked
        self._on_stage = on_stage

    async def run(self, steps: tuple[Step, ...] = RAMP) -> None:
        """Do all steps, one after the other. Raises CrossfadeError when the hub refuses."""
        for step in steps:
            view = await self._do(step)
            stage = Stage(
                name=step.name,
                share=view.share,
                achieved=view.achieved,
                agents_on_elicitation=view.agents_on_elicitation,
                agents=view.agents,
                status=view.status,
                asked=self._asked(),
            )
            self.stages.append(stage)
            self._on_stage(stage)
            await asyncio.sleep(self._stage_seconds)

    async def _do(self, step: Step) -> RolloutView:
        """Make the change. A refusal is accepted if the change was made: the reply to a first try got lost."""
        reason = f"demonstration: {step.name}"
        bodies: dict[str, dict[str, object]] = {
            "start": {"name": "demonstration", "salt": "demonstration"},
            "set": {"share": step.share, "reason": reason},
        }
        try:
            view = await self._api.steer(step.action, bodies.get(step.action, {"reason": reason}))
        except RefusedError:
            view = await self._api.rollout()
            if not _done(view, step):
                raise
        return view


def _done(view: RolloutView, step: Step) -> bool:
    if step.action == "start":
        return view.name == "demonstration"
    if step.action == "resume":
        return not view.held
    return view.share == step.share
