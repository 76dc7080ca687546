"""A hub that runs runsheets against a world of its own: effects that outlive the process, and reviewers."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import rfc8785

from crossfade.core.decider import Refusal
from crossfade.core.run_events import Verdict
from crossfade.core.runsheets import (
    Calendar,
    Operations,
    Phase,
    Role,
    RoleMembers,
    Runsheet,
    SignOff,
    Step,
    Target,
)
from crossfade.core.values import SECOND, Caller, Instant, Scope
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Log
from crossfade.engine.requests import AnswerRequest
from crossfade.engine.run_ports import CheckCall, Count, Finding, StepCall, StepOutcome
from crossfade.engine.run_steps import Work
from crossfade.engine.run_views import CreateRequest, RunView
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.signing import ephemeral_key
from tests.kit.clock import FakeClock, FakeIds
from tests.kit.hub import ROOT, World, ok

MONDAY = datetime(2027, 1, 11, tzinfo=UTC)
START = Instant(int(MONDAY.timestamp()) * SECOND)
OK = StepOutcome(ok=True)
REVIEWERS = {"devops": "ana", "security": "bo", "performance": "cy"}


class Outside:
    """What the world remembers: which effects exist, how often each was brought about, and the share."""

    def __init__(self) -> None:
        self.checks_fail = False
        self.effects: dict[str, int] = {}
        self.gone: list[str] = []
        self.share = 0.0
        self.shares: list[float] = []
        self.failing: dict[str, int] = {}
        """Command line → how many more times it fails."""
        self.verdicts: dict[str, Verdict] = {}
        self.said: dict[str, str] = {}
        """Command line → what it prints."""
        self.on_effect: Any = None

    async def command(self, line: str, call: StepCall) -> StepOutcome:
        """``do X``, ``is X``, ``undo X``; anything else is looked at."""
        verb, _, what = line.partition(" ")
        if self.failing.get(line, 0) > 0:
            self.failing[line] -= 1
            return StepOutcome(ok=False, reason="exit 1")
        if verb == "do":
            self.effects[what] = self.effects.get(what, 0) + 1
        elif verb == "undo":
            self.gone.append(what)
        elif verb == "is":
            there = what in self.effects and what not in self.gone
            return OK if there else StepOutcome(ok=False, reason="exit 1")
        return StepOutcome(ok=True, output=self.said[line]) if line in self.said else OK

    async def http(self, url: str, call: StepCall, method: str = "POST") -> StepOutcome:
        """The same for URLs."""
        return await self.command(f"{'is' if method == 'GET' else 'do'} {url}", call)

    async def set_share(self, share: float, call: StepCall) -> StepOutcome:
        """Remember it."""
        if share != self.share:
            self.shares.append(share)
        self.share = share
        return OK

    async def verify(self, share: float, call: StepCall) -> StepOutcome:
        """Compare."""
        return OK if share == self.share else StepOutcome(ok=False, reason=f"is {self.share}")

    async def drain(self, call: StepCall) -> StepOutcome:
        """Nothing to wait for."""
        return OK

    async def roll_back(self, call: StepCall) -> StepOutcome:
        """To nothing."""
        return await self.set_share(0.0, call)

    async def counts(self) -> list[Count]:
        """None."""
        return []

    def of(self, target: Target) -> "Outside":
        """It is the target of every kind."""
        return self

    async def check(self, call: CheckCall) -> Finding:
        """A check that passes."""
        if self.checks_fail:
            return Finding(verdict=Verdict.FAILED, reason="planted")
        return Finding(verdict=Verdict.PASSED, numbers={"n": 7})

    def work(self, *checks: str, sole: bool = True) -> Work:
        """What a process can do in this world; ``checks`` pass."""
        return Work(steps=self, targets=self, checks=dict.fromkeys(checks, self.check), sole=sole)


class Procedure:
    """A hub with runs, in one process after the other, on one log, clock and world outside."""

    def __init__(self, *, checks: tuple[str, ...] = (), seed: int = 1) -> None:
        self.outside = Outside()
        self.log: Log = MemoryLog()
        self.clock = FakeClock(START)
        self.checks = checks
        self.seed = seed
        self.world: World | None = None
        self.run_id = ""
        self.people: dict[str, Caller] = {}
        self.answers: dict[str, bytes] = {}
        """Member → what it answers when asked anything but for a signature."""
        self.silent: set[str] = set()
        self.outcome: dict[str, bytes] = {}

    @property
    def hub(self) -> Any:
        assert self.world is not None
        return self.world.hub

    async def begin(self, log: Log | None = None) -> None:
        """Start a process."""
        self.seed += 1
        world = World(log or self.log, self.clock, Limits(check_seconds=3_600.0), seed=self.seed)
        from crossfade.engine.hub import Hub

        world.hub = Hub(
            log or self.log, self.clock, FakeIds(self.seed), world.limits, guests=True, signer=ephemeral_key()
        )
        world.hub.equip(self.outside.work(*self.checks))
        await world.hub.start()
        self.world = world

    async def die(self) -> None:
        """Drop the process where it is."""
        await self.hub._c.background.stop()
        self.world = None

    async def staff(self, *names: str) -> None:
        """Register people."""
        assert self.world is not None
        for name in names or tuple(REVIEWERS.values()):
            self.people[name] = await self.world.join(name)

    async def create(self, runsheet: Runsheet, caller: Caller = ROOT, **more: Any) -> RunView | Refusal:
        """Create a run, forced unless told otherwise: these runsheets are far from production."""
        source = canonical(runsheet)
        more.setdefault("forced", "a test")
        digest = hashlib.sha256(source.encode()).hexdigest()
        made = await self.hub.runs.create(caller, CreateRequest(runsheet=source, digest=digest, **more))
        if isinstance(made, RunView):
            self.run_id = made.run_id
        await self.clock.advance(0)
        return made

    def view(self) -> RunView:
        """The run now."""
        return ok(self.hub.runs.run(self.run_id))

    def status(self, node: str) -> str:
        """Of a node."""
        return next(one for one in self.view().nodes if one.node == node).status

    async def reply(self) -> int:
        """Everybody answers what they were asked; how many answers there were."""
        given = 0
        for name, caller in self.people.items():
            if name in self.silent:
                continue
            for question in await self.hub.open_questions(caller):
                signing = b"signoff" in bytes(question.metadata)
                content = self.outcome.get(name, b'{"outcome":"approved"}') if signing else self.answers.get(name)
                if content is None:
                    first = msgspec.json.decode(bytes(question.schema))["properties"]
                    field, shape = next(iter(first.items()))
                    options = shape.get("enum") or [one["const"] for one in shape.get("oneOf", [])] or ["fine"]
                    content = msgspec.json.encode({field: options[0]})
                answer = AnswerRequest(question_id=question.question_id, content=msgspec.Raw(content))
                given += not isinstance(await self.hub.answer(caller, answer), Refusal)
        await self.clock.advance(0)
        return given

    async def through(self, hours: float, *, step_hours: float = 1.0) -> None:
        """Let time pass, everybody answering on the way, until the run has ended."""
        passed = 0.0
        while passed < hours and self.view().status in ("running", "aborting"):
            await self.clock.advance(step_hours * 3600)
            passed += step_hours
            while await self.reply():
                pass


def canonical(runsheet: Runsheet) -> str:
    """As the loader has it."""
    return rfc8785.dumps(msgspec.to_builtins(runsheet, str_keys=True)).decode()


def sheet(*phases: Phase, **more: Any) -> Runsheet:
    """A runsheet around phases, with three reviewers."""
    more.setdefault("roles", {Role(role): RoleMembers(members=(name,)) for role, name in REVIEWERS.items()})
    more.setdefault("target", Target(kind="command"))
    more.setdefault("operations", Operations(escalation=("deputy", "director")))
    more.setdefault("owner", "ops")
    return Runsheet(
        runsheet=1,
        name="small",
        calendar=Calendar(start=MONDAY.date(), first_week=1, last_week=12),
        phases=phases,
        **more,
    )


def phase(name: str, *steps: Step, week: int = 1, **more: Any) -> Phase:
    """A phase of one week."""
    return Phase(id=name, title=name, first_week=week, last_week=week, steps=steps, **more)


def command(name: str, **more: Any) -> Step:
    """A command that can be looked at and undone."""
    kept = {"probe": f"is {name}", "verify": f"is {name}", "undo": f"undo {name}", **more}
    return Step(id=name, kind="command", run=f"do {name}", **kept)


def ramp(*shares: float) -> tuple[Step, ...]:
    """Steps that raise the share."""
    return tuple(Step(id=f"share-{share:.0%}".rstrip("%"), kind="share", share=share) for share in shares)


ALL = (Role.DEVOPS, Role.SECURITY, Role.PERFORMANCE)
SIGNED = (SignOff(roles=ALL, about="Go on?"),)
HOUR = timedelta(hours=1)
__all__ = ["ALL", "HOUR", "ROOT", "SIGNED", "Outside", "Procedure", "Scope", "command", "phase", "ramp", "sheet"]
