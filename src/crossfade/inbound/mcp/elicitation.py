"""Questions as elicitations of one protocol revision, and what clients send back.

Not here: who may answer and what a decline means; the hub decides that.
"""

from functools import lru_cache
from typing import Literal

import msgspec

from crossfade.core import shapes
from crossfade.engine.requests import NativeReply, QuestionView
from crossfade.inbound.mcp.seam import InputRequest, Peer, Reply

Raw = msgspec.Raw
UNTITLED = "2025-06-18"
"""The revision before elicitation had modes."""
KEPT_MAX = 1_024


class Form(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Parameters of ``elicitation/create``."""

    mode: Literal["form"] | msgspec.UnsetType = msgspec.UNSET
    message: str
    requested_schema: Raw


class Answered(msgspec.Struct, frozen=True):
    """A client's result."""

    action: Literal["accept", "decline", "cancel"]
    content: Raw = Raw(b"{}")


_ANSWERED = msgspec.json.Decoder(Answered)


def request(view: QuestionView, peer: Peer) -> InputRequest:
    """The question as this client takes it. A person is told who asks; a program reads the question as it was asked."""
    message = f"{view.asker} asks: {view.message}" if peer.caller.faces_person else view.message
    form = Form(
        mode=msgspec.UNSET if peer.revision == UNTITLED else "form",
        message=message,
        requested_schema=Raw(_schema(bytes(view.schema), peer.revision)),
    )
    return InputRequest("elicitation/create", Raw(msgspec.json.encode(form)))


@lru_cache(maxsize=KEPT_MAX)
def _schema(schema: bytes, revision: str) -> bytes:
    return msgspec.json.encode(shapes.to_schema(shapes.from_raw(Raw(schema)), revision))


def reply(view: QuestionView, peer: Peer, said: Reply) -> NativeReply:
    """What the client said about the question. An error, or what is no answer at all, counts as not answered."""
    try:
        answered = Answered("cancel") if said.result is None else _ANSWERED.decode(said.result)
    except msgspec.DecodeError:
        answered = Answered("cancel")
    if answered.action != "accept":
        return NativeReply(question_id=view.question_id, action=answered.action)
    content = msgspec.json.decode(answered.content)
    read = shapes.from_wire(shapes.from_raw(view.schema), peer.revision, content)
    return NativeReply(question_id=view.question_id, action="accept", content=Raw(msgspec.json.encode(read)))
