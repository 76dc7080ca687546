"""Arguments of the eight tools, typed: what is not understood is refused, with the field that is wrong."""

import re
from typing import Annotated, Final, Literal

import msgspec

from crossfade.core.decider import Refusal

WAIT_SECONDS_MAX: Final = 300
NAME_MAX: Final = 64
ID_MAX: Final = 64
KEY_MAX: Final = 200

Name = Annotated[str, msgspec.Meta(max_length=NAME_MAX)]
Id = Annotated[str, msgspec.Meta(max_length=ID_MAX)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_MAX)]
Wait = Annotated[float, msgspec.Meta(ge=0, le=WAIT_SECONDS_MAX)]
Poll = Annotated[float, msgspec.Meta(ge=1, le=WAIT_SECONDS_MAX)]
Cursor = Annotated[int, msgspec.Meta(ge=0)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
NOTHING: Final = msgspec.Raw()
EMPTY: Final = msgspec.Raw(b"{}")
NULL: Final = b"null"


class Arguments(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What every tool's arguments are."""


class Ask(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    to: Name
    message: str
    schema: msgspec.Raw = NOTHING
    choices: tuple[str, ...] | None = None
    deadline_seconds: float | None = None
    wait_seconds: Wait | None = None
    reply_to: Id | None = None
    key: Key | None = None


class Question(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    question_id: Id
    wait_seconds: Wait = 0
    withdraw: bool = False
    reason: str = ""


class Attend(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    wait_seconds: Wait | None = None
    after: Cursor | None = None


class Inbox(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    wait_seconds: Wait = 0
    after: Cursor | None = None
    limit: Limit = 20


class Answer(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    question_id: Id
    action: Literal["accept", "decline"] | msgspec.UnsetType = msgspec.UNSET
    """Accept, unless it says otherwise."""
    content: msgspec.Raw = NOTHING
    reason: str = ""
    key: Key | None = None


class Send(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    body: str
    to: Name | tuple[Name, ...] = ()
    reply_to: Id | None = None
    key: Key | None = None
    metadata: msgspec.Raw = EMPTY


class Agents(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    query: str = ""


class WaitForMessages(Arguments, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    agent_id: str = ""
    timeout_seconds: Poll = 60
    since_sequence: Cursor | None = None


_PATH: Final = re.compile(r" - at `\$\.?(?P<field>[^`]*)`$")


def given(raw: msgspec.Raw) -> msgspec.Raw | None:
    """A raw argument; None if it is absent or null."""
    return None if len(raw) <= len(NULL) and bytes(raw) in (b"", NULL) else raw


def wrong(tool: str, decoder: msgspec.json.Decoder[Arguments], error: msgspec.DecodeError) -> Refusal:
    """What is wrong with the arguments of a tool, by name."""
    text = str(error)
    found = _PATH.search(text)
    what = _PATH.sub("", text).rstrip(".")
    field = found["field"] if found else ""
    names = ", ".join(decoder.type.__struct_fields__)
    return Refusal(
        "argument.invalid",
        f"{tool}: {field}: {what}." if field else f"{tool}: {what}.",
        f"{tool} takes {names}.",
        {"field": field} if field else {},
    )


def not_object(tool: str, field: str) -> Refusal:
    """A raw argument that should have been a JSON object."""
    return Refusal("argument.invalid", f"{tool}: {field}: Expected `object`.", "Send a JSON object.", {"field": field})
