"""Steering: the rollout's use cases as entry points call them. A part of the hub, in a file of its own.

Each says who may; what happens then is migration.py's, and the plans' are planning.py's.
"""

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller, Instant, Scope
from crossfade.engine.context import needs
from crossfade.engine.migration import Migration
from crossfade.engine.planning import Planning
from crossfade.engine.requests import RolloutView


class Steering:
    """What can be done to the rollout of a hub."""

    _migration: Migration
    plans: Planning
    """Plans that drive the rollout, and their gates."""

    def rollout(self) -> RolloutView:
        """The rollout as it stands."""
        return self._migration.view()

    async def rollout_start(self, caller: Caller, name: str, *, salt: str | None = None) -> RolloutView | Refusal:
        """Begin the rollout with a salt that orders the clusters; needs scope operator, as all below."""
        return needs(caller, Scope.OPERATOR) or await self._migration.start(caller.name, name, salt)

    async def rollout_set(self, caller: Caller, share: float, reason: str) -> RolloutView | Refusal:
        """Put this share of the weight (0 to 1) on the elicitation lane."""
        return needs(caller, Scope.OPERATOR) or await self._migration.set_share(caller.name, share, reason)

    async def rollout_hold(self, caller: Caller, reason: str) -> RolloutView | Refusal:
        """Let the share rise no further."""
        return needs(caller, Scope.OPERATOR) or await self._migration.hold(caller.name, reason)

    async def rollout_resume(self, caller: Caller, reason: str) -> RolloutView | Refusal:
        """Let it rise again."""
        return needs(caller, Scope.OPERATOR) or await self._migration.resume(caller.name, reason)

    async def rollout_kill(self, caller: Caller, reason: str, source: str = "http") -> RolloutView | Refusal:
        """Put everybody on polling at once, also when the log cannot be written now."""
        return needs(caller, Scope.OPERATOR) or await self._migration.kill(caller.name, reason, source)

    async def rollout_deprecate(self, caller: Caller, sunset_seconds: float, notice: str) -> RolloutView | Refusal:
        """Tell those still polling until when they can."""
        return needs(caller, Scope.OPERATOR) or await self._migration.deprecate(caller.name, sunset_seconds, notice)

    async def rollout_remove(self, caller: Caller) -> RolloutView | Refusal:
        """Refuse ``wait_for_messages`` from now on."""
        return needs(caller, Scope.OPERATOR) or await self._migration.remove(caller.name)

    def kill_file(self, present: bool, reason: str = "") -> None:
        """The kill file is there, or is gone: put everybody on polling while it is."""
        self._migration.kill_file(present, reason)

    def polling_removed(self) -> Refusal | None:
        """Why ``wait_for_messages`` is refused, once it is removed."""
        return self._migration.polling_removed()

    def deprecation(self) -> tuple[Instant, Instant | None, str] | None:
        """(Deprecated since, sunset, notice) once polling is deprecated."""
        return self._migration.deprecation()
