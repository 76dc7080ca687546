"""Steps of a run done through the ports: look, do, verify, undo. What a step comes to, and nothing recorded.

A first attempt does at once. Whatever was begun before (a crash, a failed attempt) is looked at first, because
its effect may exist: then it is verified and not done again.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from crossfade.core.run_events import Verdict
from crossfade.core.run_plan import PlanNode
from crossfade.core.run_state import State
from crossfade.core.runsheets import Runsheet, Step
from crossfade.core.values import SECOND
from crossfade.engine.context import Context
from crossfade.engine.hub_calls import HubCalls
from crossfade.engine.plan_views import PlanReader
from crossfade.engine.run_plans import Came, PlanSteps
from crossfade.engine.run_ports import Check, Finding, SharedTarget, StepCall, StepOutcome, StepRunner, Targets

ABSENT: Final = StepOutcome(ok=False, reason="not_implemented")
UNKNOWN: Final = Finding(verdict=Verdict.INCONCLUSIVE, reason="unknown_outcome")
"""It was begun, nothing can say whether it happened, and it must not happen twice."""
UNDO_SECONDS: Final = 300.0

Seen = dict[str, object]


class Work(msgspec.Struct, frozen=True):
    """What the process can do for a run."""

    steps: StepRunner | None = None
    """None: commands and HTTP are not implemented here."""
    targets: Targets | None = None
    """Targets other than the hub's own rollout."""
    lint: Callable[[Runsheet], str] | None = None
    """The first thing that makes no sense in a runsheet; empty if nothing does not."""
    checks: Mapping[str, Check] = {}
    """Checks that adapters bring."""
    plans: PlanReader | None = None
    """Reads the text of a plan; None: plans cannot be read here."""
    sole: bool = True
    """No other process writes to this log."""
    stored_plan: Callable[[], bytes] = bytes
    """Reads the plan of capacity that is kept where this process was started; empty if there is none."""


class Steps:
    """Does and undoes steps."""

    def __init__(self, context: Context, calls: HubCalls, own: SharedTarget) -> None:
        self._c = context
        self._calls = calls
        self._own = own
        self.work = Work()
        self.plans: PlanSteps | None = None
        """Steps that let a plan drive; None: there are no plans here."""

    def target(self, state: State) -> SharedTarget | None:
        """What the share of this run is a share of."""
        wanted = state.sheet.target
        if wanted.kind == "hub":
            return self._own
        return None if self.work.targets is None else self.work.targets.of(wanted)

    async def do(self, run_id: str, state: State, node: PlanNode, *, look: bool) -> Came | Finding:
        """Bring the step about; a Finding if that cannot be decided here."""
        step, seen = _step(node), Seen()
        progress = state.of(node.id)
        if look:
            found = await self._probe(run_id, state, node)
            if found is not None:
                seen["probe"] = _said(found)
            if found is None and step.irreversible:
                return UNKNOWN
            if found is not None and found.ok:
                return await self._verified(run_id, state, node, seen)
        left = (progress.deadline - self._c.clock.now()) / SECOND
        if left <= 0:
            return Came(ok=False, reason="budget", seen=seen)
        done = await self._act(run_id, state, step, node, left)
        seen["do"] = _said(done)
        if not done.ok:
            return Came(ok=False, reason=done.reason or "failed", seen=seen)
        return await self._verified(run_id, state, node, seen)

    async def _verified(self, run_id: str, state: State, node: PlanNode, seen: Seen) -> Came:
        step = _step(node)
        call = self._call(run_id, node, UNDO_SECONDS)
        if step.kind in ("share", "hub"):
            found = await self._in_force(state, step, call)
            seen["in_force"] = _said(found)
            if not found.ok:
                return Came(ok=False, reason=f"not verified: {found.reason}", seen=seen)
        if step.verify:
            found = await self._text(step.verify, call)
            seen["verify"] = _said(found)
            if not found.ok:
                return Came(ok=False, reason=f"not verified: {found.reason}", seen=seen)
        return Came(ok=True, reason="", seen=seen)

    async def _probe(self, run_id: str, state: State, node: PlanNode) -> StepOutcome | None:
        """Whether it is done already; None if nothing can say."""
        step, call = _step(node), self._call(run_id, node, UNDO_SECONDS)
        if step.probe:
            return await self._text(step.probe, call)
        return await self._in_force(state, step, call) if step.kind in ("share", "hub") else None

    async def _in_force(self, state: State, step: Step, call: StepCall) -> StepOutcome:
        if step.kind == "hub":
            return self._calls.done(step.run, step.args)
        target = self.target(state)
        return ABSENT if target is None else await target.verify(step.share or 0.0, call)

    async def _act(self, run_id: str, state: State, step: Step, node: PlanNode, seconds: float) -> StepOutcome:
        call = self._call(run_id, node, seconds)
        match step.kind:
            case "command" | "http":
                runner = self.work.steps
                if runner is None:
                    return ABSENT
                return await (runner.command if step.kind == "command" else runner.http)(step.run, call)
            case "hub":
                return await self._calls.call(step.run, step.args)
            case "share":
                target = self.target(state)
                return ABSENT if target is None else await target.set_share(step.share or 0.0, call)
            case _:
                return ABSENT

    async def _text(self, text: str, call: StepCall) -> StepOutcome:
        """A command line, or a URL that is only read."""
        if self.work.steps is None:
            return ABSENT
        if text.startswith(("http://", "https://")):
            return await self.work.steps.http(text, call, "GET")
        return await self.work.steps.command(text, call)

    def _call(self, run_id: str, node: PlanNode, seconds: float) -> StepCall:
        args = {} if node.step is None else node.step.args
        return StepCall(key=f"{run_id}/{node.id}", timeout_seconds=seconds, args=args)

    async def undo(self, run_id: str, state: State, node: PlanNode) -> Came:
        """Take the effect back, then look whether it is gone. ``ok`` only if that was seen."""
        step, seen = _step(node), Seen()
        call = self._call(run_id, node, UNDO_SECONDS)
        before = state.share_before(node.id)
        target = self.target(state)
        if step.by_plan and self.plans is not None:
            await self.plans.stop(step, state.of(node.id))
        if step.undo:
            is_call = step.kind == "hub" and step.undo.startswith("rollout.")
            done = await (self._calls.call(step.undo, step.args) if is_call else self._text(step.undo, call))
        elif target is None:
            done = ABSENT
        else:
            done = await target.set_share(before, call)
        seen["undo"] = _said(done)
        if not done.ok:
            return Came(ok=False, reason=done.reason or "failed", seen=seen)
        if step.moves_share:
            found = ABSENT if target is None else await target.verify(before, call)
            seen["in_force"] = _said(found)
            return Came(ok=found.ok, reason="" if found.ok else "not verified", seen=seen)
        still = await self._probe(run_id, state, node)
        if still is None:
            return Came(ok=False, reason="cannot be verified: no probe", seen=seen)
        seen["probe"] = _said(still)
        return Came(ok=not still.ok, reason="still in effect" if still.ok else "", seen=seen)


def _step(node: PlanNode) -> Step:
    assert node.step is not None
    return node.step


def _said(outcome: StepOutcome) -> Seen:
    return msgspec.to_builtins(outcome)  # type: ignore[no-any-return]
