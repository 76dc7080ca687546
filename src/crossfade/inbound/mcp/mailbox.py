"""The three waits: ``attend``, ``inbox`` and ``wait_for_messages``. One way of receiving, three sets of arguments.

Questions on the elicitation lane are asked of the client inside the wait it holds anyway; that is how an
agent that only knows ``wait_for_messages`` is migrated without a change. Whatever does not come to an end
that way comes as text, in the same result or the next.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller, Channel, Instant
from crossfade.engine.hub import Hub
from crossfade.engine.requests import Batch, QuestionView, ReceiveRequest
from crossfade.engine.views.directory import Member
from crossfade.engine.waits import Wait
from crossfade.inbound.mcp import arguments, elicitation, texts, wire
from crossfade.inbound.mcp.seam import FORM, Complete, Context, InputRequired, Outcome, Settled, Waiting
from crossfade.inbound.mcp.texts import Elicited

POLL: Final = Channel.POLL
ROUNDS_MAX: Final = 8
"""Questions elicited within one call: clients give up after ten rounds."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """What a call remembers while its client is asked."""

    asked: tuple[str, ...]
    done: tuple[Elicited, ...]


_STATE: Final = msgspec.msgpack.Decoder(State)


class _Wait(Wait):
    """A call that waits, and nothing runs for it."""

    __slots__ = ("_mailboxes", "_woken", "context")

    def __init__(
        self, at: tuple["Mailboxes", Context], member: Member, request: ReceiveRequest, after: int, until: Instant
    ) -> None:
        super().__init__(member, request, after, until)
        self._mailboxes, self.context = at
        self._woken = False

    def wake(self) -> None:
        """As in ``engine.waits.Wait``."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self.context.look_again)

    def look(self) -> Outcome | None:
        """As in ``seam.Waiting``."""
        self._woken = False
        mailboxes = self._mailboxes
        batch = mailboxes.mail.look(self)
        return None if batch is None else mailboxes.outcome(batch, self.context, ())

    def leave(self) -> None:
        """As in ``seam.Waiting``."""
        self._mailboxes.mail.leave(self)

    def so_far(self) -> Complete:
        """As in ``seam.Waiting``."""
        return texts.nothing(self.request.after, ())


class Mailboxes:
    """Receiving, with elicitation where the client and the lane allow it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.mail = hub.mail
        self._requests: dict[type, Callable[..., ReceiveRequest | Refusal]] = {
            arguments.Attend: self._attend,
            arguments.Inbox: self._inbox,
            arguments.WaitForMessages: self._poll,
        }

    def receive(self, given: object, context: Context) -> Awaitable[Outcome]:
        """The first round: wait."""
        request = self._requests[type(given)](given, context)
        if not isinstance(request, Refusal):
            context.so_far = partial(texts.nothing, request.after, ())
        return self._receive(request, context, ())

    def begin(self, given: object, context: Context) -> Outcome | Waiting | None:
        """The first round without a coroutine: what there is, or what the call waits for; None: as ``receive``."""
        request = self._requests[type(given)](given, context)
        if isinstance(request, Refusal):
            return texts.refused(request)
        begun = self.mail.begin(context.peer.caller, request, partial(_Wait, (self, context)))
        if begun is None or isinstance(begun, _Wait):
            return begun
        return self.outcome(begun, context, ())

    async def resume(self, given: object, context: Context, state: bytes, settled: Mapping[str, Settled]) -> Outcome:
        """The client was asked: say what became of it, and see what else there is, without waiting."""
        remembered = _STATE.decode(state)
        request = self._requests[type(given)](given, context)
        assert not isinstance(request, Refusal), "the first round had the same arguments"
        done = list(remembered.done)
        unanswered = [key for key in remembered.asked if key not in settled]
        done += [await self._became(key, settled.get(key), context.peer.caller) for key in remembered.asked]
        if any(entry.status == "open" and entry.question_id in unanswered for entry in done):
            return texts.nothing(request.after, done, has_more=True)
        return await self._receive(msgspec.structs.replace(request, wait_seconds=0.0), context, tuple(done))

    async def ended(self, caller: Caller, question_id: str) -> None:
        """Return when the question is not open any more."""
        while not self._hub.stopping:
            view = await self._hub.question(caller, question_id, self._hub.limits.wait_seconds_max)
            if isinstance(view, Refusal) or view.status != "open":
                return
        await asyncio.get_running_loop().create_future()  # nothing is known any more; whoever waits is stopped

    # --- requests

    def _attend(self, given: arguments.Attend, context: Context) -> ReceiveRequest:
        seconds = self._hub.limits.wait_seconds_default if given.wait_seconds is None else given.wait_seconds
        seconds, native = self._seconds(seconds, context), _native(context)
        return ReceiveRequest(channel=Channel.NATIVE, wait_seconds=seconds, after=given.after, native=native)

    def _inbox(self, given: arguments.Inbox, context: Context) -> ReceiveRequest:
        seconds = self._seconds(given.wait_seconds, context)
        return ReceiveRequest(channel=Channel.INBOX, wait_seconds=seconds, after=given.after, limit=given.limit)

    def _poll(self, given: arguments.WaitForMessages, context: Context) -> ReceiveRequest | Refusal:
        name = context.peer.caller.name
        if given.agent_id and given.agent_id != name:
            return _mismatch(given.agent_id, name)
        seconds, native = self._seconds(given.timeout_seconds, context), _native(context)
        return ReceiveRequest(channel=POLL, wait_seconds=seconds, after=given.since_sequence, native=native)

    def _seconds(self, seconds: float, context: Context) -> float:
        """As long as a client waits without a sign of life, unless it hears of progress."""
        limits = self._hub.limits
        longest = float(limits.poll_seconds_max) if context.patient else limits.wait_seconds_max
        return min(longest, seconds)

    # --- results

    async def _receive(
        self, request: ReceiveRequest | Refusal, context: Context, done: tuple[Elicited, ...]
    ) -> Outcome:
        if isinstance(request, Refusal):
            return texts.refused(request)
        return self.outcome(await self._hub.receive(context.peer.caller, request), context, done)

    def outcome(self, batch: Batch | Refusal, context: Context, done: tuple[Elicited, ...]) -> Outcome:
        """What was received, as the call tells it or asks it."""
        caller = context.peer.caller
        if isinstance(batch, Refusal):
            return texts.refused(batch)
        if context.asked >= ROUNDS_MAX:  # no more forms in this call, and text must not wait for the last of them
            return texts.messages(msgspec.structs.replace(batch, has_more=True), done, caller.name)
        if not batch.questions:
            return texts.messages(batch, done, caller.name)
        if batch.items:
            self._hub.release(caller, ())  # they did not go out with this round: nobody has received them yet
        asked = {view.question_id: elicitation.request(view, context.peer) for view in batch.questions}
        return InputRequired(requests=asked, state=msgspec.msgpack.encode(State(tuple(asked), done)))

    async def _became(self, question_id: str, settled: Settled, caller: Caller) -> Elicited:
        view = settled or await self._hub.question(caller, question_id)
        if isinstance(view, Refusal):
            return Elicited(question_id, view.details.get("status", "refused"), view.message)
        assert isinstance(view, QuestionView)
        note = "not answered by your client; it comes as a message" if view.status == "open" and view.dismissals else ""
        return Elicited(question_id, view.status, note)


def _native(context: Context) -> bool:
    """Whether questions can be asked of the client within this call."""
    peer = context.peer
    capable = FORM in peer.capabilities and peer.revision in wire.ELICITING
    return capable and context.may_ask and context.asked < ROUNDS_MAX


def _mismatch(agent_id: str, name: str) -> Refusal:
    return Refusal(
        "identity.mismatch",
        f"You are {name}, not {agent_id[:64]}.",
        "Leave agent_id out: your credential says who you are.",
        {"field": "agent_id"},
    )
