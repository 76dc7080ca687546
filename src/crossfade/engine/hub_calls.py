"""The hub's own rollout as what a runsheet moves: the calls ``rollout.*``, and the share as a target.

Every call may be made again: what is so already is done.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from crossfade.core import rollouts
from crossfade.core.decider import Refusal
from crossfade.core.values import Instant
from crossfade.engine.context import Context
from crossfade.engine.migration import Migration
from crossfade.engine.requests import RolloutView
from crossfade.engine.run_ports import Count, StepCall, StepOutcome

ACTOR: Final = "programme"
"""By whom the log says the rollout was moved."""
SUNSET_SECONDS: Final = 14 * 86_400.0
NOTICE: Final = "wait_for_messages ends here; call attend or inbox instead."
OK: Final = StepOutcome(ok=True)


class HubCalls:
    """The calls that a step of kind ``hub`` can make."""

    def __init__(self, context: Context, migration: Migration) -> None:
        self._c = context
        self._migration = migration
        self._calls: dict[str, _Verb] = {
            "rollout.start": self._start,
            "rollout.set": self._set,
            "rollout.hold": lambda args: migration.hold(ACTOR, _reason(args)),
            "rollout.resume": lambda args: migration.resume(ACTOR, _reason(args)),
            "rollout.kill": lambda args: migration.kill(ACTOR, _reason(args), "command"),
            "rollout.deprecate": self._deprecate,
            "rollout.remove": self._remove,
        }

    def done(self, name: str, args: dict[str, str]) -> StepOutcome:
        """Whether what the call is for is so already."""
        if name not in self._calls:
            return StepOutcome(ok=False, reason="not_implemented")
        view = self._migration.view()
        ok = {
            "rollout.start": view.name != "",
            "rollout.set": view.share == _number(args, "share", -1.0),
            "rollout.hold": view.held,
            "rollout.resume": not view.held,
            "rollout.kill": view.status == "polling" and view.held,
            "rollout.deprecate": view.status in ("deprecated", "removed"),
            "rollout.remove": view.status == "removed",
        }[name]
        return OK if ok else StepOutcome(ok=False, reason="not in force")

    async def call(self, name: str, args: dict[str, str]) -> StepOutcome:
        """Make the call."""
        if name not in self._calls:
            return StepOutcome(ok=False, reason="not_implemented")
        if self.done(name, args).ok:
            return OK
        return _outcome(await self._calls[name](args))

    def not_before(self, name: str) -> Instant | None:
        """When a call can be made at the earliest, where an announcement says so."""
        state = self._c.views.programme.rollout
        announced = name == "rollout.remove" and state.status is rollouts.Status.DEPRECATED
        return state.sunset_at if announced else None

    async def _start(self, args: dict[str, str]) -> RolloutView | Refusal:
        return await self._migration.start(ACTOR, args.get("name", "rollout"), args.get("salt"))

    async def _set(self, args: dict[str, str]) -> RolloutView | Refusal:
        return await self._migration.set_share(ACTOR, _number(args, "share", -1.0), _reason(args))

    async def _deprecate(self, args: dict[str, str]) -> RolloutView | Refusal:
        sunset = _number(args, "sunset_seconds", SUNSET_SECONDS)
        return await self._migration.deprecate(ACTOR, sunset, args.get("notice", NOTICE))

    async def _remove(self, args: dict[str, str]) -> RolloutView | Refusal:
        return await self._migration.remove(ACTOR)


_Verb = Callable[[dict[str, str]], Awaitable[RolloutView | Refusal]]


class HubTarget:
    """The share of the fleet on the elicitation lane."""

    def __init__(self, context: Context, migration: Migration) -> None:
        self._c = context
        self._migration = migration

    async def set_share(self, share: float, call: StepCall) -> StepOutcome:
        """Start the rollout if there is none, then move the share."""
        if not self._migration.view().name:
            started = await self._migration.start(ACTOR, call.args.get("name", "runsheet"), None)
            if isinstance(started, Refusal):
                return _outcome(started)
        if (await self.verify(share, call)).ok:
            return OK
        return _outcome(await self._migration.set_share(ACTOR, share, call.args.get("reason", call.key)))

    async def verify(self, share: float, call: StepCall) -> StepOutcome:
        """The share that was asked for is the one in force, and nobody killed it."""
        view = self._migration.view()
        said = f"share {view.share:g}, achieved {view.achieved:g}"
        if view.share == share:
            return StepOutcome(ok=True, output=said)
        return StepOutcome(ok=False, reason="share differs", output=said)

    async def drain(self, call: StepCall) -> StepOutcome:
        """Conversations end or move by themselves; says how many are open."""
        return StepOutcome(ok=True, output=str(self._migration.view().open_questions))

    async def roll_back(self, call: StepCall) -> StepOutcome:
        """The kill switch."""
        return _outcome(await self._migration.kill(ACTOR, call.args.get("reason", call.key), "command"))

    async def counts(self) -> list[Count]:
        """Nothing is counted here yet."""
        return []


def _outcome(outcome: RolloutView | Refusal) -> StepOutcome:
    if isinstance(outcome, Refusal):
        return StepOutcome(ok=False, reason=outcome.code, output=outcome.message)
    return StepOutcome(ok=True, output=f"{outcome.status}, share {outcome.share:g}, achieved {outcome.achieved:g}")


def _number(args: dict[str, str], name: str, default: float) -> float:
    """A number as a runsheet writes it; what cannot be read is refused by the rollout as out of bounds."""
    text = args.get(name, "")
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text) if text else default
    except ValueError:
        return -1.0


def _reason(args: dict[str, str]) -> str:
    return args.get("reason", "runsheet")
