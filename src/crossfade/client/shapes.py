"""The shape of an answer, from what Python programmers have: a schema, choices, or a type.

A type may be a msgspec Struct, a dataclass, a TypedDict, or anything with ``model_json_schema`` and
``model_validate`` (pydantic, which is not imported). What comes out is the elicitation subset of JSON Schema:
a flat object; the hub says precisely what it does not take.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints, runtime_checkable

import msgspec

from crossfade.client.views import Object

T = TypeVar("T")
Shape = Mapping[str, object] | type


@runtime_checkable
class Model(Protocol):
    """A pydantic model class, as far as we need it."""

    def model_json_schema(self) -> Object:
        """Give the JSON Schema."""

    def model_validate(self, content: object) -> object:
        """Build an instance."""


def schema_of(shape: Shape) -> Object:
    """The JSON Schema of ``shape``, with references resolved and ``null`` alternatives taken out.

    Raises TypeError for something that has no schema.
    """
    if isinstance(shape, Mapping):
        return dict(shape)
    if isinstance(shape, Model):
        return _flat(shape.model_json_schema())
    return _in_written_order(_flat(msgspec.json.schema(shape)), shape)


def content_reader(shape: Shape | None) -> Callable[[Object | None], object]:
    """What turns an answer's content into the asked type; the identity for dicts and choices."""
    if shape is None or isinstance(shape, Mapping):
        return lambda content: content
    if isinstance(shape, Model):
        model = shape
        return lambda content: None if content is None else model.model_validate(content)
    return lambda content: None if content is None else msgspec.convert(content, shape)


def content_of(value: object, schema: Object) -> Object:
    """What a handler returned, as the content of an answer.

    A bare value (``"ship"``, ``True``, ``3``) stands for the only property of the schema, or the only required one.
    Raises TypeError when it fits neither.
    """
    if hasattr(value, "model_dump"):
        value = cast("Callable[[], object]", value.model_dump)()
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict):
        return {str(name): part for name, part in plain.items() if part is not None}
    names = list(cast("Object", schema.get("properties", {})))
    required = cast("list[str]", schema.get("required", []))
    for candidates in (names, required):
        if len(candidates) == 1 and plain is not None:
            return {candidates[0]: plain}
    message = f"the handler returned {value!r}; the question wants an object with {', '.join(names) or 'no fields'}"
    raise TypeError(message)


def _flat(schema: Object) -> Object:
    definitions = cast("dict[str, Object]", schema.get("$defs", {}))
    root = _resolve(schema, definitions)
    properties = cast("dict[str, Object]", root.get("properties", {}))
    flat: Object = {
        "type": "object",
        "properties": {name: _property(part, definitions) for name, part in properties.items()},
    }
    if root.get("required"):
        flat["required"] = root["required"]
    return flat


def _in_written_order(schema: Object, shape: type) -> Object:
    """Choices in the order of the type's ``Literal``, which msgspec sorts: people read the first one first."""
    properties = cast("dict[str, Object]", schema["properties"])
    for name, hint in get_type_hints(shape).items():
        written = list(_literals(hint))
        for part in (properties.get(name, {}), cast("Object", properties.get(name, {}).get("items", {}))):
            if "enum" in part and set(cast("list[object]", part["enum"])) == set(written):
                part["enum"] = written
    return schema


def _literals(hint: object) -> Iterator[object]:
    for argument in get_args(hint):
        if get_origin(hint) is Literal:
            yield argument
        else:
            yield from _literals(argument)


def _resolve(schema: Object, definitions: Mapping[str, Object]) -> Object:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**definitions[reference.rpartition("/")[2]], **beside}


def _property(schema: Object, definitions: Mapping[str, Object]) -> Object:
    schema = _resolve(schema, definitions)
    kept = {key: value for key, value in schema.items() if key != "anyOf" and value is not None}
    options = cast("list[Object]", schema.get("anyOf", []))
    real = [_resolve(option, definitions) for option in options if option.get("type") != "null"]
    if len(real) == 1:
        kept = {**real[0], **kept}
    elif real:
        kept["anyOf"] = real
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
    if "enum" in kept:
        kept.setdefault("type", "string")
    if isinstance(items := kept.get("items"), dict):
        kept["items"] = _property(items, definitions)
    return kept
