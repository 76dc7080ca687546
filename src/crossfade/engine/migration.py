"""Migration: the rollout's use cases, from the first share to the removal and back by the kill switch.

The kill switch comes before the log: lanes are taken back in memory first, then recorded, and again
and again until the log takes it.
"""

import asyncio
from typing import Any, Final

from crossfade.core import clusters, rollouts, stages
from crossfade.core.decider import Refusal
from crossfade.core.values import Instant, Lane
from crossfade.engine.context import Context
from crossfade.engine.ports import LogError
from crossfade.engine.requests import RolloutView
from crossfade.engine.views.instants import iso
from crossfade.engine.views.programme import ROLLOUT

RETRY_SECONDS: Final = 1.0
"""A kill that the log did not take is tried again after this long."""


REMOVED: Final = rollouts.Status.REMOVED
LEAVING: Final = frozenset({rollouts.Status.DEPRECATED, REMOVED})
"""In these polling is on its way out, or gone."""


class Migration:
    """Start, share, hold, resume, kill, deprecate, remove."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._programme = context.views.programme

    async def start(self, by: str, name: str, salt: str | None) -> RolloutView | Refusal:
        """Begin; the salt is drawn unless given."""
        return await self._do(by, rollouts.Start(name=name, salt=salt or self._c.ids.new("salt")))

    async def set_share(self, by: str, share: float, reason: str, *, driver: bool = False) -> RolloutView | Refusal:
        """Move the share; freezes the clusters before it rises for the first time. Going to 0 comes before the log.

        ``driver``: it is the plan that drives the rollout; nobody else raises the share while one does.
        """
        programme = self._programme
        if share > programme.rollout.share and not driver and self._c.views.plan.state.live:
            return self._c.refuse(_driven(self._c.views.plan.state))
        if share == 0 and programme.rollout.share > 0:
            return await self._to_zero(by, rollouts.SetShare(share=share, reason=reason))
        if programme.killed_by_file and share > 0:
            return self._c.refuse(
                Refusal(
                    "rollout.killed_by_file",
                    "The kill file is there.",
                    "Remove the file KILL from the data folder first.",
                )
            )
        if share > 0 and programme.rollout.started and not programme.rollout.frozen:
            frozen = await self._do(by, await asyncio.to_thread(self._freeze, self._snapshot()))
            if isinstance(frozen, Refusal):
                return frozen
        return await self._do(by, rollouts.SetShare(share=share, reason=reason))

    async def hold(self, by: str, reason: str) -> RolloutView | Refusal:
        """Let the share rise no further."""
        return await self._do(by, rollouts.Hold(reason=reason))

    async def resume(self, by: str, reason: str) -> RolloutView | Refusal:
        """Let it rise again; where a plan holds until somebody has looked, somebody has."""
        hold = self._c.views.plan.state.hold
        if hold is not None and hold.cause in stages.ANEW:
            looked = stages.Resume(cause=hold.cause, reason=f"{by}: {reason}", looked=True)
            outcome = await self._c.dispatcher.run(stages.STREAM, looked, by=by)
            if isinstance(outcome, Refusal) or not self._programme.rollout.held:
                return self._c.refuse(outcome) if isinstance(outcome, Refusal) else self.view()
        return await self._do(by, rollouts.Resume(reason=reason))

    async def kill(self, by: str, reason: str, source: str) -> RolloutView | Refusal:
        """Everybody on polling now; the record follows as soon as the log takes it."""
        command = rollouts.Kill(reason=reason, source=rollouts.Source(source))
        outcome = rollouts.decide(self._programme.rollout, command, self._c.dispatcher.now())
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        if any(isinstance(event, rollouts.Killed | rollouts.Restored) for event in outcome):
            self.take_back()
        try:
            return await self._do(by, command)
        except LogError:
            self._c.again(RETRY_SECONDS, lambda: self._c.background.spawn(self._record_kill(by, command), "kill"))
            return self.view()

    async def _to_zero(self, by: str, command: rollouts.SetShare) -> RolloutView | Refusal:
        """Everybody on polling now, as by the kill switch, but nothing is held."""
        outcome = rollouts.decide(self._programme.rollout, command, self._c.dispatcher.now())
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        self.take_back()
        try:
            return await self._do(by, command)
        except LogError:
            self._c.again(RETRY_SECONDS, lambda: self._c.background.spawn(self._record_zero(by, command), "share 0"))
            return self.view()

    async def _record_zero(self, by: str, command: rollouts.SetShare) -> None:
        if self._programme.killed:
            await self._to_zero(by, command)

    def kill_file(self, present: bool, reason: str) -> None:
        """Follow the kill file."""
        programme = self._programme
        if present and not programme.killed_by_file:
            programme.killed_by_file = True
            self._c.background.spawn(self.kill("kill-file", reason or "kill file", "file"), "kill file")
        programme.killed_by_file = present

    async def _record_kill(self, by: str, command: rollouts.Kill) -> None:
        if self._programme.killed:
            await self.kill(by, command.reason, command.source)

    def take_back(self) -> None:
        """Everybody on polling in this process, before the log knows; whoever calls this sees to it that it does."""
        self._programme.killed = True
        for member in self._c.views.directory:
            member.mailbox.wake()

    async def deprecate(self, by: str, sunset_seconds: float, notice: str) -> RolloutView | Refusal:
        """Announce the end of polling."""
        sunset = self._c.later(max(0.0, sunset_seconds))
        return await self._do(by, rollouts.Deprecate(sunset_at=sunset, notice=notice))

    async def remove(self, by: str) -> RolloutView | Refusal:
        """End polling; the kill switch can bring it back for a while."""
        return await self._do(by, rollouts.Remove(undo_seconds=self._c.limits.undo_seconds))

    async def _do(self, by: str, command: Any) -> RolloutView | Refusal:
        outcome = await self._c.dispatcher.run(ROLLOUT, command, by=by)
        return self._c.refuse(outcome) if isinstance(outcome, Refusal) else self.view()

    # --- clusters -----------------------------------------------------------------------------------------

    def _snapshot(self) -> tuple[dict[str, int], dict[str, str], dict[tuple[str, str], int]]:
        """Weights, labels and talk as they are now, safe to read in another thread."""
        talk, members = self._programme.talk, self._c.views.directory
        weights: dict[str, int] = {
            member.state.name: 1 + talk.total(member.state.name) for member in members if member.addressable
        }
        labels: dict[str, str] = {member.state.name: member.state.label for member in members if member.state.label}
        return weights, labels, dict(talk)

    @staticmethod
    def _freeze(snapshot: tuple[dict[str, int], dict[str, str], dict[tuple[str, str], int]]) -> rollouts.Freeze:
        """Labels where they were given, else who talks to whom; weight = questions and messages, plus one each."""
        weights, labels, talk = snapshot
        assigned = clusters.propagate(talk, weights, labels=labels)
        return rollouts.Freeze(
            clusters=assigned,
            weights=clusters.weights_of(assigned, weights),
            method=rollouts.Method.LABEL if len(labels) == len(weights) else rollouts.Method.PROPAGATION,
            oversized=tuple(big.cluster for big in clusters.oversized(assigned, weights)),
        )

    # --- what is read ---------------------------------------------------------------------------------------

    def view(self) -> RolloutView:
        """The rollout as users read it."""
        programme, state = self._programme, self._programme.rollout
        lanes = [self._c.lane_of(member) for member in self._c.views.directory if member.addressable]
        zero = programme.killed
        return RolloutView(
            status=rollouts.Status.POLLING if zero else state.status,
            name=state.name,
            share=0.0 if zero else state.share,
            achieved=0.0 if zero else state.achieved,
            threshold=0.0 if zero else state.threshold,
            held=zero or state.held,
            held_reason="killed" if zero else state.held_reason,
            epoch=state.epoch,
            salt=state.salt,
            clusters=len(state.weights),
            agents=len(lanes),
            agents_on_elicitation=sum(lane is Lane.ELICITATION for lane in lanes),
            oversized=state.oversized,
            killed_by_file=programme.killed_by_file,
            open_questions={lane: self._c.views.measures.open[lane] for lane in Lane},
            sunset_at=None if state.sunset_at is None else iso(state.sunset_at),
            notice=state.notice,
            undo_until=None if state.undo_until is None else iso(state.undo_until),
        )

    def polling_removed(self) -> Refusal | None:
        """Why ``wait_for_messages`` is refused; None while it works."""
        if self._programme.rollout.status is not REMOVED or self._programme.killed:
            return None
        return Refusal(
            "polling.removed",
            "wait_for_messages was removed from this hub.",
            "Call `attend` to be asked inside the call, or `inbox` and `answer`.",
            {"replacement": "attend"},
        )

    def deprecation(self) -> tuple[Instant, Instant | None, str] | None:
        """(Since, sunset, notice) in the states deprecated and removed."""
        state = self._programme.rollout
        if state.status not in LEAVING:
            return None
        return Instant(self._programme.since[rollouts.Status.DEPRECATED]), state.sunset_at, state.notice


def _driven(plan: stages.State) -> Refusal:
    return Refusal(
        "rollout.driven",
        f"The plan {plan.plan.name!r} drives the rollout and raises the share by itself.",
        "Look at `crossfade rollout status`; end the plan with `crossfade rollout plan stop` to raise it by hand.",
    )
