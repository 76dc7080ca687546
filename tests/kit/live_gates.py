"""A hub on real sockets whose delivery or disk can be hurt through its ports, under a plan, with a real fleet on it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import uvloop

from crossfade import bootstrap
from crossfade.config import Config
from crossfade.core.measurement_events import BlockRecorded, Slice
from crossfade.core.measurements import added
from crossfade.core.question_events import Exposure
from crossfade.core.records import Event, Recorded
from crossfade.core.stage_events import BakeBegun, Held, RolledBack
from crossfade.core.values import Lane, Shard
from crossfade.engine.hub import Hub
from crossfade.engine.ports import Log, Result, Tx
from crossfade.fleet.load import run as load_run
from crossfade.fleet.load.gauge import Gauge
from crossfade.fleet.load.profile import Carrier, Phase, Profile
from crossfade.fleet.load.report import LoadReport
from crossfade.fleet.load.run import Settings, run_load
from crossfade.fleet.load.vitals import vitals
from crossfade.outbound.host import HostClock, HostIds
from crossfade.outbound.signing import ephemeral_key

T = TypeVar("T")
PATIENCE_SECONDS = 540.0
"""A run that hangs ends here."""
SCHEDULE_SECONDS = 500.0
"""Questions are asked for so long, unless the fleet is told that it is enough."""
PLAN = """\
plan: 1
name: live
owner: on-call
salt: live
stages:
  - {share: 10%, bake_seconds: 2}
  - {share: 25%, bake_seconds: 3000}
check_seconds: 1
block_seconds: 60
programme_seconds: 3600
hold_seconds_max: 900
gates:
  availability: {metric: availability, min: 50%}
  loss: {metric: data_loss, max: 0}
  security: {metric: security_incidents, max: 0}
triggers:
  p99: {metric: latency_p99_ms, roll_back: 1000}
  delivery: {metric: delivery_rate, roll_back: 50%}
  loss: {metric: data_loss, roll_back: 0}
  security: {metric: security_incidents, roll_back: 0}
ab: {required: false}
sample_ratio: {required: false}
"""
"""To a quarter of the fleet in seconds, on what is known exactly; then it is watched."""


class StallingCourier:
    """The worker that delivers to the elicitation lane: ``stalled``, it leaves things, and then does all at once."""

    def __init__(self) -> None:
        self.stalled = False
        self.every = 1
        """It leaves each so many-th thing, and does the others."""
        self.left: list[Callable[[], None]] = []
        """What it has not delivered."""
        self._brought = 0

    def bring(self, wake: Callable[[], None], lane: Lane | None) -> None:
        """Wake them, unless it is stalled."""
        if self.stalled and lane is Lane.ELICITATION:
            self._brought += 1
            if self._brought % self.every == 0:
                self.left.append(wake)
                return
        wake()

    def go_on(self) -> None:
        """The worker comes back, and delivers what it was given."""
        self.stalled = False
        for wake in self.left:
            wake()


class SlowLog:
    """A log on a disk that takes ``seconds`` to write anything, whatever lane it is of."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.seconds = 0.0

    async def append(self, shard: Shard, txs: Sequence[Tx]) -> list[Result]:
        """Store, and be slow about it."""
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return await self._log.append(shard, txs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Watched:
    """Everything that the programme's shard records, and a wait for any state of it; told in the recording turn."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.records: list[Recorded] = []
        self.share_at_block: list[float] = []
        """The share in force when each block had been looked at, in that very turn."""
        self.waited_at: list[tuple[int, float]] = []
        """At each record: for how long other processes have had the processors that this one could have used."""
        self._told = asyncio.Event()

    def __call__(self, record: Recorded) -> None:
        """The last of the hub's listeners."""
        if record.stream.startswith(("plan/", "rollout/", "measurement/")):
            self.records.append(record)
            self.waited_at.append((record.at, _waited_seconds()))
            if isinstance(record.event, BlockRecorded):
                self.share_at_block.append(self.hub.rollout().share)
            self._told.set()

    async def until(self, done: Callable[[], bool], seconds: float = 240.0) -> None:
        """Return when it is so. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not done():
                self._told.clear()
                await self._told.wait()

    def of(self, kind: type[Event]) -> list[Recorded]:
        """All records with events of this kind."""
        return [record for record in self.records if isinstance(record.event, kind)]

    def baked(self, stage: int, blocks: int) -> bool:
        """The stage's share is in force, and so many blocks were measured since."""
        begun = [record.at for record in self.of(BakeBegun) if getattr(record.event, "stage", -1) == stage]
        return bool(begun) and sum(record.at > begun[-1] for record in self.of(BlockRecorded)) >= blocks

    def kept_from_it(self, since: int, until: int) -> float:
        """Seconds between two instants in which this process had to wait for a processor; rather too many."""
        before = [waited for at, waited in self.waited_at if at <= since]
        return max(waited for at, waited in self.waited_at if at <= until) - (before[-1] if before else 0.0)

    def counted(self, exposure: Exposure, since: int) -> Slice:
        """All that was measured of an exposure in blocks that began after this instant."""
        blocks = [one.event for one in self.of(BlockRecorded) if isinstance(one.event, BlockRecorded)]
        slices = [one for block in blocks if block.from_at >= since for one in block.slices]
        return added([one for one in slices if one.exposure is exposure], "", exposure)

    @property
    def back(self) -> RolledBack | None:
        """The rollback, if there was one."""
        found = self.of(RolledBack)
        return found[0].event if found and isinstance(found[0].event, RolledBack) else None

    @property
    def held_for(self) -> list[str]:
        """Causes of holds, in their order."""
        return [str(record.event.cause) for record in self.of(Held) if isinstance(record.event, Held)]


def _waited_seconds() -> float:
    seen = vitals(os.getpid())
    return 0.0 if seen is None else seen.waited_seconds


@asynccontextmanager
async def hurt_hub(folder: Path, courier: StallingCourier) -> AsyncIterator[tuple[str, str, Watched, SlowLog]]:
    """A hub on a real disk and a free port, put together as by ``crossfade serve`` but for the two ports.

    Gives its URL, the operator's token, what it records, and its disk.
    """
    config = Config(port=0, guests=True, listeners=1, log="sqlite", data_folder=str(folder))
    log = SlowLog(bootstrap._open_log(config))
    hub = Hub(log, HostClock(), HostIds(), config.limits, guests=True, signer=ephemeral_key())  # type: ignore[arg-type]
    hub.equip(bootstrap._work(log), courier)  # type: ignore[arg-type]
    await hub.start()
    seen = Watched(hub)
    hub._projector.listeners.append(seen)
    token = await bootstrap._operator_token(hub, config)
    server = bootstrap._server(hub, config, token, handle_signals=False)
    await server.start()
    try:
        yield server.url, token, seen, log
    finally:
        log.seconds = 0.0
        server.stop(at_once=True)
        await server.wait()
        await hub.stop()
        await log.close()


class LiveFleet:
    """Agents of ``crossfade load`` that follow the lanes as the plan moves them: nobody changed these agents."""

    def __init__(self, url: str, token: str, *, agents: int, rate: float) -> None:
        profile = Profile(
            agents=agents, phases=(Phase("steady", SCHEDULE_SECONDS, rate),), carrier=Carrier.UNCHANGED, clusters=40,
            within=1.0, processes=2,
        )  # fmt: skip
        self._asking = asyncio.Event()
        self._enough = asyncio.Event()
        self._answered, self._more = 0, asyncio.Event()
        self._patience = mock.patch.object(load_run, "HALT_SECONDS", 60.0)  # whatever was asked has its end
        self._patience.start()
        settings = Settings(profile=profile, scenario="gates", url=url, token=token)
        self._run = asyncio.ensure_future(run_load(settings, self._enough, self._watch, []))

    def _watch(self, what: str, part: float, gauge: Gauge) -> None:
        if what == "questions":
            self._asking.set()
        self._answered = gauge.answered
        self._more.set()

    async def asking(self) -> None:
        """Return when every agent is held and questions are asked."""
        await asyncio.wait({self._run, asyncio.ensure_future(self._asking.wait())}, return_when="FIRST_COMPLETED")
        if self._run.done():
            self._run.result()

    async def answers(self, more: int) -> None:
        """Return when so many more questions have been answered."""
        wanted = self._answered + more
        while self._answered < wanted and not self._run.done():
            self._more.clear()
            await asyncio.wait(
                {self._run, asyncio.ensure_future(self._more.wait())}, return_when=asyncio.FIRST_COMPLETED
            )

    async def report(self) -> LoadReport:
        """Nothing more is asked; what came of what was, by the agents' own journals."""
        self._enough.set()
        return await self._run

    async def gone(self) -> None:
        """Whatever happened, nobody is left."""
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        self._patience.stop()


async def crossfade(url: str, token: str, *words: str) -> str:
    """What a command prints; fails the test with its stderr if it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crossfade", *words, "--url", url, "--token", token,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def run(scenario: Awaitable[T]) -> T:
    """Run a scenario on uvloop, as a hub does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, PATIENCE_SECONDS))
