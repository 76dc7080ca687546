"""The product's eight tools on the hub: arguments to use cases, views to results.

A refusal is a result with ``isError``, so that the model reads it; protocol errors are for what breaks the
protocol. No tool takes an identity: ``agent_id`` is compared with the caller, never believed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import formatdate
from functools import partial
from sys import intern
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND
from crossfade.engine.hub import Hub
from crossfade.engine.measuring import cause_of
from crossfade.engine.ports import LogError
from crossfade.engine.requests import AnswerRequest, AskRequest, QuestionView, SendRequest
from crossfade.inbound.asgi import Headers
from crossfade.inbound.mcp import arguments, catalogue, elicitation, reading, texts, wire
from crossfade.inbound.mcp.mailbox import Mailboxes
from crossfade.inbound.mcp.seam import (
    Complete,
    Context,
    Fault,
    Given,
    Outcome,
    Peer,
    Plan,
    Raw,
    Reply,
    Settled,
    Waiting,
)

POLLING: Final = "wait_for_messages"
WAITING: Final = frozenset({"ask", "question", "attend", "inbox"})
"""Tools that wait for as long as ``wait_seconds`` says."""
RECEIVING: Final = frozenset({"attend", "inbox"})
Now = Callable[[], QuestionView]
"""A question as it is at the time of asking."""


class HubTools:
    """``seam.ToolSet`` on a hub."""

    instructions = catalogue.INSTRUCTIONS
    needs_state = True

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tallies = hub.measuring.tallies
        self._mailboxes = Mailboxes(hub)
        self._ends = texts.Ends()
        self._listed = {polling: catalogue.encoded(polling=polling) for polling in (True, False)}
        self._decoders = {
            name: msgspec.json.Decoder(kind)
            for name, kind in (
                ("ask", arguments.Ask),
                ("question", arguments.Question),
                ("attend", arguments.Attend),
                ("inbox", arguments.Inbox),
                ("answer", arguments.Answer),
                ("send", arguments.Send),
                ("agents", arguments.Agents),
                (POLLING, arguments.WaitForMessages),
            )
        }
        receive = self._mailboxes.receive
        self._calls: dict[str, Callable[[object, Context], Awaitable[Outcome]]] = {
            "ask": self._ask,
            "question": self._question,
            "attend": receive,
            "inbox": receive,
            "answer": self._answer,
            "send": self._send,
            "agents": self._agents,
            POLLING: receive,
        }

    def listed(self) -> bytes:
        """The tools; ``wait_for_messages`` is missing once it is removed."""
        return self._listed[self._hub.polling_removed() is None]

    def read(self, body: bytes) -> Given | None:
        """As in ``seam.ToolSet``."""
        call = reading.read(body)
        if call is None:
            return None
        params = call.params
        tool, meta = reading.TOOLS[type(params)], params.meta
        if tool == POLLING and self._hub.polling_removed() is not None:
            return None
        return Given(call.id, self._plan(tool, params.arguments), b"" if meta is arguments.NOTHING else bytes(meta))

    def plan(self, tool: str, given: Raw) -> Plan | Complete | Fault:
        """Understand the arguments of a call."""
        decoder = self._decoders.get(tool)
        if decoder is None:
            return Fault(
                wire.INVALID_PARAMS, f"Unknown tool: {tool[:64]}", {"code": "tool.unknown", "try": "List the tools."}
            )
        removed = self._hub.polling_removed() if tool == POLLING else None
        if removed is not None:
            return texts.refused(removed)
        try:
            understood = decoder.decode(b"{}" if bytes(given) == b"null" else given)
        except msgspec.DecodeError as error:
            return texts.refused(arguments.wrong(tool, decoder, error))
        return self._plan(intern(tool), understood)

    def _plan(self, tool: str, understood: arguments.Arguments) -> Plan:
        if tool in WAITING:
            seconds = understood.wait_seconds  # type: ignore[attr-defined]  # that is why they are there
            return Plan(tool, understood, seconds is None or seconds > 0, receives=tool in RECEIVING)
        if tool == POLLING:
            return Plan(tool, understood, holds=True, headers=self._leaving(), receives=True)
        return Plan(tool, understood, holds=False)

    def _leaving(self) -> Headers:
        """``Deprecation`` (RFC 9745) and ``Sunset`` (RFC 8594), while polling is on its way out."""
        deprecation = self._hub.deprecation()
        if deprecation is None:
            return ()
        since, sunset, _ = deprecation
        headers = [(b"deprecation", b"@%d" % (since // SECOND))]
        if sunset is not None:
            headers.append((b"sunset", formatdate(sunset / SECOND, usegmt=True).encode()))
        return headers

    def call(self, plan: Plan, context: Context) -> Awaitable[Outcome]:
        """Run the tool."""
        return self._calls[plan.tool](plan.arguments, context)

    def receive(self, plan: Plan, context: Context) -> Outcome | Waiting | None:
        """As in ``seam.ToolSet``."""
        return self._mailboxes.begin(plan.arguments, context)

    def count(self, plan: Plan, peer: Peer, fault: Exception | None = None) -> None:
        """As in ``seam.ToolSet``."""
        if not self._tallies.on:
            return
        cause = "" if fault is None else cause_of(fault) if isinstance(fault, LogError) else "unexpected"
        self._hub.measuring.served(peer.caller.name, cause, getattr(plan.arguments, "question_id", ""))

    # --- questions

    async def _ask(self, given: object, context: Context) -> Outcome:
        assert isinstance(given, arguments.Ask)
        request = AskRequest(
            to=given.to,
            message=given.message,
            schema=arguments.given(given.schema),
            choices=given.choices,
            deadline_seconds=given.deadline_seconds,
            key=given.key,
            reply_to=given.reply_to,
        )
        caller = context.peer.caller
        asked = partial(_so_far, context)
        seconds = self._hub.limits.wait_seconds_default if given.wait_seconds is None else given.wait_seconds
        view = await self._hub.ask(caller, request, wait_seconds=seconds, asked=asked)
        return texts.refused(view) if isinstance(view, Refusal) else self._ends.question(view, caller.name)

    async def _question(self, given: object, context: Context) -> Outcome:
        assert isinstance(given, arguments.Question)
        caller = context.peer.caller
        if not given.withdraw:
            now = await self._read(given.question_id, 0, context)
            if given.wait_seconds <= 0 or now.is_error:
                return now
            context.so_far = lambda: now
            return await self._read(given.question_id, given.wait_seconds, context)
        view = await self._hub.withdraw(caller, given.question_id, reason=given.reason)
        return texts.refused(view) if isinstance(view, Refusal) else self._ends.question(view, caller.name)

    async def _read(self, question_id: str, wait_seconds: float, context: Context) -> Complete:
        caller = context.peer.caller
        view = await self._hub.question(caller, question_id, wait_seconds)
        return texts.refused(view) if isinstance(view, Refusal) else self._ends.question(view, caller.name)

    async def _answer(self, given: object, context: Context) -> Outcome:
        assert isinstance(given, arguments.Answer)
        caller = context.peer.caller
        request = AnswerRequest(
            question_id=given.question_id,
            action="accept" if given.action is msgspec.UNSET else given.action,
            content=arguments.given(given.content),
            reason=given.reason,
            key=given.key,
        )
        view = await self._hub.answer(caller, request)
        return texts.refused(view) if isinstance(view, Refusal) else self._ends.question(view, caller.name)

    # --- messages and the directory

    async def _send(self, given: object, context: Context) -> Outcome:
        assert isinstance(given, arguments.Send)
        metadata = arguments.given(given.metadata) or arguments.EMPTY
        if not wire.is_object(metadata):  # else it would break the schema of the result that brings it
            return texts.refused(arguments.not_object("send", "metadata"))
        request = SendRequest(
            to=(given.to,) if isinstance(given.to, str) else given.to,
            body=given.body,
            reply_to=given.reply_to,
            key=given.key,
            metadata=metadata,
        )
        view = await self._hub.send(context.peer.caller, request)
        return texts.refused(view) if isinstance(view, Refusal) else texts.sent(view)

    async def _agents(self, given: object, context: Context) -> Outcome:
        assert isinstance(given, arguments.Agents)
        return texts.agents(await self._hub.agents(context.peer.caller, given.query))

    # --- elicitation

    async def settle(self, peer: Peer, key: str, reply: Reply) -> Settled:
        """Tell the hub what the client said to a question: the view, or a Refusal."""
        view = await self._hub.question(peer.caller, key)
        if isinstance(view, Refusal):
            return view
        said = elicitation.reply(view, peer, reply)
        return await self._hub.measuring.request(peer.caller.name, self._hub.native_reply(peer.caller, said), key)

    async def resume(self, plan: Plan, context: Context, state: bytes, settled: Mapping[str, Settled]) -> Outcome:
        """Only waits elicit."""
        return await self._mailboxes.resume(plan.arguments, context, state, settled)

    async def overtaken(self, peer: Peer, key: str) -> None:
        """Return when the question has its end."""
        await self._mailboxes.ended(peer.caller, key)

    def abandon(self, peer: Peer, keys: Sequence[str]) -> None:
        """Offer again what the client had not dealt with."""
        self._hub.release(peer.caller, keys)


def _so_far(context: Context, now: Now) -> None:
    """The question is stored: from now on this is what a call that has to stop comes to."""
    context.so_far = partial(_told, now, context.peer.caller.name)


def _told(now: Now, name: str) -> Complete:
    return texts.question(now(), name)
