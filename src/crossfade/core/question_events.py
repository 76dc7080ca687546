"""The events of a question: their fields are the format on disk. The machine they belong to is questions.py."""

from enum import StrEnum
from typing import Final

import msgspec

from crossfade.core.records import Event, register
from crossfade.core.values import AgentName, Channel, Instant, Lane


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


QUESTION_ID: Final = len("question/")
"""Where the id begins in the name of a question's stream."""

Offers = tuple[tuple[Channel, Instant], ...]
"""Channels on which a question was shown, and when; those that no event of their own tells of yet."""


class Asked(Event, frozen=True, kw_only=True, gc=False):
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


class Offered(Event, frozen=True, kw_only=True, gc=False):
    channel: Channel
    """The channel on which the question was first shown."""
    shown_at: Instant = Instant(0)
    """When; at the record's own instant if 0."""


class Seen(Event, frozen=True, kw_only=True, gc=False):
    channel: Channel
    """The channel whose use proves that the addressee has it in front of them."""


class Answered(Event, frozen=True, kw_only=True, gc=False):
    by: AgentName
    """The addressee."""
    content: msgspec.Raw
    """JSON object that fits the shape."""
    channel: Channel
    """How the answer came."""
    offers: Offers = ()
    """Where it was shown so shortly before that this event tells of it."""


class Declined(Event, frozen=True, kw_only=True, gc=False):
    by: AgentName
    """The addressee."""
    channel: Channel
    """How the decision came."""
    reason: str = ""
    """Free text for the asker."""
    offers: Offers = ()
    """Where it was shown so shortly before that this event tells of it."""


class Dismissed(Event, frozen=True, kw_only=True, gc=False):
    channel: Channel
    """The channel that did not bring an end."""
    reason: Dismissal
    """Why."""


class Requeued(Event, frozen=True, kw_only=True, gc=False):
    reason: str
    """Why the rollout took the lane back, e.g. ``kill``."""


class Withdrawn(Event, frozen=True, kw_only=True, gc=False):
    by: AgentName
    """The asker."""
    reason: str = ""
    """Free text for the addressee."""


class Expired(Event, frozen=True, kw_only=True, gc=False):
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
