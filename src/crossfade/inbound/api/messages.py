"""Messages over HTTP: send, and the two ways to receive: the polling lane (/v1/messages) and the inbox (/v1/inbox).

Both read the same mailbox with the same cursor. They differ in what the rollout does to them: the polling
lane can be deprecated (headers ``Deprecation`` and ``Sunset``) and removed (410).

Source: RFC 9745 (Deprecation), RFC 8594 (Sunset), RFC 9110 §5.6.7 (HTTP-date).
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND, Channel, Lane
from crossfade.engine.hub import Hub
from crossfade.engine.requests import Item, ReceiveRequest, SendRequest
from crossfade.inbound.api.questions import Json, Key, Limit
from crossfade.inbound.api.routes import (
    ABSENT,
    WAIT_SECONDS_MAX,
    Call,
    Outcome,
    Reply,
    Strict,
    need_object,
    raw_or_none,
)
from crossfade.inbound.asgi import ClientGoneError, Headers

Cursor = Annotated[
    int, Meta(ge=0, le=2**53, description="Acknowledges all up to this sequence. Left out: from the stored cursor on.")
]
Wait = Annotated[
    float, Meta(ge=0, le=WAIT_SECONDS_MAX, description="Wait so long for the first item; empty after 55 at most.")
]


class SendBody(Strict, frozen=True, kw_only=True):
    """A message, or with ``reply_to`` the answer to a question in words."""

    to: Annotated[str | tuple[str, ...], Meta(description="One name or several; may be empty with `reply_to`.")] = ()
    body: Annotated[str, Meta(description="Text.")]
    reply_to: Annotated[str | None, Meta(description="Question to the caller (answered by this) or a message.")] = None
    key: Key | None = None
    metadata: Annotated[Json, Meta(description="Handed through unread.")] = ABSENT

    def __post_init__(self) -> None:
        need_object(self.metadata, "metadata")


class ReceiveQuery(Strict, frozen=True, kw_only=True):
    """From where on, how long to wait, how many."""

    after: Cursor | UnsetType = UNSET
    wait_seconds: Wait = 0
    limit: Limit = 100


class PollQuery(ReceiveQuery, frozen=True, kw_only=True):
    """The same for the polling lane."""

    agent_id: Annotated[str, Meta(description="The caller's own name, or nothing.")] = ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What was waiting for the caller."""

    messages: tuple[Item, ...]
    """Oldest first."""
    has_more: bool
    cursor: int
    """Pass it as ``after`` next time: it acknowledges what is here."""
    lane: Lane
    notice: str
    """What those on a deprecated lane are told; empty otherwise."""


class AcknowledgeBody(Strict, frozen=True, kw_only=True):
    """How far the caller has received, for readers of the event stream."""

    through: Annotated[int, Meta(ge=0, le=2**53, description="Everything up to this sequence was received.")]


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """Where the caller's mailbox stands."""

    cursor: int


async def acknowledge(call: Call[Strict, AcknowledgeBody]) -> Outcome:
    """Say what was received; a poll says it with ``after``."""
    through = call.body.through
    return call.hub.acknowledge(call.caller, through) or Acknowledged(cursor=through)


async def send(call: Call[Strict, SendBody]) -> Outcome:
    """Send a message."""
    body = call.body
    request = SendRequest(
        to=(body.to,) if isinstance(body.to, str) else body.to,
        body=body.body,
        reply_to=body.reply_to,
        key=call.key or body.key,
        metadata=raw_or_none(body.metadata) or msgspec.Raw(b"{}"),
    )
    return await call.hub.send(call.caller, request, cause=call.cause)


async def poll(call: Call[PollQuery, Strict]) -> Outcome:
    """Wait on the polling lane: the HTTP form of ``wait_for_messages``."""
    if call.query.agent_id not in ("", call.caller.name):
        return Refusal(
            "identity.mismatch",
            f"The credential is {call.caller.name}'s, not {call.query.agent_id[:64]!r}'s.",
            "Leave agent_id out.",
        )
    headers = deprecation_headers(call.hub)
    removed = call.hub.polling_removed()
    return Reply(removed or await _receive(call, Channel.POLL), headers=headers)


async def inbox(call: Call[ReceiveQuery, Strict]) -> Outcome:
    """Wait for what is addressed to the caller, on either lane, as text."""
    return await _receive(call, Channel.INBOX)


async def _receive(call: Call[ReceiveQuery, Strict] | Call[PollQuery, Strict], channel: Channel) -> Page | Refusal:
    query = call.query
    after = None if query.after is UNSET else query.after

    async def once(wait_seconds: float) -> Page | Refusal:
        request = ReceiveRequest(channel=channel, wait_seconds=wait_seconds, after=after, limit=query.limit)
        batch = await call.hub.receive(call.caller, request)
        if isinstance(batch, Refusal):
            return batch
        return Page(
            messages=batch.items, has_more=batch.has_more, cursor=batch.cursor, lane=batch.lane, notice=batch.notice
        )

    try:
        return await call.wire.hold(once, min(query.wait_seconds, call.hub.limits.wait_seconds_max))
    except ClientGoneError:
        call.hub.release(call.caller, ())  # what was handed out reached nobody
        raise


def deprecation_headers(hub: Hub) -> Headers:
    """``Deprecation`` and ``Sunset`` for the polling lane; nothing while it is in good standing."""
    deprecated = hub.deprecation()
    if deprecated is None:
        return ()
    since, sunset, _ = deprecated
    headers = [(b"deprecation", b"@%d" % (since // SECOND))]
    if sunset is not None:
        at = datetime.fromtimestamp(sunset // SECOND, UTC)
        headers.append((b"sunset", format_datetime(at, usegmt=True).encode()))
    return headers
