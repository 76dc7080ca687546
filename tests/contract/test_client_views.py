"""The SDK's views and the hub's are written twice, because neither imports the other: held equal field by field.

Names, their order, JSON types, and what a field is when it is not sent: the SDK may do without one that the hub
always sends, and never the other way round.
"""

import msgspec
import pytest
from msgspec import inspect

from crossfade.client import views
from crossfade.engine import requests
from crossfade.inbound.api import identities, messages

PAIRS = [
    (views.QuestionView, requests.QuestionView),
    (views.Item, requests.Item),
    (views.SentView, requests.SentView),
    (views.AgentView, requests.AgentView),
    (views.TokenView, requests.TokenView),
    (views.IssuedToken, requests.IssuedToken),
    (views.RolloutView, requests.RolloutView),
    (views.RecordView, requests.RecordView),
    (views.Page, messages.Page),
    (views.Me, identities.Me),
]
OBJECT = "JSON"
"""The hub hands an object through as bytes; the SDK reads it."""


def shape(kind: inspect.Type) -> object:
    """A type as what it is in JSON; enumerations and literals are the strings they are sent as."""
    match kind:
        case inspect.StrType() | inspect.EnumType() | inspect.LiteralType():
            return "string"
        case inspect.IntType() | inspect.FloatType() | inspect.BoolType() | inspect.NoneType():
            return type(kind).__name__.removesuffix("Type").lower()
        case inspect.RawType():
            return OBJECT
        case inspect.DictType():
            of = shape(kind.value_type)
            return OBJECT if of == "any" else ("object of", of)
        case inspect.AnyType():
            return "any"
        case inspect.VarTupleType() | inspect.ListType():
            return ("array of", shape(kind.item_type))
        case inspect.UnionType():
            return frozenset(shape(each) for each in kind.types)
        case inspect.StructType():
            return kind.cls.__name__
        case inspect.CustomType():
            return "any" if kind.cls is object else kind.cls.__name__
    raise AssertionError(kind)


def left_out(field: inspect.Field) -> object:
    """What a field is when it is not sent: a JSON value; or that it is always sent."""
    if field.required:
        return "always sent"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.decode(bytes(value)) if isinstance(value, msgspec.Raw) else msgspec.to_builtins(value)


def described(view: type) -> dict[str, tuple[object, object]]:
    """Field of the JSON to its type and what it is when it is not sent."""
    info = inspect.type_info(view)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: (shape(field.type), left_out(field)) for field in info.fields}


def alike(ours: object, theirs: object) -> bool:
    """The same type; an object that may be null is bytes on the hub's side."""
    nullable = frozenset({OBJECT, "none"})
    return ours == theirs or (ours == nullable and theirs == OBJECT)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_view_is_the_same_on_both_sides_field_by_field(ours: type, theirs: type) -> None:
    sdk, hub = described(ours), described(theirs)
    assert list(sdk) == list(hub)
    for name, (kind, absent) in sdk.items():
        assert alike(kind, hub[name][0]), name
        assert hub[name][1] in ("always sent", absent), name


class Sdk(msgspec.Struct, kw_only=True):
    """A view of the SDK."""

    one: str
    two: tuple[str, ...] = ()
    three: dict[str, object] = {}


@pytest.mark.parametrize(
    "fields",
    [
        [("one", str), ("two", tuple[str, ...], ()), ("four", msgspec.Raw, msgspec.Raw(b"{}"))],
        [("one", int), ("two", tuple[str, ...], ()), ("three", msgspec.Raw, msgspec.Raw(b"{}"))],
        [("one", str), ("two", tuple[int, ...], ()), ("three", msgspec.Raw, msgspec.Raw(b"{}"))],
        [("one", str), ("two", tuple[str, ...], ()), ("three", msgspec.Raw, msgspec.Raw(b"null"))],
        [("one", str, ""), ("two", tuple[str, ...], ()), ("three", msgspec.Raw, msgspec.Raw(b"{}"))],
    ],
    ids=["another name", "another type", "another item", "another default", "not always sent"],
)
def test_a_planted_difference_is_seen(fields: list[tuple[object, ...]]) -> None:
    hub = msgspec.defstruct("Hub", fields, kw_only=True)  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        test_a_view_is_the_same_on_both_sides_field_by_field(Sdk, hub)


def test_an_equal_pair_is_equal() -> None:
    fields = [("one", str), ("two", tuple[str, ...], ()), ("three", msgspec.Raw, msgspec.Raw(b"{}"))]
    test_a_view_is_the_same_on_both_sides_field_by_field(Sdk, msgspec.defstruct("Hub", fields, kw_only=True))
