"""One load run from its beginning to its report: hub, credentials, load processes, questions, ends, account.

Rules
-----
1. Nothing is started before the profile is known to fit this machine.
2. Whatever ends a run early (Ctrl-C, a dead hub, a dead load process, a hub that takes no more) ends it with a
   report of what was so far, and its reason; never with a traceback, never with a process left behind.
3. Questions begin when every agent is held, and the run ends when every question has its end.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.absence import Absence
from crossfade.fleet.load.account import Findings, findings
from crossfade.fleet.load.crowd import LoadChild, LoadChildError
from crossfade.fleet.load.feasible import LOOPBACK, Plan, of_this_machine, plan
from crossfade.fleet.load.gauge import Gauge
from crossfade.fleet.load.orders import Go, Halt, Order
from crossfade.fleet.load.profile import Profile, ProfileError, check
from crossfade.fleet.load.report import LoadReport
from crossfade.fleet.load.schedule import Shape
from crossfade.fleet.load.target import Target, own_hub, resolved, there
from crossfade.fleet.load.telling import of_share, report_of
from crossfade.fleet.load.worker import cluster_name, names_of, own
from crossfade.fleet.supervisor import HubFailedError

LOOK_SECONDS: Final = 0.1
LEAD_NS: Final = 300_000_000
"""Between the order to begin and the first question."""
SETTLE_SECONDS: Final = 1.0
"""With all agents attached and no question: how much the hub uses then is a figure of its own."""
AFTER_SECONDS: Final = 1.0
"""At the end, before the hub's memory is read a last time."""
DRAIN_SECONDS: Final = 60.0
"""At the end, for what is open, beyond the time that agents of the model may be away and think."""
HALT_SECONDS: Final = 5.0
"""After Ctrl-C, for what is open."""
TIDY_SECONDS: Final = 60.0
"""At a hub that goes on without us, to retire the agents."""
HASTE_SECONDS: Final = 10.0
"""The same after Ctrl-C."""
ATTACH_SECONDS: Final = 60.0
ATTACH_PER_SECOND: Final = 150
"""Slower than this, and the hub does not take the agents."""
OPEN_MAX: Final = 200_000
"""Questions without their end, at a few KiB of the load's memory each; with more, the hub will not catch up."""
UNREACHABLE_MIN: Final = 3
"""Connections in a row that each load process could not make: nobody is there just now."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, and against what."""

    profile: Profile
    scenario: str = "custom"
    url: str = ""
    """A hub that runs; empty: one of our own on a scratch folder."""
    token: str = ""
    """Admin credential of the hub at ``url``."""
    hub_options: tuple[str, ...] = ()
    share_wished: bool = False
    """The hub at ``url`` has to have the profile's share of the agents on elicitation; else its rollout decides."""
    keep: Path | None = None
    """Keep hub data and journals here; None: a scratch folder, removed unless something was wrong."""


Watch = Callable[[str, float, Gauge], None]
"""Told several times a second: what is going on, how much of it is done (0 to 1), and how it stands."""


class CutShortError(Exception):
    """The run cannot go on; the message is the reason."""


class GoneError(CutShortError):
    """Nobody is there any more."""


async def fitted(settings: Settings) -> Plan:
    """How to spread the profile over this machine. Raises ProfileError if it cannot be meant, or cannot be met."""
    check(settings.profile)
    host = await resolved(settings.url) if settings.url else LOOPBACK
    return plan(settings.profile, of_this_machine(), host, own_hub=not settings.url)


async def run_load(settings: Settings, stop: asyncio.Event, watch: Watch, kill: list[Callable[[], None]]) -> LoadReport:
    """Run it. Raises ProfileError, HubFailedError (it never started), EnlistError (it gave no credentials).

    ``stop`` ends it early with a report; ``kill`` is filled with what ends every child at once.
    """
    spread = await fitted(settings)
    profile = msgspec.structs.replace(settings.profile, lines=spread.lines * spread.processes)
    settings = msgspec.structs.replace(settings, profile=profile)
    folder = _folder(settings.keep)
    journals = folder / "journals"
    keep = settings.keep is not None
    try:
        async with _target(settings, folder) as target:
            if target.own is not None:
                kill.append(target.own.kill)
            report = await _Run(settings, spread, target, journals, watch).run(stop, kill)
        keep = keep or bool(report.lost or report.doubled)
        return msgspec.structs.replace(report, journals=str(journals) if keep else "")
    finally:
        kill.clear()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(keep: Path | None) -> Path:
    """Where the run has its hub and journals: ``keep``, or a scratch folder. Raises ProfileError."""
    try:
        folder = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="crossfade-load-"))
        (folder / "journals").mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        where = keep or "a scratch folder"
        raise ProfileError(f"{where} cannot be made: {fault.strerror}", "name another with --keep or TMPDIR") from None
    return folder


def drain_seconds(profile: Profile) -> float:
    """How long a question may take to its end before it counts as lost: its addressee may have just begun to work."""
    return DRAIN_SECONDS + profile.model.longest_seconds


@asynccontextmanager
async def _target(settings: Settings, folder: Path) -> AsyncIterator[Target]:
    if settings.url:
        yield await there(settings.url, settings.token)
        return
    async with own_hub(folder / "hub", settings.hub_options) as target:
        yield target


class _Run:
    """One run on its way."""

    def __init__(self, settings: Settings, spread: Plan, target: Target, journals: Path, watch: Watch) -> None:
        self._settings = settings
        self._profile = settings.profile
        self._plan = spread
        self._target = target
        self._journals = journals
        self._watch = watch
        self._name = f"{monotonic_ns() // 1_000_000:x}"
        self._children = [LoadChild() for _ in range(spread.processes)]
        self._gauge = Gauge(target, self._children)
        self._start_ns = 0
        self._share = settings.profile.share
        self._gone = False
        self._known = False
        self._absence = Absence()

    async def run(self, stop: asyncio.Event, kill: list[Callable[[], None]]) -> LoadReport:
        kill.extend(child.kill for child in self._children)
        reason = ""
        work = asyncio.ensure_future(self._perform())
        told, dead = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._target.failed())
        try:
            await asyncio.wait((work, told, dead), return_when=asyncio.FIRST_COMPLETED)
            reason = self._why(work, dead)
            if reason:
                self._gauge.cut()
            if reason == INTERRUPTED and self._start_ns:
                await self._halt()
        finally:
            for task in (work, told, dead):
                task.cancel()
            await asyncio.gather(work, told, dead, return_exceptions=True)
            await asyncio.gather(*(child.finish() for child in self._children))
        return await self._account(reason or self._unsaid())

    def _unsaid(self) -> str:
        """Why a load process ended without its last word; empty if none did."""
        try:
            for child in self._children:
                child.check()
        except LoadChildError as error:
            return str(error)
        return ""

    def _why(self, work: "asyncio.Future[None]", dead: "asyncio.Future[None]") -> str:
        """Why the run ended; empty if it came to its end. Raises EnlistError."""
        if dead.done() and isinstance(dead.exception(), HubFailedError):
            return str(dead.exception())
        if not work.done():
            return INTERRUPTED
        fault = work.exception()
        self._gone = isinstance(fault, GoneError)
        if isinstance(fault, CutShortError | LoadChildError):
            return str(fault)
        if fault is not None:
            raise fault
        return ""

    async def _perform(self) -> None:
        await self._enlist()
        await self._attach()
        await self._settle()
        self._start_ns = monotonic_ns() + LEAD_NS
        self._gauge.begin(self._start_ns)
        for child in self._children:
            await child.tell(Go(self._start_ns))
        await self._questions()
        self._gauge.note()
        await asyncio.sleep(AFTER_SECONDS)
        self._gauge.after()

    async def _enlist(self) -> None:
        """Credentials for all, lanes, and a process for each part of them."""
        self._say("credentials", 0.0)
        profile, shape = self._profile, Shape(self._profile)
        clusters = [cluster_name(self._name, number) for number in range(profile.groups)]
        names = names_of(profile, self._name)
        labels = [clusters[shape.cluster(index)] for index in range(profile.agents)]
        if self._target.own is None and self._settings.share_wished:
            self._have(await self._target.elicited(clusters, profile.share))
        self._known = True
        tokens = await self._target.operator.enlist(list(zip(names, labels, strict=True)))
        on_elicitation = await self._target.elicited(clusters, profile.share)
        self._share = self._of_agents(on_elicitation)
        self._gauge.empty()
        for process, child in enumerate(self._children):
            indices = own(profile, process, len(self._children))
            order = Order(
                process=process,
                processes=len(self._children),
                profile=profile,
                run=self._name,
                host=self._target.host,
                port=self._target.port,
                authority=self._target.authority,
                sources=self._plan.sources,
                lines=self._plan.lines,
                folder=str(self._journals),
                tokens=tuple(tokens[index] for index in indices),
                on_elicitation=on_elicitation,
            )
            await child.start(order)

    def _of_agents(self, clusters: tuple[int, ...]) -> float:
        """The share of the agents that is in these clusters."""
        shape, agents = Shape(self._profile), self._profile.agents
        return sum(shape.cluster(index) in set(clusters) for index in range(agents)) / agents

    def _have(self, clusters: tuple[int, ...]) -> None:
        """Raises ProfileError if these clusters are not the share that is wished, as near as clusters come to it."""
        wished, found = self._profile.share, self._of_agents(clusters)
        if abs(found - wished) > (1 / self._profile.groups if 0 < wished < 1 else 0):
            raise ProfileError(
                f"the rollout of the hub at {self._target.url} has {found:.0%} of these agents on elicitation,"
                f" not {wished:.0%}",
                f"leave out --share and --lane, or first: crossfade rollout set --share {wished:g}",
            )

    async def _attach(self) -> None:
        """Wait until the hub holds every agent."""
        agents = self._profile.agents
        patience_ns = (ATTACH_SECONDS + agents / ATTACH_PER_SECOND) * 1e9
        began_ns = monotonic_ns()
        while (attached := self._gauge.attached) < agents:
            self._look("agents connect", attached / agents)
            if monotonic_ns() - began_ns > patience_ns:
                raise CutShortError(f"only {attached} of {agents} agents could be attached")
            await asyncio.sleep(LOOK_SECONDS)
        self._gauge.all_attached((monotonic_ns() - began_ns) / 1e9)

    async def _settle(self) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        self._gauge.settled()

    async def _questions(self) -> None:
        """Until the schedule is at its end, and then until everything has its end."""
        seconds = self._profile.seconds
        while not self._gauge.finished:
            at = (monotonic_ns() - self._start_ns) / 1e9
            self._look("questions", max(0.0, min(1.0, at / seconds)))
            await asyncio.sleep(LOOK_SECONDS)
        self._gauge.end_of_schedule()
        await self._drain("ends come in", drain_seconds(self._profile))

    async def _drain(self, what: str, patience_seconds: float) -> None:
        """Until nothing is open; what is still open after a while is told by the account."""
        began_ns = monotonic_ns()
        quiet = 0
        while quiet < QUIET_LOOKS:
            waited = (monotonic_ns() - began_ns) / 1e9
            self._look(what, min(1.0, waited / patience_seconds))
            if waited > patience_seconds:
                return
            quiet = 0 if self._gauge.busy else quiet + 1
            await asyncio.sleep(LOOK_SECONDS)

    async def _halt(self) -> None:
        for child in self._children:
            await child.tell(Halt())
        with contextlib.suppress(CutShortError, LoadChildError):
            await self._drain("stopping", HALT_SECONDS)

    def _look(self, what: str, part: float) -> None:
        """See how it stands and say so. Raises CutShortError, LoadChildError."""
        for child in self._children:
            child.check()
        self._gauge.sample()
        self._say(what, part)
        away = all(child.state.failed >= UNREACHABLE_MIN for child in self._children)
        if self._absence.look(monotonic_ns(), away=away):
            raise GoneError(f"the hub at {self._target.url} cannot be reached any more")
        if self._gauge.open > OPEN_MAX:
            raise CutShortError(f"the hub does not keep up: {self._gauge.open:,} questions are without their end")

    def _say(self, what: str, part: float) -> None:
        self._watch(what, part, self._gauge)

    async def _account(self, reason: str) -> LoadReport:
        self._say("reconciling", 1.0)
        found: Findings = await asyncio.to_thread(
            findings, self._journals, self._profile.phases, self._start_ns, cut=bool(reason)
        )
        report = report_of(self._settings.scenario, self._profile, self._gauge, found, reason)
        left = await self._tidy(reason) if self._target.own is None and self._known else ""
        wished = self._start_ns and (self._target.own is not None or self._settings.share_wished)
        told = of_share(self._profile, self._share) if wished else []
        warnings = (*self._plan.warnings, *told, *self._absence.told(), *report.warnings, *([left] if left else []))
        return msgspec.structs.replace(report, share=round(self._share, 4), warnings=warnings)

    async def _tidy(self, reason: str) -> str:
        """Retire the agents at a hub that goes on without us; what is to be said of those who are left."""
        left = agents = self._profile.agents
        if not self._gone:
            self._say("retiring the agents", 0.0)
            seconds = HASTE_SECONDS if reason == INTERRUPTED else TIDY_SECONDS
            left -= await self._target.operator.retire(names_of(self._profile, self._name), seconds)
        return f"{left:,} of {agents:,} agents are left at the hub until their credentials expire" if left else ""


INTERRUPTED: Final = "interrupted"
QUIET_LOOKS: Final = 4
"""Looks in a row at which nothing was open: load processes report several times a second, not at the same moment."""
