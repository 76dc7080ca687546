"""Messages and mailboxes: one-way content, and how far each recipient has acknowledged it.

A message is a single fact; it has no life of its own. What moves is the recipient's cursor: the
sequence up to which everything addressed to them was received. Order for each (sender, recipient) is
the order of the log.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.values import AgentName, Instant, Sequence


class Status(StrEnum):
    """Whether the message exists."""

    ABSENT = "absent"
    SENT = "sent"


class Send(msgspec.Struct, frozen=True, kw_only=True):
    sender: AgentName
    to: tuple[AgentName, ...]
    body: str
    conversation: str
    hops: int = 0
    reply_to: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class Sent(Event, frozen=True, kw_only=True):
    sender: AgentName
    """Who sent it."""
    to: tuple[AgentName, ...]
    """Recipients, each once, in the sender's order."""
    body: str
    """Text, handed through unread."""
    conversation: str
    """Id of the first question or message of the chain."""
    hops: int = 0
    """Length of the ``reply_to`` chain before this message."""
    reply_to: str = ""
    """Question or message that it answers."""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    """The sender's own JSON object."""


register("message.sent/1", Sent)

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {(Status.ABSENT, Sent): Status.SENT}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A message as its one event says."""

    status: Status = Status.ABSENT
    sender: AgentName = AgentName("")
    to: tuple[AgentName, ...] = ()
    body: str = ""
    conversation: str = ""
    hops: int = 0
    reply_to: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


def decide(state: State, command: Send, now: Instant) -> tuple[Sent, ...] | Refusal:
    """Accept the message, or refuse it with message.exists or message.no_recipient."""
    if state.status is not Status.ABSENT:
        return Refusal("message.exists", "A message with this id exists.")
    if not command.to:
        return Refusal("message.no_recipient", "The message has no recipient.", "Give `to` at least one name.")
    return (Sent(**{name: getattr(command, name) for name in Sent.__struct_fields__}),)


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    return State(status=status, **{name: getattr(event, name) for name in Sent.__struct_fields__})


def deadline(state: State) -> Instant | None:
    """None: time changes nothing about a message."""
    return None


DECIDER: Final[Decider[State, Send, Event]] = Decider(initial=State(), decide=decide, evolve=evolve, deadline=deadline)


# --- the mailbox's cursor ---------------------------------------------------------------------------


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True):
    through: Sequence


class Acknowledged(Event, frozen=True, kw_only=True):
    through: Sequence
    """Everything addressed to the owner up to and including this sequence was received."""


register("mailbox.acknowledged/1", Acknowledged)


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far the owner of a mailbox has acknowledged."""

    through: Sequence = Sequence(0)


def decide_cursor(state: Cursor, command: Acknowledge, now: Instant) -> tuple[Acknowledged, ...] | Refusal:
    """Advance the cursor; nothing to record when it is there already, since it never goes back."""
    return (Acknowledged(through=command.through),) if command.through > state.through else ()


def evolve_cursor(state: Cursor, event: Event) -> Cursor:
    """The cursor after ``event``. Raises TypeError if the history is impossible."""
    if not isinstance(event, Acknowledged):
        raise TypeError(f"not an event of a mailbox: {event!r}")
    return Cursor(through=event.through)


MAILBOX: Final[Decider[Cursor, Acknowledge, Event]] = Decider(
    initial=Cursor(), decide=decide_cursor, evolve=evolve_cursor, deadline=lambda _: None
)
