"""The eight tools as clients see them: names, descriptions, schemas, hints. Always in this order.

Every token of this page is read by every model that is connected, so all of it together has a budget
(tests/contract/test_mcp_catalogue.py). Output schemas require nothing, because a refusal is an object
too, and some clients check errors against the schema.
"""

from typing import Final

import msgspec

INSTRUCTIONS: Final = (
    "Crossfade lets agents and people ask each other structured questions. Use `ask` to get a decision or a fact "
    "from somebody (`agents` lists names). Call `attend` when idle: questions to you arrive in it. "
    "A wait that ends empty is normal; call again."
)

Schema = dict[str, object]

_S: Final[Schema] = {"type": "string"}
_I: Final[Schema] = {"type": "integer"}
_B: Final[Schema] = {"type": "boolean"}
_O: Final[Schema] = {"type": "object"}
_STRINGS: Final[Schema] = {"type": "array", "items": _S}


def _object(properties: Schema, *required: str) -> Schema:
    closed: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, "required": list(required)} if required else closed


def _out(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _text(description: str) -> Schema:
    return {**_S, "description": description}


def _wait(default: int, least: int = 0) -> Schema:
    return {"type": "number", "minimum": least, "maximum": 300, "default": default}


_KEY: Final = _text("Retry with the same key: happens once")
_AFTER: Final[Schema] = {**_I, "description": "Cursor of the last result: acknowledges up to it"}
_QUESTION: Final = _out(
    {"question_id": _S, "status": _text("open|answered|declined|withdrawn|expired"), "delivery": _S, "content": _O}
)
_MESSAGES: Final = _out(
    {
        "messages": {
            "type": "array",
            "items": _out(
                {"sequence": _I, "id": _S, "kind": _S, "from": _S, "content": _S, "metadata": _O, "timestamp": _S}
            ),
        },
        "has_more": _B,
        "cursor": _I,
        "lane": _S,
    }
)
_ELICITED: Final[Schema] = {"type": "array", "items": _out({"question_id": _S, "status": _S})}


class Definition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One tool."""

    name: str
    title: str
    description: str
    input_schema: Schema
    output_schema: Schema
    annotations: Schema


def _hints(*, reads: bool = False, again: bool = False) -> Schema:
    """``again``: the same call twice does no more than once."""
    if reads:
        return {"readOnlyHint": True, "openWorldHint": False}
    return {"destructiveHint": False, "idempotentHint": again, "openWorldHint": False}


DEFINITIONS: Final = (
    Definition(
        name="ask",
        title="Ask somebody",
        description=(
            "Ask an agent or person one question and wait for the answer. Give choices, or a flat JSON Schema object "
            "(string, number, integer, boolean, enum). If still open when the wait ends, "
            "continue with `question`; do not ask again."
        ),
        input_schema=_object(
            {
                "to": _text("Agent name"),
                "message": _text("Self-contained question"),
                "schema": {**_O, "description": "Shape of the answer"},
                "choices": {**_STRINGS, "description": "Instead of schema"},
                "deadline_seconds": {"type": "number", "default": 600},
                "wait_seconds": _wait(25),
                "reply_to": _text("Id this follows from"),
                "key": _KEY,
            },
            "to",
            "message",
        ),
        output_schema=_QUESTION,
        annotations=_hints(),
    ),
    Definition(
        name="question",
        title="Read, await or withdraw a question",
        description="Read a question you asked or were asked; wait for its end; or withdraw your own.",
        input_schema=_object(
            {"question_id": _S, "wait_seconds": _wait(0), "withdraw": {**_B, "default": False}, "reason": _S},
            "question_id",
        ),
        output_schema=_QUESTION,
        annotations=_hints(again=True),
    ),
    Definition(
        name="attend",
        title="Attend to questions",
        description=(
            "Wait to be asked. Questions come as forms if your client can show them, otherwise in messages: "
            "reply with `answer`. Call it in a loop."
        ),
        input_schema=_object({"wait_seconds": _wait(25), "after": _AFTER}),
        output_schema=_out({**_MESSAGES["properties"], "elicited": _ELICITED}),  # type: ignore[dict-item]
        annotations=_hints(again=True),
    ),
    Definition(
        name="inbox",
        title="Read the inbox",
        description="Messages, questions and answers to you, as text. Answer each question with `answer`.",
        input_schema=_object(
            {"wait_seconds": _wait(0), "after": _AFTER, "limit": {**_I, "minimum": 1, "maximum": 100, "default": 20}}
        ),
        output_schema=_MESSAGES,
        annotations=_hints(again=True),
    ),
    Definition(
        name="answer",
        title="Answer a question",
        description="Answer a question addressed to you with content that fits its schema, or decline it. Final.",
        input_schema=_object(
            {
                "question_id": _S,
                "action": {"enum": ["accept", "decline"], "default": "accept"},
                "content": {**_O, "description": "Fields of the question's schema"},
                "reason": _text("Why you decline"),
                "key": _KEY,
            },
            "question_id",
        ),
        output_schema=_QUESTION,
        annotations=_hints(again=True),
    ),
    Definition(
        name="send",
        title="Send a message",
        description="Send a one-way message. With reply_to naming a question to you, body is its answer.",
        input_schema=_object(
            {
                "to": {
                    "type": ["string", "array"],
                    "items": _S,
                    "description": "Name(s); may be omitted with reply_to",
                },
                "body": _S,
                "reply_to": _text("Question or message id"),
                "key": _KEY,
                "metadata": _O,
            },
            "body",
        ),
        output_schema=_out(
            {"message_id": _S, "sequence": _I, "delivery": {**_O, "description": "Recipient: how far it got"}}
        ),
        annotations=_hints(),
    ),
    Definition(
        name="agents",
        title="Who is here",
        description="Find agents and people by part of their name.",
        input_schema=_object({"query": _S}),
        output_schema=_out(
            {"agents": {"type": "array", "items": _out({"name": _S, "kind": _S, "status": _S, "open_questions": _I})}}
        ),
        annotations=_hints(reads=True),
    ),
    Definition(
        name="wait_for_messages",
        title="Wait for messages",
        description="Long-poll for messages since a sequence. Prefer `attend`.",
        input_schema=_object(
            {"agent_id": _text("Your own name, if any"), "timeout_seconds": _wait(60, 1), "since_sequence": _I}
        ),
        output_schema=_MESSAGES,
        annotations=_hints(again=True),
    ),
)


def encoded(*, polling: bool) -> bytes:
    """The tools as a JSON array; without ``wait_for_messages`` once polling is removed."""
    return msgspec.json.encode([tool for tool in DEFINITIONS if polling or tool.name != "wait_for_messages"])
