"""Asked shapes: whether what is asked fits the limits, and the shape of its answer. Not here: to whom, and how long."""

from functools import lru_cache

import msgspec

from crossfade.core import shapes
from crossfade.core.decider import Refusal
from crossfade.engine.context import too_long
from crossfade.engine.limits import Limits
from crossfade.engine.requests import AskRequest


def too_large(request: AskRequest, limits: Limits) -> Refusal | None:
    """Refuse an empty message, and what is beyond its maximum."""
    message, metadata, schema = request.message, request.metadata, request.schema
    if not message or message.isspace():
        return Refusal("question.empty", "The message is empty.", "Say what you want to know.", {"field": "message"})
    # No character takes more than four bytes, so most texts need not be encoded to know that they are short enough.
    if 4 * len(message) > limits.message_bytes_max and (size := len(message.encode())) > limits.message_bytes_max:
        return too_long("message", size, limits.message_bytes_max)
    if (size := len(metadata)) > limits.metadata_bytes_max:
        return too_long("metadata", size, limits.metadata_bytes_max)
    if schema is not None and (size := len(schema)) > limits.schema_bytes_max:
        return too_long("schema", size, limits.schema_bytes_max)
    return None


def shape_of(request: AskRequest) -> msgspec.Raw | Refusal:
    """The shape as canonical JSON Schema."""
    if request.schema is not None and request.choices is None:
        return _from_schema(bytes(request.schema))
    if request.choices is not None and request.schema is None:
        return _from_choices(request.choices)
    return Refusal("shape.missing", "Give either a schema or choices.", 'For a yes/no question: choices ["yes","no"].')


# Agents ask with the same few schemas again and again; reading one costs more than all else in `ask`.
@lru_cache(maxsize=1_024)
def _from_schema(schema: bytes) -> msgspec.Raw | Refusal:
    try:
        shape = shapes.parse(msgspec.json.decode(schema))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal("shape.not_json", "The schema is not JSON.", "Send a JSON Schema object.")
    return shape if isinstance(shape, Refusal) else shapes.canonical(shape)


@lru_cache(maxsize=1_024)
def _from_choices(choices: tuple[str, ...]) -> msgspec.Raw | Refusal:
    shape = shapes.from_choices(choices)
    return shape if isinstance(shape, Refusal) else shapes.canonical(shape)
