"""Reads a plain-text reply as an answer: what an agent on the polling lane, or a person, writes back.

Rules: a JSON object (bare or in a code fence) is the content; any other text is the value of the one
field that a single value can be meant for. What does not fit is refused, never guessed at.
"""

import re
from typing import Final, assert_never

import msgspec

from crossfade.core.answers import check, listing, outline
from crossfade.core.decider import Refusal
from crossfade.core.fields import Boolean, Choice, Choices, Field, Integer, Number, Option, Shape, Text

YES: Final = frozenset({"yes", "y", "true", "ok", "1"})
NO: Final = frozenset({"no", "n", "false", "0"})
NUMBER_LENGTH_MAX: Final = 64
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_FENCE: Final = re.compile(r"```[A-Za-z]*\s*\n(.*?)\n?\s*```", re.DOTALL)


def from_text(shape: Shape, text: str) -> dict[str, object] | Refusal:
    """Turn ``text`` into content that ``check`` accepts, or say why it cannot be one.

    Refuses with: answer.empty, answer.needs_object, answer.not_an_option, answer.wrong_type and every
    code of ``check``.
    """
    text = text.strip()
    if not text:
        return Refusal("answer.empty", "The reply is empty.", f"Send {outline(shape)}.")
    field = _sole(shape)
    content = _object(text)
    if content is not None:
        refusal = check(shape, content)
        # A JSON object may itself be the text asked for, but only if it shares no field with the shape.
        meant_as_text = isinstance(field, Text) and not any(f.name in content for f in shape.fields)
        if refusal is None or not meant_as_text:
            return refusal or content
    if field is None:
        return Refusal("answer.needs_object", "The question has several fields.", f"Send {outline(shape)}.")
    value = _coerce(field, text)
    if isinstance(value, Refusal):
        return value
    answer = {field.name: value}
    return check(shape, answer) or answer


def _sole(shape: Shape) -> Field | None:
    """The field that a single value is meant for: the only one, else the only required one."""
    if len(shape.fields) == 1:
        return shape.fields[0]
    required = [field for field in shape.fields if field.required]
    return required[0] if len(required) == 1 else None


def _object(text: str) -> dict[str, object] | None:
    fence = _FENCE.fullmatch(text)
    value = _json(fence[1].strip() if fence else text, "{")
    return value if isinstance(value, dict) else None


def _json(text: str, opening: str) -> object:
    """``text`` as JSON if it begins like it; None if it is not JSON or nested beyond reason."""
    if not text.startswith(opening):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _coerce(field: Field, text: str) -> object:
    match field:
        case Text():
            return text
        case Number() | Integer():
            return _number(field, text)
        case Boolean():
            return _boolean(field, text)
        case Choice():
            return _option(field, text)
        case Choices():
            return _options(field, text)
        case _:
            assert_never(field)


def _number(field: Number | Integer, text: str) -> int | float | Refusal:
    if len(text) > NUMBER_LENGTH_MAX or not _NUMBER.fullmatch(text):
        return _refuse(field, "wrong_type", f"{_shown(text)} is not a number", "Send digits only, such as 12 or 0.5.")
    return float(text) if set(text) & set(".eE") else int(text)


def _boolean(field: Boolean, text: str) -> bool | Refusal:
    word = text.casefold().rstrip(".!")
    if word in YES or word in NO:
        return word in YES
    return _refuse(field, "wrong_type", f"{_shown(text)} is neither yes nor no", "Send yes or no.")


def _option(field: Choice | Choices, text: str) -> str | Refusal:
    """The option meant: by value, else by value or title without regard to case, if that leaves one."""
    if any(option.value == text for option in field.options):
        return text
    found = {option.value for option in field.options if _matches(option, text)}
    if len(found) == 1:
        return found.pop()
    what = "could be several options" if found else "is not one of the options"
    return _refuse(field, "not_an_option", f"{_shown(text)} {what}", f"Send one of: {listing(field)}.")


def _matches(option: Option, text: str) -> bool:
    folded = text.casefold()
    return folded in (option.value.casefold(), option.label.casefold())


def _options(field: Choices, text: str) -> list[object] | Refusal:
    array = _json(text, "[")
    if isinstance(array, list):
        return array
    whole = _option(field, text)
    if isinstance(whole, str):
        return [whole]
    chosen: list[object] = []
    for part in text.split(","):
        option = _option(field, part.strip())
        if isinstance(option, Refusal):
            return option
        chosen.append(option)
    return chosen


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _refuse(field: Field, reason: str, what: str, hint: str) -> Refusal:
    return Refusal(f"answer.{reason}", f"The field {field.name!r}: {what}.", hint, {"field": field.name})
