"""Sign-offs of a run: asked for through the product itself, bound to what the run rests on, collected, watched.

What is signed is (runsheet, evidence so far, flags of the rollout). When that changes before all have signed,
the same roles are asked again. Conditions are gates that are judged here; a control that fails suspends.
"""

from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.run_events import Verdict
from crossfade.core.run_plan import NodeKind, PlanNode
from crossfade.core.run_state import SETTLED, NodeStatus, State
from crossfade.core.runsheets import Role
from crossfade.core.signoff_events import Panel, Parts, digest_of
from crossfade.core.values import AgentName, Caller, Kind, Scope
from crossfade.engine.checks import Checks
from crossfade.engine.context import Context
from crossfade.engine.run_people import agenda
from crossfade.engine.run_ports import CheckCall, Finding
from crossfade.engine.signing_off import SigningOff
from crossfade.engine.signing_views import SignoffRequest, SignoffView
from crossfade.engine.views.runs import Entry

WAIVER_SECONDS: Final = 2 * 86_400.0
WAIVER_VALID_SECONDS: Final = 14 * 86_400.0


class Consented(msgspec.Struct, frozen=True, kw_only=True):
    """Signed, and every condition holds."""

    signoff: str
    outcome: str
    certificate: str
    conditions: tuple[str, ...]
    controls: tuple[str, ...]


class Again(msgspec.Struct, frozen=True):
    """What is to be signed has changed: it is asked for anew under this id."""

    signoff: str


class Consent:
    """Requests, collects and watches the sign-offs of runs."""

    def __init__(self, context: Context, signing: SigningOff, checks: Checks) -> None:
        self._c = context
        self._signing = signing
        self._checks = checks

    async def request(self, entry: Entry, node: PlanNode) -> SignoffView | Finding:
        """Ask the roles of a sign-off node."""
        assert node.signoff is not None
        state = entry.state
        panels = [state.sheet.roles[role] for role in node.signoff.roles]
        deadline = min(panel.deadline.total_seconds() for panel in panels)
        valid = max(panel.valid_for.total_seconds() for panel in panels)
        progress = state.of(node.id)
        request = SignoffRequest(
            subject=f"run/{entry.run_id}/{node.id}",
            about=node.signoff.about or f"{node.phase.title}: {node.id}",
            parts=self.parts(state),
            roles=_panels(state, node.signoff.roles),
            deadline_seconds=deadline,
            valid_seconds=max(valid, deadline + 1),
            summary=agenda(state),
            key=f"{entry.run_id}/{node.id}/{progress.attempt}/{digest_of(self.parts(state))[:16]}",
        )
        view = await self._signing.request(_asker(entry), request)
        if isinstance(view, Refusal):
            return Finding(verdict=Verdict.ERRORED, reason=view.code, numbers={"message": view.message})
        return view

    async def waiver(
        self, entry: Entry, node: PlanNode, by: Caller, reason: str, roles: tuple[Role, ...]
    ) -> SignoffView | Refusal:
        """Ask roles whether a node may be passed without its verdict."""
        progress = entry.state.of(node.id)
        request = SignoffRequest(
            subject=f"run/{entry.run_id}/{node.id}/waiver",
            about=f"Waive {node.id}, which is {progress.verdict} ({progress.reason})? {by.name} says: {reason}",
            parts=self.parts(entry.state),
            roles=_panels(entry.state, roles or tuple(entry.state.sheet.roles)),
            deadline_seconds=WAIVER_SECONDS,
            valid_seconds=WAIVER_VALID_SECONDS,
            summary=agenda(entry.state),
        )
        return await self._signing.request(by, request)

    async def collect(self, entry: Entry, node: PlanNode, signoff_id: str) -> Consented | Again | Finding | None:
        """What came of it; None while it is open."""
        parts = self.parts(entry.state)
        view = await self._signing.evaluate(signoff_id, digest_of(parts))
        if isinstance(view, Refusal):
            return Finding(verdict=Verdict.ERRORED, reason=view.code)
        if view.status == "open":
            return None
        if view.status == "stale":
            again = await self._signing.renew(_asker(entry), signoff_id, parts, agenda(entry.state))
            return (
                Finding(verdict=Verdict.ERRORED, reason=again.code)
                if isinstance(again, Refusal)
                else Again(again.signoff_id)
            )
        if not view.holds:
            return Finding(verdict=Verdict.FAILED, reason=f"signoff {view.status}", numbers={"signoff": signoff_id})
        for condition in view.conditions:
            found = await self._checks.judge(condition.expression, CheckCall(run_id=entry.run_id))
            if found.verdict is not Verdict.PASSED:
                numbers = {**found.numbers, "condition": condition.expression}
                return Finding(verdict=found.verdict, reason=f"condition {found.reason}", numbers=numbers)
        conditions = tuple(condition.expression for condition in view.conditions)
        return Consented(
            signoff=signoff_id, outcome=view.outcome, certificate=view.certificate, conditions=conditions,
            controls=view.controls,
        )  # fmt: skip

    async def broken(self, entry: Entry, phase: str) -> Finding | None:
        """A sign-off of the phase that no longer holds, its controls looked at now; None if all hold."""
        for node in entry.state.plan:
            signoff_id = entry.state.of(node.id).asked.get("signoff", "")
            if node.kind is not NodeKind.SIGNOFF or node.phase.id != phase or not signoff_id:
                continue
            if entry.state.of(node.id).status is not NodeStatus.DONE:
                continue
            view = await self._controlled(entry, signoff_id)
            if isinstance(view, Refusal) or not view.holds:
                status = view.code if isinstance(view, Refusal) else view.status
                numbers: dict[str, float | str] = {"signoff": signoff_id, "node": node.id}
                return Finding(verdict=Verdict.FAILED, reason=f"signoff {status}", numbers=numbers)
        return None

    def controlled(self, entry: Entry) -> bool:
        """Whether a sign-off of the run stands, or is suspended, under controls."""
        return bool(self._under_control(entry))

    async def watch(self, entry: Entry) -> None:
        """Look at the controls of every sign-off that stands or is suspended."""
        for signoff_id in self._under_control(entry):
            await self._controlled(entry, signoff_id)

    def _under_control(self, entry: Entry) -> list[str]:
        asked = [
            entry.state.of(node.id).asked.get("signoff", "")
            for node in entry.state.plan
            if node.kind is NodeKind.SIGNOFF and entry.state.of(node.id).status is NodeStatus.DONE
        ]
        views = [self._signing.signoff(signoff_id) for signoff_id in asked if signoff_id]
        return [
            view.signoff_id
            for view in views
            if not isinstance(view, Refusal) and view.controls and view.status in {"approved", "suspended"}
        ]

    async def _controlled(self, entry: Entry, signoff_id: str) -> SignoffView | Refusal:
        view = self._signing.signoff(signoff_id)
        if isinstance(view, Refusal):
            return view
        for control in view.controls:
            found = await self._checks.judge(control, CheckCall(run_id=entry.run_id))
            passed = found.verdict is Verdict.PASSED
            if passed and control in view.failing:
                await self._signing.reinstate(signoff_id, control)
            elif not passed and control not in view.failing:
                await self._signing.suspend(signoff_id, control, found.reason)
        return self._signing.signoff(signoff_id)

    def parts(self, state: State) -> Parts:
        """What exactly is signed: the runsheet, how every settled node came out, the flags."""
        settled = {
            node.id: [str(state.of(node.id).status), state.of(node.id).digest or state.of(node.id).signoff]
            for node in state.plan
            if state.of(node.id).status in SETTLED
        }
        rollout = self._c.views.programme.rollout
        flags = (rollout.status, rollout.share, rollout.threshold, rollout.salt, rollout.epoch)
        return Parts(runsheet=state.digest, evidence=_digest(settled), flags=_digest(flags))


def _panels(state: State, roles: tuple[Role, ...]) -> dict[str, Panel]:
    found = {str(role): state.sheet.roles[role] for role in roles if role in state.sheet.roles}
    return {
        role: Panel(members=tuple(AgentName(name) for name in panel.members), quorum=panel.quorum)
        for role, panel in found.items()
    }


def _asker(entry: Entry) -> Caller:
    """Whoever created the run asks, and so cannot sign."""
    return Caller(name=AgentName(entry.created_by), kind=Kind.SERVICE, scopes=frozenset({Scope.OPERATOR}))


def _digest(value: object) -> str:
    return sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
