"""The world of one schedule: a disk, a clock, a network, and one hub after another.

A hub's life ends by a crash (between two steps, see loop.py) or in good order; the disk stays. Clients
are tasks of the world. Every call crosses the network, which may lose the request or the reply, and dies
with the hub that was serving it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from crossfade.core.histories import Line
from crossfade.core.values import PROGRAMME, SECOND, SPACE, Instant
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.subscriptions import Subscription
from tests.kit.clock import EPOCH, FakeIds
from tests.simulation.disk import Disk, SimLog, Weather
from tests.simulation.loop import LIFE, SimLoop, wake
from tests.simulation.watch import Watch

LIMITS = Limits(
    ended_questions_kept=4,
    native_patience_seconds=8,
    lease_seconds=20,
    open_questions_per_agent_max=40,
    mailbox_items_max=60,
    pending_commits_max=200,
    events_per_batch_max=16,
    undo_seconds=600,
    check_seconds=600,
)


class LostError(Exception):
    """No reply: the network or the hub is gone. Whether the call had its effect, nobody knows."""


class SimClock:
    """``engine.ports.Clock``: the loop's time plus what somebody has set it forward or back."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._offset = EPOCH
        self._sleepers: dict[Any, Instant] = {}

    def now(self) -> Instant:
        """The instant that the hub believes."""
        return Instant(self._offset + self._loop.now_ns)

    def monotonic(self) -> int:
        """Never jumps."""
        return self._loop.now_ns

    def not_before(self, instant: Instant) -> None:
        """Go on from there."""
        self._offset = Instant(self._offset + max(0, instant - self.now()))

    async def sleep_until(self, instant: Instant) -> None:
        """Until this clock says so, jumps included."""
        while instant > self.now():
            future = self._loop.create_future()
            self._sleepers[future] = instant
            handle = self._loop.at_ns(self._loop.now_ns + instant - self.now(), wake, future)
            try:
                await future
            finally:
                handle.cancel()
                self._sleepers.pop(future, None)

    def jump(self, seconds: float) -> None:
        """Set it forward or back; whoever sleeps looks again."""
        self._offset = Instant(self._offset + int(seconds * SECOND))
        for future in tuple(self._sleepers):
            wake(future)


class InOrder(dict[Subscription, None]):
    """A set that keeps its order, so that a run replays."""

    def add(self, one: Subscription) -> None:
        """Put it in."""
        self[one] = None

    def discard(self, one: Subscription) -> None:
        """Take it out if it is in."""
        self.pop(one, None)


class Life:
    """One process of the hub."""

    def __init__(self, number: int, world: "World") -> None:
        self.number = number
        self.ready = False
        self.calls: dict[asyncio.Future[Any], None] = {}
        """Calls whose clients wait for a reply."""
        self.context: Context = world.context.copy()
        self.context.run(LIFE.set, number)
        log = SimLog(world.disk, world.weather, world.faults, world.crash, world.reached, self.look)
        self.hub = Hub(log, world.clock, FakeIds(world.faults.getrandbits(32)), LIMITS)
        self.hub._subscriptions = InOrder()  # type: ignore[assignment]
        self._world = world

    def look(self) -> None:
        """No view is ahead of the log, whoever may be reading it at this instant."""
        heads, watch = self._world.disk.heads(), self._world.watch
        for shard, committer in self.hub._committers.items():
            if committer.head > heads[shard]:
                self._world.ahead.append(f"I11: a view of shard {shard} is ahead of the log")
        for question_id, entry in self.hub._views.questions.items():
            if not entry.open and question_id not in watch.ends:
                self._world.ahead.append(f"I1: {question_id} is shown ended, and the log does not know")


class World:
    """Everything of one schedule."""

    def __init__(self, seed: int, template: Disk | None) -> None:
        self.dice = random.Random(f"{seed} clients")
        self.faults = random.Random(f"{seed} faults")
        self.loop = SimLoop(random.Random(f"{seed} order"), shuffled=seed % 4 != 0)  # type: ignore[abstract]
        self.context = copy_context()
        self.clock = SimClock(self.loop)
        self.weather = Weather()
        self.watch = Watch()
        self.disk = Disk(self.watch.stored)
        if template is not None:
            self.disk.load(template)
        self.life: Life | None = None
        self.lives: list[Life] = []
        self.history: list[Line] = []
        self.counts: Counter[str] = Counter()
        self.ahead: list[str] = []
        """What views showed before the log had it."""
        self.healed = False
        self.one_crash = False
        self.crashes = 0

    def reached(self, what: str) -> None:
        """Note that the schedule came to an interesting place."""
        self.counts[what] += 1

    def spawn(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Begin a task of the world."""
        return self.loop.create_task(work, context=self.context.copy())

    def only_crash(self, step: int) -> None:
        """Let nothing go wrong but one crash before that step, be it in the storm, after it or at rest."""
        self.one_crash = True
        self.loop.at_step = (step, self.crash)

    def heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.healed = True
        if not self.one_crash:
            self.loop.at_step = None
        self.weather.slow_seconds = 0.002
        self.weather.unavailable = self.weather.unknown = self.weather.crash_at_write = 0.0
        self.weather.lose_requests = self.weather.lose_replies = 0.0

    @property
    def now_ns(self) -> int:
        """Time that never jumps."""
        return self.loop.now_ns

    # --- lives ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new life on the disk as it is."""
        life = Life(len(self.lives) + 1, self)
        self.lives.append(life)
        self.life = life
        task = self.loop.create_task(life.hub.start(), context=life.context.copy())
        task.add_done_callback(lambda done: self._started(life, done), context=self.context)

    def _started(self, life: Life, task: "asyncio.Task[None]") -> None:
        task.result()
        life.ready = True

    def crash(self) -> None:
        """End the present life, between two steps of it."""
        life = self.life
        if life is None:
            return
        if not life.ready:
            self.reached("crash during the replay")
        elif any(entry.claimed_at is not None and entry.open for entry in life.hub._views.questions.values()):
            self.reached("crash while a dialog is open")
        self.crashes += 1
        self._bury(life)

    def _bury(self, life: Life) -> None:
        self.loop.dead.add(life.number)
        self.life = None
        for shard in (PROGRAMME, SPACE):
            head = self.disk._shards[shard].head
            self.watch.mark(shard, head.sequence, head.chain)
        for call in life.calls:
            self.loop.call_later(self.faults.random() * 0.05, fail, call, context=self.context)
        life.calls.clear()
        self.loop.call_later(self.faults.random() * 2.0, self.start, context=self.context)

    async def stop(self) -> None:
        """End the present life in good order; who waits gets an empty reply."""
        life = self.life
        if life is None or not life.ready:
            return
        stopping = self.loop.create_task(life.hub.stop(), context=life.context.copy())
        done = self.loop.create_future()
        stopping.add_done_callback(lambda _: wake(done), context=self.context)
        await asyncio.wait((done,), timeout=30)
        if self.life is life:
            await self.loop.nap(0.01)
            self.reached("stopped in good order")
            if self.life is life:
                self._bury(life)

    # --- the network ----------------------------------------------------------------------------------

    async def pause(self, seconds: float = 0.01) -> None:
        """A moment on the wire."""
        await self.loop.nap(self.faults.random() * seconds)

    async def call(
        self,
        work: Callable[[Hub], Awaitable[Any]],
        *,
        patience_seconds: float = 60.0,
        on_lost: Callable[[Hub, Any], None] | None = None,
        at_once: bool = False,
    ) -> Any:
        """Have the hub do ``work``. Raises LostError when no reply comes, and what the hub raises.

        ``on_lost`` is told, in the hub, of a result whose reply did not reach the client.
        """
        if not at_once:
            await self.pause()
        life = self.life
        if life is None or not life.ready or self.faults.random() < self.weather.lose_requests:
            await self.pause()
            raise LostError
        reply = self.loop.create_future()
        life.calls[reply] = None
        task = self.loop.create_task(_served(work(life.hub)), context=life.context.copy())
        task.add_done_callback(lambda done: self._replied(life, reply, done, on_lost), context=self.context)
        patience = self.loop.call_later(patience_seconds, fail, reply)
        try:
            return await reply
        finally:
            patience.cancel()
            life.calls.pop(reply, None)
            if not task.done():
                task.cancel()

    def _replied(
        self, life: Life, reply: Any, task: "asyncio.Task[Any]", on_lost: Callable[[Hub, Any], None] | None
    ) -> None:
        alive = life.number not in self.loop.dead
        lost = self.faults.random() < self.weather.lose_replies or reply.done() or task.cancelled()
        if not lost and alive:
            task.exception()
            self.loop.call_later(self.faults.random() * 0.01, self._arrives, life, reply, task, on_lost)
            return
        self._unnoticed(life, task, on_lost)
        if lost and not reply.done():
            self.reached("a reply was lost")
            self.loop.call_later(self.faults.random() * 0.05, fail, reply)

    def _arrives(self, life: Life, reply: Any, task: Any, on_lost: Callable[[Hub, Any], None] | None) -> None:
        if reply.done():
            self._unnoticed(life, task, on_lost)
        elif task.exception() is not None:
            reply.set_exception(task.exception())
        else:
            reply.set_result(task.result())

    def _unnoticed(self, life: Life, task: Any, on_lost: Callable[[Hub, Any], None] | None) -> None:
        """The connection is gone and the hub sees that what it wrote reached nobody."""
        served = task.done() and not task.cancelled() and task.exception() is None
        if served and on_lost is not None and life.number not in self.loop.dead:
            life.context.copy().run(on_lost, life.hub, task.result())


async def _served(work: Awaitable[Any]) -> Any:
    return await work


def fail(reply: "asyncio.Future[Any]") -> None:
    """The client learns that nothing comes."""
    if not reply.done():
        reply.set_exception(LostError())
