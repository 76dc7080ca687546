"""Asking and answering: the use cases of a question, from either end."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import msgspec

from crossfade.core import messages, questions
from crossfade.core.decider import Refusal
from crossfade.core.questions import Dismissal, Exposure
from crossfade.core.records import Event
from crossfade.core.values import (
    SECOND,
    SPACE,
    Caller,
    Channel,
    Instant,
    Lane,
    QuestionId,
    Sequence,
    StreamName,
    stream_of,
)
from crossfade.engine.asked_shapes import shape_of, too_large
from crossfade.engine.context import RETIRED, Context, too_long
from crossfade.engine.dispatcher import Applied
from crossfade.engine.ports import Duplicate
from crossfade.engine.requests import AnswerRequest, AskRequest, NativeReply, QuestionView
from crossfade.engine.storing import Asked, Over, Stored, settle
from crossfade.engine.streams import recorded
from crossfade.engine.views.directory import Member
from crossfade.engine.views.questions import Entry, view

Chain = tuple[str, int, Lane | None]
"""Conversation, hops so far, and the lane it is pinned to (None: free)."""
FREE: Final[Chain] = "", 0, None
"""No reply to anything."""
Promise = Coroutine[Any, Any, QuestionView | Refusal]
Checked = tuple[Member, msgspec.Raw, float]
"""Whom to ask, with what shape, and how many seconds it stays open."""

SAME: Final = {Lane.ELICITATION: Exposure.NEW, Lane.POLLING: Exposure.OLD}
REUSED: Final = Refusal("key.reused", "This key was used for something else.", "Use a fresh key for each command.")


def scoped_key(caller: Caller, verb: str, key: str | None) -> bytes | None:
    """The log's key for a caller's own: two callers, or two verbs, never share one."""
    if key is None:
        return None
    return blake2b(f"{caller.name}\0{verb}\0{key}".encode(), digest_size=16).digest()


class Asking:
    """Ask, read, withdraw, answer, decline, dismiss."""

    def __init__(self, context: Context) -> None:
        self._c = context

    # --- the asker's side -----------------------------------------------------------------------------

    async def ask(
        self, caller: Caller, request: AskRequest, cause: str, wait_seconds: float = 0.0, asked: Asked | None = None
    ) -> QuestionView | Refusal:
        """Put a question; returns once it is durable, or has its end, or ``wait_seconds`` are over.

        ``asked`` is called when it is durable, if there is a wait. The same key gives the first question.
        """
        checked = self._c.allow(caller) or self._checked(caller, request)
        if not isinstance(checked, tuple):
            return self._c.refuse(checked)
        chain = await self.chain(caller, request.reply_to) if request.reply_to else FREE
        if not isinstance(chain, tuple):
            return self._c.refuse(chain)
        now = self._c.dispatcher.now()
        command = self._placed(caller, request, checked, chain, now)
        question_id = QuestionId(self._c.ids.new("q"))
        until = Instant(now + int(min(wait_seconds, self._c.limits.wait_seconds_max) * SECOND))
        wait = Stored(self._c, question_id, until if wait_seconds > 0 else None, asked)
        key = None if request.key is None else scoped_key(caller, "ask", request.key)
        stream = StreamName(f"question/{question_id}")
        refusal = self._c.dispatcher.create(stream, command, wait.told, (now, caller.name, cause), key)
        if refusal is not None:
            return self._c.refuse(refusal)
        try:
            duplicate = await wait.over
        finally:
            wait.close()
        if duplicate is None:
            return view(wait.entry or self._c.views.questions[question_id])
        first = await self._first(duplicate, command)
        if isinstance(first, Refusal):
            return first
        if not (wait_seconds > 0 and first.open):
            return view(first)
        if asked is not None:
            asked(partial(view, first))
        return await self.read(caller, first.question_id, wait_seconds)

    async def _first(self, duplicate: Duplicate, command: questions.Ask) -> Entry | Refusal:
        """The question that the same key asked before; refused if this is not the same question."""
        rows = await self._c.log.read(SPACE, Sequence(duplicate.first - 1), 1)
        entry = await self.entry(questions.question_id(rows[0].stream))
        if isinstance(entry, Refusal):
            return entry
        if (entry.state.addressee, entry.state.message) != (command.addressee, command.message):
            return self._c.refuse(REUSED)
        return entry

    def _checked(self, caller: Caller, request: AskRequest) -> Checked | Refusal:
        limits = self._c.limits
        shape = too_large(request, limits) or shape_of(request)
        if not isinstance(shape, msgspec.Raw):
            return shape
        addressee = self._addressee(caller, request.to)
        if not isinstance(addressee, Member):
            return addressee
        seconds = request.deadline_seconds
        if seconds is None:
            seconds = limits.deadline_seconds_default
        elif not 0 < seconds <= limits.deadline_seconds_max:
            return Refusal(
                "question.deadline_past" if seconds <= 0 else "question.deadline_far",
                f"deadline_seconds is {seconds:g}.",
                f"Give a number above 0 and at most {limits.deadline_seconds_max}.",
                {"field": "deadline_seconds"},
            )
        return addressee, shape, seconds

    def _placed(
        self, caller: Caller, request: AskRequest, checked: Checked, chain: Chain, now: Instant
    ) -> questions.Ask:
        addressee, schema, seconds = checked
        conversation, hops, pinned = chain
        lane = pinned or self._c.lane_of(addressee)
        asker_lane = self._c.lane_of(self._c.views.directory.member(caller.name))
        return questions.Ask(
            asker=caller.name,
            addressee=addressee.state.name,
            message=request.message,
            schema=schema,
            deadline=Instant(now + int(seconds * SECOND)),
            lane=lane,
            epoch=self._c.views.programme.rollout.epoch,
            exposure=exposure(asker_lane, lane),
            conversation=conversation,
            hops=hops,
            reply_to=request.reply_to or "",
            metadata=request.metadata,
        )

    def _addressee(self, caller: Caller, name: str) -> Member | Refusal:
        directory = self._c.views.directory
        limit = self._c.limits.open_questions_per_agent_max
        member = directory.get(name)
        if member is None or member.state.status is RETIRED:
            return unknown_recipient(name, directory.similar(name))
        if name == caller.name:
            return Refusal("question.to_self", "A question to oneself has no answerer.", "Name somebody else.")
        if len(member.open) >= limit or directory.member(caller.name).asked_open >= limit:
            return Refusal(
                "limit.open_questions",
                f"There are {limit} open questions already.",
                "Wait for answers, or withdraw some.",
            )
        return member

    async def chain(self, caller: Caller, reply_to: str | None) -> Chain | Refusal:
        """Where a reply to a question or message belongs, or refuse with reply.unknown or limit.hops."""
        if not reply_to:
            return FREE
        if not _possible(reply_to):
            return _no_such(reply_to)
        pinned: Lane | None = None
        if reply_to.startswith("q_"):
            slot = await self._c.dispatcher.load(stream_of("question", reply_to))
            parent = slot.state
            epoch = self._c.views.programme.rollout.epoch
            if not self._c.views.programme.killed and parent.epoch == epoch:
                pinned = parent.lane
        else:
            slot = await self._c.dispatcher.load(stream_of("message", reply_to))
            parent = slot.state
        if slot.version == 0 or caller.name not in _ends(parent):
            return _no_such(reply_to)
        if parent.hops + 1 > self._c.limits.hops_max:
            return Refusal(
                "limit.hops",
                f"This conversation is {parent.hops + 1} replies long.",
                "Two agents may be answering each other without end; begin a new conversation.",
            )
        return parent.conversation or reply_to, parent.hops + 1, pinned

    async def withdraw(self, caller: Caller, question_id: str, reason: str, key: str | None) -> QuestionView | Refusal:
        """End the caller's own question."""
        command = questions.Withdraw(by=caller.name, reason=reason)
        return await self._end(caller, question_id, command, scoped_key(caller, "withdraw", key), "")

    async def read(self, caller: Caller, question_id: str, wait_seconds: float) -> QuestionView | Refusal:
        """The question, after waiting for its end at most ``wait_seconds``; only its two ends may read it."""
        entry = self._c.views.questions.get(question_id) or await self.entry(question_id)
        if not isinstance(entry, Entry):
            return self._c.refuse(entry)
        mine = caller.name == entry.state.asker
        if not mine and caller.name != entry.state.addressee and not oversees(caller):
            return self._c.refuse(_unknown())
        if entry.open and wait_seconds > 0:
            await self._wait(entry, min(wait_seconds, self._c.limits.wait_seconds_max), collect=mine)
        if mine and not entry.open:
            self._c.views.directory.member(caller.name).mailbox.drop_answer(question_id)
        return view(entry)

    async def _wait(self, entry: Entry, seconds: float, *, collect: bool) -> None:
        waiter: Over = asyncio.get_running_loop().create_future()
        timer = self._c.timers.at(self._c.later(seconds), settle, waiter, None)
        entry.wait(waiter, collect=collect)
        try:
            await waiter
        finally:
            timer.cancel()
            entry.forget(waiter, collect=collect)

    async def entry(self, question_id: str) -> Entry | Refusal:
        """The question from memory, else folded from the log."""
        entry = self._c.views.questions.get(question_id)
        if entry is not None:
            return entry
        if not question_id.startswith("q_") or not _possible(question_id):
            return _unknown()
        rows = await self._c.log.read_stream(SPACE, stream_of("question", question_id))
        if not rows:
            return _unknown()
        records = [recorded(SPACE, row) for row in rows]
        state = questions.DECIDER.fold(record.event for record in records)
        id_, (asked, *_) = QuestionId(question_id), records
        entry = Entry(len(records), state, questions.DECIDER, SPACE, id_, asked.sequence, asked.at)
        entry.ended_at = None if entry.open else records[-1].at
        return entry

    # --- the addressee's side ---------------------------------------------------------------------------

    def answer(self, caller: Caller, request: AnswerRequest, cause: str) -> Promise:
        """Accept with content, or decline. A second answer is refused; the same key gives the first result."""
        key = None if request.key is None else scoped_key(caller, "answer", request.key)
        return self._end(caller, request.question_id, self._answering(caller, request), key, cause)

    def _answering(self, caller: Caller, request: AnswerRequest) -> questions.Answer | questions.Decline | Refusal:
        refusal = self._c.allow(caller)
        if refusal is not None:
            return refusal
        entry = self._c.views.questions.get(request.question_id)
        offers = () if entry is None else entry.shown
        if request.action == "decline":
            return questions.Decline(by=caller.name, channel=request.channel, reason=request.reason, offers=offers)
        content = b"{}" if request.content is None else bytes(request.content)
        if len(content) > self._c.limits.content_bytes_max:
            return self._c.refuse(too_long("content", len(content), self._c.limits.content_bytes_max))
        # A copy of its own: what came with the request must not stay in memory for as long as the question.
        return questions.Answer(by=caller.name, content=msgspec.Raw(content), channel=request.channel, offers=offers)

    async def native_reply(self, caller: Caller, reply: NativeReply, cause: str) -> QuestionView | Refusal:
        """Take what a client sent back to an elicitation, and decide what it means.

        A decline or cancel within a blink by a client that faces a person and never accepted anything
        was made by a machine: the question goes on to the next channel. Other declines are decisions.
        """
        entry = await self.entry(reply.question_id)
        if isinstance(entry, Refusal):
            return self._c.refuse(entry)
        if reply.action == "accept":
            return await self._accept_native(caller, entry, reply, cause)
        if self._made_by_machine(caller, entry):
            return await self.dismiss(caller, entry, Dismissal.CLIENT_AUTO_DECLINE)
        if reply.action == "cancel":
            return await self.dismiss(caller, entry, Dismissal.CANCELLED)
        offers = self._shown(entry.question_id)
        command = questions.Decline(by=caller.name, channel=Channel.NATIVE, offers=offers)
        return await self._end(caller, entry.question_id, command, None, cause)

    async def _accept_native(
        self, caller: Caller, entry: Entry, reply: NativeReply, cause: str
    ) -> QuestionView | Refusal:
        content = msgspec.Raw(b"{}") if reply.content is None else reply.content
        offers = self._shown(entry.question_id)
        command = questions.Answer(by=caller.name, content=content, channel=Channel.NATIVE, offers=offers)
        # The same reply twice (a retried call) is one answer, so its key is what it says.
        key = scoped_key(caller, "native", f"{entry.question_id}\0{bytes(content)!r}")
        outcome = await self._end(caller, entry.question_id, command, key, cause)
        if isinstance(outcome, Refusal) and outcome.code.startswith("answer."):
            return await self.dismiss(caller, entry, Dismissal.INVALID_CONTENT)
        return outcome

    def _shown(self, question_id: str) -> questions.Offers:
        """Where the question was shown, as far as no record tells of it yet."""
        entry = self._c.views.questions.get(question_id)
        return () if entry is None else entry.shown

    def _made_by_machine(self, caller: Caller, entry: Entry) -> bool:
        member = self._c.views.directory.get(caller.name)
        if not caller.faces_person or member is None or member.accepted or entry.claimed_at is None:
            return False
        return self._c.clock.now() - entry.claimed_at < self._c.limits.blink_seconds * SECOND

    async def dismiss(self, caller: Caller, entry: Entry, reason: Dismissal) -> QuestionView | Refusal:
        """The native channel brought no end: record it, and offer the question as text."""
        command = questions.Dismiss(by=caller.name, channel=Channel.NATIVE, reason=reason)
        return await self._end(caller, entry.question_id, command, None, "")

    async def seen(self, caller: Caller, question_id: str, channel: Channel) -> None:
        """Record that the addressee has the question in front of them."""
        entry = self._c.views.questions.get(question_id)
        if entry is not None and entry.open and entry.state.addressee == caller.name:
            stream = stream_of("question", question_id)
            self._c.dispatcher.post(stream, questions.Offer(channel=channel), by=caller.name)
            self._c.dispatcher.post(stream, questions.See(channel=channel), by=caller.name)

    async def _end(
        self, caller: Caller, question_id: str, command: Any, key: bytes | None, cause: str
    ) -> QuestionView | Refusal:
        if isinstance(command, Refusal):
            return command
        entry: Entry | Refusal | None = self._c.views.questions.get(question_id)
        if entry is None and not (question_id.startswith("q_") and _possible(question_id)):
            return self._c.refuse(_unknown())
        stream = StreamName(f"question/{question_id}")
        outcome = await self._c.dispatcher.run(stream, command, by=caller.name, key=key, cause=cause)
        if not isinstance(outcome, Applied):
            if await self._expired(question_id, outcome):
                outcome = await self._c.dispatcher.run(stream, command, by=caller.name, key=key, cause=cause)
            if not isinstance(outcome, Applied):
                self._c.tallies.refused(command, outcome)
                return self._c.refuse(outcome)
        if outcome.duplicate:
            first = recorded(SPACE, (await self._c.log.read(SPACE, Sequence(outcome.first - 1), 1))[0])
            if first.stream != stream or not _carried_out(command, first.event):
                return self._c.refuse(REUSED)
        entry = entry or await self.entry(question_id)
        return view(entry) if isinstance(entry, Entry) else entry

    async def _expired(self, question_id: str, refusal: Refusal) -> bool:
        """Whether the command came too late for a question whose end is not in the log yet; now it is.

        Nobody may be told of an end that the next reader cannot see, nor of an expiry that an earlier
        answer, waiting for the disk, is about to forestall. Raises LogError while the log takes nothing.
        """
        entry = self._c.views.questions.get(question_id)
        if refusal.code != "question.closed" or entry is None or not entry.open:
            return False
        await self._c.dispatcher.run(stream_of("question", question_id), questions.Expire(), by="system")
        return True


def _carried_out(command: Any, event: Event) -> bool:
    """The event is what the command asked for, not something else that was done with the same key."""
    match command, event:
        case questions.Answer(), questions.Answered():
            same: bool = msgspec.json.decode(command.content) == msgspec.json.decode(event.content)
            return same
        case (questions.Decline(), questions.Declined()) | (questions.Withdraw(), questions.Withdrawn()):
            return True
        case _:
            return isinstance(command, questions.Dismiss)


def exposure(asker: Lane, addressee: Lane) -> Exposure:
    """The class of a conversation between these two lanes."""
    if asker is not addressee:
        return Exposure.MIXED
    return SAME[asker]


def oversees(caller: Caller) -> bool:
    """May read what is not addressed to it."""
    return bool(caller.scopes & {"operator", "admin"})


def unknown_recipient(name: str, similar: list[str]) -> Refusal:
    """Nobody has that name; never queued for ever in the hope that somebody will."""
    hint = f"Did you mean {', '.join(similar)}?" if similar else "The tool `agents` lists who is there."
    return Refusal("recipient.unknown", f"There is nobody named {name!r} here.", hint, {"recipient": name[:80]})


def _ends(parent: questions.State | messages.State) -> tuple[str, ...]:
    """Who takes part in a question or message, and may therefore reply to it."""
    return (parent.sender, *parent.to) if isinstance(parent, messages.State) else (parent.asker, parent.addressee)


def _possible(identifier: str) -> bool:
    """Ids of ours are short and plain; the log takes no stream name beyond its limit."""
    return len(identifier) <= 64 and identifier.isascii()


def _no_such(reply_to: str) -> Refusal:
    return Refusal("reply.unknown", f"There is no {reply_to[:80]!r} for you to reply to.", "Check reply_to.")


def _unknown() -> Refusal:
    return Refusal("question.unknown", "There is no such question, or it is not yours.", "Check the question_id.")
