"""Questions over HTTP: ask, look and wait, answer, withdraw, and those that are open for the caller."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from crossfade.core.decider import Refusal
from crossfade.core.values import Channel
from crossfade.engine.requests import AnswerRequest, AskRequest, QuestionView
from crossfade.inbound.api.routes import ABSENT, Call, Outcome, Reply, Strict, need_object, raw_or_none
from crossfade.inbound.api.routes import WAIT_SECONDS_MAX as WAIT_MAX

Key = Annotated[str, Meta(min_length=1, max_length=200, description="Idempotency key, if not sent as a header.")]
Wait = Annotated[float, Meta(ge=0, le=WAIT_MAX, description="Answer at the end of the question, or after this long.")]
Limit = Annotated[int, Meta(ge=1, le=100, description="At most so many.")]
Json = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class AskBody(Strict, frozen=True, kw_only=True):
    """A question. Give ``schema`` or ``choices``."""

    to: Annotated[str, Meta(description="Name of the agent or person asked.")]
    message: Annotated[str, Meta(min_length=1, description="The question as people read it.")]
    schema: Annotated[Json, Meta(description="Shape of the answer: JSON Schema in the elicitation subset.")] = ABSENT
    choices: Annotated[tuple[str, ...] | None, Meta(description="Instead of a schema: one of these.")] = None
    deadline_seconds: Annotated[float | None, Meta(description="It expires so long after it was asked.")] = None
    key: Key | None = None
    reply_to: Annotated[str | None, Meta(description="Question or message that led to it.")] = None
    metadata: Annotated[Json, Meta(description="Handed through unread.")] = ABSENT
    wait_seconds: Wait = 0

    def __post_init__(self) -> None:
        need_object(self.schema, "schema")
        need_object(self.metadata, "metadata")


class AnswerBody(Strict, frozen=True, kw_only=True):
    """An answer, or the decision not to give one."""

    action: Literal["accept", "decline"] = "accept"
    content: Annotated[Json, Meta(description="Fits the shape; needed to accept.")] = ABSENT
    reason: Annotated[str, Meta(description="With a decline: why, for the asker.")] = ""
    key: Key | None = None


class WithdrawBody(Strict, frozen=True, kw_only=True):
    """Why the answer is no longer needed."""

    reason: str = ""
    key: Key | None = None


class WaitQuery(Strict, frozen=True, kw_only=True):
    """How long to wait for the end."""

    wait_seconds: Wait = 0


class LimitQuery(Strict, frozen=True, kw_only=True):
    """How many."""

    limit: Limit = 100


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """Open questions addressed to the caller, oldest first."""

    questions: list[QuestionView]


async def ask(call: Call[LimitQuery, AskBody]) -> Outcome:
    """Ask; answers as soon as the question is durable, or at its end when ``wait_seconds`` says so."""
    body = call.body
    request = AskRequest(
        to=body.to,
        message=body.message,
        schema=raw_or_none(body.schema),
        choices=body.choices,
        deadline_seconds=body.deadline_seconds,
        key=call.key or body.key,
        reply_to=body.reply_to,
        metadata=raw_or_none(body.metadata) or msgspec.Raw(b"{}"),
    )
    view = await call.hub.ask(call.caller, request, cause=call.cause)
    if isinstance(view, Refusal):
        return view
    place = ((b"location", f"/v1/questions/{view.question_id}".encode()),)
    if body.wait_seconds <= 0:
        return Reply(view, headers=place)
    question_id = view.question_id
    ended = await call.wire.hold(lambda wait: call.hub.question(call.caller, question_id, wait), body.wait_seconds)
    return Reply(ended, headers=place)


async def question(call: Call[WaitQuery, Strict]) -> Outcome:
    """The question as it is, or as it is at its end when ``wait_seconds`` says so."""
    return await call.wire.hold(lambda wait: call.hub.question(call.caller, call.name, wait), call.query.wait_seconds)


async def answer(call: Call[Strict, AnswerBody]) -> Outcome:
    """Answer or decline a question addressed to the caller."""
    request = AnswerRequest(
        question_id=call.name,
        action=call.body.action,
        content=raw_or_none(call.body.content),
        reason=call.body.reason,
        key=call.key or call.body.key,
        channel=Channel.INBOX,
    )
    return await call.hub.answer(call.caller, request, cause=call.cause)


async def withdraw(call: Call[Strict, WithdrawBody]) -> Outcome:
    """Take back a question that the caller asked."""
    key = call.key or call.body.key
    return await call.hub.withdraw(call.caller, call.name, reason=call.body.reason, key=key)


async def open_questions(call: Call[LimitQuery, Strict]) -> Outcome:
    """What waits for the caller's answer."""
    return Questions(questions=await call.hub.open_questions(call.caller, call.query.limit))
