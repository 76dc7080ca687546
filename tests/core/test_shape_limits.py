"""The last that a shape may be, what lies beyond it, and every field read exactly as it was written."""

import json
from typing import Any

import msgspec
import pytest

from crossfade.core import properties, shapes
from crossfade.core.decider import Refusal
from crossfade.core.fields import Boolean, Choice, Choices, Field, Format, Integer, Number, Option, Shape, Text
from tests.core.shape_strategies import options


def parsed(node: object, name: str = "x") -> Field | str:
    """A property as a field, or the code of its refusal."""
    outcome = shapes.parse({"type": "object", "properties": {name: node}})
    return outcome.code if isinstance(outcome, Refusal) else outcome.fields[0]


def read(**node: Any) -> Field | str:
    """The same, of keywords."""
    return parsed(node)


AB = options("a", "b")
LONG = "o" * 200


@pytest.mark.parametrize(
    ("node", "field"),
    [
        ({"type": "string"}, Text(name="x")),
        (
            {"type": "string", "title": "T", "description": "D", "default": "d", "minLength": 0, "maxLength": 9},
            Text(name="x", title="T", description="D", default="d", min_length=0, max_length=9),
        ),
        ({"type": "string", "format": "uri"}, Text(name="x", format=Format.URI)),
        (
            {"type": "number", "minimum": -0.5, "maximum": 2, "default": 1.5},
            Number(name="x", minimum=-0.5, maximum=2, default=1.5),
        ),
        (
            {"type": "integer", "minimum": 0, "maximum": 0, "default": 0},
            Integer(name="x", minimum=0, maximum=0, default=0),
        ),
        ({"type": "integer", "minimum": 0.5, "maximum": 1.5}, Integer(name="x", minimum=0.5, maximum=1.5)),
        ({"type": "number", "minimum": 1.2, "maximum": 1.8}, Number(name="x", minimum=1.2, maximum=1.8)),
        ({"type": "boolean", "default": True}, Boolean(name="x", default=True)),
        ({"type": "string", "enum": ["a", "b"], "default": "b"}, Choice(name="x", options=AB, default="b")),
        (
            {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
            Choice(name="x", options=(Option("a", "A"), Option("b", "B"))),
        ),
        ({"type": "string", "oneOf": [{"const": "a", "title": "A"}]}, Choice(name="x", options=(Option("a", "A"),))),
        (
            {
                "type": "array",
                "items": {"type": "string", "enum": ["a", "b"]},
                "minItems": 1,
                "maxItems": 2,
                "uniqueItems": True,
                "default": ["a"],
            },
            Choices(name="x", options=AB, min_items=1, max_items=2, default=("a",)),
        ),
        (
            {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
            Choices(name="x", options=(Option("a", "A"),)),
        ),
        (
            {"type": "array", "items": {"type": "string", "anyOf": [{"const": "a", "title": "A"}]}},
            Choices(name="x", options=(Option("a", "A"),)),
        ),
        (
            {"type": "array", "minItems": 2, "items": {"type": "string", "enum": ["a", "b"]}},
            Choices(name="x", options=AB, min_items=2),
        ),
    ],
)
def test_a_field_is_what_was_written(node: dict[str, object], field: Field) -> None:
    assert parsed(node) == field


@pytest.mark.parametrize(
    ("within", "beyond", "code"),
    [
        ({"type": "string", "title": "t" * 200}, {"type": "string", "title": "t" * 201}, "shape.bad_keyword"),
        (
            {"type": "string", "description": "d" * 2_000},
            {"type": "string", "description": "d" * 2_001},
            "shape.bad_keyword",
        ),
        ({"type": "string", "maxLength": 1_000_000}, {"type": "string", "maxLength": 1_000_001}, "shape.bad_keyword"),
        ({"type": "string", "minLength": 0}, {"type": "string", "minLength": -1}, "shape.bad_keyword"),
        (
            {"type": "string", "minLength": 3, "maxLength": 3},
            {"type": "string", "minLength": 3, "maxLength": 2},
            "shape.impossible",
        ),
        ({"type": "number", "minimum": 1e308}, {"type": "number", "minimum": float("inf")}, "shape.bad_keyword"),
        (
            {"type": "number", "minimum": 2, "maximum": 2},
            {"type": "number", "minimum": 2.1, "maximum": 2},
            "shape.impossible",
        ),
        (
            {"type": "integer", "minimum": 1.2, "maximum": 2},
            {"type": "integer", "minimum": 1.2, "maximum": 1.9},
            "shape.impossible",
        ),
        (
            {"type": "integer", "minimum": 1, "maximum": 1.8},
            {"type": "integer", "minimum": 1.1, "maximum": 1.8},
            "shape.impossible",
        ),
        (
            {"type": "string", "enum": [str(n) for n in range(200)]},
            {"type": "string", "enum": [str(n) for n in range(201)]},
            "shape.bad_options",
        ),
        ({"type": "string", "enum": [LONG]}, {"type": "string", "enum": [LONG + "o"]}, "shape.bad_options"),
        ({"type": "string", "enum": ["o"]}, {"type": "string", "enum": [""]}, "shape.bad_options"),
        (
            {"type": "string", "enum": ["a"], "enumNames": [LONG]},
            {"type": "string", "enum": ["a"], "enumNames": [LONG + "o"]},
            "shape.bad_options",
        ),
        (
            {"type": "string", "enum": ["a"], "enumNames": ["A"]},
            {"type": "string", "enum": ["a"], "enumNames": [1]},
            "shape.bad_options",
        ),
        (
            {"type": "string", "enum": ["a", "b"], "enumNames": ["b", "a"]},
            {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "A"]},
            "shape.bad_options",
        ),
        ({"type": "string", "enum": ["1", "2"]}, {"type": "string", "enum": ["1", "1"]}, "shape.bad_options"),
        (
            {"type": "array", "items": {"type": "string", "enum": ["a"]}, "maxItems": 200},
            {"type": "array", "items": {"type": "string", "enum": ["a"]}, "maxItems": 201},
            "shape.bad_keyword",
        ),
        (
            {"type": "array", "items": {"type": "string", "enum": ["a"]}, "minItems": 1},
            {"type": "array", "items": {"type": "string", "enum": ["a"]}, "minItems": 2},
            "shape.impossible",
        ),
        (
            {"type": "array", "items": {"type": "string", "enum": ["a"]}},
            {"type": "array", "items": {"enum": ["a"]}},
            "shape.no_type",
        ),
        (
            {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
            {"type": "array", "items": {"type": "number", "anyOf": [{"const": "a", "title": "A"}]}},
            "shape.no_type",
        ),
        ({"type": "string", "minLength": 1}, {"type": "string", "minLength": 1.5}, "shape.bad_keyword"),
        ({"type": "integer", "minimum": 0}, {"type": "integer", "minimum": None}, "shape.bad_keyword"),
    ],
)
def test_the_last_that_is_read_and_the_first_that_is_not(within: object, beyond: object, code: str) -> None:
    assert not isinstance(parsed(within), str)
    assert parsed(beyond) == code


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("n", True),
        ("n" * 64, True),
        ("n" * 65, False),
        ("", False),
        ("größe", True),
        ("a b", True),
        (" a", False),
        ("a ", False),
        ("a\n", False),
        ("a\u200b", False),
    ],
)
def test_a_fields_name_is_short_and_printable(name: str, *, good: bool) -> None:
    assert (parsed({"type": "string"}, name) == "shape.bad_name") is not good


@pytest.mark.parametrize(
    ("name", "title", "secret"),
    [
        ("password", "", True),
        ("userPassword", "", True),
        ("PASSWORD", "", True),
        ("db_password", "", True),
        ("password_hint", "", False),
        ("passwordless", "", False),
        ("pin", "", True),
        ("user_pin", "", False),
        ("shipping", "", False),
        ("api_key", "", True),
        ("apiKey", "", True),
        ("APIKey", "", True),
        ("apikeys", "", True),
        ("key", "", False),
        ("x", "API key", True),
        ("x", "Your API key", True),
        ("x", "Tell us your API key", False),
        ("x", "What is your password", False),
        ("x", "Our last token", True),
        ("x", "the very last token", False),
        ("one_two_three_four_token", "", True),
        ("token2", "", False),
        ("x", "", False),
    ],
)
def test_free_text_that_is_named_like_a_secret_is_not_asked_for(name: str, title: str, *, secret: bool) -> None:
    assert (parsed({"type": "string", "title": title}, name) == "shape.secret_field") is secret
    assert parsed({"type": "string", "title": title, "enum": ["a"]}, name) != "shape.secret_field"


def test_an_object_says_which_fields_are_required_and_keeps_their_order() -> None:
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"b": text, "a": text, "c": text}, "required": ["c", "b"]}
    shape = shapes.parse(schema)
    assert shape == Shape((Text(name="b", required=True), Text(name="a"), Text(name="c", required=True)))


@pytest.mark.parametrize(
    ("required", "code"),
    [
        (["a", "a"], "bad_keyword"),
        ("a", "bad_keyword"),
        ({}, "bad_keyword"),
        (["x"], "required_unknown"),
        ([None], "required_unknown"),
    ],
)
def test_what_is_required_is_a_list_of_different_names_of_fields(required: object, code: str) -> None:
    outcome = shapes.parse({"type": "object", "properties": {"a": {"type": "string"}}, "required": required})
    assert isinstance(outcome, Refusal)
    assert outcome.code == f"shape.{code}"


def test_too_many_fields_are_counted_and_long_texts_are_cut_where_they_are_quoted() -> None:
    fields = {f"f{number}": {"type": "string"} for number in range(40)}
    outcome = shapes.parse({"type": "object", "properties": fields})
    assert isinstance(outcome, Refusal)
    assert (outcome.message, outcome.hint) == (
        "A shape has at most 32 fields, not 40.", "Ask for less, or in two questions."
    )  # fmt: skip
    assert (properties.cut("c" * 64), properties.cut("c" * 65), properties.cut(7)) == ("c" * 64, "c" * 63 + "…", "7")
    quoted = shapes.parse({"type": "object", "properties": {"x": {"type": "string", "k" * 65: 1}}})
    assert isinstance(quoted, Refusal)
    assert quoted.details == {"field": f"properties.x.{'k' * 63}…"}


def test_a_stored_shape_that_cannot_be_read_is_a_fault_that_says_why() -> None:
    with pytest.raises(ValueError, match=r"^stored shape: A shape is a JSON Schema of type object\.$"):
        shapes.from_raw(msgspec.Raw(json.dumps({"type": "string"}).encode()))


@pytest.mark.parametrize(
    ("keyword", "hint"),
    [("$ref", "Write the field out in place."), ("exclusiveMaximum", "Use maximum."), ("other", "Use only: default, ")],
)
def test_a_keyword_that_is_not_understood_is_refused_with_what_to_write_instead(keyword: str, hint: str) -> None:
    outcome = shapes.parse({"type": "object", "properties": {"x": {"type": "number", keyword: 1}}})
    assert isinstance(outcome, Refusal)
    assert outcome.hint.startswith(hint)
    assert read(type="number", **{keyword: 1}) == "shape.unknown_keyword"


def test_a_title_may_be_another_options_value_only_if_people_can_tell_them_apart() -> None:
    pair = [{"const": "a", "title": "b"}, {"const": "b", "title": "b"}]
    assert read(type="string", oneOf=pair) == "shape.bad_options"
    assert (
        read(type="string", oneOf=[{"const": "a", "title": "A"}, {"const": "a", "title": "B"}]) == "shape.bad_options"
    )


@pytest.mark.parametrize(
    "node",
    [
        {"type": "string", "title": "T", "description": "D", "minLength": 0, "maxLength": 9, "default": "d"},
        {"type": "string", "format": "uri"},
        {"type": "number", "minimum": -0.5, "maximum": 2, "default": 1.5},
        {"type": "integer", "default": 0},
        {"type": "boolean", "default": False},
        {"type": "string", "enum": ["a", "b"], "default": "b"},
        {"type": "string", "oneOf": [{"const": "a", "title": "A"}], "default": "a"},
        {
            "type": "array",
            "items": {"type": "string", "enum": ["a", "b"]},
            "minItems": 1,
            "maxItems": 2,
            "default": ["a"],
        },
        {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
    ],
)
def test_a_field_is_written_as_it_was_read(node: dict[str, object]) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"x": node}, "required": ["x"]}
    shape = shapes.parse(schema)
    assert isinstance(shape, Shape)
    for revision in shapes.REVISIONS[1:]:
        assert shapes.to_schema(shape, revision) == schema
