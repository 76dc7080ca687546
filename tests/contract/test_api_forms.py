"""Forms: every field kind becomes inputs, what a browser sends becomes content that the shape accepts."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossfade.core import shapes
from crossfade.core.shapes import Shape
from crossfade.inbound import cards, forms

OPTIONS = {"type": "string", "enum": ["a", "b"]}


def shape(node: dict[str, object], *, required: bool = False) -> Shape:
    schema = {"type": "object", "properties": {"x": node}, **({"required": ["x"]} if required else {})}
    parsed = shapes.parse(schema)
    assert isinstance(parsed, Shape), parsed
    return parsed


def read(node: dict[str, object], *sent: str, required: bool = False) -> forms.Read:
    return forms.read(shape(node, required=required), {"f.x": list(sent)} if sent else {})


@pytest.mark.parametrize(("node", "sent", "value"), [
    ({"type": "string"}, ["hello"], "hello"),
    ({"type": "string"}, ["two\r\nlines"], "two\nlines"),
    ({"type": "string", "format": "email"}, ["ada@example.org"], "ada@example.org"),
    ({"type": "string", "format": "uri"}, ["https://example.org/a"], "https://example.org/a"),
    ({"type": "string", "format": "date"}, ["2026-07-28"], "2026-07-28"),
    ({"type": "string", "format": "date-time"}, ["2026-07-28T09:00"], "2026-07-28T09:00:00Z"),
    ({"type": "string", "format": "date-time"}, ["2026-07-28T09:00:30"], "2026-07-28T09:00:30Z"),
    ({"type": "string", "format": "date-time"}, ["2026-07-28T09:00:00+02:00"], "2026-07-28T09:00:00+02:00"),
    ({"type": "number"}, ["1.50"], 1.5),
    ({"type": "number"}, ["-2"], -2),
    ({"type": "number"}, ["1e3"], 1000.0),
    ({"type": "integer"}, [" 7 "], 7),
    ({"type": "boolean"}, ["true"], True),
    ({"type": "boolean"}, ["false"], False),
    (OPTIONS, ["b"], "b"),
    ({"type": "string", "oneOf": [{"const": "k", "title": "Label"}]}, ["k"], "k"),
    ({"type": "array", "items": OPTIONS}, ["a", "b"], ["a", "b"]),
])  # fmt: skip
def test_what_a_browser_sends_becomes_the_value(node: dict[str, object], sent: list[str], value: object) -> None:
    got = read(node, *sent)
    assert got == forms.Read({"x": value}, {})
    assert type(got.content["x"]) is type(value)


@pytest.mark.parametrize(("node", "sent", "words"), [
    ({"type": "string", "minLength": 3}, ["ab"], "3"),
    ({"type": "string", "format": "email"}, ["ada"], "email"),
    ({"type": "string", "format": "date-time"}, ["soon"], "date and time"),
    ({"type": "number"}, ["1,5"], "point"),
    ({"type": "number"}, ["nan"], "number"),
    ({"type": "number"}, ["1e999"], "number"),
    ({"type": "number", "maximum": 1}, ["2"], "at most 1"),
    ({"type": "integer"}, ["1.5"], "whole"),
    ({"type": "integer"}, ["9" * 400], "whole"),
    ({"type": "integer", "minimum": 2}, ["1"], "at least 2"),
    ({"type": "boolean"}, ["maybe"], "yes or no"),
    (OPTIONS, ["c"], "a, b"),
    ({"type": "array", "items": OPTIONS, "maxItems": 1}, ["a", "b"], "at most 1"),
    ({"type": "array", "items": OPTIONS}, ["a", "a"], ""),
])  # fmt: skip
def test_what_does_not_fit_is_said_at_its_field(node: dict[str, object], sent: list[str], words: str) -> None:
    assert words in read(node, *sent).errors["x"]


@pytest.mark.parametrize("node", [
    {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "boolean"}, OPTIONS,
])  # fmt: skip
def test_an_empty_input_is_left_out_and_missed_only_where_required(node: dict[str, object]) -> None:
    for sent in ((), ("",)):
        assert read(node, *sent) == forms.Read({}, {})
        assert list(read(node, *sent, required=True).errors) == ["x"]


def test_all_faults_are_shown_at_once() -> None:
    both = shapes.parse({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}})
    assert isinstance(both, Shape)
    assert set(forms.read(both, {"f.a": ["x"], "f.b": ["y"]}).errors) == {"a", "b"}


@pytest.mark.parametrize(("node", "widget", "kind"), [
    ({"type": "string"}, "textarea", "text"),
    ({"type": "string", "maxLength": 80}, "input", "text"),
    ({"type": "string", "format": "email"}, "input", "email"),
    ({"type": "string", "format": "uri"}, "input", "url"),
    ({"type": "string", "format": "date"}, "input", "date"),
    ({"type": "string", "format": "date-time"}, "input", "datetime-local"),
    ({"type": "number"}, "input", "number"),
    ({"type": "integer"}, "input", "number"),
    ({"type": "boolean"}, "radios", "text"),
    (OPTIONS, "radios", "text"),
    ({"type": "string", "enum": list("abcdefghi")}, "select", "text"),
    ({"type": "array", "items": OPTIONS}, "checkboxes", "text"),
])  # fmt: skip
def test_each_kind_has_its_input(node: dict[str, object], widget: str, kind: str) -> None:
    (control,) = forms.controls(shape(node))
    assert (control.widget, control.input_type) == (widget, kind)


@pytest.mark.parametrize(("node", "default"), [
    ({"type": "string", "default": "hi"}, "hi"),
    ({"type": "string", "format": "date-time", "default": "2026-07-28T10:00:00+02:00"}, "2026-07-28T08:00:00Z"),
    ({"type": "number", "default": 0.25}, 0.25),
    ({"type": "integer", "default": 3}, 3),
    ({"type": "boolean", "default": False}, False),
    (OPTIONS | {"default": "b"}, "b"),
    ({"type": "array", "items": OPTIONS, "default": ["a", "b"]}, ["a", "b"]),
])  # fmt: skip
def test_a_form_sent_back_untouched_answers_the_defaults(node: dict[str, object], default: object) -> None:
    made = shape(node)
    (control,) = forms.controls(made)
    chosen = [entry.value for entry in control.entries if entry.chosen] if control.entries else [control.value]
    assert forms.read(made, {control.name: chosen}) == forms.Read({"x": default}, {})


def test_an_optional_choice_can_be_left_open() -> None:
    for node in ({"type": "boolean"}, OPTIONS):
        assert forms.controls(shape(node))[0].entries[-1].label == "No answer"
        assert "" not in [entry.value for entry in forms.controls(shape(node, required=True))[0].entries]


def test_what_was_typed_comes_back_as_it_was() -> None:
    (control,) = forms.controls(shape({"type": "integer"}), {"f.x": ["12 apples"]}, {"x": "Give a whole number."})
    assert (control.value, control.error) == ("12 apples", "Give a whole number.")


@example("0\x1f", {"type": "integer"})  # white space to str.strip, but not to int
@given(st.text(max_size=40), st.sampled_from([
    {"type": "string"}, {"type": "string", "format": "date-time"}, {"type": "number"}, {"type": "integer"},
    {"type": "boolean"}, OPTIONS, {"type": "array", "items": OPTIONS},
]))  # fmt: skip
def test_whatever_is_sent_is_either_good_content_or_an_error(text: str, node: dict[str, object]) -> None:
    made = shape(node)
    got = forms.read(made, {"f.x": [text]})
    if not got.errors:
        assert shapes.check(made, msgspec.json.decode(msgspec.json.encode(got.content))) is None


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_661, "1 h 1 min"), (86_400, "1 day"),
    (90_000, "1 day 1 h"), (180_000, "2 days 2 h"),
])  # fmt: skip
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert cards.span(seconds) == text
