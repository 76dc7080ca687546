"""Writes a shape as the JSON Schema of one protocol revision, and reads that revision's answers back.

2025-11-25 and 2026-07-28 hold every shape. 2025-06-18 has no default except on booleans, no titles on
options except ``enumNames``, and no multiple selection: there, each option becomes a boolean
``<field>_<number>``. Nothing is lost: ``from_wire`` puts the selection together again.

Source: schema.ts of the three revisions.
"""

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from crossfade.core.answers import problem
from crossfade.core.fields import Boolean, Choice, Choices, Field, Integer, Named, Number, Option, Shape, Text

FLAT: Final = "2025-06-18"
CANONICAL: Final = "2026-07-28"
REVISIONS: Final = (FLAT, "2025-11-25", CANONICAL)
"""Protocol revisions that have elicitation, oldest first."""

Schema = dict[str, object]
Rules = Mapping[str, object]


def to_schema(shape: Shape, revision: str = CANONICAL) -> Schema:
    """Write ``shape`` for ``revision``; ``parse(to_schema(shape)) == shape`` for the two newer ones.

    Raises ValueError for a revision without elicitation.
    """
    flat = _is_flat(revision)
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for field in shape.fields:
        written = _flat(shape, field) if flat else {field.name: _full(field)}
        properties |= written
        required += written if field.required else ()
    schema: Schema = {"type": "object", "properties": properties}
    return schema | {"required": required} if required else schema


def from_wire(shape: Shape, revision: str, content: object) -> object:
    """Read what a client of ``revision`` sent as content of ``shape``; ``check`` still has to accept it.

    Leaves out optional fields that a form sent blank (null, or a string that the field does not
    allow and that is empty). What is not an object comes back unchanged. Raises ValueError for a
    revision without elicitation.
    """
    flat = _is_flat(revision)
    if not isinstance(content, dict):
        return content
    read = dict(content)
    for field in shape.fields:
        if flat and isinstance(field, Choices):
            _gather(shape, field, read)
        if _is_blank(field, read):
            del read[field.name]
    return read


def _is_flat(revision: str) -> bool:
    if revision not in REVISIONS:
        raise ValueError(f"protocol revision without elicitation: {revision}")
    return revision == FLAT


def _is_blank(field: Field, content: dict[str, object]) -> bool:
    if field.required or field.name not in content:
        return False
    value = content[field.name]
    return value is None or (value == "" and problem(field, value) is not None)


# --- writing ----------------------------------------------------------------------------------------


def _full(field: Field) -> Schema:
    match field:
        case Text():
            format_name = field.format.value if field.format else None
            lengths = {"minLength": field.min_length, "maxLength": field.max_length}
            return _schema(field, "string", {"format": format_name, **lengths}, field.default)
        case Number() | Integer():
            kind = "integer" if isinstance(field, Integer) else "number"
            return _schema(field, kind, {"minimum": field.minimum, "maximum": field.maximum}, field.default)
        case Boolean():
            return _schema(field, "boolean", {}, field.default)
        case Choice():
            return _schema(field, "string", _options(field.options, "oneOf"), field.default)
        case Choices():
            options = _options(field.options, "anyOf")
            items = options if "anyOf" in options else {"type": "string"} | options
            bounds = {"minItems": field.min_items, "maxItems": field.max_items}
            default = None if field.default is None else list(field.default)
            return _schema(field, "array", {"items": items, **bounds}, default)
        case _:
            assert_never(field)


def _schema(field: Named, kind: str, rules: Rules, default: object) -> Schema:
    titles: Schema = {"title": field.title or None, "description": field.description or None}
    written: Schema = {"type": kind} | titles | dict(rules) | {"default": default}
    return {keyword: value for keyword, value in written.items() if value is not None}


def _options(options: tuple[Option, ...], keyword: str) -> Schema:
    if any(option.title for option in options):
        return {keyword: [{"const": option.value, "title": option.label} for option in options]}
    return {"enum": [option.value for option in options]}


def _flat(shape: Shape, field: Field) -> dict[str, Schema]:
    """The properties that stand for ``field`` in 2025-06-18."""
    if isinstance(field, Choices):
        return _booleans(shape, field)
    schema = _full(field)
    if not isinstance(field, Boolean):
        schema.pop("default", None)
    if isinstance(field, Choice) and "oneOf" in schema:
        del schema["oneOf"]
        schema["enum"] = [option.value for option in field.options]
        schema["enumNames"] = [option.label for option in field.options]
    return {field.name: schema}


def _booleans(shape: Shape, field: Choices) -> dict[str, Schema]:
    chosen = field.default or ()
    about = ". ".join(part for part in (field.title or field.name, field.description, _amount(field)) if part)
    written: dict[str, Schema] = {}
    for name, option in _split(shape, field):
        written[name] = {"type": "boolean", "title": option.label, "description": about}
        if field.default is not None:
            written[name]["default"] = option.value in chosen
    return written


def _amount(field: Choices) -> str:
    least, most = field.min_items or 0, field.max_items
    if most is not None:
        return f"Choose {least} to {most}"
    return f"Choose at least {least}" if least else ""


# --- reading ----------------------------------------------------------------------------------------


def _split(shape: Shape, field: Choices) -> Iterator[tuple[str, Option]]:
    """The boolean's name for each option; more underscores where a name is taken."""
    taken = {other.name for other in shape.fields}
    joint = "_"
    while any(_numbered(name, field.name + joint) for name in taken):
        joint += "_"
    for number, option in enumerate(field.options, start=1):
        yield f"{field.name}{joint}{number}", option


def _numbered(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name[len(prefix) :].isdecimal()


def _gather(shape: Shape, field: Choices, content: dict[str, object]) -> None:
    """Replace the booleans of ``field`` in ``content`` by the array of what was chosen, in place."""
    split = list(_split(shape, field))
    present = [(content[name], option.value) for name, option in split if name in content]
    if any(not isinstance(ticked, bool) and ticked is not None for ticked, _ in present):
        return
    for name, _ in split:
        content.pop(name, None)
    if present or (field.required and field.name not in content):
        content[field.name] = [value for ticked, value in present if ticked]
