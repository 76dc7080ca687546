"""Subscriptions: the event stream of one identity, which resumes after any sequence it was given.

A stream is a carrier like a wait is, only that it goes on. It holds no copy of the mailbox beyond one
page, so a slow reader costs nothing until its connection's own buffer is full.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final, Literal

import msgspec

from crossfade.core.values import SPACE, Channel, Instant, Lane
from crossfade.engine.context import Context
from crossfade.engine.mail import Mail
from crossfade.engine.requests import StreamItem
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import NEVER, item
from crossfade.engine.views.mailboxes import Mail as Piece
from crossfade.engine.views.questions import view

PAGE_ITEMS: Final = 64
_ENCODER: Final = msgspec.json.Encoder()


class Subscription:
    """Items for one identity, in the order of the log, until ``close``."""

    until: ClassVar[Instant] = NEVER

    def __init__(
        self, context: Context, mail: Mail, member: Member, after: int, on_close: Callable[["Subscription"], None]
    ) -> None:
        self._c = context
        self._mail = mail
        self._member = member
        self._position = after
        self._ready: deque[StreamItem] = deque()
        self._lane: Lane | None = None
        self._closed = False
        self._on_close = on_close
        self._arrived = asyncio.Event()
        member.mailbox.enter(self)
        context.views.measures.streams_open += 1

    async def next(self) -> StreamItem | None:
        """The next item, waiting for it; None once closed. Cancelling it loses nothing."""
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            self._arrived.clear()
            if not self._changed() and not await self._old() and not self._new():
                await self._wait()
        return None

    async def _wait(self) -> None:
        """Until something arrives: for so long the reader is ready, and only the hub can be late."""
        ready = self._member.mailbox.ready
        ready.enter(self._c.clock.monotonic())
        try:
            await self._arrived.wait()
        finally:
            ready.leave(self._c.clock.monotonic())

    def close(self) -> None:
        """End the stream; ``next`` returns None. Allowed twice."""
        if not self._closed:
            self._closed = True
            self._member.mailbox.leave(self)
            self._c.views.measures.streams_open -= 1
            self._arrived.set()
            self._on_close(self)

    def wake(self) -> None:
        """As in ``mailboxes.Waker``."""
        self._arrived.set()

    @property
    def behind(self) -> bool:
        """More is ready at this moment, as after a resume: hand it on no faster than the reader takes it."""
        return bool(self._ready)

    @property
    def name(self) -> str:
        """Whose stream it is."""
        return self._member.state.name

    def _changed(self) -> bool:
        """Say hello, or that the lane is another now."""
        lane = self._c.lane_of(self._member)
        if lane is self._lane:
            return False
        kind: Literal["hello", "lane"] = "hello" if self._lane is None else "lane"
        self._lane = lane
        facts = {"agent": self._member.state.name, "lane": lane, "cursor": self._member.mailbox.cursor}
        self._ready.append(StreamItem(event=kind, id="", data=_ENCODER.encode(facts)))
        return True

    async def _old(self) -> bool:
        """Items before the cursor, when the stream resumes from earlier than what was acknowledged."""
        if self._position >= self._member.mailbox.cursor:
            return False
        pieces, self._position = await self._mail.backlog.pieces(self._member, self._position, PAGE_ITEMS)
        self._ready.extend(self._item(piece) for piece in pieces)
        return bool(pieces)

    def _new(self) -> bool:
        if self._member.mailbox.native:
            self._mail.give_up_native(self._member)
        found, _ = self._member.mailbox.page(self._position, PAGE_ITEMS)
        for piece in found:
            self._position = piece.sequence
            self._ready.append(self._item(piece))
            if piece.kind == "question" and piece.entry is not None:
                self._mail.offered(piece.entry, Channel.STREAM)
        self._c.views.measures.delivered[Channel.STREAM] += len(found)
        self._c.tallies.streamed(self._member.state.name, len(found))
        return bool(found)

    def _item(self, piece: Piece) -> StreamItem:
        identifier = f"{SPACE}-{piece.sequence}"
        if piece.kind == "message" or piece.entry is None:
            return StreamItem(event="message", id=identifier, data=_ENCODER.encode(item(piece)))
        event: Literal["question", "end"] = "question" if piece.kind == "question" else "end"
        return StreamItem(event=event, id=identifier, data=_ENCODER.encode(view(piece.entry)))
