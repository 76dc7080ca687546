"""What may be asked for: every rule of the elicitation subset, and every way out of it."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core import shapes
from crossfade.core.decider import Refusal
from crossfade.core.fields import Boolean, Choice, Choices, Integer, Number, Option, Shape, Text
from tests.core.shape_strategies import contents, options, shape_values
from tests.kit.tables import ids, rows

SHAPES, OBJECTS, ANSWERS, REPLIES = rows("shapes"), rows("objects"), rows("answers"), rows("replies")


def described(outcome: object) -> tuple[str, str]:
    """Code and path of a refusal, else ``ok``."""
    return (outcome.code, outcome.details.get("field") or "-") if isinstance(outcome, Refusal) else ("ok", "-")


def with_note(property_text: str) -> Shape:
    """The required property ``x`` beside the optional string ``note``."""
    properties = {"x": json.loads(property_text), "note": {"type": "string"}}
    shape = shapes.parse({"type": "object", "properties": properties, "required": ["x"]})
    assert isinstance(shape, Shape), shape
    return shape


@pytest.mark.parametrize("row", SHAPES, ids=ids(SHAPES))
def test_a_property_is_read_or_refused_as_the_table_says(row: dict[str, str]) -> None:
    outcome = shapes.parse({"type": "object", "properties": {"x": json.loads(row["property"])}})
    assert described(outcome) == (row["outcome"], row["field"])


@pytest.mark.parametrize("row", OBJECTS, ids=ids(OBJECTS))
def test_a_schema_is_read_or_refused_as_the_table_says(row: dict[str, str]) -> None:
    assert described(shapes.parse(json.loads(row["schema"]))) == (row["outcome"], row["field"])


@pytest.mark.parametrize("row", ANSWERS, ids=ids(ANSWERS))
def test_an_answer_is_accepted_or_refused_as_the_table_says(row: dict[str, str]) -> None:
    refusal = shapes.check(with_note(row["property"]), json.loads(row["content"]))
    outcome = "ok" if refusal is None else f"{refusal.code} {refusal.details.get('field', '')}".strip()
    assert outcome == row["outcome"]


@pytest.mark.parametrize("row", REPLIES, ids=ids(REPLIES))
def test_a_plain_text_reply_becomes_the_content_the_table_says(row: dict[str, str]) -> None:
    outcome = shapes.from_text(with_note(row["property"]), row["text"].replace("\\n", "\n"))
    expected = row["outcome"].replace("\\\\", "\\")
    assert (outcome.code if isinstance(outcome, Refusal) else outcome) == (
        json.loads(expected) if expected.startswith("{") else expected
    )


def test_every_refusal_says_what_is_wrong_and_what_to_do() -> None:
    found = [shapes.parse({"type": "object", "properties": {"x": json.loads(row["property"])}}) for row in SHAPES]
    found += [shapes.parse(json.loads(row["schema"])) for row in OBJECTS]
    refusals = [outcome for outcome in found if isinstance(outcome, Refusal)]
    assert refusals
    for refusal in refusals:
        assert refusal.message.endswith("."), refusal
        assert refusal.hint.endswith((".", "}", "}.")), refusal


def test_more_than_the_maximum_of_fields_or_options_is_refused() -> None:
    text = {"type": "string"}
    fields = {f"f{number}": text for number in range(33)}
    assert described(shapes.parse({"type": "object", "properties": fields}))[0] == "shape.too_many_fields"
    del fields["f0"]
    assert isinstance(shapes.parse({"type": "object", "properties": fields}), Shape)
    assert isinstance(shapes.from_choices([str(number) for number in range(200)]), Shape)
    assert described(shapes.from_choices([str(number) for number in range(201)]))[0] == "shape.bad_options"


def test_long_names_and_titles_are_refused_and_cut_in_the_message() -> None:
    named = shapes.parse({"type": "object", "properties": {"n" * 65: {"type": "string"}}})
    assert isinstance(named, Refusal)
    assert named.code == "shape.bad_name"
    assert len(named.message) < 150
    titled = shapes.parse({"type": "object", "properties": {"x": {"type": "string", "title": "t" * 201}}})
    assert described(titled) == ("shape.bad_keyword", "properties.x.title")


def test_choices_become_one_required_field_named_choice() -> None:
    assert shapes.from_choices(["yes", "no"]) == Shape(
        (Choice(name="choice", required=True, options=options("yes", "no")),)
    )
    assert described(shapes.from_choices([]))[0] == "shape.bad_options"
    assert described(shapes.from_choices(["a", "a"]))[0] == "shape.bad_options"


def test_a_reply_to_several_required_fields_must_be_an_object() -> None:
    shape = Shape((Text(name="a", required=True), Text(name="b", required=True)))
    outcome = shapes.from_text(shape, "hello")
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.message) == ("answer.needs_object", "The question has several fields.")
    assert outcome.hint == 'Send {"a": text, "b": text}.'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 39 + "…"),
        ("1" * 65, "1" * 39 + "…"),
    ],
)
def test_a_long_reply_is_cut_where_it_is_quoted(text: str, shown: str) -> None:
    outcome = shapes.from_text(Shape((Integer(name="n"),)), text)
    assert isinstance(outcome, Refusal)
    assert outcome.message == f"The field 'n': {shown!r} is not a number."


def test_a_number_is_read_as_it_was_written() -> None:
    for text, value in (
        ("1" * 64, int("1" * 64)),
        ("9007199254740993", 9_007_199_254_740_993),
        ("7", 7),
        ("7.0", 7.0),
        ("7e2", 700.0),
        ("7E2", 700.0),
        ("-.5", None),
        ("X", None),
    ):
        outcome = shapes.from_text(Shape((Number(name="n"),)), text)
        if value is None:
            assert isinstance(outcome, Refusal), text
        else:
            assert outcome == {"n": value}, text
            assert type(outcome["n"]) is type(value), text


@pytest.mark.parametrize(
    ("text", "value"),
    [("Yes!", True), ("OK.", True), ("1", True), ("no...", False), ("N!", False),
     ("yesX", None), ("Xyes", None), ("okx", None), ("yes!X", None), ("noX.", None)],
)  # fmt: skip
def test_a_word_means_yes_or_no_whatever_its_case_and_the_mark_after_it(text: str, *, value: bool | None) -> None:
    outcome = shapes.from_text(Shape((Boolean(name="b"),)), text)
    assert (None if isinstance(outcome, Refusal) else outcome["b"]) is value


def test_a_list_of_json_is_no_object_and_so_is_text() -> None:
    assert shapes.from_text(Shape((Text(name="t"),)), "```\n[1]\n```") == {"t": "```\n[1]\n```"}
    assert isinstance(shapes.from_text(Shape((Integer(name="n"),)), '{"n": 1} x'), Refusal)


def test_a_reply_nested_without_end_is_text_like_any_other() -> None:
    deep = '{"a":' * 100_000
    assert shapes.from_text(Shape((Text(name="t"),)), deep) == {"t": deep}


def test_what_is_expected_is_outlined_field_by_field() -> None:
    many = options(*(str(number) for number in range(11)))
    shape = Shape((
        Text(name="t", required=True), Text(name="d", format=shapes.Format.DATE), Number(name="n"), Integer(name="i"),
        Boolean(name="b", required=True), Choice(name="c", options=many[:10]), Choices(name="m", options=many),
    ))  # fmt: skip
    assert shapes.outline(shape) == (
        '{"t": text, "d": date (optional), "n": number (optional), "i": integer (optional), "b": true or false, '
        '"c": one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 (optional), '
        '"m": array of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (optional)}'
    )


def test_stored_schemas_check_stored_answers() -> None:
    shape = shapes.from_choices(["yes", "no"])
    assert isinstance(shape, Shape)
    schema = shapes.canonical(shape)
    assert shapes.from_raw(schema) == shape
    assert shapes.check_raw(schema, msgspec.Raw(b'{"choice": "yes"}')) is None
    assert described(shapes.check_raw(schema, msgspec.Raw(b'{"choice": "maybe"}')))[0] == "answer.not_an_option"
    for broken in (b"", b"{", b'{"choice": "\xff"}', b'{"choice": 1e999}', b"[" * 100_000):
        assert described(shapes.check_raw(schema, msgspec.Raw(broken)))[0] == "answer.not_json"
    with pytest.raises(ValueError, match="stored shape"):
        shapes.from_raw(msgspec.Raw(b"{}"))


# --- dialects ---------------------------------------------------------------------------------------


def test_the_oldest_revision_gets_names_of_options_and_one_boolean_for_each_choice() -> None:
    titled = (Option("r", "Red"), Option("g", "Green"))
    shape = Shape(
        (
            Choice(name="one", required=True, options=titled, default="g"),
            Choices(name="many", title="Colours", required=True, options=titled, min_items=1, default=("g",)),
            Text(name="many_1", default="x"),
        )
    )
    about = "Colours. Choose at least 1"
    assert shapes.to_schema(shape, "2025-06-18") == {
        "type": "object",
        "properties": {
            "one": {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"]},
            "many__1": {"type": "boolean", "title": "Red", "description": about, "default": False},
            "many__2": {"type": "boolean", "title": "Green", "description": about, "default": True},
            "many_1": {"type": "string"},
        },
        "required": ["one", "many__1", "many__2"],
    }
    sent = {"one": "r", "many__1": True, "many__2": False, "many_1": "t"}
    assert shapes.from_wire(shape, "2025-06-18", sent) == {"one": "r", "many": ["r"], "many_1": "t"}
    assert shapes.from_wire(shape, "2025-11-25", {"many": ["g"]}) == {"many": ["g"]}


@pytest.mark.parametrize(
    ("limits", "about"),
    [
        ({}, "many. Pick"),
        ({"min_items": 2}, "many. Pick. Choose at least 2"),
        ({"max_items": 3}, "many. Pick. Choose 0 to 3"),
        ({"min_items": 1, "max_items": 3}, "many. Pick. Choose 1 to 3"),
    ],
)
def test_each_boolean_says_what_it_is_part_of_and_how_many_may_be_ticked(limits: dict[str, int], about: str) -> None:
    shape = Shape((Choices(name="many", description="Pick", options=options("a", "b", "c"), **limits),))
    written = shapes.to_schema(shape, "2025-06-18")
    assert written == {
        "type": "object",
        "properties": {
            f"many_{number}": {"type": "boolean", "title": title, "description": about}
            for number, title in ((1, "a"), (2, "b"), (3, "c"))
        },
    }


def test_the_oldest_revision_keeps_the_default_of_a_boolean_and_of_nothing_else() -> None:
    shape = Shape((
        Boolean(name="sure", default=True), Text(name="t", default="x"), Integer(name="n", default=3),
        Choice(name="plain", options=options("a", "b"), default="a"),
    ))  # fmt: skip
    assert shapes.to_schema(shape, "2025-06-18")["properties"] == {
        "sure": {"type": "boolean", "default": True},
        "t": {"type": "string"},
        "n": {"type": "integer"},
        "plain": {"type": "string", "enum": ["a", "b"]},
    }


@pytest.mark.parametrize(
    ("taken", "joint"),
    [
        ("other", "_"),
        ("many", "_"),
        ("many_", "_"),
        ("many_x", "_"),
        ("many_1", "__"),
        ("many_99", "__"),
        ("xmany_1", "_"),
        ("999", "_"),
    ],
)
def test_only_a_name_that_would_be_one_of_the_booleans_makes_them_another(taken: str, joint: str) -> None:
    many = Choices(name="many", options=options("a", "b"))
    other = () if taken == "many" else (Text(name=taken),)
    properties = shapes.to_schema(Shape((many, *other)), "2025-06-18")["properties"]
    assert isinstance(properties, dict)
    assert list(properties)[:2] == [f"many{joint}1", f"many{joint}2"]


def test_underscores_are_added_until_no_name_is_taken() -> None:
    many = Choices(name="c", options=options("a"))
    shape = Shape((many, Text(name="c_1"), Text(name="c__1"), Text(name="c___1")))
    assert next(iter(shapes.to_schema(shape, "2025-06-18")["properties"])) == "c____1"  # type: ignore[call-overload]
    assert shapes.from_wire(shape, "2025-06-18", {"c____1": True, "c_1": "x"}) == {"c": ["a"], "c_1": "x"}


def test_a_form_with_nothing_ticked_is_an_empty_choice_if_required_and_none_if_not() -> None:
    required = Shape((Choices(name="c", required=True, options=options("a", "b")),))
    optional = Shape((Choices(name="c", options=options("a", "b")),))
    assert shapes.from_wire(required, "2025-06-18", {}) == {"c": []}
    assert shapes.from_wire(optional, "2025-06-18", {}) == {}
    assert shapes.from_wire(optional, "2025-06-18", {"c_1": False}) == {"c": []}


def test_what_is_neither_ticked_nor_unticked_is_left_for_the_check_to_refuse() -> None:
    shape = Shape((Choices(name="c", options=options("a", "b")),))
    read = shapes.from_wire(shape, "2025-06-18", {"c_1": "a"})
    assert described(shapes.check(shape, read)) == ("answer.unknown_field", "c_1")
    assert shapes.from_wire(shape, "2025-06-18", ["c_1"]) == ["c_1"]


def test_blank_optional_fields_of_a_form_are_left_out() -> None:
    shape = Shape((Text(name="mail", format=shapes.Format.EMAIL), Text(name="free"), Text(name="must", required=True)))
    sent: dict[str, object] = {"mail": "", "free": "", "must": None}
    assert shapes.from_wire(shape, "2026-07-28", sent) == {"free": "", "must": None}
    assert shapes.from_wire(shape, "2026-07-28", {"free": None}) == {}
    assert sent == {"mail": "", "free": "", "must": None}


def test_a_revision_without_elicitation_is_a_mistake_of_the_caller() -> None:
    shape = Shape((Text(name="t"),))
    with pytest.raises(ValueError, match="2025-03-26"):
        shapes.to_schema(shape, "2025-03-26")
    with pytest.raises(ValueError, match="2025-03-26"):
        shapes.from_wire(shape, "2025-03-26", {})


# --- properties -------------------------------------------------------------------------------------


def oracle(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """An independent validator, made strict where a form has only one meaning."""
    strict = {**schema, "additionalProperties": False}
    strict["properties"] = {
        name: {**node, "uniqueItems": True} if node["type"] == "array" else node
        for name, node in schema["properties"].items()
    }
    options = jsonschema_rs.EmailOptions(allow_domain_literal=False, allow_display_text=False)
    return jsonschema_rs.Draft202012Validator(strict, validate_formats=True, email_options=options)


@settings(max_examples=60, deadline=None)
@given(shape_values(), st.data())
def test_answers_are_judged_as_by_an_independent_validator(shape: Shape, data: st.DataObject) -> None:
    validator = oracle(shapes.to_schema(shape))
    for _ in range(4):
        content = data.draw(contents(shape))
        refusal = shapes.check(shape, content)
        assert (refusal is None) == validator.is_valid(content), refusal


@settings(max_examples=30, deadline=None)
@given(shape_values())
def test_a_shape_survives_being_written_and_read(shape: Shape) -> None:
    for revision in ("2025-11-25", "2026-07-28"):
        assert shapes.parse(shapes.to_schema(shape, revision)) == shape
    assert msgspec.json.decode(msgspec.json.encode(shape), type=Shape) == shape
    assert shapes.from_raw(shapes.canonical(shape)) == shape


@settings(max_examples=40, deadline=None)
@given(shape_values(), st.data())
def test_no_answer_is_lost_on_the_way_through_the_oldest_revision(shape: Shape, data: st.DataObject) -> None:
    content = data.draw(contents(shape))
    if shapes.check(shape, content) is not None or not isinstance(content, dict):
        return
    flat = shapes.to_schema(shape, "2025-06-18")
    sent = dict(content)
    for field in shape.fields:
        if isinstance(field, Choices) and field.name in sent:
            chosen = sent.pop(field.name)
            booleans = [name for name in ours(flat, shape) if name.rstrip("0123456789").rstrip("_") == field.name]
            sent |= {name: option.value in chosen for name, option in zip(booleans, field.options, strict=True)}
    oracle(flat).validate(sent)
    for node in flat["properties"].values():  # type: ignore[attr-defined]
        assert node["type"] != "array"
        assert "oneOf" not in node
        assert "default" not in node or node["type"] == "boolean"
    read = shapes.from_wire(shape, "2025-06-18", sent)
    assert isinstance(read, dict)
    assert {**read, **sets(read)} == {**content, **sets(content)}


def ours(flat: dict[str, Any], shape: Shape) -> list[str]:
    """The properties that stand for options."""
    names = {field.name for field in shape.fields}
    return [name for name in flat["properties"] if name not in names]


def sets(content: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The choices without their order."""
    return {name: frozenset(value) for name, value in content.items() if isinstance(value, list | tuple)}


KEYWORDS = st.sampled_from(
    ["type", "properties", "a", "enum", "items", "required", "default", "minLength", "oneOf", "title"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "object", "string", "array", "integer"])
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_no_json_makes_the_reader_fail(schema: object) -> None:
    assert isinstance(shapes.parse(schema), Shape | Refusal)
    assert isinstance(shapes.parse({"type": "object", "properties": {"x": schema}}), Shape | Refusal)
    assert isinstance(shapes.check(Shape((Text(name="t", required=True),)), schema), Refusal)
