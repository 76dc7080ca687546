"""Acts of a driver: each action that is due, carried out through the ports, its intent before, its outcome after.

``perform`` may be cut off after any event; what it left is found by whoever drives next.
"""

from collections.abc import Awaitable, Callable
from typing import Any, assert_never

import msgspec

from crossfade.core import run_commands as commands
from crossfade.core.run_events import Verdict
from crossfade.core.run_next import (
    Action,
    Bake,
    CollectAnswers,
    CollectSignOff,
    CollectWaiver,
    EndAbort,
    EndRun,
    HoldNode,
    JudgeGate,
    RequestSignOff,
    RunStep,
    Undo,
)
from crossfade.core.run_plan import NodeKind, PlanNode, span
from crossfade.core.run_state import NodeStatus
from crossfade.core.values import SECOND, Instant
from crossfade.engine.checks import Checks
from crossfade.engine.context import Context
from crossfade.engine.hub_calls import HubCalls
from crossfade.engine.run_consent import Again, Consent, Consented
from crossfade.engine.run_people import Heard, People, Round
from crossfade.engine.run_plans import Came
from crossfade.engine.run_ports import CheckCall, Finding, StepCall
from crossfade.engine.run_steps import Steps
from crossfade.engine.signing_views import SignoffView
from crossfade.engine.views.runs import Entry

Send = Callable[[Entry, commands.DriverCommand], Awaitable[bool]]
"""Dispatches a command to a run; whether it was accepted and recorded something."""


class Acts:
    """Carries out actions. Each method says whether anything was recorded."""

    def __init__(self, context: Context, send: Send, steps: Steps, people: People, consent: Consent) -> None:
        self._c = context
        self._send = send
        self._steps = steps
        self._people = people
        self._consent = consent
        self.checks: Checks | None = None
        self.calls: HubCalls | None = None

    async def perform(self, entry: Entry, action: Action) -> bool:
        """Carry out what is due."""
        match action:
            case RunStep(node=node, recover=recover):
                return await self._step(entry, node, recover=recover)
            case JudgeGate(node=node):
                return await self._judge(entry, node)
            case HoldNode(node=node, verdict=verdict, reason=reason):
                return await self._hold(entry, node, Finding(verdict=verdict, reason=reason))
            case Bake(node=node, over=over):
                return await self._bake(entry, node, over=over)
            case RequestSignOff(node=node):
                return await self._request(entry, node)
            case CollectSignOff(node=node):
                return await self._collect_signoff(entry, node)
            case CollectAnswers(node=node):
                return await self._collect_answers(entry, node)
            case CollectWaiver(node=node):
                return await self._collect_waiver(entry, node)
            case Undo(node=node):
                return await self._undo(entry, node)
            case EndAbort():
                return await self._send(entry, commands.FinishAbort())
            case EndRun():
                return await self._send(entry, commands.Complete())
            case _:
                assert_never(action)

    def not_before(self, action: Action) -> Instant | None:
        """When an action can be carried out at the earliest, where the hub says so."""
        if not isinstance(action, RunStep) or self.calls is None or action.node.step is None:
            return None
        return self.calls.not_before(action.node.step.run) if action.node.step.kind == "hub" else None

    def looks(self, entry: Entry, action: Action) -> bool:
        """Whether carrying out an action records nothing as long as what it is about stays the same."""
        if isinstance(action, JudgeGate):
            return action.again
        if isinstance(action, RunStep) and action.node.step is not None and action.node.step.by_plan and action.recover:
            plans = self._steps.plans
            return plans is not None and plans.under_way(action.node.step, entry.state.of(action.node.id))
        return isinstance(action, CollectAnswers | CollectSignOff | CollectWaiver)

    def controlled(self, entry: Entry) -> bool:
        """Whether something was signed under controls that have to go on passing."""
        return self._consent.controlled(entry)

    async def watch(self, entry: Entry) -> None:
        """Look at those controls: one that fails suspends the approval, and it stands again when all pass."""
        await self._consent.watch(entry)

    # --- steps ------------------------------------------------------------------------------------------

    async def _step(self, entry: Entry, node: PlanNode, *, recover: bool) -> bool:
        step = node.step
        assert step is not None
        if not recover and (node.sets_share or step.irreversible):
            broken = await self._consent.broken(entry, node.phase.id)
            if broken is not None and broken.reason == "signoff expired":
                again = commands.Reopen(node=str(broken.numbers["node"]), signoff=str(broken.numbers["signoff"]))
                return await self._send(entry, again)
            if broken is not None:
                return await self._hold(entry, node, broken)
        if not recover:
            length = span(step.wait) if step.kind == "wait" and step.wait is not None else span(step.budget)
            deadline = Instant(self._c.dispatcher.now() + length)
            if not await self._send(entry, commands.Begin(node=node.id, deadline=deadline)):
                return False
        if step.kind == "wait":
            return await self._finish(entry, node, {"waited": str(step.wait)}) if recover else True
        if step.kind in ("ask", "meeting"):
            return await self._asked(entry, node, await self._people.ask(entry.run_id, entry.state, node))
        if step.by_plan:
            return await self._by_plan(entry, node) or not recover
        look = recover or entry.state.of(node.id).attempt > 1
        came = await self._steps.do(entry.run_id, entry.state, node, look=look)
        if isinstance(came, Finding):
            return await self._hold(entry, node, came)
        if came.reason == "not_implemented":
            return await self._hold(entry, node, Finding(verdict=Verdict.ERRORED, reason="not_measured"))
        if came.ok:
            return await self._finish(entry, node, came.seen)
        fail = commands.Fail(
            node=node.id, reason=came.reason, evidence=_raw(came.seen),
            final=bool(step.irreversible),
        )  # fmt: skip
        return await self._send(entry, fail)

    async def _by_plan(self, entry: Entry, node: PlanNode) -> bool:
        """Begin the step's plan, or look what became of it; one that ended otherwise is not simply begun again."""
        assert node.step is not None
        if self._steps.plans is None:
            return await self._hold(entry, node, Finding(verdict=Verdict.ERRORED, reason="not_measured"))
        came = await self._steps.plans.carry(entry.run_id, node.step, entry.state.of(node.id))
        if came is None:
            return False
        if came.ok:
            return await self._finish(entry, node, came.seen)
        fail = commands.Fail(node=node.id, reason=came.reason, evidence=_raw(came.seen), final=True)
        return await self._send(entry, fail)

    async def _asked(self, entry: Entry, node: PlanNode, came: Round | Finding) -> bool:
        if isinstance(came, Finding):
            return await self._hold(entry, node, came)
        ask = commands.Ask(node=node.id, items=came.items, deadline=came.deadline, round=came.number)
        return await self._send(entry, ask)

    async def _collect_answers(self, entry: Entry, node: PlanNode) -> bool:
        came = await self._people.collect(entry.run_id, entry.state, node)
        match came:
            case None:
                return False
            case Heard(answers=answers):
                return await self._finish(entry, node, {"answers": answers})
            case Round() | Finding():
                return await self._asked(entry, node, came)
            case _:
                assert_never(came)

    async def _bake(self, entry: Entry, node: PlanNode, *, over: bool) -> bool:
        """The last share has to stand, from when it was set, and still be in force when the time is over."""
        state = entry.state
        length = 0 if node.phase.bake is None else span(node.phase.bake)
        if not over:
            began = max(state.share_at, Instant(self._c.dispatcher.now() - length)) if state.share_at else None
            deadline = Instant((began or self._c.dispatcher.now()) + length)
            return await self._send(entry, commands.Begin(node=node.id, deadline=deadline))
        target = self._steps.target(state)
        seen: dict[str, object] = {"stood_seconds": length / SECOND, "share": state.share}
        if target is not None and state.share_at:
            call = StepCall(key=f"{entry.run_id}/{node.id}", timeout_seconds=60.0)
            found = await target.verify(state.share, call)
            if not found.ok:
                fail = commands.Fail(node=node.id, reason=f"share not in force: {found.reason}", final=True)
                return await self._send(entry, fail)
        return await self._finish(entry, node, seen)

    async def _undo(self, entry: Entry, node: PlanNode) -> bool:
        came: Came = await self._steps.undo(entry.run_id, entry.state, node)
        record = commands.RecordUndo(node=node.id, verified=came.ok, reason=came.reason, evidence=_raw(came.seen))
        return await self._send(entry, record)

    # --- gates --------------------------------------------------------------------------------------------

    async def _judge(self, entry: Entry, node: PlanNode) -> bool:
        assert self.checks is not None
        name, args = _asked_of(node)
        found = await self.checks.judge(name, CheckCall(run_id=entry.run_id, args=args))
        if found.verdict is Verdict.PASSED:
            return await self._finish(entry, node, {"check": name, **found.numbers})
        return await self._hold(entry, node, found, check=name)

    async def _hold(self, entry: Entry, node: PlanNode, found: Finding, **more: str) -> bool:
        hold = commands.Hold(
            node=node.id, verdict=found.verdict, reason=found.reason,
            evidence=_raw({**more, **found.numbers}),
        )  # fmt: skip
        return await self._send(entry, hold)

    async def _finish(self, entry: Entry, node: PlanNode, seen: dict[str, Any]) -> bool:
        return await self._send(entry, commands.Finish(node=node.id, evidence=_raw(seen)))

    # --- sign-offs ----------------------------------------------------------------------------------------

    async def _request(self, entry: Entry, node: PlanNode) -> bool:
        if entry.state.of(node.id).status is not NodeStatus.BEGUN:
            begin = commands.Begin(node=node.id, deadline=self._c.dispatcher.now())
            if not await self._send(entry, begin):
                return False
        view = await self._consent.request(entry, node)
        if isinstance(view, Finding):
            return await self._hold(entry, node, view)
        return await self._bound(entry, node, view)

    async def _bound(self, entry: Entry, node: PlanNode, view: SignoffView | Again) -> bool:
        number = entry.state.of(node.id).round + isinstance(view, Again)
        signoff_id = view.signoff if isinstance(view, Again) else view.signoff_id
        deadline = self._c.views.signoffs.entries[signoff_id].state.deadline
        ask = commands.Ask(node=node.id, items={"signoff": signoff_id}, deadline=deadline, round=number)
        return await self._send(entry, ask)

    async def _collect_signoff(self, entry: Entry, node: PlanNode) -> bool:
        signoff_id = entry.state.of(node.id).asked.get("signoff", "")
        if not signoff_id:
            return False
        came = await self._consent.collect(entry, node, signoff_id)
        match came:
            case None:
                return False
            case Consented():
                return await self._finish(entry, node, msgspec.to_builtins(came))
            case Again():
                return await self._bound(entry, node, came)
            case Finding():
                return await self._hold(entry, node, came)
            case _:
                assert_never(came)

    async def _collect_waiver(self, entry: Entry, node: PlanNode) -> bool:
        came = await self._consent.collect(entry, node, entry.state.of(node.id).waiver)
        match came:
            case None:
                return False
            case Consented():
                return await self._send(entry, commands.GrantWaiver(node=node.id))
            case Again() | Finding():
                reason = came.reason if isinstance(came, Finding) else "what was signed has changed"
                return await self._send(entry, commands.RefuseWaiver(node=node.id, reason=reason))
            case _:
                assert_never(came)


def _asked_of(node: PlanNode) -> tuple[str, dict[str, str]]:
    """The name under which a node is judged. A threshold is a measurement, which is a matter of its own."""
    if node.kind is NodeKind.GATE and node.gate is not None:
        return node.gate.check or f"slo.{node.gate.slo}", {}
    assert node.step is not None
    return node.step.run, node.step.args


def _raw(seen: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(seen))
