"""Checks the content of an answer against a shape.

Stricter than JSON Schema in two points, because a form cannot mean anything else: a field that was
not asked for is refused, and so is an option chosen twice. Everything else is JSON Schema 2020-12
with format assertion; tests/core/test_answers.py holds it to an independent validator.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Never, assert_never

from crossfade.core import formats
from crossfade.core.decider import Refusal
from crossfade.core.fields import Boolean, Choice, Choices, Field, Format, Integer, Number, Shape, Text

FORMATS: Final[Mapping[Format, tuple[Callable[[str], bool], str]]] = {
    Format.EMAIL: (formats.is_email, "an email address such as ada@example.org"),
    Format.URI: (formats.is_uri, "a URI with its scheme, such as https://example.org/a"),
    Format.DATE: (formats.is_date, "a date such as 2026-07-28"),
    Format.DATE_TIME: (formats.is_date_time, "a date and time with an offset, such as 2026-07-28T09:00:00Z"),
}
"""The predicate of each format and how it is described to people."""

NAME_SHOWN_MAX: Final = 64
OPTIONS_SHOWN_MAX: Final = 10


def check(shape: Shape, content: object) -> Refusal | None:
    """Find the first reason why ``content`` (decoded JSON) is no answer to ``shape``; None if it is one.

    Refuses with: answer.not_object, answer.unknown_field, answer.missing_field and the codes of
    ``problem``. ``details["field"]`` names the field, except for answer.not_object.
    """
    if not isinstance(content, dict):
        return Refusal("answer.not_object", "An answer is a JSON object.", f"Send {outline(shape)}.")
    first: Refusal | None = None
    present = 0
    for field in shape.fields:
        if field.name in content:
            present += 1
            first = first or problem(field, content[field.name])
        elif field.required:
            first = first or _refuse(field, "missing_field", "is missing", f"Send {outline(shape)}.")
    if present == len(content):
        return first
    return _unknown(content, shape)


def problem(field: Field, value: object) -> Refusal | None:
    """Find why ``value`` does not fit ``field``; None if it does.

    Refuses with: answer.wrong_type, answer.too_short, answer.too_long, answer.bad_format,
    answer.below_minimum, answer.above_maximum, answer.not_an_option, answer.repeated, answer.too_few,
    answer.too_many.
    """
    return _PROBLEMS[type(field)](field, value)  # type: ignore[arg-type]


def outline(shape: Shape) -> str:
    """The answer expected, in one line for people: ``{"age": integer, "note": text (optional)}``."""
    parts = [f'"{f.name}": {_kind(f)}{"" if f.required else " (optional)"}' for f in shape.fields]
    return "{" + ", ".join(parts) + "}"


def listing(field: Choice | Choices) -> str:
    """The options of ``field`` for people, cut after the first few."""
    shown = [option.value for option in field.options[:OPTIONS_SHOWN_MAX]]
    return ", ".join(shown) + (", …" if len(field.options) > OPTIONS_SHOWN_MAX else "")


def _text(field: Text, value: object) -> Refusal | None:
    if not isinstance(value, str):
        return _wrong_type(field, "a string")
    if field.min_length is not None and len(value) < field.min_length:
        return _refuse(field, "too_short", "is too short", f"Send at least {field.min_length} characters.")
    if field.max_length is not None and len(value) > field.max_length:
        return _refuse(field, "too_long", "is too long", f"Send at most {field.max_length} characters.")
    if field.format is not None:
        holds, described = FORMATS[field.format]
        if not holds(value):
            return _refuse(field, "bad_format", f"is not {described}", f"Send {described}.")
    return None


def _number(field: Number | Integer, value: object) -> Refusal | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _wrong_type(field, "a number")
    if isinstance(field, Integer) and value != math.floor(value):
        return _wrong_type(field, "a number without a fraction")
    if field.minimum is not None and value < field.minimum:
        return _refuse(field, "below_minimum", "is too small", f"Send at least {field.minimum}.")
    if field.maximum is not None and value > field.maximum:
        return _refuse(field, "above_maximum", "is too large", f"Send at most {field.maximum}.")
    return None


def _choice(field: Choice, value: object) -> Refusal | None:
    if not isinstance(value, str):
        return _wrong_type(field, "a string")
    for option in field.options:
        if option.value == value:
            return None
    return _refuse(field, "not_an_option", "is not one of the options", f"Send one of: {listing(field)}.")


def _boolean(field: Boolean, value: object) -> Refusal | None:
    return None if isinstance(value, bool) else _wrong_type(field, "true or false")


def _choices(field: Choices, value: object) -> Refusal | None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return _wrong_type(field, "an array of strings")
    known = {option.value for option in field.options}
    if not known.issuperset(value):
        return _refuse(field, "not_an_option", "has a value that is not an option", f"Choose from: {listing(field)}.")
    if len(set(value)) < len(value):
        return _refuse(field, "repeated", "names an option twice", "Name each option once.")
    if field.min_items is not None and len(value) < field.min_items:
        return _refuse(field, "too_few", "has too few options", f"Choose at least {field.min_items}.")
    if field.max_items is not None and len(value) > field.max_items:
        return _refuse(field, "too_many", "has too many options", f"Choose at most {field.max_items}.")
    return None


# By type, as in questions.py.
_PROBLEMS: Final[Mapping[type[Field], Callable[[Never, object], Refusal | None]]] = {
    Text: _text,
    Number: _number,
    Integer: _number,
    Boolean: _boolean,
    Choice: _choice,
    Choices: _choices,
}


def _kind(field: Field) -> str:
    match field:
        case Text():
            return field.format or "text"
        case Number():
            return "number"
        case Integer():
            return "integer"
        case Boolean():
            return "true or false"
        case Choice():
            return f"one of {listing(field)}"
        case Choices():
            return f"array of {listing(field)}"
        case _:
            assert_never(field)


def _refuse(field: Field, reason: str, what: str, hint: str) -> Refusal:
    return Refusal(f"answer.{reason}", f"The field {field.name!r} {what}.", hint, {"field": field.name})


def _wrong_type(field: Field, expected: str) -> Refusal:
    return _refuse(field, "wrong_type", f"is not {expected}", f"Send {expected}.")


def _unknown(content: Iterable[object], shape: Shape) -> Refusal:
    known = {field.name for field in shape.fields}
    name = next(str(name) for name in content if name not in known)[:NAME_SHOWN_MAX]
    return Refusal(
        "answer.unknown_field", f"The field {name!r} was not asked for.", f"Send {outline(shape)}.", {"field": name}
    )
