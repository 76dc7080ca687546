"""Agents: programs, persons and services with an identity, what their client can do, and their presence.

Presence is a lease: whoever is heard from holds it, and it lapses in silence. Renewals are not events
(ten thousand agents renew every few seconds); only arrival and departure are.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.values import AgentName, Instant, Kind

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Status(StrEnum):
    """Whether the agent exists and is there."""

    ABSENT = "absent"
    AWAY = "away"
    PRESENT = "present"
    RETIRED = "retired"


class Register(msgspec.Struct, frozen=True, kw_only=True):
    name: AgentName
    kind: Kind
    label: str = ""


class Declare(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent's client says of itself when it connects."""

    client: str
    native: bool
    faces_person: bool


class Arrive(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Depart(msgspec.Struct, frozen=True, kw_only=True):
    """Issued when the lease has lapsed."""

    seen_at: Instant


class Retire(msgspec.Struct, frozen=True, kw_only=True):
    pass


Command = Register | Declare | Arrive | Depart | Retire


class Registered(Event, frozen=True, kw_only=True):
    name: AgentName
    """The identity; never reused for another."""
    kind: Kind
    """Program, person or service."""
    label: str = ""
    """Cluster given by the operator; empty if it is to be computed from who talks to whom."""


class Declared(Event, frozen=True, kw_only=True):
    client: str
    """Name of the client program."""
    native: bool
    """The client declared MCP form elicitation."""
    faces_person: bool
    """The client shows dialogs to somebody."""


class Arrived(Event, frozen=True, kw_only=True):
    """Heard from after an absence."""


class Departed(Event, frozen=True, kw_only=True):
    seen_at: Instant
    """Last heard from at this instant."""


class Retired(Event, frozen=True, kw_only=True):
    """Gone for good: nothing can be addressed to it any more."""


register("agent.registered/1", Registered)
register("agent.declared/1", Declared)
register("agent.arrived/1", Arrived)
register("agent.departed/1", Departed)
register("agent.retired/1", Retired)

AgentEvent = Registered | Declared | Arrived | Departed | Retired

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.ABSENT, Registered): Status.AWAY,
    (Status.AWAY, Declared): Status.AWAY,
    (Status.AWAY, Arrived): Status.PRESENT,
    (Status.AWAY, Retired): Status.RETIRED,
    (Status.PRESENT, Declared): Status.PRESENT,
    (Status.PRESENT, Departed): Status.AWAY,
    (Status.PRESENT, Retired): Status.RETIRED,
}
"""The whole machine."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as its history says."""

    status: Status = Status.ABSENT
    name: AgentName = AgentName("")
    kind: Kind = Kind.PROGRAM
    label: str = ""
    client: str = ""
    native: bool = False
    faces_person: bool = False
    seen_at: Instant = Instant(0)
    """Last heard from, as of the last departure; 0 if never departed."""


def decide(state: State, command: Command, now: Instant) -> tuple[AgentEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it; no events where nothing changed.

    Refuses with: agent.bad_name, agent.kind_differs, agent.unknown, agent.retired.
    """
    if isinstance(command, Register):
        return _register(state, command)
    if state.status is Status.ABSENT:
        return Refusal("agent.unknown", "There is no such agent.", "`crossfade agent ls` lists them.")
    if state.status is Status.RETIRED:
        return Refusal("agent.retired", f"{state.name} is retired.", "Register another name.")
    match command:
        case Declare(client=client, native=native, faces_person=faces):
            same = (client, native, faces) == (state.client, state.native, state.faces_person)
            return () if same else (Declared(client=client, native=native, faces_person=faces),)
        case Arrive():
            return (Arrived(),) if state.status is Status.AWAY else ()
        case Depart():
            return (Departed(seen_at=command.seen_at),) if state.status is Status.PRESENT else ()
        case Retire():
            return (Retired(),)
        case _:
            assert_never(command)


def _register(state: State, command: Register) -> tuple[AgentEvent, ...] | Refusal:
    if not NAME.fullmatch(command.name):
        return Refusal(
            "agent.bad_name",
            f"{command.name!r} is not a name.",
            "Use 1 to 64 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit.",
        )
    if state.status is Status.ABSENT:
        return (Registered(name=command.name, kind=command.kind, label=command.label),)
    if state.status is Status.RETIRED:
        return Refusal("agent.retired", f"{state.name} is retired.", "Register another name.")
    if state.kind != command.kind:
        return Refusal("agent.kind_differs", f"{state.name} is a {state.kind}.", "Use another name.")
    return ()


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    change = msgspec.structs.replace
    match event:
        case Registered():
            return State(status=status, name=event.name, kind=event.kind, label=event.label)
        case Declared():
            return change(state, client=event.client, native=event.native, faces_person=event.faces_person)
        case Departed():
            return change(state, status=status, seen_at=event.seen_at)
        case _:
            return change(state, status=status)


def deadline(state: State) -> Instant | None:
    """None: the lease lives in the engine, since its renewals are not events."""
    return None


DECIDER: Final[Decider[State, Command, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)
