"""Plans: the use cases. Accept one, end it, look at it and at each of its gates, and say why in words and numbers.

Not here: driving it (driving.py), the statistics (core/gates).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from crossfade.core import rollouts, stages
from crossfade.core.decider import Refusal
from crossfade.core.plans import Plan
from crossfade.core.records import Recorded, encode, type_name
from crossfade.core.stage_events import Held, Judged, Promoted, RolledBack, Said
from crossfade.core.stage_next import Reading
from crossfade.core.values import PROGRAMME, Caller, Scope
from crossfade.core.watching import Watch
from crossfade.engine.context import Context, needs
from crossfade.engine.driving import Driving
from crossfade.engine.facts import Facts
from crossfade.engine.measuring import Measuring
from crossfade.engine.migration import Migration
from crossfade.engine.plan_story import story_of
from crossfade.engine.plan_views import (
    GateStory,
    GateView,
    PlanReader,
    PlanView,
    ReadPlan,
    Standing,
    gate_view,
    plan_view,
)
from crossfade.engine.streams import recorded
from crossfade.engine.views.instants import iso

TELLING: Final = (Judged, Held, Promoted, RolledBack)
"""Records that carry verdicts."""


class Planning:
    """Everything about plans that entry points call."""

    def __init__(
        self, context: Context, migration: Migration, measuring: Measuring, damage: Callable[[], str],
        ready: Callable[[], bool],
    ) -> None:  # fmt: skip
        """``damage``: what was found not to be as it was written; ``ready``: whether the log takes commands."""
        self._c = context
        self._view = context.views.plan
        self.facts = Facts(context, damage, ready)
        self.driving = Driving(context, migration, measuring, self.facts)
        self.read: PlanReader | None = None
        """How a plan's text is read here; None: not at all."""

    # --- begin and end ------------------------------------------------------------------------------------

    async def accept(self, caller: Caller, text: str, *, file: str = "plan.yaml") -> PlanView | Refusal:
        """Let a plan drive the rollout. Needs scope operator."""
        read = needs(caller, Scope.OPERATOR) or self.understood(text, file)
        if isinstance(read, Refusal):
            return self._c.refuse(read)
        return await self.begin(read, caller.name) or self._shown()

    def understood(self, text: str, file: str = "plan.yaml") -> ReadPlan | Refusal:
        """The plan that a text says."""
        hint = "Start a hub with `crossfade serve`."
        if self.read is None:
            return Refusal("plan.unreadable", "This process cannot read plans.", hint)
        return self.read(text, file)

    async def begin(self, read: ReadPlan, by: str, *, run_id: str = "") -> Refusal | None:
        """Let a plan drive the rollout, for a step of ``run_id`` if it is one; what stands against it, if any."""
        epoch = self._c.views.programme.rollout.epoch
        command = stages.Accept(plan=msgspec.Raw(read.canonical), digest=read.digest, epoch=epoch)
        tried = stages.decide(self._view.state, command, self._c.dispatcher.now())
        wrong = tried if isinstance(tried, Refusal) else self._in_the_way(read.plan, run_id)
        if wrong is not None:
            return self._c.refuse(wrong)
        outcome = await self._c.dispatcher.run(stages.STREAM, command, by=by)
        return self._c.refuse(outcome) if isinstance(outcome, Refusal) else None

    def _in_the_way(self, plan: Plan, own_run_id: str) -> Refusal | None:
        """Why this plan cannot drive the rollout as it stands; the run whose step it is does not stand in its way."""
        programme, rollout = self._c.views.programme, self._c.views.programme.rollout
        if programme.killed_by_file:
            return Refusal("rollout.killed_by_file", "The kill file is there.", "Remove the file KILL first.")
        for run_id, entry in self._c.views.runs.items():
            if run_id != own_run_id and entry.state.active and entry.state.sheet.target.kind == "hub":
                said = f"The run {run_id} of {entry.state.sheet.name!r} moves the rollout."
                return Refusal("plan.contends", said, "Let the run end, or abort it first.", {"run": run_id})
        if rollout.held:
            return Refusal("rollout.held", f"The rollout is held: {rollout.held_reason}", "Settle that, then resume.")
        if rollout.started and plan.salt not in ("", rollout.salt):
            said = f"The rollout began with the salt {rollout.salt!r}; another would move every cluster."
            return Refusal("plan.salt_differs", said, "Leave the salt out.")
        if fault := Watch(0, plan).fault:
            return Refusal("plan.bad_plan", f"The plan cannot be judged: {fault}.", "Correct its gates and triggers.")
        first = plan.stages[0].share
        if rollout.share > first or rollout.status not in (rollouts.Status.POLLING, rollouts.Status.DUAL):
            said = f"The share is {rollout.share:g} already; the plan begins with {first:g}."
            return Refusal("plan.share_ahead", said, "Leave out the stages that were reached.")
        return self._measured_otherwise(plan)

    def _measured_otherwise(self, plan: Plan) -> Refusal | None:
        kept = self._c.views.measurements.kept
        if not kept.reasons or kept.check_seconds == plan.check_seconds:
            return None
        every, sized = f"{kept.check_seconds:g} s", f"{plan.check_seconds:g} s"
        said = f"Measurements are taken every {every}; the plan's triggers are sized for {sized}."
        return Refusal("plan.check_differs", said, f"Write check_seconds: {kept.check_seconds:g} into the plan.")

    async def stop(self, caller: Caller, reason: str) -> PlanView | Refusal:
        """End the plan; the share stays where it is. Needs scope operator."""
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is not None:
            return self._c.refuse(refusal)
        share = self._c.views.programme.rollout.share
        command = stages.Abort(reason=f"{caller.name}: {reason}", share=share)
        outcome = await self._c.dispatcher.run(stages.STREAM, command, by=caller.name)
        return self._c.refuse(outcome) if isinstance(outcome, Refusal) else self._shown()

    # --- look ---------------------------------------------------------------------------------------------

    def plan(self) -> PlanView | Refusal:
        """The plan that drives the rollout, or drove it last."""
        if not self._view.state.number:
            return Refusal(
                "plan.unknown", "There has been no plan.", "`crossfade rollout start --plan FILE` begins one."
            )
        return self._shown()

    def gates(self) -> list[GateView] | Refusal:
        """Every gate, trigger and comparison as it stands."""
        return [gate_view(said) for said in self._said(self._fresh())] if self._view.state.number else []

    def standing(self) -> Standing:
        """The newest plan and its verdicts, judged anew only where there is new evidence: for who asks all the time."""
        state = self._view.state
        said = self._said(self.driving.reading()) if state.number else ()
        return Standing(state=state, said=said, fired=self._view.fired)

    async def gate(self, name: str) -> GateStory | Refusal:
        """One of them with its story."""
        found = next((said for said in self._said(self._fresh()) if name in (said.name, _short(said.name))), None)
        if found is None:
            return self._not_among(name)
        rows = await self._c.log.read_stream(PROGRAMME, stages.STREAM)
        records = [recorded(PROGRAMME, row) for row in rows]
        begun = max(
            (place for place, one in enumerate(records) if type_name(one.event) == "plan.accepted/1"), default=0
        )
        mine = records[begun:]
        kept = tuple(_as_json(one) for one in mine if _tells(one, found.name))
        state = self._view.state
        return GateStory(gate=gate_view(found), story=story_of(found, state, mine, self._fresh()), history=kept)

    def _not_among(self, name: str) -> Refusal:
        if _short(name) in self._view.state.plan.gates:
            said = f"Gate {_short(name)!r} is not judged now: it is from the plan's first stage until its end."
            return Refusal("gate.unknown", said, "`crossfade rollout status` says what the plan waits for.")
        return Refusal("gate.unknown", f"There is no gate {name[:64]!r}.", "`crossfade gate ls` lists them.")

    def _shown(self) -> PlanView:
        reading = self._fresh()
        return plan_view(self._view.state, reading, self._said(reading))

    def _fresh(self) -> Reading:
        return self.driving.reading(fresh=True)

    def _said(self, reading: Reading) -> tuple[Said, ...]:
        """Every verdict; of a plan that went back, the one that made it go back as it was then."""
        said = (*reading.proofs, *reading.others)
        back = self._view.state.back
        return said if back is None else tuple(back.said if one.name == back.said.name else one for one in said)


def _short(name: str) -> str:
    """``p99`` for ``gate.p99``."""
    return name.removeprefix("gate.")


def _tells(record: Recorded, name: str) -> bool:
    event = record.event
    if not isinstance(event, TELLING):
        return False
    said = (event.said,) if isinstance(event.said, Said) else event.said
    return any(one.name == name for one in said)


def _as_json(record: Recorded) -> msgspec.Raw:
    told = {
        "sequence": record.sequence, "at": iso(record.at), "type": type_name(record.event), "actor": record.actor,
        "event": msgspec.Raw(encode(record.event)),
    }  # fmt: skip
    return msgspec.Raw(msgspec.json.encode(told))
