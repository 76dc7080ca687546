"""Sending: one-way messages, and answers given by replying in words."""

import msgspec

from crossfade.core import messages, shapes
from crossfade.core.decider import Refusal
from crossfade.core.values import SPACE, AgentName, Caller, Channel, MessageId, Sequence, stream_of
from crossfade.engine.asking import REUSED, Asking, scoped_key, unknown_recipient
from crossfade.engine.context import Context, too_long
from crossfade.engine.requests import AnswerRequest, SendRequest, SentView
from crossfade.engine.streams import recorded
from crossfade.engine.views.directory import Member
from crossfade.engine.views.instants import iso


class Sending:
    """Send a message, or the answer that it is."""

    def __init__(self, context: Context, asking: Asking) -> None:
        self._c = context
        self._asking = asking

    async def send(self, caller: Caller, request: SendRequest, cause: str) -> SentView | Refusal:
        """Send a message; with ``reply_to`` a question that the caller was asked, answer it."""
        size = len(request.body.encode())
        if size > self._c.limits.message_bytes_max:
            return self._c.refuse(too_long("body", size, self._c.limits.message_bytes_max))
        answer = await self._as_answer(caller, request, cause)
        if answer is not None:
            return answer
        refusal = self._c.allow(caller)
        if refusal is not None:
            return refusal
        command = await self._command(caller, request)
        if isinstance(command, Refusal):
            return self._c.refuse(command)
        message_id = MessageId(self._c.ids.new("m"))
        stream = stream_of("message", message_id)
        key = scoped_key(caller, "send", request.key)
        outcome = await self._c.dispatcher.run(stream, command, by=caller.name, key=key, cause=cause, fresh=True)
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        if outcome.duplicate:
            return await self._first(outcome.first, command)
        return self._sent(message_id, outcome.first, command.to, command.conversation or message_id)

    async def _as_answer(self, caller: Caller, request: SendRequest, cause: str) -> SentView | Refusal | None:
        """The answer to a question that the caller was asked; None if this is a message."""
        if not request.reply_to or not request.reply_to.startswith("q_"):
            return None
        entry = await self._asking.entry(request.reply_to)
        if isinstance(entry, Refusal) or entry.state.addressee != caller.name:
            return None
        if request.to and set(request.to) != {entry.state.asker}:
            return None  # about the question, to somebody else
        content = shapes.from_text(shapes.from_raw(entry.state.schema), request.body)
        if isinstance(content, Refusal):
            return self._c.refuse(content)
        command = AnswerRequest(
            question_id=entry.question_id,
            content=msgspec.Raw(msgspec.json.encode(content)),
            key=request.key,
            channel=Channel.POLL,
        )
        outcome = await self._asking.answer(caller, command, cause)
        if isinstance(outcome, Refusal):
            return outcome
        return SentView(
            message_id=entry.question_id,
            sequence=outcome.sequence,
            delivery={entry.state.asker: "answered"},
            conversation=outcome.conversation or entry.question_id,
        )

    async def _command(self, caller: Caller, request: SendRequest) -> messages.Send | Refusal:
        chain = await self._asking.chain(caller, request.reply_to)
        if isinstance(chain, Refusal):
            return chain
        to = request.to or await self._correspondent(caller, request.reply_to)
        if len(to) > self._c.limits.fan_out_max:
            return Refusal(
                "limit.fan_out",
                f"{len(to)} recipients, at most {self._c.limits.fan_out_max}.",
                "Send in several messages.",
            )
        refusal = next((refusal for name in to if (refusal := self._reachable(name)) is not None), None)
        if refusal is not None:
            return refusal
        return messages.Send(
            sender=caller.name,
            to=tuple(dict.fromkeys(AgentName(name) for name in to)),
            body=request.body,
            conversation=chain[0],
            hops=chain[1],
            reply_to=request.reply_to or "",
            metadata=request.metadata,
        )

    async def _correspondent(self, caller: Caller, reply_to: str | None) -> tuple[str, ...]:
        """The other end of what is replied to."""
        if not reply_to:
            return ()
        if reply_to.startswith("q_"):
            entry = await self._asking.entry(reply_to)
            ends = () if isinstance(entry, Refusal) else (entry.state.asker, entry.state.addressee)
            return tuple(name for name in ends if name != caller.name) if caller.name in ends else ()
        slot = await self._c.dispatcher.load(stream_of("message", reply_to))
        return (slot.state.sender,) if caller.name in slot.state.to else ()

    def _reachable(self, name: str) -> Refusal | None:
        member = self._c.views.directory.get(name)
        if member is None or not member.addressable:
            return unknown_recipient(name, self._c.views.directory.similar(name))
        if len(member.mailbox.mail) >= self._c.limits.mailbox_items_max:
            return Refusal("limit.mailbox", f"The mailbox of {name} is full.", "It has stopped reading; ask its owner.")
        return None

    def _sent(self, message_id: str, sequence: int, to: tuple[AgentName, ...], conversation: str) -> SentView:
        directory = self._c.views.directory
        return SentView(
            message_id=message_id,
            sequence=sequence,
            delivery={name: _standing(directory.member(name)) for name in to},
            conversation=conversation,
        )

    async def _first(self, sequence: Sequence, command: messages.Send) -> SentView | Refusal:
        """The message that the same key sent before; refused if this is not the same message."""
        record = recorded(SPACE, (await self._c.log.read(SPACE, Sequence(sequence - 1), 1))[0])
        sent = record.event
        if not isinstance(sent, messages.Sent) or (sent.to, sent.body) != (command.to, command.body):
            return self._c.refuse(REUSED)
        message_id = record.stream.partition("/")[2]
        return self._sent(message_id, record.sequence, sent.to, sent.conversation or message_id)


def _standing(member: Member) -> str:
    """How a message to this recipient stands when it has just been stored."""
    if member.state.status == "present":
        return "queued"
    seen = max(member.seen_at, member.state.seen_at)
    return f"queued, away since {iso(seen)}" if seen else "queued, never seen"
