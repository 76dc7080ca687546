"""A hub whose fleet is counts: clusters with the rates a test gives them, measured as by a real one, under a plan."""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from crossfade.core import cohorts
from crossfade.core.decider import Refusal
from crossfade.core.measurement_events import HubCounts, Slice
from crossfade.core.question_events import Exposure
from crossfade.core.stages import State
from crossfade.engine.hub import Hub
from crossfade.engine.plan_views import PlanView, ReadPlan
from crossfade.engine.ports import Log
from crossfade.engine.run_steps import Work
from crossfade.engine.tallying import Tallies
from crossfade.logs.memory import MemoryLog
from crossfade.runsheets.plan_files import PlanFile, parse_plan
from tests.kit.clock import FakeClock, FakeIds
from tests.kit.hub import ROOT, SIGNER, World, ok

CLUSTERS = 24
QUICK = (0.2, 0.01, 0.0, 0.0, 0.0, 0.0)
"""Of deliveries, how many take longer than 50, 100, 200, 300, 500, 1000 ms."""
PLAN = """\
plan: 1
name: quick
owner: ops
salt: salt
stages:
  - {share: 25%}
  - {share: 50%}
  - {share: 100%}
bake_seconds: 120
block_seconds: 60
programme_seconds: 86400
hold_seconds_max: 900
gates:
  p50: {metric: latency_p50_ms, max: 50}
  p95: {metric: latency_p95_ms, max: 200}
  errors: {metric: error_rate, max: 5%}
  delivery: {metric: delivery_rate, min: 95%}
  availability: {metric: availability, min: 99.5%}
  loss: {metric: data_loss, max: 0}
  security: {metric: security_incidents, max: 0}
ab: {metrics: [error_rate, latency_p95_ms]}
triggers:
  errors: {metric: error_rate, investigate: 8%, roll_back: 15%}
  p99: {metric: latency_p99_ms, investigate: 500, roll_back: 1000}
  delivery: {metric: delivery_rate, investigate: 92%, roll_back: 85%}
  loss: {metric: data_loss, roll_back: 0}
  security: {metric: security_incidents, roll_back: 0}
"""


class Rates(msgspec.Struct):
    """How a cluster fares on one lane."""

    over: tuple[float, ...] = QUICK
    faults: float = 0.002
    undelivered: float = 0.001
    asked: int = 20
    """Questions in one block."""
    requests: int = 40


class Fleet:
    """Clusters, and how they fare now; a test changes it on the way."""

    def __init__(self, clusters: int = CLUSTERS) -> None:
        self.names = [f"team-{number}" for number in range(clusters)]
        self.new, self.old = Rates(), Rates()
        self.mixed: Rates | None = None
        """Conversations with one end on each lane; None: there are none."""
        self.special: dict[str, Rates] = {}
        """Clusters that fare otherwise, on whichever lane."""
        self.silent = False
        self.broken = False
        """Measuring raises."""
        self._last_at = 0
        self._threshold = 0.0
        """In force when the block under way began."""

    def slices(self, hub: Hub, at: int) -> tuple[Slice, ...]:
        """What a block that ends now has counted; the same at the same instant."""
        rollout, dice = hub._c.views.programme.rollout, random.Random(at)
        began, self._threshold = self._threshold, 0.0 if hub._c.views.programme.killed else rollout.threshold
        if self.broken:
            raise RuntimeError("the measurements are down")
        last, self._last_at = self._last_at, at
        if self.silent or at == last:
            return ()
        found = [self._slice(name, cohorts.point(rollout.salt, name) < began, dice) for name in self.names]
        if self.mixed is not None:
            found += [_counts(name, Exposure.MIXED, self.mixed, dice) for name in self.names]
        return tuple(found)

    def _slice(self, name: str, new: bool, dice: random.Random) -> Slice:
        rates = self.special.get(name, self.new if new else self.old)
        return _counts(name, Exposure.NEW if new else Exposure.OLD, rates, dice)


def _counts(name: str, exposure: Exposure, rates: Rates, dice: random.Random) -> Slice:
    """One block of a cluster and exposure."""
    slow = [dice.random() for _ in range(rates.asked)]
    lost = sum(dice.random() < rates.undelivered for _ in range(rates.asked))
    return Slice(
        cluster=name, exposure=exposure, asked=rates.asked,
        delivered=rates.asked - lost, timed=rates.asked, undelivered=lost,
        over=tuple(sum(one < part for one in slow) for part in rates.over), requests=rates.requests,
        faults=sum(dice.random() < rates.faults for _ in range(rates.requests)),
    )  # fmt: skip


class Counted(Tallies):
    """Tallies that take what the fleet says instead of what the hub has seen."""

    fleet: Fleet
    hub: Hub

    @property
    def idle(self) -> bool:
        return self.fleet.silent

    def take(self) -> Any:
        super().take()
        now = self.hub._c.dispatcher.now()
        return self.fleet.slices(self.hub, now), (), HubCounts()


class Driven:
    """Hubs, one after the other, on one log, clock and fleet."""

    def __init__(self, fleet: Fleet | None = None, *, seed: int = 1) -> None:
        self.fleet = fleet or Fleet()
        self.log: Log = MemoryLog()
        self.clock = FakeClock()
        self.seed = seed
        self.world: World | None = None

    @property
    def hub(self) -> Hub:
        assert self.world is not None
        return self.world.hub

    async def begin(self, log: Log | None = None) -> "Driven":
        """Start a process."""
        self.seed += 1
        self.world = World(log or self.log, self.clock, seed=self.seed)
        self.world.hub = Hub(
            log or self.log, self.clock, FakeIds(self.seed), self.world.limits, guests=True, signer=SIGNER
        )
        self.hub.equip(Work(plans=read_plan))
        tallies = self.hub._c.tallies
        tallies.__class__ = Counted
        tallies.fleet, tallies.hub = self.fleet, self.hub  # type: ignore[attr-defined]
        await self.hub.start()
        return self

    async def die(self) -> None:
        """Drop the process where it is."""
        await self.hub._c.background.stop()
        self.world = None

    async def staff(self) -> None:
        """Register one agent for each cluster."""
        assert self.world is not None
        for name in self.fleet.names:
            await self.world.join(f"{name}-agent", label=name)

    async def accept(self, text: str = PLAN) -> PlanView | Refusal:
        """Begin the plan."""
        made = await self.hub.plans.accept(ROOT, text)
        await self.clock.advance(0)
        return made

    def view(self) -> PlanView:
        """The plan now."""
        return ok(self.hub.plans.plan())

    @property
    def state(self) -> State:
        """The plan as its records say; cheaper than the view."""
        return self.hub._c.views.plan.state

    async def until(self, done: Callable[[State], bool], *, seconds: float = 7_200, step: float = 10) -> PlanView:
        """Let time pass until the plan is so; fails if it is not in time."""
        passed = 0.0
        while not done(self.state):
            assert passed < seconds, (self.state.status, self.state.stage, self.state.hold, self.state.said)
            await self.clock.advance(step)
            passed += step
        return self.view()

    @property
    def share(self) -> float:
        """As users see it."""
        return self.hub.rollout().share


def read_plan(text: str, file: str) -> ReadPlan | Refusal:
    """As bootstrap reads it."""
    found = parse_plan(text.encode(), file)
    if isinstance(found, PlanFile):
        return ReadPlan(plan=found.plan, canonical=found.canonical, digest=found.digest)
    return Refusal("plan.bad_plan", str(found[0]), "Correct it.")


async def baking(text: str = PLAN, fleet: Fleet | None = None, *, stage: int = 1) -> Driven:
    """A plan whose share of this stage is in force."""
    it = await Driven(fleet).begin()
    await it.staff()
    ok(await it.accept(text))
    await it.until(lambda state: (state.stage + 1, state.status) == (stage, "baking"))
    return it
