"""The event stream /v1/stream: questions, messages and ends for the caller, as they happen.

Rules: ``hello`` comes first; an item's id is ``shard-sequence``; a client that comes back sends the last
id it has seen as ``Last-Event-ID`` (or ``?after=``) and misses nothing; ``retry`` says after
how long. A reader that is too slow is cut
and comes back the same way. A credential that ends while the stream is open ends the stream with it.

Source: WHATWG HTML standard, "server-sent events".
"""

import re
from typing import Annotated, Final

from msgspec import Meta

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller
from crossfade.engine.hub import Hub
from crossfade.engine.ports import LogError
from crossfade.engine.subscriptions import Subscription
from crossfade.inbound import auth, decoding, errors
from crossfade.inbound.api.routes import PARTICIPANT, Strict
from crossfade.inbound.asgi import (
    GOLDEN,
    BodyTooLargeError,
    ClientGoneError,
    EventStream,
    Receive,
    Scope,
    Send,
    Streams,
    frame,
    header,
    read_body,
)
from crossfade.inbound.settings import AppSettings

CATCH_UP_BYTES: Final = 65_536
"""What is ready at once goes out in steps of this size, each when the one before is written: whoever comes back
to a long mailbox would otherwise overflow the queue, be cut for it, and never get any further."""
RETRY_FIRST_MS: Final = 250
RETRY_SPAN_MS: Final = 4_750
"""Each stream is told another moment to come back after a break, so that a fleet does not come back in step."""
_EVENT_ID: Final = re.compile(r"(?:[0-9]{1,6}-)?([0-9]{1,16})")
BAD_ID: Final = Refusal(
    "cursor.bad",
    "The event id is not one of this stream's.",
    "Send the last id as it came, `SHARD-SEQUENCE`, or none to go on from the stored cursor.",
)


class StreamQuery(Strict, frozen=True, kw_only=True):
    """Where to go on."""

    after: Annotated[str, Meta(max_length=24, description="Used when there is no `Last-Event-ID`.")] = ""


class EventEndpoint:
    """GET /v1/stream, as plain ASGI."""

    def __init__(self, hub: Hub, settings: AppSettings, streams: Streams) -> None:
        self._hub = hub
        self._settings = settings
        self._streams = streams
        self._opened = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the stream until either side ends it."""
        if scope["method"] != "GET":
            return await errors.refuse(send, errors.wrong_method("GET"), ((b"allow", b"GET"),))
        try:
            await read_body(receive, self._settings.body_bytes_max)
            opened = await self._open(scope)
        except ClientGoneError:
            return None
        except BodyTooLargeError:
            opened = errors.TOO_LARGE
        except decoding.BadInputError as error:
            opened = error.refusal
        except LogError:
            opened = errors.UNAVAILABLE
        if isinstance(opened, Refusal):
            return await errors.refuse(send, opened)
        caller, subscription = opened
        stream = EventStream(scope, receive, send, self._streams)
        stream.closed.add_done_callback(lambda _: subscription.close())
        try:
            await stream.start()
            await self._pump(scope, caller, subscription, stream)
        finally:
            subscription.close()
            stream.cut()  # nothing if it ended in order
        return None

    async def _open(self, scope: Scope) -> tuple[Caller, Subscription] | Refusal:
        caller = await auth.identify(self._hub, scope, self._settings.open_loopback)
        if isinstance(caller, Refusal):
            return caller
        refusal = auth.require(caller, PARTICIPANT)
        if refusal is not None:
            return refusal
        after = _after(scope)
        if isinstance(after, Refusal):
            return after
        self._hub.touch(caller, native=False)
        subscription = await self._hub.subscribe(caller, after)
        return subscription if isinstance(subscription, Refusal) else (caller, subscription)

    async def _pump(self, scope: Scope, caller: Caller, subscription: Subscription, stream: EventStream) -> None:
        """Hand items on until the subscription, the credential or the connection ends."""
        token = auth.bearer(scope)
        unread_bytes = 0
        while (item := await subscription.next()) is not None:
            if token is not None and isinstance(self._hub.authenticate(token), Refusal):
                break
            block = frame(item.data, item.id or None, item.event)
            if item.event == "hello":
                self._opened += 1
                block = b"retry: %d\n" % (RETRY_FIRST_MS + self._opened * GOLDEN % 1.0 * RETRY_SPAN_MS) + block
            if not stream.push(block):
                break
            unread_bytes += len(block)
            if subscription.behind and unread_bytes >= CATCH_UP_BYTES:
                unread_bytes = 0
                await stream.drained()
        await stream.aclose()


def _after(scope: Scope) -> int | Refusal | None:
    """The sequence to go on after; None: from the stored cursor. Raises BadInputError for a bad query."""
    given = decoding.query(scope["query_string"], StreamQuery).after
    last = header(scope, b"last-event-id")
    text = last.decode("latin-1").strip() if last is not None else given
    if not text:
        return None
    match = _EVENT_ID.fullmatch(text)
    return int(match[1]) if match else BAD_ID
