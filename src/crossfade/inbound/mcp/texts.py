"""Results of the tools as models read them: small objects, and beside them the same as text.

A model pays for every field, so a result has what its reader needs next and nothing else: an asker
knows its own question, an addressee gets its message and schema.
"""

from collections.abc import Sequence
from itertools import repeat

import msgspec

from crossfade.core.decider import Refusal
from crossfade.engine.requests import AgentView, Batch, Item, QuestionView, SentView
from crossfade.inbound.mcp.seam import Complete, complete

Raw = msgspec.Raw
NULL = Raw(b"null")
ENDS_MAX = 256
"""Questions told to one end, and not yet to the other, that are kept."""
_ENCODE = msgspec.json.Encoder().encode


class QuestionOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"asker": "from"}, gc=False):
    """A question; what an asker knows anyway is left out for it."""

    question_id: str
    status: str
    delivery: str | msgspec.UnsetType = msgspec.UNSET
    """While it is open."""
    content: Raw | msgspec.UnsetType = msgspec.UNSET
    """The answer."""
    ended_by: str = ""
    reason: str = ""
    asker: str = ""
    message: str = ""
    schema: Raw | msgspec.UnsetType = msgspec.UNSET
    deadline: str = ""


class MessageOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"sender": "from"}, gc=False):
    """One element of ``messages``."""

    sequence: int
    id: str
    kind: str
    sender: str
    content: str
    metadata: Raw
    timestamp: str
    reply_to: str = ""
    question: QuestionOut | msgspec.UnsetType = msgspec.UNSET


class Elicited(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of a question that was asked natively within this call."""

    question_id: str
    status: str
    note: str = ""


class MessagesOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a wait brought."""

    messages: list[MessageOut]
    has_more: bool
    cursor: int | msgspec.UnsetType = msgspec.UNSET
    """Missing when nothing was received, so that there is nothing to acknowledge either."""
    elicited: tuple[Elicited, ...] = ()
    notice: str = ""
    lane: str = ""
    """The caller's lane now: ``attend`` is the call to make on elicitation, ``wait_for_messages`` on polling."""


def _complete(text: str, structured: bytes) -> Complete:
    """A result as text, and beside it as an object; ``seam.complete`` in one go."""
    told = b'"content":[{"type":"text","text":%b}],"structuredContent":%b,"isError":false' % (_ENCODE(text), structured)
    return Complete(told=told)


def refused(refusal: Refusal) -> Complete:
    """A refusal: two lines for people and models, and the same as data."""
    error: dict[str, object] = {"code": refusal.code, "message": refusal.message, "try": refusal.hint}
    if refusal.details:
        error["details"] = refusal.details
    text = f"error: {refusal.message}\ntry: {refusal.hint}" if refusal.hint else f"error: {refusal.message}"
    content = _ENCODE([{"type": "text", "text": text}])
    return complete(content, _ENCODE({"error": error}), is_error=True)


def question(view: QuestionView, reader: str) -> Complete:
    """A question as its asker or its addressee reads it."""
    return _complete(_summary(view), _ENCODE(_out(view, reader)))


class Ends:
    """Questions that are over, as they were told last: both ends read the same, one soon after the other."""

    def __init__(self) -> None:
        self._told: dict[str, Complete] = {}

    def question(self, view: QuestionView, reader: str) -> Complete:
        """As ``question``."""
        if view.status == "open":
            return question(view, reader)
        told = self._told.pop(view.question_id, None)  # an end is for ever
        if told is None:
            told = self._told[view.question_id] = question(view, reader)
            if len(self._told) > ENDS_MAX:
                del self._told[next(iter(self._told))]
        return told


def _out(view: QuestionView, reader: str, *, in_message: bool = False) -> QuestionOut:
    """``in_message``: without what the message says already."""
    is_open = view.status == "open"
    told = is_open and view.addressee == reader
    return QuestionOut(
        question_id=view.question_id,
        status=view.status,
        delivery=view.delivery if is_open else msgspec.UNSET,
        content=view.content if view.status == "answered" else msgspec.UNSET,
        ended_by="" if is_open else view.ended_by,
        reason=view.reason,
        asker=view.asker if told and not in_message else "",
        message=view.message if told and not in_message else "",
        schema=view.schema if told else msgspec.UNSET,
        deadline=view.deadline if told else "",
    )


def _summary(view: QuestionView) -> str:
    by = f" by {view.ended_by}" if view.ended_by else ""
    why = f": {view.reason}" if view.reason else ""
    match view.status:
        case "open":
            return f"open, {view.delivery}"
        case "answered":
            return f"answered{by}: {bytes(view.content).decode()}"
        case status:
            return f"{status}{by}{why}"


def messages(batch: Batch, elicited: Sequence[Elicited], reader: str) -> Complete:
    """What a wait brought; the text is the same JSON, for programs that only read text."""
    out = MessagesOut(
        messages=list(map(_message, batch.items, repeat(reader))),
        has_more=batch.has_more,
        cursor=batch.cursor,
        elicited=tuple(elicited),
        notice=batch.notice,
        lane=batch.lane,
    )
    return _both(out)


def nothing(after: int | None, elicited: Sequence[Elicited], *, has_more: bool = False) -> Complete:
    """A wait that received nothing; the cursor stays where the caller said it is."""
    cursor = msgspec.UNSET if after is None else after
    return _both(MessagesOut(messages=[], has_more=has_more, cursor=cursor, elicited=tuple(elicited)))


def _both(out: MessagesOut) -> Complete:
    encoded = _ENCODE(out)
    return _complete(encoded.decode(), encoded)


def _message(item: Item, reader: str) -> MessageOut:
    return MessageOut(
        sequence=item.sequence,
        id=item.id,
        kind=item.kind,
        sender=item.sender,
        content=item.content,
        metadata=item.metadata,
        timestamp=item.timestamp,
        reply_to=item.reply_to,
        question=msgspec.UNSET if item.question is None else _out(item.question, reader, in_message=True),
    )


def sent(view: SentView) -> Complete:
    """A message that was stored, and how it stands with each recipient."""
    standing = ", ".join(f"{name}: {how}" for name, how in view.delivery.items())
    structured = {"message_id": view.message_id, "sequence": view.sequence, "delivery": view.delivery}
    return _complete(f"{view.message_id}; {standing}", msgspec.json.encode(structured))


def agents(views: Sequence[AgentView]) -> Complete:
    """Who is here, one line each."""
    rows = [
        {"name": v.name, "kind": v.kind, "status": v.status, "lane": v.lane, "open_questions": v.open_questions}
        for v in views
    ]
    text = "\n".join(f"{v.name} ({v.kind}, {v.status})" for v in views) or "nobody"
    return _complete(text, msgspec.json.encode({"agents": rows}))
