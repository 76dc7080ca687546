"""What is on disk stays readable: every event type as it was written first, byte by byte.

One golden file a type in golden/events/: its fields with types and defaults, one payload with every
field set and one with none that may be left out.
"""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

import crossfade.core
from crossfade.core import records
from crossfade.core.records import Event, UnknownEventError
from tests.contract.event_examples import EXAMPLES

FOLDER = Path(__file__).parent / "golden/events"
for module in pkgutil.walk_packages(crossfade.core.__path__, "crossfade.core."):
    importlib.import_module(module.name)  # an event type counts as soon as its module exists
UNWRITTEN: set[str] = set()
"""Kinds of streams that no hub writes yet, so that their events may still change: each leaves in the change
that first writes them."""
REGISTERED = sorted(name for name in records.registered() if name.partition(".")[0] not in UNWRITTEN)
BY_NAME = {records.type_name(example): example for example in EXAMPLES}
RULE = """
The fields of an event are a disk format: logs written with them exist and must be read for ever.
Allowed: a new field with a default, or a new value of an enumeration. Then take over `fields` below and leave
the payloads as they are. Anything else (renamed, removed, retyped, another default or meaning) is a new type:
register "{kind}/{next}" beside {name}, which stays registered and readable.
"""
ADD = """
{name} has no golden file. Add one event with no field at its default to tests/contract/event_examples.py, and
write this to tests/contract/golden/events/{file}, after reading it as what will be on disks for ever:

{text}"""


class Golden(msgspec.Struct):
    """A golden file; payloads keep their exact bytes."""

    type: str
    fields: dict[str, str]
    payload: msgspec.Raw
    least: msgspec.Raw


def file_of(name: str) -> Path:
    return FOLDER / (name.replace("/", ".") + ".json")


def type_text(kind: inspect.Type) -> str:
    """A field's type as the format knows it: what JSON may stand there."""
    match kind:
        case inspect.EnumType(cls=cls):
            return "|".join(member.value for member in cls)
        case inspect.VarTupleType(item_type=item):
            return f"array of {type_text(item)}"
        case inspect.DictType(key_type=key, value_type=value):
            return f"object of {type_text(key)} to {type_text(value)}"
        case inspect.StructType(fields=fields):
            return "{" + ", ".join(f"{field.encode_name}: {field_text(field)}" for field in fields) + "}"
        case inspect.LiteralType(values=values):
            return "|".join(map(str, values))
        case inspect.UnionType(types=types):
            return " or ".join(type_text(one) for one in types)
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def field_text(field: inspect.Field) -> str:
    """A field's type and, if it may be left out, what stands for it then."""
    if field.required:
        return type_text(field.type)
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return f"{type_text(field.type)} = {msgspec.json.encode(default).decode()}"


def fields_of(event_type: type[Event]) -> dict[str, str]:
    found = inspect.type_info(event_type)
    assert isinstance(found, inspect.StructType)
    return {field.encode_name: field_text(field) for field in found.fields}


def least(example: Event) -> Event:
    """The same with every field left out that may be."""
    found = inspect.type_info(type(example))
    assert isinstance(found, inspect.StructType)
    return type(example)(**{field.name: getattr(example, field.name) for field in found.fields if field.required})


def text_of(example: Event) -> str:
    name = records.type_name(example)
    fields = json.dumps(fields_of(type(example)), indent=2).replace("\n", "\n  ")
    payloads = [records.encode(one).decode() for one in (example, least(example))]
    return (
        f'{{\n  "type": "{name}",\n  "fields": {fields},\n  "payload": {payloads[0]},\n  "least": {payloads[1]}\n}}\n'
    )


def golden(name: str) -> Golden:
    return msgspec.json.decode(file_of(name).read_bytes(), type=Golden)


def rule(name: str) -> str:
    kind, _, version = name.partition("/")
    said = RULE.format(name=name, kind=kind, next=int(version) + 1)
    return f"{said}\n{text_of(BY_NAME[name])}"


@pytest.mark.parametrize("name", REGISTERED)
def test_every_event_type_has_a_golden_file_and_an_example_with_no_field_at_its_default(name: str) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+/[1-9][0-9]*", name)
    assert name in BY_NAME, f"{name}: add an example of it to tests/contract/event_examples.py"
    example = BY_NAME[name]
    assert file_of(name).exists(), ADD.format(name=name, file=file_of(name).name, text=text_of(example))
    assert set(json.loads(records.encode(example))) == set(fields_of(type(example))), "a field is at its default"


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_the_fields_of_an_event_type_are_those_that_were_written(name: str) -> None:
    assert golden(name).type == name
    assert golden(name).fields == fields_of(type(BY_NAME[name])), rule(name)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_recorded_payload_is_read_as_the_event_it_was_and_written_back_byte_by_byte(name: str) -> None:
    kept, example = golden(name), BY_NAME[name]
    for payload, event in ((kept.payload, example), (kept.least, least(example))):
        assert records.decode(name, bytes(payload)) == event, rule(name)
        assert records.encode(event) == bytes(payload), rule(name)


def test_no_golden_file_is_without_its_type() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert files == {file_of(name).name for name in REGISTERED}, "a registered name may never be taken back"


def test_a_type_of_a_later_release_is_named_and_not_guessed() -> None:
    with pytest.raises(UnknownEventError, match=r"question\.forgotten/1"):
        records.decode("question.forgotten/1", b"{}")


def test_a_field_of_a_later_release_is_read_past() -> None:
    assert records.decode("question.expired/1", b'{"later":1}') == BY_NAME["question.expired/1"]


def test_a_name_and_a_class_are_registered_once() -> None:
    class Other(Event, frozen=True, kw_only=True):
        pass

    for name, event_type in (("question.expired/1", Other), ("question.other/1", type(EXAMPLES[0]))):
        with pytest.raises(ValueError, match="registered twice"):
            records.register(name, event_type)
    assert "question.other/1" not in records.registered()
