"""Reads a whole message that calls one of the tools in one pass, which is what nearly every message is.

Rules
-----
1. What is read here is what ``wire.decode`` and the tool's own decoder would have made of it. Whatever is not plainly
   that (a field we do not know, a default written out, an escape, an error) is left to them: None is no verdict.
2. No key is there twice, on any level: msgspec would keep the last one without a word. What was decoded is encoded
   again, and has lost the colons of what it has lost. JSON that is handed on unread is looked at by itself, except for
   ``_meta``, which is only ever compared with one that the long way has read.

Not here: what the message asks for.
"""

from functools import lru_cache
from typing import Final, Literal

import msgspec

from crossfade.inbound.mcp import strict
from crossfade.inbound.mcp.arguments import (
    NOTHING,
    Agents,
    Answer,
    Arguments,
    Ask,
    Attend,
    Inbox,
    Question,
    Send,
    WaitForMessages,
)

KEPT_MAX: Final = 1_024
KEPT_BYTES: Final = 512
"""Pieces of JSON whose keys were found distinct: how many are remembered, and how long one may be for that."""
DEPTH: Final = 3
"""An argument is an element of the arguments, in the params, in the message."""


class Params(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="name"):
    """``params`` of a call; the name of the tool says which one."""

    meta: msgspec.Raw = msgspec.field(name="_meta", default=NOTHING)


class AskParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="ask"):
    arguments: Ask


class QuestionParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="question"):
    arguments: Question


class AttendParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="attend"):
    arguments: Attend


class InboxParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="inbox"):
    arguments: Inbox


class AnswerParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="answer"):
    arguments: Answer


class SendParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="send"):
    arguments: Send


class AgentsParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="agents"):
    arguments: Agents


class WaitParams(Params, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="wait_for_messages"):
    arguments: WaitForMessages


class Call(msgspec.Struct, frozen=True, gc=False):
    """The whole message."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: (
        AskParams | QuestionParams | AttendParams | InboxParams | AnswerParams | SendParams | AgentsParams | WaitParams
    )


BACKSLASH: Final = 0x5C
"""As a number: bytes that are looked for in bytes are taken for a number first, and raise an error on the way."""
ENVELOPE_COLONS: Final = 6
"""jsonrpc, id, method, params, name and arguments have one each; whatever else there is shows in what is counted."""

TOOLS: Final[dict[type[Params], str]] = {
    kind: str(kind.__struct_config__.tag)
    for kind in (
        AskParams, QuestionParams, AttendParams, InboxParams, AnswerParams, SendParams, AgentsParams, WaitParams,
    )
}  # fmt: skip
UNREAD: Final[dict[type[Arguments], str]] = {Ask: "schema", Answer: "content", Send: "metadata"}
"""JSON among the arguments that is handed on as it is."""
_DECODE: Final = msgspec.json.Decoder(Call).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def read(body: bytes) -> Call | None:
    """The call that ``body`` is; None if it is anything else, or not plainly one."""
    try:
        call = _DECODE(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    params = call.params
    arguments = params.arguments
    colons = ENVELOPE_COLONS + _ENCODE(arguments).count(b":")
    if params.meta is not NOTHING:
        colons += 1 + bytes(params.meta).count(b":")
    if call.id.__class__ is str:
        colons += str(call.id).count(":")
    if body.count(b":") != colons or (BACKSLASH in body and b"\\u" in body):
        return None
    field = UNREAD.get(type(arguments))
    if field is not None:
        unread = bytes(getattr(arguments, field))
        if not (_known_distinct(unread) if len(unread) <= KEPT_BYTES else _distinct(unread)):
            return None
    return call


def _distinct(unread: bytes) -> bool:
    """Whether it is good JSON, or nothing."""
    if not unread:
        return True
    try:
        strict.check(unread, strict.DEPTH_MAX - DEPTH)
    except (msgspec.DecodeError, ValueError):
        return False
    return True


_known_distinct = lru_cache(maxsize=KEPT_MAX)(_distinct)
