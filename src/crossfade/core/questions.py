"""Questions: one identity asks another something with a shape and a deadline, and gets exactly one end.

The ends are answered, declined, withdrawn (by the asker) and expired (by time). Whichever is first in
the log stands. A dismissal (MCP ``cancel``, a machine's decline, no reply) is not an end: the question
stays open and is offered as text on the addressee's next channel.

Source: MCP "Elicitation" for accept, decline and cancel; the deadline and the dismissal are ours,
because a client may simply never answer, or answer without having asked anybody.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from crossfade.core import shapes
from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.values import AgentName, Channel, Instant, Lane, QuestionId


class Status(StrEnum):
    """Where a question is in its life."""

    ABSENT = "absent"
    OPEN = "open"
    ANSWERED = "answered"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Exposure(StrEnum):
    """Which lanes the two ends of a conversation were on when it began."""

    NEW = "new"
    OLD = "old"
    MIXED = "mixed"


class Dismissal(StrEnum):
    """Why a channel did not bring an end."""

    CANCELLED = "cancelled"
    """The addressee's client closed the question without deciding (MCP ``cancel``)."""
    CLIENT_AUTO_DECLINE = "client_auto_decline"
    """A client that faces a person declined faster than a person can, and has never accepted."""
    INVALID_CONTENT = "invalid_content"
    """The client accepted with content that does not fit the shape."""
    NO_REPLY = "no_reply"
    """The client took the question and did not come back in time."""


# --- commands ---------------------------------------------------------------------------------------


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    asker: AgentName
    addressee: AgentName
    message: str
    schema: msgspec.Raw
    """Canonical JSON Schema, already accepted by ``shapes.parse``."""
    deadline: Instant
    lane: Lane
    epoch: int
    exposure: Exposure
    conversation: str
    hops: int
    reply_to: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    channel: Channel


class See(msgspec.Struct, frozen=True, kw_only=True):
    channel: Channel


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    content: msgspec.Raw
    channel: Channel


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    channel: Channel
    reason: str = ""


class Dismiss(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    channel: Channel
    reason: Dismissal


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """Issued when the rollout takes lanes back: the question is offered again on polling."""

    reason: str


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    reason: str = ""


class Expire(msgspec.Struct, frozen=True, kw_only=True):
    """Issued by the timers, never by an identity."""


Command = Ask | Offer | See | Answer | Decline | Dismiss | Requeue | Withdraw | Expire


# --- events: their fields are the format on disk ----------------------------------------------------


class Asked(Event, frozen=True, kw_only=True):
    asker: AgentName
    """Whose question it is."""
    addressee: AgentName
    """Who alone may answer or decline."""
    message: str
    """The question as people read it."""
    schema: msgspec.Raw
    """Shape of the answer: canonical JSON Schema in the elicitation subset."""
    deadline: Instant
    """The question expires at this instant."""
    lane: Lane
    """How it reaches the addressee; kept for the whole conversation."""
    epoch: int
    """The rollout's epoch when the lane was chosen; a later epoch unpins the conversation."""
    exposure: Exposure
    """Lanes of both ends, for comparing like with like."""
    conversation: str
    """Id of the first question or message of the chain."""
    hops: int = 0
    """Length of the ``reply_to`` chain before this question."""
    reply_to: str = ""
    """Question or message that led to this one."""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    """The asker's own JSON object, handed through unread."""


class Offered(Event, frozen=True, kw_only=True):
    channel: Channel
    """The channel on which the question was first shown."""


class Seen(Event, frozen=True, kw_only=True):
    channel: Channel
    """The channel whose use proves that the addressee has it in front of them."""


class Answered(Event, frozen=True, kw_only=True):
    by: AgentName
    """The addressee."""
    content: msgspec.Raw
    """JSON object that fits the shape."""
    channel: Channel
    """How the answer came."""


class Declined(Event, frozen=True, kw_only=True):
    by: AgentName
    """The addressee."""
    channel: Channel
    """How the decision came."""
    reason: str = ""
    """Free text for the asker."""


class Dismissed(Event, frozen=True, kw_only=True):
    channel: Channel
    """The channel that did not bring an end."""
    reason: Dismissal
    """Why."""


class Requeued(Event, frozen=True, kw_only=True):
    reason: str
    """Why the rollout took the lane back, e.g. ``kill``."""


class Withdrawn(Event, frozen=True, kw_only=True):
    by: AgentName
    """The asker."""
    reason: str = ""
    """Free text for the addressee."""


class Expired(Event, frozen=True, kw_only=True):
    """The deadline passed without an end."""


QuestionEvent = Asked | Offered | Seen | Answered | Declined | Dismissed | Requeued | Withdrawn | Expired

register("question.asked/1", Asked)
register("question.offered/1", Offered)
register("question.seen/1", Seen)
register("question.answered/1", Answered)
register("question.declined/1", Declined)
register("question.dismissed/1", Dismissed)
register("question.requeued/1", Requeued)
register("question.withdrawn/1", Withdrawn)
register("question.expired/1", Expired)

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.ABSENT, Asked): Status.OPEN,
    (Status.OPEN, Offered): Status.OPEN,
    (Status.OPEN, Seen): Status.OPEN,
    (Status.OPEN, Dismissed): Status.OPEN,
    (Status.OPEN, Requeued): Status.OPEN,
    (Status.OPEN, Answered): Status.ANSWERED,
    (Status.OPEN, Declined): Status.DECLINED,
    (Status.OPEN, Withdrawn): Status.WITHDRAWN,
    (Status.OPEN, Expired): Status.EXPIRED,
}
"""The whole machine. The diagram in docs/explanation is drawn from this table."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A question as its history says."""

    status: Status = Status.ABSENT
    asker: AgentName = AgentName("")
    addressee: AgentName = AgentName("")
    message: str = ""
    schema: msgspec.Raw = msgspec.Raw(b"{}")
    deadline: Instant = Instant(0)
    lane: Lane = Lane.POLLING
    epoch: int = 0
    exposure: Exposure = Exposure.OLD
    conversation: str = ""
    hops: int = 0
    reply_to: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    offered: tuple[Channel, ...] = ()
    """Channels on which it was shown, in order of the first time."""
    seen: bool = False
    dismissals: tuple[Dismissal, ...] = ()
    as_text: bool = False
    """Offered as text from now on: a channel was dismissed, or the lane was taken back."""
    content: msgspec.Raw = msgspec.Raw(b"null")
    ended_by: str = ""
    ended_channel: str = ""
    reason: str = ""


DISMISSALS_MAX: Final = 8
"""Further dismissals are refused: by then every channel has been tried."""


def decide(state: State, command: Command, now: Instant) -> tuple[QuestionEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it; no events where there is nothing new to record.

    Refuses with: question.exists, question.deadline_past, question.unknown, question.closed,
    question.not_addressee, question.not_asker, question.not_due, question.too_many_dismissals and the
    codes of ``shapes.check``.
    """
    if isinstance(command, Ask):
        return _ask(state, command, now)
    if state.status is Status.ABSENT:
        return Refusal("question.unknown", "There is no such question.", "Check the question_id.")
    if state.status is not Status.OPEN:
        return closed(state)
    due = now >= state.deadline
    if isinstance(command, Expire):
        return (Expired(),) if due else Refusal("question.not_due", "The deadline is still ahead.")
    if due:
        return Refusal(
            "question.closed", "Its deadline has passed.", "Ask again with a later deadline.", {"status": "expired"}
        )
    return _open(state, command)


def closed(state: State) -> Refusal:
    """Why nothing can be done to a question that has its end."""
    by = f" by {state.ended_by}" if state.ended_by else ""
    return Refusal(
        "question.closed",
        f"It was {state.status}{by} already.",
        "Read the question to see how it ended.",
        {"status": str(state.status)},
    )


def _ask(state: State, command: Ask, now: Instant) -> tuple[QuestionEvent, ...] | Refusal:
    if state.status is not Status.ABSENT:
        return Refusal("question.exists", "A question with this id exists.")
    if command.deadline <= now:
        return Refusal("question.deadline_past", "The deadline is not in the future.", "Give deadline_seconds above 0.")
    return (
        Asked(
            asker=command.asker,
            addressee=command.addressee,
            message=command.message,
            schema=command.schema,
            deadline=command.deadline,
            lane=command.lane,
            epoch=command.epoch,
            exposure=command.exposure,
            conversation=command.conversation,
            hops=command.hops,
            reply_to=command.reply_to,
            metadata=command.metadata,
        ),
    )


def _open(
    state: State, command: Offer | See | Answer | Decline | Dismiss | Requeue | Withdraw
) -> tuple[QuestionEvent, ...] | Refusal:
    match command:
        case Offer():
            return () if command.channel in state.offered else (Offered(channel=command.channel),)
        case See():
            return () if state.seen else (Seen(channel=command.channel),)
        case Requeue():
            return () if state.as_text else (Requeued(reason=command.reason),)
        case Withdraw() if command.by == state.asker:
            return (Withdrawn(by=command.by, reason=command.reason),)
        case Withdraw():
            return Refusal("question.not_asker", "Only the asker may withdraw it.")
        case Answer() | Decline() | Dismiss() if command.by != state.addressee:
            return Refusal("question.not_addressee", f"It is addressed to {state.addressee}.")
        case Answer():
            return _answer(state, command)
        case Decline():
            return (Declined(by=command.by, channel=command.channel, reason=command.reason),)
        case Dismiss():
            if len(state.dismissals) >= DISMISSALS_MAX:
                return Refusal("question.too_many_dismissals", "Every channel has been tried.")
            return (Dismissed(channel=command.channel, reason=command.reason),)
        case _:
            assert_never(command)


def _answer(state: State, command: Answer) -> tuple[QuestionEvent, ...] | Refusal:
    refusal = shapes.check_raw(state.schema, command.content)
    return refusal or (Answered(by=command.by, content=command.content, channel=command.channel),)


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    change = msgspec.structs.replace
    match event:
        case Asked():
            return State(status=status, **{name: getattr(event, name) for name in _ASKED_FIELDS})
        case Offered():
            return change(state, offered=(*state.offered, event.channel))
        case Seen():
            return change(state, seen=True)
        case Dismissed():
            return change(state, dismissals=(*state.dismissals, event.reason), as_text=True)
        case Requeued():
            return change(state, as_text=True)
        case Answered():
            return change(
                state, status=status, content=event.content, ended_by=event.by, ended_channel=event.channel, seen=True
            )
        case Declined():
            return change(
                state, status=status, reason=event.reason, ended_by=event.by, ended_channel=event.channel, seen=True
            )
        case Withdrawn():
            return change(state, status=status, reason=event.reason, ended_by=event.by)
        case _:
            return change(state, status=status)


_ASKED_FIELDS: Final = tuple(field for field in Asked.__struct_fields__)


def deadline(state: State) -> Instant | None:
    """When the question expires; None once it has its end or before it exists."""
    return state.deadline if state.status is Status.OPEN else None


def question_id(stream: str) -> QuestionId:
    """The id inside a stream name ``question/ID``."""
    return QuestionId(stream.removeprefix("question/"))


DECIDER: Final[Decider[State, Command, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)
