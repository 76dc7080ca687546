"""The check for duplicate keys agrees with a parser that keeps every pair, on whatever it is given."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.inbound.mcp import strict

KEYS = st.sampled_from(["a", "b", "a:b", ':"', "ä", "\\", ""])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), KEYS, st.sampled_from(["{:", "\\u003a", "x:y:z"]))


class Pairs(list[Any]):
    """An object as the pairs it is written with, so that a key can be there twice."""


def values(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(children, max_size=3), st.lists(st.tuples(KEYS, children), max_size=3).map(Pairs))


def written(value: Any, *, ascii_only: bool) -> str:
    if isinstance(value, Pairs):
        inner = (f"{json.dumps(k, ensure_ascii=ascii_only)} : {written(v, ascii_only=ascii_only)}" for k, v in value)
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, ascii_only=ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def doubled(value: Any) -> bool:
    if isinstance(value, Pairs):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(doubled(inner) for _, inner in value)
    return isinstance(value, list) and any(doubled(inner) for inner in value)


@given(st.recursive(LEAVES, values, max_leaves=12), st.booleans())
def test_an_object_with_a_key_twice_is_refused_and_nothing_else_is(value: Any, ascii_only: bool) -> None:
    body = written(value, ascii_only=ascii_only).encode()
    if doubled(value):
        with pytest.raises(strict.DuplicateKeyError):
            strict.check(body)
    else:
        strict.check(body)


@pytest.mark.parametrize(("depth", "fine"), [(64, True), (65, False)])
def test_nesting_has_a_bound_which_brackets_in_text_do_not_count_towards(depth: int, fine: bool) -> None:
    body = b'{"a":' * (depth - 1) + b'["' + b"[{" * 200 + b'"]' + b"}" * (depth - 1)
    if fine:
        strict.check(body)
    else:
        with pytest.raises(strict.TooDeepError):
            strict.check(body)


def test_a_colon_that_is_escaped_cannot_hide_a_duplicate() -> None:
    with pytest.raises(strict.DuplicateKeyError):
        strict.check(b'{"a":1,"a":"\\u003a"}')
    with pytest.raises(strict.DuplicateKeyError):
        strict.check(b'{"a":"x","\\u0061":"\\u003A"}')


@pytest.mark.parametrize("body", [b"", b"nul", b"\xff", b'{"a":1e999}', b'"\xed\xa0\x80"'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError)):
        strict.check(body)
