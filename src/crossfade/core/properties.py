"""Reads one property of a requested schema as a field of a shape.

Every keyword is either understood or refused with its path. Inside, a refusal travels as
``RefusedError`` and shapes.parse turns it back into a value: a reader nested four deep has one way out.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from crossfade.core.answers import problem
from crossfade.core.decider import Refusal
from crossfade.core.fields import Boolean, Choice, Choices, Field, Format, Integer, Number, Option, Text

OPTIONS_MAX: Final = 200
NAME_LENGTH_MAX: Final = 64
TITLE_LENGTH_MAX: Final = 200
DESCRIPTION_LENGTH_MAX: Final = 2_000
LENGTH_MAX: Final = 1_000_000
"""Largest ``minLength`` or ``maxLength`` that may be asked for."""

Node = Mapping[str, object]

_ABOUT: Final = frozenset({"type", "title", "description", "default"})
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "string": _ABOUT | {"format", "minLength", "maxLength"},
    "number": _ABOUT | {"minimum", "maximum"},
    "integer": _ABOUT | {"minimum", "maximum"},
    "boolean": _ABOUT,
    "array": _ABOUT | {"items", "minItems", "maxItems", "uniqueItems"},
}
_HINTS: Final[Mapping[str, str]] = {
    "$ref": "Write the field out in place.",
    "pattern": "Say in the description what is expected and check the answer yourself.",
    "const": "Use enum with one value.",
    "oneOf": 'Offer {"const": …, "title": …} in a field of type string.',
    "anyOf": "Give one type; an optional field is left out of required, not allowed to be null.",
    "exclusiveMinimum": "Use minimum.",
    "exclusiveMaximum": "Use maximum.",
    "enum": "An enumeration has type string; several choices are an array with items.enum.",
}
_SECRET: Final = re.compile(
    r"(?:^| )(?:password|passwd|passphrase|pwd|secrets?|token|api ?keys?|secret ?key|private ?key|access ?key"
    r"|credentials?|cvv|cvc)$|^pin$"
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class RefusedError(Exception):
    """Carries a refusal out of the nested readers; never leaves shapes.parse."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def read(name: str, node: object, required: bool) -> Field:
    """Read the property ``name`` of a schema; raises RefusedError with the path in its details."""
    path = f"properties.{cut(name)}"
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable() or name != name.strip():
        what = f"A field's name is 1 to {NAME_LENGTH_MAX} printable characters, not {cut(name)!r}."
        raise refused("bad_name", path, what, "Use a short name such as due_date.")
    if not isinstance(node, dict):
        raise refused("no_type", path, f"{path} is not a JSON Schema object.", 'Give it a type: {"type": "string"}.')
    kind = _kind(node, path)
    about = {
        "name": name,
        "title": _string(node, "title", path, TITLE_LENGTH_MAX),
        "description": _string(node, "description", path, DESCRIPTION_LENGTH_MAX),
        "required": required,
    }
    field = _READERS[kind](node, path, about)
    if "default" in node:
        _allow_default(field, path)
    _forbid_secret(field, path)
    return field


def _kind(node: Node, path: str) -> str:
    if node.get("type") == "object" or "properties" in node:
        raise refused("nested", path, f"{path} is an object inside the object.", "Make its fields fields of the shape.")
    if "type" not in node:
        odd = next((keyword for keyword in _HINTS if keyword in node), "")
        hint = _HINTS.get(odd, 'Give it a type, e.g. {"type": "string"}.')
        raise refused("no_type", path, f"{path} has no type.", hint)
    kind = node["type"]
    if not isinstance(kind, str) or kind not in _READERS:
        what = f"{path}.type is {cut(kind)!r}, which a form cannot ask for."
        hint = f"Use one of: {', '.join(_READERS)}; an optional field is left out of required."
        raise refused("unknown_type", f"{path}.type", what, hint)
    return kind


# --- one reader for each type -----------------------------------------------------------------------


def _read_string(node: Node, path: str, about: dict[str, object]) -> Field:
    for keyword in ("enum", "oneOf"):
        if keyword in node:
            only(node, _ABOUT | {keyword} | ({"enumNames"} if keyword == "enum" else set()), path)
            options = _options(node, keyword, path)
            return _make(Choice, about, {"options": options, "default": node.get("default")}, path)
    only(node, _KEYWORDS["string"], path)
    form = node.get("format")
    if "format" in node and form not in list(Format):
        what = f"{path}.format {cut(form)!r} is not in the subset."
        raise refused("bad_format", f"{path}.format", what, f"Use one of: {', '.join(Format)}.")
    low, high = _span(node, ("minLength", "maxLength"), path, LENGTH_MAX)
    rules = {"format": form, "min_length": low, "max_length": high, "default": node.get("default")}
    return _make(Text, about, rules, path)


def _read_number(node: Node, path: str, about: dict[str, object]) -> Field:
    only(node, _KEYWORDS["number"], path)
    low, high = _bound(node, "minimum", path), _bound(node, "maximum", path)
    whole = node["type"] == "integer"
    least, most = (low, high) if low is None or high is None or not whole else (math.ceil(low), math.floor(high))
    if least is not None and most is not None and least > most:
        raise _impossible(path, "minimum", "maximum")
    rules = {"minimum": low, "maximum": high, "default": node.get("default")}
    return _make(Integer if whole else Number, about, rules, path)


def _read_boolean(node: Node, path: str, about: dict[str, object]) -> Field:
    only(node, _KEYWORDS["boolean"], path)
    return _make(Boolean, about, {"default": node.get("default")}, path)


def _read_array(node: Node, path: str, about: dict[str, object]) -> Field:
    items = node.get("items")
    if not isinstance(items, dict) or not ("enum" in items or "anyOf" in items):
        hint = 'Give the options: {"type": "array", "items": {"type": "string", "enum": [...]}}.'
        raise refused("nested", f"{path}.items", f"{path} is an array of something other than options.", hint)
    only(node, _KEYWORDS["array"], path)
    keyword = "enum" if "enum" in items else "anyOf"
    only(items, frozenset({"type", keyword}), f"{path}.items")
    if items.get("type", "string" if keyword == "anyOf" else None) != "string":
        raise refused("no_type", f"{path}.items", f"{path}.items is not of type string.", 'Add "type": "string".')
    if node.get("uniqueItems", True) is not True:
        raise bad_keyword(f"{path}.uniqueItems", "can only be true", "Leave it out: an option is chosen at most once.")
    options = _options(items, keyword, f"{path}.items")
    low, high = _span(node, ("minItems", "maxItems"), path, OPTIONS_MAX)
    if (low or 0) > len(options):
        raise _impossible(path, "minItems", "the number of options")
    default = node.get("default")
    rules = {"options": options, "min_items": low, "max_items": high, "default": default}
    return _make(Choices, about, rules, path)


_READERS: Final[Mapping[str, Callable[[Node, str, dict[str, object]], Field]]] = {
    "string": _read_string,
    "number": _read_number,
    "integer": _read_number,
    "boolean": _read_boolean,
    "array": _read_array,
}


def _make(kind: type[Field], about: dict[str, object], rules: dict[str, object], path: str) -> Field:
    """Build the field; msgspec finds a default of the wrong JSON type."""
    try:
        return msgspec.convert(about | rules | {"type": kind.__struct_config__.tag}, kind)
    except msgspec.ValidationError as error:
        raise _bad_default(path, "is of the wrong type") from error


def _options(node: Node, keyword: str, path: str) -> tuple[Option, ...]:
    entries = node[keyword]
    if not isinstance(entries, list) or not 1 <= len(entries) <= OPTIONS_MAX:
        raise _bad_options(path, f"needs 1 to {OPTIONS_MAX} options")
    if keyword == "enum":
        titles = node.get("enumNames", [""] * len(entries))
        if not isinstance(titles, list) or len(titles) != len(entries):
            raise _bad_options(path, "needs one entry of enumNames for each option")
        pairs = list(zip(entries, titles, strict=True))
    else:
        if not all(isinstance(entry, dict) and entry.keys() == {"const", "title"} for entry in entries):
            raise _bad_options(path, 'has an option that is not {"const": …, "title": …}')
        pairs = [(entry["const"], entry["title"]) for entry in entries]
    titled = keyword != "enum" or "enumNames" in node
    return tuple(_option(value, title, titled, path) for value, title in _distinct(pairs, path))


def _distinct(pairs: list[tuple[object, object]], path: str) -> list[tuple[object, object]]:
    labels = [title or value for value, title in pairs]
    for named in ([value for value, _ in pairs], labels):
        if len(set(map(str, named))) < len(named):
            raise _bad_options(path, "has the same option twice")
    return pairs


def _option(value: object, title: object, titled: bool, path: str) -> Option:
    texts = (value, title) if titled else (value,)
    if not all(isinstance(text, str) and 1 <= len(text) <= TITLE_LENGTH_MAX for text in texts):
        raise _bad_options(path, f"has an option that is not a string of 1 to {TITLE_LENGTH_MAX} characters")
    return Option(str(value), str(title))


# --- keywords ---------------------------------------------------------------------------------------


def only(node: Node, allowed: frozenset[str] | set[str], path: str) -> None:
    """Raise RefusedError for the first keyword of ``node`` that is not in ``allowed``."""
    for keyword in node:
        if keyword not in allowed:
            where = f"{path}.{cut(keyword)}" if path else cut(keyword)
            hint = _HINTS.get(keyword, f"Use only: {', '.join(sorted(allowed))}.")
            raise refused("unknown_keyword", where, f"{where} is not in the elicitation subset.", hint)


def _string(node: Node, keyword: str, path: str, length_max: int) -> str:
    value = node.get(keyword, "")
    if not isinstance(value, str) or len(value) > length_max:
        raise bad_keyword(f"{path}.{keyword}", f"is not a string of at most {length_max} characters", "Shorten it.")
    return value


def _span(node: Node, keywords: tuple[str, str], path: str, most: int) -> tuple[int | None, int | None]:
    values: list[int | None] = []
    for keyword in keywords:
        value = node.get(keyword)
        if keyword in node and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most):
            what = f"is not a whole number from 0 to {most}"
            raise bad_keyword(f"{path}.{keyword}", what, "Correct it or leave it out.")
        values.append(value if isinstance(value, int) else None)
    low, high = values
    if low is not None and high is not None and low > high:
        raise _impossible(path, *keywords)
    return low, high


def _bound(node: Node, keyword: str, path: str) -> int | float | None:
    value = node.get(keyword)
    if keyword not in node:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad_keyword(f"{path}.{keyword}", "is not a number", "Correct it or leave it out.")
    return value


def _allow_default(field: Field, path: str) -> None:
    refusal = problem(field, field.default)
    if refusal is not None:
        raise _bad_default(path, f"is refused as an answer: {refusal.message}")


def _forbid_secret(field: Field, path: str) -> None:
    """Free text named like a secret: whoever asks for one in a form also stores it in the log."""
    if not isinstance(field, Text):
        return
    for text, words_max in ((field.name, NAME_LENGTH_MAX), (field.title, 3)):
        words = _WORD.findall(text)
        if len(words) <= words_max and _SECRET.search(" ".join(words).lower()):
            hint = "Ask where the secret is kept, never for the secret; rename the field if it is none."
            raise refused("secret_field", path, f"{path} asks for a secret, and answers are kept in the log.", hint)


def cut(value: object) -> str:
    """Shorten what somebody sent to what fits a message."""
    text = str(value)
    return text if len(text) <= NAME_LENGTH_MAX else text[: NAME_LENGTH_MAX - 1] + "…"


def refused(reason: str, path: str, message: str, hint: str) -> RefusedError:
    """Make the error that carries the refusal ``shape.<reason>``."""
    return RefusedError(Refusal(f"shape.{reason}", message, hint, {"field": path}))


def bad_keyword(path: str, what: str, hint: str) -> RefusedError:
    """Make the error for a keyword that is understood, but whose value is not."""
    return refused("bad_keyword", path, f"{path} {what}.", hint)


def _bad_options(path: str, what: str) -> RefusedError:
    return refused("bad_options", path, f"{path} {what}.", "Offer different, non-empty strings.")


def _bad_default(path: str, what: str) -> RefusedError:
    return refused("bad_default", f"{path}.default", f"{path}.default {what}.", "Correct it or leave it out.")


def _impossible(path: str, low: str, high: str) -> RefusedError:
    return refused("impossible", path, f"{path}: {low} is above {high}, so no answer fits.", "Correct one of them.")
