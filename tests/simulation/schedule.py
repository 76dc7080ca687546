"""One schedule: everything that happens between a seed and a verdict.

First the storm: agents act, an operator moves the rollout, chaos crashes hubs, sets clocks, breaks the disk
and the network. Then everything is healed, and all must finish: every question has its end and its asker
knows, every message is with its recipients, the views are what the log folds to.
"""

import asyncio
import gc
import logging
from hashlib import sha256
from typing import Any

import msgspec

from crossfade.core import histories
from crossfade.core.decider import Refusal
from crossfade.core.histories import Settle
from crossfade.core.values import PROGRAMME, SPACE, Instant, Kind, Scope
from crossfade.engine.hub import Hub
from crossfade.engine.ports import LogError
from crossfade.engine.projector import Projector, Views
from crossfade.engine.streams import Streams, recorded
from crossfade.logs.memory import MemoryLog
from tests.kit.hub import ROOT
from tests.kit.views import snapshot
from tests.simulation.agents import Agent, Style
from tests.simulation.disk import Disk
from tests.simulation.loop import StuckError
from tests.simulation.world import LIMITS, LostError, World

NAMES = ("ana", "bo", "cy", "di")
STYLES = (
    Style(("poll",)),
    Style(("poll",), cursor=False),
    Style(("native", "poll"), native=True),
    Style(("poll", "inbox"), native=True, cursor=False),
    Style(("stream", "poll")),
    Style(("stream", "native"), native=True),
)
STEPS_MAX = 150_000
SETTLE_SECONDS = 900.0
"""After the healing; the longest deadline and the largest jump of the clock are far below it."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a schedule."""

    seed: int
    fault: str
    """Empty: no promise was broken."""
    steps: int
    crashes: int
    questions: int
    reached: dict[str, int]
    digest: str
    """Of everything that clients saw and the log holds: the same seed gives the same."""


class Listener(logging.Handler):
    """Collects what the hub logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        fault = record.exc_info[1] if record.exc_info else None
        if not isinstance(fault, LogError):
            self.heard.append(f"{record.getMessage()} {fault!r}")


def run_schedule(seed: int, crash_at: int = 0) -> Outcome:
    """Run the schedule of a seed; with ``crash_at`` its only misfortune is a crash before that step."""
    world = World(seed, template())
    if crash_at:
        world.only_crash(crash_at)
    listener = Listener()
    logger = logging.getLogger("crossfade")
    logger.addHandler(listener)
    propagate, logger.propagate = logger.propagate, False
    gc.disable()
    try:
        fault = _fault(world, listener)
        digest = _digest(world)
        return Outcome(
            seed, fault, world.loop.steps, world.crashes, len(world.watch.asked),
            {**world.counts, **world.watch.counts}, digest,
        )  # fmt: skip
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate
        world.loop.end()
        gc.enable()


def _fault(world: World, listener: Listener) -> str:
    broken = ""
    try:
        _Run(world).run()
    except (AssertionError, StuckError) as fault:
        broken = str(fault) or repr(fault)
    except Exception as fault:  # noqa: BLE001 - an impossible history raises whatever the fold raises
        broken = f"raised {fault!r}"
    return _raised(world, listener) or broken


def _raised(world: World, listener: Listener) -> str:
    """What broke first: the fault of a task explains why the rest did not come about."""
    if world.ahead:
        return world.ahead[0]
    for task in world.loop.tasks:
        if task.done() and not task.cancelled():
            fault = task.exception()
            if fault is not None and not isinstance(fault, LogError | LostError):
                return f"{getattr(task.get_coro(), '__qualname__', 'a task')} raised {fault!r}"
    if world.loop.faults or listener.heard:
        return "; ".join((*world.loop.faults, *listener.heard))
    return ""


def _digest(world: World) -> str:
    whole = sha256()
    for shard in (PROGRAMME, SPACE):
        whole.update(world.disk._shards[shard].head.chain)
    for op in world.history:
        whole.update(msgspec.json.encode(op))
    return whole.hexdigest()[:16]


_TEMPLATE: list[Disk] = []


def template() -> Disk | None:
    """The disk on which every schedule begins: the agents are registered. Made once a process."""
    if not _TEMPLATE:
        world = World(0, None)
        world.weather.slow_seconds = 0
        world.start()
        made = world.loop.create_task(_enlist(world))
        world.loop.run_until(made.done, STEPS_MAX)
        made.result()
        _TEMPLATE.append(world.disk)
        world.loop.end()
    return _TEMPLATE[0]


async def _enlist(world: World) -> None:
    for name in NAMES:
        label = "" if name == "di" else f"team-{name}"
        while True:
            try:
                issued = await world.call(
                    lambda hub, n=name, x=label: hub.issue_token(ROOT, n, Kind.PROGRAM, [Scope.AGENT], label=x)  # type: ignore[misc]
                )
            except LostError:
                await asyncio.sleep(0.1)
            else:
                assert not isinstance(issued, Refusal)
                break


def _issue(name: str, label: str) -> Any:
    return lambda hub: hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT], label=label)


class _Run:
    """One schedule under way."""

    def __init__(self, world: World) -> None:
        self.world = world
        dice = world.dice
        names = NAMES[: dice.choice((2, 3, 3, 4))]
        self.agents = [
            Agent(world, name, tuple(one for one in names if one != name), dice.choice(STYLES)) for name in names
        ]
        self.storm_seconds = dice.choice((3.0, 8.0, 20.0))

    def run(self) -> None:
        """The whole of it. Raises AssertionError when a promise is broken, StuckError when nothing moves."""
        world = self.world
        world.start()
        main = world.loop.create_task(self._main())
        world.loop.run_until(main.done, STEPS_MAX)
        main.result()
        world.loop.run_until(lambda: world.life is not None and world.life.ready, STEPS_MAX)
        world.watch.verify({shard: world.disk.rows(shard) for shard in (PROGRAMME, SPACE)})
        account = histories.check(world.history)
        assert not account.violations, f"history: {account.violations[0]}"
        self._at_rest()

    async def _main(self) -> None:
        world = self.world
        actions = world.dice.choice((2, 4, 6))
        carriers = [world.spawn(agent.carry()) for agent in self.agents for _ in range(agent.carriers())]
        actors = [world.spawn(agent.act(actions)) for agent in self.agents]
        operator = world.spawn(Operator(world).run(world.dice.choice((0, 2, 5))))
        chaos = world.spawn(Chaos(world).run(self.storm_seconds, world.dice.choice((0, 2, 4))))
        await asyncio.wait((chaos,))
        world.heal()
        await asyncio.wait((*actors, operator))
        await self._settled()
        for carrier in carriers:
            carrier.cancel()
        await asyncio.wait(carriers)
        await world.loop.nap(200)  # what is on its way arrives; claims, patience and acknowledgements run out
        world.history.append(Settle(client="world", called_at=Instant(world.now_ns), line=len(world.history) + 1))

    async def _settled(self) -> None:
        """Wait until everything has its end and is where it should be; StuckError when it takes for ever."""
        world = self.world
        deadline = world.now_ns + int(SETTLE_SECONDS * 1e9)
        while True:
            for agent in self.agents:
                for question_id in sorted(agent.read - agent.ended):  # a set of words has another order in each process
                    await agent.look_at(question_id, 0.0)
            missing = self._missing()
            if not missing:
                return
            if world.now_ns > deadline:
                raise StuckError(f"I3: {missing[0]} after everything was healed")
            await world.loop.nap(3)

    def _missing(self) -> list[str]:
        watch = self.world.watch
        missing = [f"{question} has no end" for question in watch.asked if question not in watch.ends]
        for agent in self.agents:
            missing += [f"{agent.name} does not know the end of {one}" for one in agent.mine if one not in agent.ended]
        got = {
            (op.client, piece.id)
            for op in self.world.history
            if isinstance(op, histories.Receive)
            for piece in op.items
        }
        missing += [
            f"{message} is not with {name}"
            for message, sent in watch.sent.items()
            for name in sent.to
            if (name, message) not in got
        ]
        return missing

    def _at_rest(self) -> None:
        """Nothing is left behind, and the views are the fold of the log."""
        life = self.world.life
        assert life is not None
        views = life.hub._views
        for member in views.directory:
            assert not member.mailbox.wakers, f"I20: somebody still waits for {member.state.name}"
            assert not member.mailbox.native, f"I20: {member.state.name} has a dialog without a question"
            assert not member.open, f"I20: {member.state.name} has open questions"
        assert life.hub.pending_commits == 0, "I20: commands wait for a disk that is idle"
        assert not life.hub._subscriptions, "I20: a stream was left open"
        assert len(views.questions) <= LIMITS.ended_questions_kept, "I20: ended questions stay in memory"
        if self.world.dice.random() < 0.3:
            read = {one for agent in self.agents for one in agent.read}
            assert durable(views, read) == durable(self._folded(), read), "I11: view is not the fold"

    def _folded(self) -> Views:
        views = Views()
        projector = Projector(Streams(MemoryLog(), LIMITS.ended_questions_kept), views)
        for shard in (PROGRAMME, SPACE):
            projector.apply([recorded(shard, row) for row in self.world.disk.rows(shard)])
        return views


def durable(views: Views, read: set[str]) -> Any:
    """What the log alone decides. Where a question was shown is known at once and recorded a little later."""
    whole = snapshot(views, collected=read)
    for view in whole["questions"].values():
        del view["channels"], view["delivery"]
    for member in whole["directory"].values():
        for item in member["mail"]:
            if item.get("question"):
                del item["question"]["channels"], item["question"]["delivery"]
    for name in ("offered", "delivery_ms"):
        whole.pop(name, None)
        whole["measures"].pop(name, None)
    return whole


class Operator:
    """Moves the rollout, forward and back."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self, moves: int) -> None:
        """So many moves."""
        if moves:
            await self.move(lambda hub: hub.rollout_start(ROOT, "sim", salt="salt"))
            await self.move(lambda hub: hub.rollout_set(ROOT, 1.0, "sim"))
        for _ in range(moves):
            await self.world.loop.nap(self.world.dice.random() * 3)
            await self.one()

    async def one(self) -> None:
        """One move."""
        share = self.world.dice.choice((0.0, 0.25, 0.5, 1.0))
        way = self.world.dice.choices(
            ("set", "kill", "hold", "resume", "deprecate", "remove"), weights=(5, 3, 1, 3, 3, 2)
        )[0]
        if way == "set":
            moved = await self.move(lambda hub: hub.rollout_set(ROOT, share, "sim"))
            if share and not isinstance(moved, Refusal):
                self.world.reached("the share was set while agents were at work")
        elif way == "kill":
            await self.move(self.kill)
        elif way == "hold":
            await self.move(lambda hub: hub.rollout_hold(ROOT, "sim"))
        elif way == "resume":
            await self.move(lambda hub: hub.rollout_resume(ROOT, "sim"))
        elif way == "deprecate":
            await self.move(lambda hub: hub.rollout_deprecate(ROOT, 0.5, "polling ends"))
        else:
            await self.move(lambda hub: hub.rollout_remove(ROOT))

    async def kill(self, hub: Hub) -> Any:
        """Throw the switch; nobody may be on the lane afterwards."""
        if any(entry.claimed_at is not None and entry.open for entry in hub._views.questions.values()):
            self.world.reached("the kill switch while a dialog was open")
        outcome = await hub.rollout_kill(ROOT, "sim")
        if not isinstance(outcome, Refusal):
            view = hub.rollout()  # a removal that is undone leaves everybody where they are, and polling works again
            polls = view.status == "deprecated" or view.agents_on_elicitation == 0
            assert polls, "I16: somebody is on the lane after a kill"
            self.world.reached("the kill switch")
        return outcome

    async def move(self, work: Any) -> Any:
        """Try until the hub has spoken."""
        while True:
            try:
                return await self.world.call(work)
            except (LostError, LogError):
                if not self.world.healed and self.world.dice.random() < 0.3:
                    return None
                await self.world.loop.nap(self.world.dice.random())


class Chaos:
    """Everything that goes wrong."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self, seconds: float, events: int) -> None:
        """So many misfortunes within the time."""
        weather, dice = self.world.weather, self.world.faults
        if self.world.one_crash:
            await self.world.loop.nap(seconds)
            return
        weather.slow_seconds = dice.choice((0.0, 0.002, 0.02, 0.3))
        weather.lose_replies = dice.choice((0.0, 0.02, 0.1))
        weather.lose_requests = dice.choice((0.0, 0.02))
        weather.unknown = dice.choice((0.0, 0.0, 0.03))
        weather.unavailable = dice.choice((0.0, 0.0, 0.05))
        weather.crash_at_write = dice.choice((0.0, 0.01, 0.03))
        for _ in range(events):
            await self.world.loop.nap(dice.random() * seconds / max(1, events))
            await self.one()
        await self.world.loop.nap(dice.random() * seconds / 2)

    async def one(self) -> None:
        """One misfortune."""
        world, dice = self.world, self.world.faults
        way = dice.choice(("crash", "crash", "stop", "forward", "back", "disk full", "partition", "slow"))
        if way == "crash":
            world.loop.at_step = (world.loop.steps + dice.randrange(200), world.crash)
        elif way == "stop":
            await world.stop()
        elif way == "forward":
            world.reached("the clock was set forward")
            world.clock.jump(dice.choice((0.001, 1.0, 10.0, 100.0)))
        elif way == "back":
            world.reached("the clock was set back")
            world.clock.jump(-dice.choice((0.001, 1.0, 10.0, 60.0)))
        else:
            await self._for_a_while(way)

    async def _for_a_while(self, way: str) -> None:
        weather, dice = self.world.weather, self.world.faults
        before = msgspec.structs.asdict(weather)
        if way == "disk full":
            weather.unavailable = 1.0
        elif way == "partition":
            weather.lose_requests = weather.lose_replies = 1.0
            self.world.reached("nobody could reach the hub")
        else:
            weather.slow_seconds = 2.0
        await self.world.loop.nap(dice.random() * 4)
        for name, value in before.items():
            setattr(weather, name, value)
