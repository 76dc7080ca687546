"""Credentials: bearer tokens, kept as a hash, with scopes and an end.

The secret itself is shown once, to whoever asked for it, and is nowhere in the log.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.values import SECOND, AgentName, Instant, Kind, Scope

LIFE_SECONDS_MAX: Final = 10 * 366 * 86_400


class Status(StrEnum):
    """Whether the credential can be used; its expiry is a matter of time, not of state."""

    ABSENT = "absent"
    VALID = "valid"
    REVOKED = "revoked"


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    name: AgentName
    kind: Kind
    scopes: tuple[Scope, ...]
    digest: str
    expires_at: Instant | None
    label: str = ""


class Revoke(msgspec.Struct, frozen=True, kw_only=True):
    pass


Command = Issue | Revoke


class Issued(Event, frozen=True, kw_only=True):
    name: AgentName
    """The identity whose credential it is."""
    kind: Kind
    """Kind under which the identity is registered."""
    scopes: tuple[Scope, ...]
    """What it allows, sorted."""
    digest: str
    """Hex SHA-256 of the whole token."""
    expires_at: Instant | None = None
    """Not valid from this instant on; None = until revoked."""
    label: str = ""
    """Cluster label for the identity, if the operator gave one."""


class Revoked(Event, frozen=True, kw_only=True):
    """Not valid from this record on."""


register("token.issued/1", Issued)
register("token.revoked/1", Revoked)

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.ABSENT, Issued): Status.VALID,
    (Status.VALID, Revoked): Status.REVOKED,
}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as its history says."""

    status: Status = Status.ABSENT
    name: AgentName = AgentName("")
    kind: Kind = Kind.PROGRAM
    scopes: tuple[Scope, ...] = ()
    digest: str = ""
    expires_at: Instant | None = None
    label: str = ""


def decide(state: State, command: Command, now: Instant) -> tuple[Issued | Revoked, ...] | Refusal:
    """Accept ``command`` as events, or refuse it.

    Refuses with: token.exists, token.expiry_past, token.expiry_far, token.unknown, token.no_scope.
    """
    if isinstance(command, Issue):
        if state.status is not Status.ABSENT:
            return Refusal("token.exists", "A token with this id exists.")
        if not command.scopes:
            return Refusal("token.no_scope", "A token needs at least one scope.", "Give --scope agent.")
        if command.expires_at is not None and command.expires_at <= now:
            return Refusal("token.expiry_past", "The expiry is not in the future.", "Give a later expiry.")
        if command.expires_at is not None and command.expires_at - now > LIFE_SECONDS_MAX * SECOND:
            return Refusal("token.expiry_far", "The expiry is over ten years ahead.", "Give an earlier one, or none.")
        return (Issued(**{name: getattr(command, name) for name in Issued.__struct_fields__}),)
    if state.status is Status.ABSENT:
        return Refusal("token.unknown", "There is no such token.", "`crossfade token ls` lists them.")
    return (Revoked(),) if state.status is Status.VALID else ()


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    if isinstance(event, Issued):
        return State(status=status, **{name: getattr(event, name) for name in Issued.__struct_fields__})
    return msgspec.structs.replace(state, status=status)


def deadline(state: State) -> Instant | None:
    """None: an expired credential is refused when it is used; nothing happens at the instant itself."""
    return None


DECIDER: Final[Decider[State, Command, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)
