"""Receiving: the waits in which everything addressed to somebody arrives.

Carriers are universal: whichever call an identity holds open gets whatever is addressed to it. The
lane a question is pinned to decides only the form, native elicitation or text, so that a switch while
a question is open can neither lose nor double it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from crossfade.core import messages, questions, rollouts
from crossfade.core.decider import Refusal
from crossfade.core.questions import Dismissal
from crossfade.core.values import SECOND, SPACE, Caller, Channel, Instant, Sequence, stream_of
from crossfade.engine.asking import Asking
from crossfade.engine.backlog import Backlog
from crossfade.engine.context import Context
from crossfade.engine.requests import Batch, QuestionView, ReceiveRequest
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import item
from crossfade.engine.views.questions import Entry, channels, view
from crossfade.engine.waits import Awaited, Patience, Wait

W = TypeVar("W", bound=Wait)
Making = Callable[[Member, ReceiveRequest, int, Instant], W]
"""Makes a wait of somebody for something, that goes on from a sequence, until an instant."""
DEPRECATED: Final = rollouts.Status.DEPRECATED
CURSOR_SECONDS: Final = 1.0
"""A cursor that moved is recorded after at most this long, together with all others."""
OFFER_SECONDS: Final = 0.25
"""An offer is recorded by itself if the question has no end after this long."""
OFFER: Final = int(OFFER_SECONDS * SECOND)
RECLAIM_SECONDS: Final = 5.0
"""A question taken natively by a call that ended without a reply may be taken again after this long."""

RETRY_SECONDS: Final = 1.0
"""A cursor that the log did not take is tried again after this long."""


class Mail:
    """Receive and acknowledge."""

    def __init__(self, context: Context, asking: Asking) -> None:
        self._c = context
        self.backlog = Backlog(context, asking)
        self._patience = Patience(context.timers, context.clock)
        self._behind: dict[str, Member] = {}
        """Owners of mailboxes whose cursor moved, and the log does not have it yet."""
        self._lately: deque[tuple[Instant, Entry]] = deque()
        """Questions that were shown, and when first; those with an end by then need no record of it."""
        self.draining = False
        """The hub is going down: waits come back empty at once."""

    async def receive(self, caller: Caller, request: ReceiveRequest) -> Batch | Refusal:
        """Wait for what is addressed to the caller; an empty batch with a cursor when nothing came."""
        begun = self.begin(caller, request, Awaited)
        if begun is None:
            begun = await self._again(caller, request)
        return await self._awaited(begun) if isinstance(begun, Awaited) else begun

    def begin(self, caller: Caller, request: ReceiveRequest, wait: Making[W]) -> Batch | Refusal | W | None:
        """What there is now, or a wait that will be woken, to be looked at; None: ``receive`` has to read the log."""
        member = self._c.views.directory.get(caller.name)
        if member is None:
            return self._c.refuse(
                Refusal("agent.unknown", f"{caller.name} is not registered.", "Connect with a token.")
            )
        if request.after is not None and request.after < member.mailbox.cursor:
            return None
        after = self._confirm(member, request)
        return self._begun(member, request, after, wait) if isinstance(after, int) else self._c.refuse(after)

    async def _again(self, caller: Caller, request: ReceiveRequest) -> Batch | Refusal | Awaited:
        """For a caller who goes back to before what it acknowledged."""
        member = self._c.views.directory.member(caller.name)
        after = self._confirm(member, request)
        if not isinstance(after, int):
            return self._c.refuse(after)
        old = await self.backlog.page(member, request.after or 0, min(request.limit, self._c.limits.page_items_max))
        if old.items:
            return msgspec.structs.replace(old, lane=self._c.lane_of(member), notice=self._notice())
        return self._begun(member, request, after, Awaited)

    def _begun(self, member: Member, request: ReceiveRequest, after: int, wait: Making[W]) -> Batch | W:
        batch = self._collect(member, request, after)
        if batch is not None or request.wait_seconds <= 0 or self.draining:
            return self._told(member, request, after, batch)
        until = self._c.later(min(request.wait_seconds, self._c.limits.poll_seconds_max))
        waiting = wait(member, request, after, until)
        self._enter(waiting)
        return waiting

    def _told(self, member: Member, request: ReceiveRequest, after: int, batch: Batch | None) -> Batch:
        """What a call comes to, counted."""
        brought = 0 if batch is None else len(batch.items) + len(batch.questions)
        measures = self._c.views.measures
        measures.waits[request.channel, "items" if brought else "empty"] += 1
        measures.delivered[request.channel] += brought
        if self._c.tallies.on:
            self._c.tallies.polled(member.state.name, brought)
        return batch or Batch(cursor=after, lane=self._c.lane_of(member), notice=self._notice())

    def confirm(self, caller: Caller, through: int) -> Refusal | None:
        """Acknowledge everything up to ``through``; refuses with agent.unknown, cursor.ahead, cursor.bad."""
        subscribable = self.subscribable(caller, through)
        if isinstance(subscribable, Refusal):
            return subscribable
        self.acknowledge(subscribable[0], through, Channel.STREAM)
        return None

    def subscribable(self, caller: Caller, after: int | None) -> tuple[Member, int] | Refusal:
        """The caller as a member, and the sequence its stream goes on from."""
        member = self._c.views.directory.get(caller.name)
        if member is None:
            return self._c.refuse(
                Refusal("agent.unknown", f"{caller.name} is not registered.", "Connect with a token.")
            )
        refusal = None if after is None else self._misplaced(after)
        return refusal or (member, member.mailbox.cursor if after is None else after)

    def _misplaced(self, after: int) -> Refusal | None:
        head = self._c.dispatcher.head(SPACE)
        if 0 <= after <= head:
            return None
        return Refusal(
            "cursor.ahead" if after > head else "cursor.bad",
            f"{after} is not a sequence of this hub, whose last one is {head}.",
            "Pass the cursor of the last result, or none to go on where you were.",
        )

    def _confirm(self, member: Member, request: ReceiveRequest) -> int | Refusal:
        """Acknowledge what the request says was received; the sequence to go on from."""
        mailbox = member.mailbox
        refusal = None if request.after is None else self._misplaced(request.after)
        if refusal is not None:
            return refusal
        through = mailbox.unconfirmed if request.after is None else request.after
        mailbox.unconfirmed = 0
        if through > mailbox.cursor:
            self.acknowledge(member, through, request.channel)
        return mailbox.cursor  # which is at ``through`` now, or was further already

    def acknowledge(self, member: Member, through: int, channel: Channel) -> None:
        """Advance the cursor at once in memory, durably soon: a crash in between delivers again."""
        name = member.state.name
        for entry in member.mailbox.acknowledge(through):
            self.record_offers(entry)
            self._c.dispatcher.post(stream_of("question", entry.question_id), questions.See(channel=channel), by=name)
        if not self._behind:
            self._c.again(CURSOR_SECONDS, self.record_cursors)
        self._behind[name] = member

    def record_all(self) -> None:
        """Record what would be recorded a little later: the hub is going down."""
        for entry in self._c.views.questions.values():
            self.record_offers(entry)
        self.record_cursors()

    def record_cursors(self) -> None:
        """Record the cursors that moved. A crash before it delivers again what was acknowledged since."""
        behind, self._behind = self._behind, {}
        for member in behind.values():
            self._record_cursor(member)

    def _record_cursor(self, member: Member) -> None:
        """Record how far the owner is; again and again while the log cannot be written."""
        name = member.state.name
        command = messages.Acknowledge(through=Sequence(member.mailbox.cursor))
        self._c.dispatcher.post(
            stream_of("mailbox", name),
            command,
            by=name,
            on_fault=lambda: self._c.again(RETRY_SECONDS, lambda: self._record_cursor(member)),
        )

    async def _awaited(self, wait: Awaited) -> Batch:
        """What the wait brings."""
        try:
            while True:
                await wait.arrived
                batch = self.look(wait)
                if batch is not None:
                    return batch
                wait.arrived = asyncio.get_running_loop().create_future()
        finally:
            self.leave(wait)

    def look(self, wait: Wait) -> Batch | None:
        """What a wait that was woken comes to; None if it goes on."""
        member, request, after = wait.member, wait.request, wait.after
        self._out(wait)
        batch = self._collect(member, request, after)
        if batch is None and not self.draining and self._c.clock.now() < wait.until:
            self._enter(wait)
            return None
        return self._told(member, request, after, batch)

    def leave(self, wait: Wait) -> None:
        """Wait no more: the client is gone, and may stay away. Nothing if the wait is over."""
        if wait in wait.member.mailbox.wakers:
            self._out(wait)

    def dismiss(self, name: str) -> None:
        """End the waits of somebody with what there is: whoever waits has to show its credential again."""
        member = self._c.views.directory.get(name)
        for wait in () if member is None else member.mailbox.wakers:
            if isinstance(wait, Wait):
                wait.until = Instant(0)
                wait.wake()

    def _enter(self, wait: Wait) -> None:
        mailbox = wait.member.mailbox
        mailbox.enter(wait)
        if not 0 < mailbox.patience <= wait.until:
            self._patience.watch(mailbox, wait.until)
        mailbox.ready.enter(self._c.clock.monotonic())

    def _out(self, wait: Wait) -> None:
        mailbox = wait.member.mailbox
        mailbox.ready.leave(self._c.clock.monotonic())
        mailbox.leave(wait)

    def _collect(self, member: Member, request: ReceiveRequest, after: int) -> Batch | None:
        """What can be handed out now; None if there is nothing."""
        mailbox = member.mailbox
        if not mailbox.mail and not mailbox.native:
            return None
        native = self._take_native(member, request) if mailbox.native else ()
        limit = max(1, min(request.limit, self._c.limits.page_items_max))
        found, more = mailbox.page(after, limit)
        if not found and not native:
            return None
        for mail in found:
            if mail.kind == "question" and mail.entry is not None:
                self.offered(mail.entry, request.channel)
        cursor = found[-1].sequence if found else after
        if request.after is None and found:
            mailbox.unconfirmed = cursor
        return Batch(
            items=tuple([item(mail) for mail in found]),
            questions=native,
            has_more=more,
            cursor=cursor,
            lane=self._c.lane_of(member),
            notice=self._notice(),
        )

    def _notice(self) -> str:
        """What those still polling are told, once that is on its way out."""
        rollout = self._c.views.programme.rollout
        return rollout.notice if rollout.status is DEPRECATED else ""

    def _take_native(self, member: Member, request: ReceiveRequest) -> tuple[QuestionView, ...]:
        """The next question to be elicited, if this call can."""
        if not request.native:
            self.give_up_native(member)
            return ()
        now = self._c.clock.now()
        for entry in member.mailbox.native.values():
            if entry.claimed_at is None or now - entry.claimed_at >= RECLAIM_SECONDS * SECOND:
                self._claim(member, entry)
                return (view(entry),)
        return ()

    def give_up_native(self, member: Member) -> None:
        """The owner now calls with a client that cannot elicit: what waits for it becomes text.

        Not while a client that can was heard from within a lease: then both are about.
        """
        if self._c.clock.now() - member.native_at < self._c.limits.lease_seconds * SECOND:
            return
        for entry in tuple(member.mailbox.native.values()):
            command = questions.Requeue(reason="no_native_client")
            self._c.dispatcher.post(stream_of("question", entry.question_id), command, by="system")

    def _claim(self, member: Member, entry: Entry) -> None:
        """Mark the question as being elicited; if nothing comes of it, it is offered as text too."""
        now = self._c.clock.now()
        entry.claimed_at = now
        self.offered(entry, Channel.NATIVE)
        if entry.reclaim is not None:
            entry.reclaim.cancel()
        entry.reclaim = self._c.again(RECLAIM_SECONDS, member.mailbox.wake)
        if entry.patience is None:
            left = (entry.state.deadline - now) / SECOND
            patience = min(self._c.limits.native_patience_seconds, left / 2)
            entry.patience = self._c.timers.at(self._c.later(patience), lambda: self._impatient(member, entry))

    def _impatient(self, member: Member, entry: Entry) -> None:
        if entry.state.as_text:
            return  # the dialog came to nothing in another way already
        command = questions.Dismiss(by=member.state.name, channel=Channel.NATIVE, reason=Dismissal.NO_REPLY)
        stream = stream_of("question", entry.question_id)
        self._c.dispatcher.post(
            stream,
            command,
            by="system",
            on_fault=lambda: self._c.again(1.0, lambda: self._impatient(member, entry)),
        )

    def release(self, caller: Caller, question_ids: tuple[str, ...]) -> None:
        """The carrier is gone: the next one may take its questions, and gets its unconfirmed items again."""
        member = self._c.views.directory.get(caller.name)
        if member is not None:
            member.mailbox.unconfirmed = 0
        for question_id in question_ids:
            entry = None if member is None else member.mailbox.native.get(question_id)
            if member is not None and entry is not None:
                entry.claimed_at = None
                member.mailbox.wake()

    def offered(self, entry: Entry, channel: Channel) -> None:
        """Note that the question was shown on this channel, the first time.

        Most are answered within the blink of an eye, and the record of the end then tells of it too:
        a record of its own follows only if the question is still open a little later.
        """
        if channel in entry.state.offered or (entry.shown and channel in channels(entry)):
            return
        now = self._c.clock.now()
        if not entry.shown:
            if not self._lately:
                self._c.again(OFFER_SECONDS, self._record_lately)
            self._lately.append((now, entry))
        entry.shown = (*entry.shown, (channel, now))
        if self._c.tallies.on:
            self._c.tallies.shown(entry, channel)

    def _record_lately(self) -> None:
        """Record what was shown a while ago and has no end; look again when it is time for the next."""
        lately, due = self._lately, self._c.clock.now() - OFFER
        while lately and (lately[0][0] <= due or not lately[0][1].shown):  # or it has its end
            entry = lately.popleft()[1]
            if entry.shown:
                self.record_offers(entry)
        if lately:
            self._c.timers.at(Instant(lately[0][0] + OFFER), self._record_lately)

    def record_offers(self, entry: Entry) -> None:
        """Record where an open question was shown; the projector strikes off what the log has."""
        for channel, shown_at in entry.shown:
            stream = stream_of("question", entry.question_id)
            self._c.dispatcher.post(
                stream,
                questions.Offer(channel=channel, shown_at=shown_at),
                by="system",
                on_fault=lambda: self._c.again(RETRY_SECONDS, lambda: self.record_offers(entry)),
            )
