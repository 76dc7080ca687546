"""Shapes: what may be asked for, read from the elicitation subset of JSON Schema.

The subset is a flat object of strings (email, uri, date, date-time), numbers, integers, booleans and
enumerations of one or several values. ``parse`` refuses everything else with the path and the reason:
a keyword that were ignored would be a rule that the asker believes in and nobody checks.
Two keywords outside the subset are accepted because they say what holds anyway:
``additionalProperties: false`` and ``uniqueItems: true``. Titles of the whole object are read past.

The log keeps shapes as canonical JSON Schema (``canonical``); ``check_raw`` reads them back from there.
This module is the door to fields, answers, replies and dialects. Source: MCP 2026-07-28 "Elicitation".
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from crossfade.core.answers import check, outline
from crossfade.core.decider import Refusal
from crossfade.core.dialects import CANONICAL, REVISIONS, from_wire, to_schema
from crossfade.core.fields import (
    Boolean,
    Choice,
    Choices,
    Field,
    Format,
    Integer,
    Number,
    Option,
    Shape,
    Text,
)
from crossfade.core.properties import Node, RefusedError, bad_keyword, cut, only, read, refused
from crossfade.core.replies import from_text

__all__ = [
    "CANONICAL", "REVISIONS", "Boolean", "Choice", "Choices", "Field", "Format", "Integer", "Number", "Option",
    "Shape", "Text", "canonical", "check", "check_raw", "from_choices", "from_raw", "from_text", "from_wire",
    "outline", "parse", "to_schema",
]  # fmt: skip

FIELDS_MAX: Final = 32
KEPT_MAX: Final = 1_024
"""Shapes kept in memory after being read from the log."""

_DECODER: Final = msgspec.json.Decoder()
_TOP: Final = frozenset({"$schema", "type", "title", "description", "properties", "required", "additionalProperties"})


def parse(schema: object) -> Shape | Refusal:
    """Read decoded JSON as a shape.

    Refuses with ``details["field"]`` = the path: shape.not_object, shape.no_fields,
    shape.too_many_fields, shape.bad_name, shape.nested, shape.no_type, shape.unknown_type,
    shape.unknown_keyword, shape.bad_keyword, shape.bad_format, shape.bad_options, shape.bad_default,
    shape.impossible, shape.required_unknown, shape.secret_field.
    """
    try:
        return _shape(schema)
    except RefusedError as refused:
        return refused.refusal


def from_choices(choices: Sequence[str]) -> Shape | Refusal:
    """Make the shape with one required field ``choice``; refuses with shape.bad_options."""
    properties = {"choice": {"type": "string", "enum": list(choices)}}
    return parse({"type": "object", "properties": properties, "required": ["choice"]})


def canonical(shape: Shape) -> msgspec.Raw:
    """Write ``shape`` as the JSON Schema that the log keeps."""
    return msgspec.Raw(msgspec.json.encode(to_schema(shape)))


def from_raw(schema: msgspec.Raw) -> Shape:
    """Read what ``canonical`` wrote; raises ValueError if it is anything else."""
    return _from_bytes(bytes(schema))


def check_raw(schema: msgspec.Raw, content: msgspec.Raw) -> Refusal | None:
    """``check`` on bytes: ``schema`` as ``canonical`` wrote it, ``content`` as sent; also answer.not_json."""
    try:
        decoded = _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal("answer.not_json", "The answer is not JSON.", f"Send {outline(from_raw(schema))}.")
    return check(from_raw(schema), decoded)


@lru_cache(maxsize=KEPT_MAX)
def _from_bytes(schema: bytes) -> Shape:
    shape = parse(msgspec.json.decode(schema))
    if isinstance(shape, Refusal):
        raise ValueError(f"stored shape: {shape.message}")  # noqa: TRY004 - the text is wrong, not its type
    return shape


# --- the object -------------------------------------------------------------------------------------


def _shape(schema: object) -> Shape:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        example = '{"type": "object", "properties": {"answer": {"type": "string"}}}'
        raise refused("not_object", "", "A shape is a JSON Schema of type object.", f"Send {example}.")
    only(schema, _TOP, "")
    if not isinstance(schema.get("$schema", ""), str):
        raise bad_keyword("$schema", "is not a string", "Leave it out.")
    if schema.get("additionalProperties", False) is not False:
        raise bad_keyword("additionalProperties", "can only be false", "Leave it out: other fields are refused anyway.")
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise refused("no_fields", "properties", "A shape needs at least one field.", "Add a field to properties.")
    if len(properties) > FIELDS_MAX:
        what = f"A shape has at most {FIELDS_MAX} fields, not {len(properties)}."
        raise refused("too_many_fields", "properties", what, "Ask for less, or in two questions.")
    required = _required(schema.get("required", []), properties)
    return Shape(tuple(read(name, node, name in required) for name, node in properties.items()))


def _required(names: object, properties: Node) -> frozenset[str]:
    if not isinstance(names, list) or len(set(map(str, names))) < len(names):
        raise bad_keyword("required", "is not an array of different names", "List each required field once.")
    for name in names:
        if not isinstance(name, str) or name not in properties:
            what = f"The required field {cut(name)!r} is not in properties."
            raise refused("required_unknown", "required", what, "Add it to properties or take it out of required.")
    return frozenset(names)
