"""Reads what a client sent, strictly: JSON bodies and query strings into Structs.

Rules: what is not understood is refused and named. That holds for unknown fields, a key given twice, a
number that is none (NaN, 1e999), half a surrogate pair, and anything nested deeper than a form ever is:
each of these means one thing to one reader and another to the next.

msgspec finds NaN and half surrogates also in what is handed through unread; the rest is looked for here.

Source: RFC 8259 §4 (duplicate names), §6 (numbers), §8.2 (surrogates); I-JSON, RFC 7493 §2.
"""

import json
import math
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from crossfade.core.decider import Refusal

T = TypeVar("T")

QUERY_FIELDS_MAX: Final = 32
SHOWN_MAX: Final = 64
_OPENING: Final = frozenset(b"[{")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class BadInputError(Exception):
    """Carries the refusal of a body or query out of the nested readers; never leaves the API's edge."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def body(data: bytes, decoder: msgspec.json.Decoder[T], depth_max: int) -> T:
    """Decode ``data``. Raises BadInputError with http.too_deep, http.bad_json, http.duplicate_key, http.invalid."""
    if nested_deeper(data, depth_max):
        raise BadInputError(
            Refusal("http.too_deep", f"The JSON is nested deeper than {depth_max} levels.", "Flatten it.")
        )
    _scan(data)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BadInputError(invalid(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(_bad_json(str(error))) from error


def nested_deeper(data: bytes, depth_max: int) -> bool:
    """Whether brackets outside strings nest deeper than ``depth_max``: linear, without recursion."""
    if data.count(b"[") + data.count(b"{") <= depth_max:
        return False
    depth = 0
    for bracket in b"".join(_outside_strings(data)).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > depth_max:
            return True
    return False


def _outside_strings(data: bytes) -> list[bytes]:
    """What stands between the strings of a JSON text."""
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return plain.split(b'"')[::2]


def _scan(data: bytes) -> None:
    try:
        json.loads(data, object_pairs_hook=_distinct, parse_float=_finite)
    except BadInputError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadInputError(_bad_json(str(error))) from error


def _distinct(pairs: list[tuple[str, object]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        shown = _cut(twice)
        raise BadInputError(
            Refusal("http.duplicate_key", f"The key {shown!r} is given twice.", "Give each key once.", {"field": shown})
        )


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def query(text: bytes, model: type[T]) -> T:
    """Read a query string. Raises BadInputError with http.bad_query; cursor.bad for ``after``."""
    if not text:
        return _convert({}, model)
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except ValueError as error:
        raise BadInputError(_bad_query("The query is not NAME=VALUE&NAME=VALUE in UTF-8.")) from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadInputError(_bad_query("A parameter is given twice."))
    return _convert(fields, model)


def _convert(fields: dict[str, str], model: type[T]) -> T:
    try:
        return msgspec.convert(fields, model, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        if text.endswith("`$.after`"):
            hint = "Give the cursor of an earlier answer, or leave it out to go on where you were."
            raise BadInputError(Refusal("cursor.bad", "The cursor is not a sequence.", hint)) from error
        raise BadInputError(_bad_query(_sentence(text))) from error


def invalid(problem: str) -> Refusal:
    """The refusal of JSON that does not have the shape of the request; ``problem`` is the validator's sentence."""
    path = problem.partition(" - at `$")[2]
    details = {"field": path.strip("`.")} if path else {}
    return Refusal("http.invalid", _sentence(problem), "GET /openapi.json says what this path takes.", details)


def _sentence(problem: str) -> str:
    text, _, path = problem.partition(" - at `$")
    field = path.strip("`.")
    return f"{field}: {text}." if field else f"{text}."


def _bad_json(problem: str) -> Refusal:
    return Refusal("http.bad_json", f"The body is not JSON: {_cut(problem)}.", "Send one JSON object in UTF-8.")


def _bad_query(message: str) -> Refusal:
    return Refusal("http.bad_query", message, "GET /openapi.json lists the parameters of this path.")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


Decoder = msgspec.json.Decoder[Any]
