"""Driving: carries a plan out. What is due is decided by core/stage_next.py from the log alone; this does it.

Rules
-----
1. Nothing is remembered here that the log does not say, but who moved the rollout last and what it refused.
2. A trigger that fires takes the lanes back in memory in the same turn in which its measurement is folded; then it is
   recorded, again and again until the log takes it. Nothing that waits or measures stands in the way.
3. A fault of the log is waited out; what is due is then found to be due again.
"""

import asyncio
from typing import Final

from crossfade.core import baselines, measurements, rollouts, stages
from crossfade.core.decider import Refusal
from crossfade.core.measurement_events import BlockRecorded
from crossfade.core.question_events import Exposure
from crossfade.core.records import Recorded
from crossfade.core.stage_events import Said, Status
from crossfade.core.stage_next import (
    Advance,
    ConfirmBack,
    End,
    EnterFirst,
    Fire,
    GoBack,
    GoOn,
    Ground,
    Late,
    LookAgain,
    Move,
    Note,
    RaiseShare,
    Reading,
    StartBake,
    Stop,
    next_move,
)
from crossfade.core.values import Instant
from crossfade.engine.context import Context
from crossfade.engine.facts import Facts
from crossfade.engine.measuring import IDLE_SECONDS, Measuring
from crossfade.engine.migration import Migration
from crossfade.engine.ports import LogError
from crossfade.engine.views.runs import standstill

ACTOR: Final = "plan"
"""By whom the log says a plan moved the rollout."""
STALE_CHECKS: Final = 3
"""Without a look for so many checks, the measurements are stale."""
BLINK_SECONDS: Final = 1.0
"""After a fault of the log, or a refusal that should not be."""


class Driving:
    """Drives the one live plan of the hub."""

    def __init__(self, context: Context, migration: Migration, measuring: Measuring, facts: Facts) -> None:
        self._c = context
        self._migration = migration
        self._measuring = measuring
        self._facts = facts
        self._view = context.views.plan
        self._woken = asyncio.Event()
        self._at_work = False
        self._took_back = False
        """A trigger took the lanes back, and the log may not say so yet."""
        self._refused = ""
        self._moved = ""

    # --- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """After the replay: go on with what was going on."""
        if self._busy:
            self._wake()

    def react(self, record: Recorded) -> None:
        """Called after each live record is in the views."""
        kind = record.stream.partition("/")[0]
        if kind == "rollout":
            self._refused = ""
            if record.actor != ACTOR:
                self._moved = f"{record.actor}: {getattr(record.event, 'reason', '')}".rstrip(": ")
        elif isinstance(record.event, BlockRecorded):
            if self._view.state.status in stages.MOVED and self.reading().fired is not None:
                self._take_back()
        elif kind not in ("plan", "run"):
            return
        if self._busy:
            self._wake()

    def _take_back(self) -> None:
        """Everybody on polling in memory, if anybody is not; what the log says of it is this plan's to see to."""
        if self._c.views.programme.rollout.share > 0:
            self._took_back = True
            self._migration.take_back()

    @property
    def _busy(self) -> bool:
        return self._view.state.live or self._view.state.status is Status.ROLLING_BACK

    def _wake(self) -> None:
        self._woken.set()
        if not self._at_work:
            self._at_work = True
            self._c.background.spawn(self._work(), "plan")

    async def _work(self) -> None:
        try:
            while self._busy:
                self._woken.clear()
                await self._turn()
            if self._took_back and self._c.views.programme.killed:  # the plan ended before its trigger was recorded
                await self._migration.kill(ACTOR, "a trigger fired as the plan ended", rollouts.Source.TRIGGER)
            self._took_back = False
        finally:
            self._at_work = False

    async def _turn(self) -> None:
        """Do one thing, or wait until something changes."""
        move = self.due()
        if move is None or isinstance(move, LookAgain):
            await self._pause(None if move is None else move.at)
            return
        try:
            if not await self._perform(move):
                await self._pause(self._c.later(BLINK_SECONDS))
        except LogError:
            await self._pause(self._c.later(BLINK_SECONDS))

    async def _pause(self, until: Instant | None) -> None:
        timer = None if until is None else self._c.timers.at(until, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            if timer is not None:
                timer.cancel()

    # --- what is due --------------------------------------------------------------------------------------

    def due(self) -> Move | None:
        """The next move; one that is recorded with numbers is decided on fresh ones."""
        state, ground, now = self._view.state, self.ground(), self._c.clock.now()
        move = next_move(state, self.reading(), ground, now)
        return next_move(state, self.reading(fresh=True), ground, now) if isinstance(move, Advance | Stop) else move

    def reading(self, *, fresh: bool = False) -> Reading:
        """What the measurements say now."""
        watch, state = self._view.watch, self._view.state
        if watch is None:
            return Reading()
        return watch.reading(self._facts.of(state.plan, state.accepted_at), fresh=fresh)

    def ground(self) -> Ground:
        """The rollout as it stands, and what else a plan depends on."""
        rollout = self._c.views.programme.rollout
        check = self._c.views.measurements.kept.check_seconds
        still, until = ("", None) if rollout.held else standstill(self._c.views.runs, self._c.clock.now())
        return Ground(
            share=rollout.share, epoch=rollout.epoch,
            held=rollout.held or bool(still), held_reason=rollout.held_reason or still, held_until=until,
            refused=self._refused, baseline=self._baseline(), looked_at=self._measuring.looked_at,
            stale_seconds=STALE_CHECKS * check, idle_seconds=IDLE_SECONDS, moved=self._moved,
        )  # fmt: skip

    def _baseline(self) -> Said | None:
        wanted, kept = self._view.state.plan.baseline, self._c.views.measurements.kept.baseline
        if wanted is None:
            return None
        if kept is None:
            told = "the polling lane was not measured: `crossfade baseline start`"
            return Said(name="baseline", kind="exact", verdict="errored", reason="not_measured", explanation=told)
        asked = baselines.Wanted(
            seconds=wanted.seconds, gap_seconds_max=wanted.gap_seconds_max, samples_min=wanted.samples_min
        )
        window = kept.window
        found = baselines.judge(
            asked,
            baselines.Measured(
                from_at=window.from_at, until_at=window.until_at, missing=tuple(window.missing),
                missing_seconds=window.missing_seconds, samples=window.slice(Exposure.OLD).timed,
                ended=bool(kept.ended_at),
            ),
        )  # fmt: skip
        return Said(
            name="baseline", kind="exact", verdict=found.verdict.value, reason=found.reason,
            eta_seconds=found.seconds_left or None, explanation=f"the baseline: {found.explanation}",
        )  # fmt: skip

    # --- doing it -----------------------------------------------------------------------------------------

    async def _perform(self, move: Move) -> bool:
        """Carry out what is due; whether anything came of it."""
        match move:
            case GoBack(reason=reason):
                killed = await self._migration.kill(ACTOR, reason, rollouts.Source.TRIGGER)
                return not isinstance(killed, Refusal) and self._c.views.programme.rollout.share == 0
            case RaiseShare(share=share, reason=reason):
                return await self._raise(share, reason)
            case Fire():
                self._take_back()
            case _:
                pass
        command = _command(move)
        if command is None:
            return False
        outcome = await self._c.dispatcher.run(stages.STREAM, command, by=ACTOR)
        return not isinstance(outcome, Refusal) and outcome.last >= outcome.first

    async def _raise(self, share: float, reason: str) -> bool:
        rollout, plan = self._c.views.programme.rollout, self._view.state.plan
        if not self._measuring.on:
            begin = measurements.Begin(reason=measurements.Reason.ROLLOUT, check_seconds=plan.check_seconds)
            await self._measuring.command(begin, ACTOR)
        if not rollout.started:
            await self._migration.start(ACTOR, plan.name, plan.salt or None)
        outcome = await self._migration.set_share(ACTOR, share, reason, driver=True)
        if isinstance(outcome, Refusal):
            self._refused = outcome.message
        return True


def _command(move: Move) -> stages.Command | None:
    """What is recorded for a move."""
    match move:
        case Fire(said=said, until_at=until_at, share=share):
            return stages.RollBack(share=share, until_at=until_at, said=said)
        case ConfirmBack():
            return stages.Confirm()
        case End(reason=reason, share=share):
            return stages.Abort(reason=reason, share=share)
        case Note(said=said, until_at=until_at):
            return stages.Judge(until_at=until_at, said=said)
        case Stop(cause=cause, reason=reason, eta_seconds=eta, said=said):
            return stages.Hold(cause=cause, reason=reason, eta_seconds=eta, said=said)
        case Late():
            return stages.MarkOverdue()
        case GoOn(cause=cause, reason=reason):
            return stages.Resume(cause=cause, reason=reason)
        case EnterFirst():
            return stages.Enter()
        case StartBake(stage=stage):
            return stages.BeginBake(stage=stage)
        case Advance(stage=stage, from_at=from_at, until_at=until_at, said=said):
            return stages.Promote(stage=stage, from_at=from_at, until_at=until_at, said=said)
        case _:
            return None
