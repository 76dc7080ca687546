"""Forms for people: a shape as inputs, and what a browser sends back as the content of an answer.

Not here: whether the content fits (core/shapes.py) and how it looks (console/templates). Rules:

1. An input that is left empty is left out of the content; only ``required`` makes that a fault.
2. A browser's ``datetime-local`` has no zone, and without script there is no way to know it: times are
   shown and read in UTC, and the page says so.
3. Whatever was typed comes back as it was typed when something is wrong with it.

Source: WHATWG HTML standard §4.10.5 for the values that each input type sends.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, assert_never

import msgspec

from crossfade.core.answers import problem
from crossfade.core.shapes import Boolean, Choice, Choices, Field, Format, Integer, Number, Shape, Text

Sent = Mapping[str, Sequence[str]]
"""A form as it came: name → values."""

PREFIX: Final = "f."
"""Before the name of each field, so that a field may be called like one of the page's own inputs."""
LONG_TEXT: Final = 120
"""From this ``maxLength`` on, a text gets several lines."""
RADIOS_MAX: Final = 7
"""More options than this are a drop-down list."""
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_LOCAL: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)?")

INPUT_TYPES: Final[Mapping[Format | None, str]] = {
    None: "text",
    Format.EMAIL: "email",
    Format.URI: "url",
    Format.DATE: "date",
    Format.DATE_TIME: "datetime-local",
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An option as it is on the page."""

    value: str
    label: str
    chosen: bool


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """A field as the page draws it."""

    name: str
    """Of the input, with the prefix."""
    label: str
    description: str
    required: bool
    widget: str
    """``input``, ``textarea``, ``radios``, ``select`` or ``checkboxes``."""
    input_type: str = "text"
    value: str = ""
    entries: tuple[Entry, ...] = ()
    attributes: dict[str, str] = {}
    """Further attributes of the input, e.g. ``maxlength``."""
    note: str = ""
    """What the browser does not show: bounds, the zone."""
    error: str = ""


class Read(msgspec.Struct, frozen=True):
    """What a form said: the content, and for each field that is wrong why."""

    content: dict[str, object]
    errors: dict[str, str]


class Unreadable(msgspec.Struct, frozen=True):
    """Text that is no value of the field's kind."""

    why: str


# --- from the browser -------------------------------------------------------------------------------


def read(shape: Shape, sent: Sent) -> Read:
    """Turn a form into content; every field is checked, so that all faults are shown at once."""
    content: dict[str, object] = {}
    errors: dict[str, str] = {}
    for field in shape.fields:
        value = _value(field, [text for text in sent.get(PREFIX + field.name, ()) if text != ""])
        if isinstance(value, Unreadable):
            errors[field.name] = value.why
        elif value is not None:
            content[field.name] = value
            refusal = problem(field, value)
            if refusal is not None:
                errors[field.name] = refusal.hint or refusal.message
        elif field.required:
            errors[field.name] = "Choose one." if isinstance(field, Boolean | Choice) else "This is needed."
    return Read(content, errors)


def _value(field: Field, texts: Sequence[str]) -> object:
    """The value that ``texts`` mean; None if nothing was given."""
    if isinstance(field, Choices):
        return list(texts) if texts or field.required else None
    if not texts:
        return None
    text = texts[0]
    match field:
        case Text():
            return _instant(text) if field.format is Format.DATE_TIME else text.replace("\r\n", "\n")
        case Integer():
            return int(text.strip()) if _INTEGER.fullmatch(text.strip()) else Unreadable("Give a whole number.")
        case Number():
            return _number(text.strip())
        case Boolean():
            return {"true": True, "false": False}.get(text, Unreadable("Choose yes or no."))
        case Choice():
            return text
        case _:
            assert_never(field)


def _number(text: str) -> object:
    if not _NUMBER.fullmatch(text):
        return Unreadable("Give a number, with a point before decimals.")
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def _instant(text: str) -> str:
    """RFC 3339 of what a ``datetime-local`` input sends; other text as it is, to be refused by its format."""
    match = _LOCAL.fullmatch(text.strip())
    return f"{match[1]}T{match[2]}{match[3] or ':00'}Z" if match else text.strip()


# --- to the browser ---------------------------------------------------------------------------------


def controls(shape: Shape, sent: Sent | None = None, errors: Mapping[str, str] | None = None) -> tuple[Control, ...]:
    """The inputs of a shape: with its defaults, or with what was ``sent`` and is wrong."""
    return tuple(_control(field, sent, (errors or {}).get(field.name, "")) for field in shape.fields)


def _control(field: Field, sent: Sent | None, error: str) -> Control:
    shown = _defaults(field) if sent is None else list(sent.get(PREFIX + field.name, ()))
    about = {
        "name": PREFIX + field.name,
        "label": _label(field),
        "description": field.description,
        "required": field.required,
        "error": error,
    }
    value = shown[0] if shown else ""
    match field:
        case Text():
            return _text(field, value, about)
        case Number() | Integer():
            attributes = {"step": "1" if isinstance(field, Integer) else "any", **_bounds(field)}
            note = _span(field.minimum, field.maximum, "")
            return _made(about, widget="input", input_type="number", value=value, attributes=attributes, note=note)
        case Boolean():
            pairs = [("true", "Yes"), ("false", "No")]
            return _made(about, widget="radios", entries=_entries(_with_none(pairs, field), shown or [""]))
        case Choice():
            pairs = [(option.value, option.label) for option in field.options]
            widget = "radios" if len(pairs) <= RADIOS_MAX else "select"
            return _made(about, widget=widget, entries=_entries(_with_none(pairs, field), shown or [""]))
        case Choices():
            pairs = [(option.value, option.label) for option in field.options]
            note = _span(field.min_items, field.max_items, " of these")
            return _made(about, widget="checkboxes", entries=_entries(pairs, shown), note=note)
        case _:
            assert_never(field)


def _text(field: Text, value: str, about: dict[str, object]) -> Control:
    attributes = {}
    if field.min_length is not None:
        attributes["minlength"] = str(field.min_length)
    if field.max_length is not None and field.format is not Format.DATE_TIME:
        attributes["maxlength"] = str(field.max_length)
    if field.format is Format.DATE_TIME:
        attributes, note = {"step": "1"}, "In UTC."
    else:
        note = _span(field.min_length, field.max_length, " characters")
    many = field.format is None and (field.max_length is None or field.max_length > LONG_TEXT)
    widget = "textarea" if many else "input"
    kind = INPUT_TYPES[field.format]
    return _made(about, widget=widget, input_type=kind, value=value, attributes=attributes, note=note)


def _made(about: dict[str, object], **rest: object) -> Control:
    return msgspec.convert(about | rest, Control)


def _with_none(pairs: list[tuple[str, str]], field: Boolean | Choice) -> list[tuple[str, str]]:
    """An optional choice can be left open again, which a radio button alone cannot."""
    return pairs if field.required else [*pairs, ("", "No answer")]


def _entries(pairs: list[tuple[str, str]], chosen: list[str]) -> tuple[Entry, ...]:
    return tuple(Entry(value=value, label=label, chosen=value in chosen) for value, label in pairs)


def _defaults(field: Field) -> list[str]:
    default = field.default
    if default is None:
        return []
    if isinstance(default, tuple):
        return list(default)
    if isinstance(default, bool):
        return ["true" if default else "false"]
    if isinstance(field, Text) and field.format is Format.DATE_TIME:
        at = datetime.fromisoformat(str(default)).astimezone(UTC)
        return [at.strftime("%Y-%m-%dT%H:%M:%S")]
    return [str(default)]


def _bounds(field: Number | Integer) -> dict[str, str]:
    pairs = (("min", field.minimum), ("max", field.maximum))
    return {name: str(bound) for name, bound in pairs if bound is not None}


def _span(low: float | None, high: float | None, unit: str) -> str:
    """Bounds in words; a least length or number of 0 says nothing."""
    if low is not None and high is not None and (low or not unit):
        return f"{low} to {high}{unit}." if low != high else f"Exactly {low}{unit}."
    if high is not None:
        return f"At most {high}{unit}."
    return f"At least {low}{unit}." if low is not None and (low or not unit) else ""


def _label(field: Field) -> str:
    """The title, else the name as words: ``due_date`` → ``Due date``."""
    words = field.title or field.name.replace("_", " ").strip() or field.name
    return words[0].upper() + words[1:]
