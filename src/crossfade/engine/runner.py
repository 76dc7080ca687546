"""Runner: the driver of runs in this process. Takes a run's lease, does what is due, waits, does the next.

Rules
-----
1. What is due is decided by core/run_next.py from the log alone; nothing is remembered here but when to look again.
2. The lease is taken when there is something to do, and renewed only while something takes long: a run that waits
   for weeks writes nothing.
3. Whoever is fenced stops and looks at the log again.
4. A fault of the log is waited out; the same action is then found to be due again, and looked at first.
"""

import asyncio
from typing import Final

import msgspec

from crossfade.core import questions, runs
from crossfade.core import run_commands as commands
from crossfade.core.decider import Refusal
from crossfade.core.records import Recorded
from crossfade.core.run_next import Action, WaitUntil, next_action
from crossfade.core.values import Instant, stream_of
from crossfade.engine.context import Context
from crossfade.engine.dispatcher import Applied
from crossfade.engine.ports import LogError
from crossfade.engine.run_acts import Acts
from crossfade.engine.views.runs import Entry

ENDS: Final = (questions.Answered, questions.Declined, questions.Expired)
LEASE_SECONDS: Final = 30.0
RENEW_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 60.0
"""How often something that is held, or waited for, is looked at again without a sign that it changed."""
CONTROL_SECONDS: Final = 300.0
"""How often the controls of what was signed are looked at while a run waits; before a share they always are."""
BLINK_SECONDS: Final = 1.0
"""After a fault of the log, or a refusal that should not be."""


class Runner:
    """Drives every active run of the hub."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self.acts: Acts | None = None
        self.driver = context.ids.new("driver")
        self.sole = True
        """No other process writes to this log, so a lease that is still on belongs to a dead one."""
        self._woken: dict[str, asyncio.Event] = {}
        """Run that is driven → set at every change of it, and of what it may wait for."""
        self._looking: set[str] = set()
        """Runs for which something is only looked at: a lease is taken if there is something to record."""
        self._epochs: dict[str, int] = {}
        """Run → epoch of the lease under which this process acts."""

    def start(self) -> None:
        """After the replay: go on with what was going on."""
        for run_id in self._c.views.runs:
            self._drive(run_id)

    def react(self, record: Recorded) -> None:
        """Called after each live record is in the views."""
        kind, _, name = record.stream.partition("/")
        if kind == "run":
            self._drive(name)
            if name in self._woken:
                self._woken[name].set()
        elif kind in ("signoff", "plan") or isinstance(record.event, ENDS):
            self.stir(record)

    def stir(self, _: Recorded) -> None:
        """Every run looks whether this brought what it waits for; called after the end of each question."""
        for woken in self._woken.values():
            woken.set()

    def _drive(self, run_id: str) -> None:
        if run_id not in self._woken and self._c.views.runs[run_id].state.active:
            self._woken[run_id] = asyncio.Event()
            self._c.background.spawn(self._work(run_id), f"run {run_id}")

    async def _work(self, run_id: str) -> None:
        entry = self._c.views.runs[run_id]
        try:
            while entry.state.active:
                self._woken[run_id].clear()
                await self._turn(entry)
        finally:
            del self._woken[run_id]

    async def _turn(self, entry: Entry) -> None:
        """Do one thing, or wait until something changes."""
        now = self._c.clock.now()
        due = next_action(entry.state, now)
        if due is None:
            await self._woken[entry.run_id].wait()
            return
        if isinstance(due, WaitUntil):
            await self._pause(entry, due.at)
            return
        assert self.acts is not None
        later = self.acts.not_before(due)
        if later is not None and now < later:
            await self._pause(entry, later)
            return
        try:
            looks = self.acts.looks(entry, due)
            if not looks and not await self._leased(entry):
                await self._pause(entry, max(entry.state.until, self._c.later(BLINK_SECONDS)))
            elif not await (self._looked(entry, due) if looks else self._kept(entry, due)):
                await self._pause(entry, self._c.later(LOOK_SECONDS))
        except LogError:
            await self._pause(entry, self._c.later(BLINK_SECONDS))

    async def _leased(self, entry: Entry) -> bool:
        """Whether this process may act for the run now."""
        state = entry.state
        mine = state.driver == self.driver and state.epoch == self._epochs.get(entry.run_id)
        if mine and self._c.clock.now() < state.until:
            return True
        take = commands.Take(driver=self.driver, until=self._c.later(LEASE_SECONDS), sole=self.sole)
        outcome = await self._c.dispatcher.run(stream_of("run", entry.run_id), take, by=self.driver)
        taken = isinstance(outcome, Applied) and entry.state.driver == self.driver
        if taken:
            self._epochs[entry.run_id] = entry.state.epoch
        return taken

    async def _looked(self, entry: Entry, action: Action) -> bool:
        """Carry out an action that changes nothing unless there is something to record."""
        assert self.acts is not None
        self._looking.add(entry.run_id)
        try:
            return await self.acts.perform(entry, action)
        finally:
            self._looking.discard(entry.run_id)

    async def _kept(self, entry: Entry, action: Action) -> bool:
        """Carry out the action while the lease is kept."""
        assert self.acts is not None
        renewing = asyncio.ensure_future(self._renew(entry, self._epochs[entry.run_id]))
        try:
            return await self.acts.perform(entry, action)
        finally:
            renewing.cancel()

    async def _renew(self, entry: Entry, epoch: int) -> None:
        while True:
            await self._c.clock.sleep_until(self._c.later(RENEW_SECONDS))
            until = self._c.later(LEASE_SECONDS)
            self._c.dispatcher.post(
                stream_of("run", entry.run_id), commands.Renew(epoch=epoch, until=until), by=self.driver
            )

    async def send(self, entry: Entry, command: commands.DriverCommand) -> bool:
        """Dispatch a command of the driver; whether it recorded something. A fenced driver records nothing."""
        if entry.run_id in self._looking:
            as_driver = msgspec.structs.replace(command, epoch=entry.state.epoch)
            if runs.decide(entry.state, as_driver, self._c.dispatcher.now()) == () or not await self._leased(entry):
                return False
        stamped = msgspec.structs.replace(command, epoch=self._epochs[entry.run_id])
        outcome = await self._c.dispatcher.run(stream_of("run", entry.run_id), stamped, by=self.driver)
        return not isinstance(outcome, Refusal) and outcome.last >= outcome.first

    async def _pause(self, entry: Entry, until: Instant) -> None:
        """Wait until then, or until the run or what it waits for changes; look at its controls meanwhile."""
        assert self.acts is not None
        watch = self._c.later(CONTROL_SECONDS) if self.acts.controlled(entry) else until
        woken = self._woken[entry.run_id]
        timer = self._c.timers.at(min(until, watch), woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()
        if watch <= self._c.clock.now() < until:
            await self.acts.watch(entry)
