"""Questions: one identity asks another something with a shape and a deadline, and gets exactly one end.

The ends are answered, declined, withdrawn (by the asker) and expired (by time). Whichever is first in
the log stands. A dismissal (MCP ``cancel``, a machine's decline, no reply) is not an end: the question
stays open and is offered as text on the addressee's next channel.

Source: MCP "Elicitation" for accept, decline and cancel; the deadline and the dismissal are ours,
because a client may simply never answer, or answer without having asked anybody.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Never

import msgspec
from msgspec.structs import replace

from crossfade.core import shapes
from crossfade.core.decider import Decider, Refusal
from crossfade.core.question_events import (
    QUESTION_ID,
    Answered,
    Asked,
    Declined,
    Dismissal,
    Dismissed,
    Expired,
    Exposure,
    Offered,
    Offers,
    QuestionEvent,
    Requeued,
    Seen,
    Withdrawn,
)
from crossfade.core.records import Event
from crossfade.core.values import AgentName, Channel, Instant, Lane, QuestionId

__all__ = [
    "DECIDER", "NEXT", "Answer", "Answered", "Ask", "Asked", "Command", "Decline", "Declined", "Dismiss",
    "Dismissal", "Dismissed", "Expire", "Expired", "Exposure", "Offer", "Offered", "Offers", "QuestionEvent",
    "Requeue", "Requeued", "See", "Seen", "State", "Status", "Withdraw", "Withdrawn", "closed", "deadline",
    "decide", "evolve", "question_id", "unrecorded",
]  # fmt: skip


class Status(StrEnum):
    """Where a question is in its life."""

    ABSENT = "absent"
    OPEN = "open"
    ANSWERED = "answered"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


# --- commands ---------------------------------------------------------------------------------------


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class Offer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    channel: Channel
    shown_at: Instant = Instant(0)


class See(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    channel: Channel


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    by: AgentName
    content: msgspec.Raw
    channel: Channel
    offers: Offers = ()


class Decline(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    by: AgentName
    channel: Channel
    reason: str = ""
    offers: Offers = ()


class Dismiss(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    by: AgentName
    channel: Channel
    reason: Dismissal


class Requeue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Issued when the rollout takes lanes back: the question is offered again on polling."""

    reason: str


class Withdraw(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    by: AgentName
    reason: str = ""


class Expire(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Issued by the timers, never by an identity."""


Command = Ask | Offer | See | Answer | Decline | Dismiss | Requeue | Withdraw | Expire


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


class State(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


_OPEN: Final = Status.OPEN  # looked up once: to find a member in its class takes longer than to compare it
DISMISSALS_MAX: Final = 8
"""Further dismissals are refused: by then every channel has been tried."""


def decide(state: State, command: Command, now: Instant) -> tuple[QuestionEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it; no events where there is nothing new to record.

    Refuses with: question.exists, question.deadline_past, question.unknown, question.closed, question.not_addressee,
    question.not_asker, question.not_due, question.too_many_dismissals and the codes of ``shapes.check``.
    """
    kind = type(command)
    if kind is Ask:
        return _ask(state, command, now)  # type: ignore[arg-type]
    if state.status is not _OPEN:
        if state.status is Status.ABSENT:
            return Refusal("question.unknown", "There is no such question.", "Check the question_id.")
        return closed(state)
    due = now >= state.deadline
    if kind is Expire:
        return (Expired(),) if due else Refusal("question.not_due", "The deadline is still ahead.")
    if due:
        return Refusal(
            "question.closed", "Its deadline has passed.", "Ask again with a later deadline.", {"status": "expired"}
        )
    return _WHILE_OPEN[kind](state, command)  # type: ignore[arg-type]


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


Outcome = tuple[QuestionEvent, ...] | Refusal
NOT_MINE: Final = Refusal(
    "question.not_addressee", "It is addressed to somebody else.", "Only the addressee may answer it."
)


def _offer(state: State, command: Offer) -> Outcome:
    return () if command.channel in state.offered else (Offered(channel=command.channel, shown_at=command.shown_at),)


def _see(state: State, command: See) -> Outcome:
    return () if state.seen else (Seen(channel=command.channel),)


def _answer(state: State, command: Answer) -> Outcome:
    if command.by != state.addressee:
        return NOT_MINE
    refusal = shapes.check_raw(state.schema, command.content)
    if refusal is not None:
        return refusal
    offers = unrecorded(state, command.offers) if state.offered else command.offers
    return (Answered(by=command.by, content=command.content, channel=command.channel, offers=offers),)


def _decline(state: State, command: Decline) -> Outcome:
    if command.by != state.addressee:
        return NOT_MINE
    offers = unrecorded(state, command.offers)
    return (Declined(by=command.by, channel=command.channel, reason=command.reason, offers=offers),)


def _dismiss(state: State, command: Dismiss) -> Outcome:
    if command.by != state.addressee:
        return NOT_MINE
    if len(state.dismissals) >= DISMISSALS_MAX:
        return Refusal("question.too_many_dismissals", "Every channel has been tried.")
    return (Dismissed(channel=command.channel, reason=command.reason),)


def _requeue(state: State, command: Requeue) -> Outcome:
    return () if state.as_text else (Requeued(reason=command.reason),)


def _withdraw(state: State, command: Withdraw) -> Outcome:
    if command.by != state.asker:
        return Refusal("question.not_asker", "Only the asker may withdraw it.", "The addressee declines instead.")
    return (Withdrawn(by=command.by, reason=command.reason),)


# By type and not by ``match``: to find that a struct is *not* of a class takes longer than to look its own up.
_WHILE_OPEN: Final[Mapping[type[Command], Callable[[State, Never], Outcome]]] = {
    Offer: _offer,
    See: _see,
    Answer: _answer,
    Decline: _decline,
    Dismiss: _dismiss,
    Requeue: _requeue,
    Withdraw: _withdraw,
}


def unrecorded(state: State, offers: Offers) -> Offers:
    """Those of ``offers`` that the history does not tell of yet."""
    return tuple([offer for offer in offers if offer[0] not in state.offered]) if state.offered else offers


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    return _CHANGES[type(event)](state, event, NEXT[state.status, type(event)])  # type: ignore[arg-type]


def _asked(_: State, event: Asked, status: Status) -> State:
    return State(
        status=status,
        asker=event.asker,
        addressee=event.addressee,
        message=event.message,
        schema=event.schema,
        deadline=event.deadline,
        lane=event.lane,
        epoch=event.epoch,
        exposure=event.exposure,
        conversation=event.conversation,
        hops=event.hops,
        reply_to=event.reply_to,
        metadata=event.metadata,
    )


def _offered(state: State, event: Offered, _: Status) -> State:
    return replace(state, offered=(*state.offered, event.channel))


def _seen(state: State, _event: Seen, _status: Status) -> State:
    return replace(state, seen=True)


def _dismissed(state: State, event: Dismissed, _: Status) -> State:
    return replace(state, dismissals=(*state.dismissals, event.reason), as_text=True)


def _requeued(state: State, _event: Requeued, _status: Status) -> State:
    return replace(state, as_text=True)


def _answered(state: State, event: Answered, status: Status) -> State:
    return replace(
        state,
        status=status,
        offered=_with(state.offered, event.offers),
        seen=True,
        content=event.content,
        ended_by=event.by,
        ended_channel=event.channel,
    )


def _declined(state: State, event: Declined, status: Status) -> State:
    return replace(
        state,
        status=status,
        offered=_with(state.offered, event.offers),
        seen=True,
        reason=event.reason,
        ended_by=event.by,
        ended_channel=event.channel,
    )


_ALONE: Final = {channel: (channel,) for channel in Channel}
"""Nearly all questions are shown on one channel: those that are in memory share it."""


def _with(offered: tuple[Channel, ...], offers: Offers) -> tuple[Channel, ...]:
    if len(offers) == 1 and not offered:
        return _ALONE[offers[0][0]]
    return (*offered, *[channel for channel, _ in offers]) if offers else offered


def _withdrawn(state: State, event: Withdrawn, status: Status) -> State:
    return replace(state, status=status, reason=event.reason, ended_by=event.by)


def _expired(state: State, _: Expired, status: Status) -> State:
    return replace(state, status=status)


_CHANGES: Final[Mapping[type[Event], Callable[[State, Never, Status], State]]] = {
    Asked: _asked,
    Offered: _offered,
    Seen: _seen,
    Dismissed: _dismissed,
    Requeued: _requeued,
    Answered: _answered,
    Declined: _declined,
    Withdrawn: _withdrawn,
    Expired: _expired,
}


def deadline(state: State) -> Instant | None:
    """When the question expires; None once it has its end or before it exists."""
    return state.deadline if state.status is Status.OPEN else None


def question_id(stream: str) -> QuestionId:
    """The id inside a stream name ``question/ID``."""
    return QuestionId(stream[QUESTION_ID:])


DECIDER: Final[Decider[State, Command, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)
