"""The demonstration: a hub, a fleet of agents, the whole ramp with the kill switch in the middle, and the account.

Needs the extra ``agents`` for the agents on the official client.

Rules
-----
1. Everything goes through the public surface: MCP for agents, ``/v1`` for the operator.
2. The hub is a child process and may be killed at any moment, by ``kills`` or by the audience; it is
   started again on the same folder and the agents come back by themselves.
3. The verdict is drawn from the agents' journals alone.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.fleet.agents import Item, Pending
from crossfade.fleet.cast import lean_cast, official_cast
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.ramp import RAMP, Ramp
from crossfade.fleet.reconcile import reconcile
from crossfade.fleet.report import DemoReport, faults_of
from crossfade.fleet.roster import Fleet, official_module
from crossfade.fleet.screen import Screen
from crossfade.fleet.supervisor import HubProcess

STATUS_SECONDS: Final = 1.0
OFFICIAL_ASKS_PER_SECOND: Final = 0.5


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How big, how long, and against what."""

    url: str = ""
    """A running hub; empty: start one on a scratch folder."""
    token: str = ""
    """Admin credential of the hub at ``url``."""
    folder: Path | None = None
    """Keep the hub's data and the journals here; None: a scratch folder, removed after a success."""
    agents: int = 200
    clusters: int = 40
    official_agents: int = 4
    asks_per_second: float = 150.0
    """Of all lean agents together."""
    seconds: float = 90.0
    """About how long it takes: the ramp takes nine tenths of it."""
    kills: int = 0
    """SIGKILLs of our own hub during the ramp, evenly spread."""
    seed: int = 1
    json: bool = False
    """Keep stdout free: show everything on stderr."""
    hub_options: tuple[str, ...] = ()
    """Further arguments of ``crossfade serve``."""

    @property
    def ramp_seconds(self) -> float:
        """For all stages together."""
        return self.seconds * 0.9


async def run_demo(settings: DemoSettings) -> DemoReport:
    """Run the whole demonstration and show it. Raises DemoError, HubFailedError, CrossfadeError, AgentError.

    The caller prints the report if it wants JSON, and turns ``report.sound`` into an exit code.
    """
    if settings.official_agents:
        official_module()
    folder = settings.folder or Path(tempfile.mkdtemp(prefix="crossfade-demo-"))
    stream = sys.stderr if settings.json else sys.stdout
    with Screen(stream) as screen:
        async with _hub(settings, folder) as hub:
            report = await _Run(settings, folder, screen, hub).run()
        if settings.folder is None and report.sound:
            shutil.rmtree(folder, ignore_errors=True)
            report = msgspec.structs.replace(report, journals="")
        screen.table(report)
    return report


@asynccontextmanager
async def _hub(settings: DemoSettings, folder: Path) -> AsyncIterator[HubProcess | None]:
    """Our own hub, or None when the settings name one that runs already."""
    if settings.url:
        yield None
        return
    hub = HubProcess(folder / "hub", options=settings.hub_options)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


class _Run:
    """One demonstration on its way."""

    def __init__(self, settings: DemoSettings, folder: Path, screen: Screen, hub: HubProcess | None) -> None:
        self._settings = settings
        self._screen = screen
        self._hub = hub
        self._url = hub.url if hub is not None else settings.url
        self._run_name = f"{monotonic_ns():x}"
        parts = lean_cast(settings.agents, settings.clusters, settings.asks_per_second, self._run_name)
        parts += official_cast(settings.official_agents, OFFICIAL_ASKS_PER_SECOND, self._run_name)
        self._fleet = Fleet(parts, settings.seed, folder / "journals")
        self._folder = folder
        self._unfinished = 0

    async def run(self) -> DemoReport:
        started_ns = monotonic_ns()
        token = self._hub.operator_token if self._hub is not None else self._settings.token
        async with Api(Transport(self._url, token=token)) as api:
            place = urlsplit(self._url)
            await self._fleet.enlist(api, place.hostname or "127.0.0.1", place.port or 80)
            self._screen.note(self._introduction())
            ramp = Ramp(api, self._settings.ramp_seconds / len(RAMP), lambda: self._fleet.asked, self._screen.stage)
            try:
                await self._perform(ramp)
            except ExceptionGroup as group:
                raise _first(group) from group
            finally:
                self._fleet.close()
        return self._report(ramp, (monotonic_ns() - started_ns) / 1e9)

    async def _perform(self, ramp: Ramp) -> None:
        """Agents, ramp and interference side by side; ends when the ramp is done and everything is drained."""
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(agent.run()) for agent in self._fleet.agents]
            background.append(group.create_task(self._show()))
            if self._hub is not None:
                background.append(group.create_task(self._hub.failed()))
                background.append(group.create_task(self._interfere(self._hub)))
            for agent in self._fleet.agents:
                agent.on_end = self._ended
            await ramp.run()
            self._unfinished = await self._fleet.drain()
            for task in background:
                task.cancel()

    async def _interfere(self, hub: HubProcess) -> None:
        for _ in range(self._settings.kills):
            await asyncio.sleep(self._settings.ramp_seconds / (self._settings.kills + 1))
            await hub.up.wait()  # what is only being started is not there to be killed
            self._screen.note(f"  SIGKILL to the hub, process {hub.pid}")
            hub.kill()

    async def _show(self) -> None:
        before = 0
        while True:
            await asyncio.sleep(STATUS_SECONDS)
            asked = self._fleet.asked
            self._screen.status(
                f"{asked} questions, {(asked - before) / STATUS_SECONDS:.0f}/s, {self._fleet.open} open"
            )
            before = asked

    def _ended(self, asker: str, asked: Pending, end: Item) -> None:
        who = f"{asker} → {asked.peer}"
        self._screen.question(f"{end.timestamp[11:19]}  {who:<32} {asked.message:<28} {end.kind}")

    def _introduction(self) -> str:
        official = sum(part.official for part in self._fleet.parts)
        lean = len(self._fleet.parts) - official
        process = f" (process {self._hub.pid}; kill -9 it if you like)" if self._hub is not None else ""
        clusters = len({part.plan.cluster for part in self._fleet.parts})
        return (
            f"hub {self._url}{process}\n"
            f"{lean} lean agents and {official} on the official client, in {clusters} clusters; "
            f"ramp of {len(RAMP)} stages, about {self._settings.ramp_seconds:.0f} s"
        )

    def _report(self, ramp: Ramp, seconds: float) -> DemoReport:
        account = reconcile(agent.journal.entries for agent in self._fleet.agents)
        return DemoReport(
            questions=account.questions,
            answered=account.answered,
            lost=len(account.lost),
            doubled=len(account.doubled),
            repeats=account.repeats,
            shed=sum(agent.shed for agent in self._fleet.agents),
            unfinished=self._unfinished,
            stages=tuple(ramp.stages),
            channels=account.channels,
            lanes=account.lanes,
            official=self._fleet.official_counts(),
            agents=len(self._fleet.parts),
            clusters=len({part.plan.cluster for part in self._fleet.parts}),
            hub_restarts=self._hub.restarts if self._hub is not None else 0,
            reconnects=sum(agent.reconnects for agent in self._fleet.agents),
            seconds=round(seconds, 1),
            faults=faults_of(account),
            journals=str(self._folder / "journals"),
        )


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first plain exception of a group."""
    fault: Exception = group
    while isinstance(fault, ExceptionGroup):
        fault = fault.exceptions[0]
    return fault
