"""Context: the parts of the engine that its use cases share. Built once by the hub; holds no logic."""

from collections.abc import Callable
from typing import Final

from crossfade.core.agents import Status
from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND, Caller, Instant, Lane, Scope
from crossfade.engine.background import Background
from crossfade.engine.dispatcher import Dispatcher
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Clock, Ids, Log
from crossfade.engine.projector import Views
from crossfade.engine.tallying import Tallies
from crossfade.engine.timers import Timer, Timers
from crossfade.engine.views.directory import Member

BURST_SECONDS: Final = 2.0
"""A token bucket holds this many seconds' worth of commands."""


RETIRED: Final = Status.RETIRED


class Context:
    """What a use case needs: clock, ids, log, views, dispatcher, timers, limits, and where to count."""

    def __init__(
        self, log: Log, clock: Clock, ids: Ids, limits: Limits, views: Views, dispatcher: Dispatcher,
    ) -> None:  # fmt: skip
        self.log = log
        self.clock = clock
        self.ids = ids
        self.limits = limits
        self.views = views
        self.dispatcher = dispatcher
        self.timers = Timers(clock)
        self.background = Background()
        self.tallies = Tallies(views, clock)

    def later(self, seconds: float) -> Instant:
        """The instant ``seconds`` from now."""
        return Instant(self.clock.now() + int(seconds * SECOND))

    def again(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once after ``seconds``."""
        return self.timers.at(self.later(seconds), call)

    def lane_of(self, member: Member) -> Lane:
        """The lane of an identity now; worked out once under each state of the rollout."""
        programme = self.views.programme
        if programme.killed:
            return Lane.POLLING
        if member.lane_under is not programme.rollout:
            member.lane_under = programme.rollout
            member.lane = programme.lane_of(member.state.name, member.state.label)
        return member.lane

    def allow(self, caller: Caller) -> Refusal | None:
        """Take one command from the caller's allowance, or refuse with limit.rate or agent.unknown."""
        member = self.views.directory.get(caller.name)
        if member is None or member.state.status is RETIRED:
            return Refusal("agent.unknown", f"{caller.name} is not registered here.", "Register it with a token.")
        rate = self.limits.commands_per_second_max
        now = self.clock.now()
        since = now - member.allowance_at
        member.allowance_at = now
        if since > 0:  # a clock set back takes nothing away
            member.allowance = min(rate * BURST_SECONDS, member.allowance + since * rate / SECOND)
        if member.allowance < 1:
            return self.refuse(
                Refusal("limit.rate", f"More than {rate:g} commands a second.", "Wait a second and retry.")
            )
        member.allowance -= 1
        return None

    def refuse(self, refusal: Refusal) -> Refusal:
        """Count a refusal and hand it on."""
        self.views.measures.refused[refusal.code] += 1
        return refusal


def too_long(what: str, size_bytes: int, size_bytes_max: int) -> Refusal:
    """The refusal of something beyond its maximum."""
    return Refusal(
        "limit.size",
        f"The {what} has {size_bytes} bytes, at most {size_bytes_max} are allowed.",
        f"Shorten the {what}, or put a reference in it.",
        {"field": what},
    )


def needs(caller: Caller, scope: Scope) -> Refusal | None:
    """Refuse whoever has neither the scope nor admin."""
    if scope in caller.scopes or Scope.ADMIN in caller.scopes:
        return None
    return Refusal(
        "auth.scope", f"This needs the scope {scope}.", "Use a token that has it; `crossfade token new --scope`."
    )
