"""The tree of a file to typed values, led by the types of the core; every mistake with its place.

Not here: whether the values make sense together (lint.py).

Rules
-----
1. All mistakes are collected, not only the first.
2. A key without a value is as if it were not there where a field may be left out; elsewhere it is a mistake.
3. ``places`` holds each value's place by dotted path; a section's place is that of its key.
"""

from collections.abc import Callable
from functools import cache
from typing import Final, TypeVar

import msgspec
from msgspec import inspect

from crossfade.runsheets import scalars
from crossfade.runsheets.nodes import Entry, Listing, Mapping, Node, Text
from crossfade.runsheets.problems import START, Place, Problem, did_you_mean

READERS: Final[dict[type[inspect.Type], Callable[[str], object]]] = {
    inspect.StrType: str,
    inspect.BoolType: scalars.boolean,
    inspect.IntType: scalars.integer,
    inspect.FloatType: scalars.number,
    inspect.TimeDeltaType: scalars.duration,
    inspect.TimeType: scalars.clock_time,
    inspect.DateType: scalars.calendar_day,
}
TEXT_LENGTH_MAX: Final = 4_000
T = TypeVar("T", bound=msgspec.Struct)


class Reading:
    """One file being read."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[str, Place] = {"": START}
        self.problems: list[Problem] = []

    def typed(self, root: Node, wanted: type[T]) -> T | None:
        """The typed whole; None if there are problems."""
        value = self._value(root, _described(wanted), "")
        return None if self.problems else msgspec.convert(value, wanted)

    def _wrong(self, code: str, path: str, place: Place, message: str, hint: str = "") -> object:
        self.problems.append(
            Problem(
                code=code, file=self.file, line=place.line, column=place.column, path=path, message=message, hint=hint
            )
        )
        return None

    def _value(self, node: Node, kind: inspect.Type, path: str) -> object:
        match kind:
            case inspect.UnionType():
                return self._optional(node, kind, path)
            case inspect.StructType():
                return self._section(node, kind, path)
            case inspect.DictType():
                return self._named(node, kind, path)
            case inspect.VarTupleType():
                return self._listed(node, kind, path)
            case _:
                return self._scalar(node, kind, path)

    def _optional(self, node: Node, kind: inspect.UnionType, path: str) -> object:
        if _blank(node):
            return None
        inner = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        listed = [one for one in inner if isinstance(one, inspect.VarTupleType) == isinstance(node, Listing)]
        return self._value(node, (listed or inner)[0], path)

    def _section(self, node: Node, kind: inspect.StructType, path: str) -> object:
        if not isinstance(node, Mapping):
            hint = f"write it like {{{kind.fields[0].encode_name}: …}}"
            return self._wrong("value.kind", path, node.place, f"{_what(node)} stands where a section belongs", hint)
        fields = {field.encode_name: field for field in kind.fields}
        found: dict[str, object] = {}
        for entry in node.entries:
            inner = self._at(path, entry)
            field = fields.get(entry.key.text)
            if field is None:
                self._wrong(
                    "field.unknown", inner, entry.key.place, "no such field", did_you_mean(entry.key.text, fields)
                )
            elif not _blank(entry.value) or field.required:
                found[field.encode_name] = self._value(entry.value, field.type, inner)
        for name in (name for name, field in fields.items() if field.required and name not in found):
            self._wrong("field.missing", _join(path, name), self.places[path], "missing", f"add {name}:")
        return found

    def _at(self, path: str, entry: Entry) -> str:
        """The path of an entry, its place noted."""
        inner = _join(path, entry.key.text)
        self.places[inner] = entry.value.place if isinstance(entry.value, Text) else entry.key.place
        return inner

    def _named(self, node: Node, kind: inspect.DictType, path: str) -> object:
        if not isinstance(node, Mapping):
            return self._wrong("value.kind", path, node.place, f"{_what(node)} stands where named entries belong")
        found: dict[object, object] = {}
        for entry in node.entries:
            inner = self._at(path, entry)
            key = self._scalar(entry.key, kind.key_type, inner)
            found[key] = self._value(entry.value, kind.value_type, inner)
        return found

    def _listed(self, node: Node, kind: inspect.VarTupleType, path: str) -> object:
        if not isinstance(node, Listing):
            return self._wrong(
                "value.kind", path, node.place, f"{_what(node)} stands where a list belongs", "write [ ]"
            )
        found: list[object] = []
        for index, item in enumerate(node.items):
            inner = _join(path, str(index))
            self.places[inner] = item.place
            found.append(self._value(item, kind.item_type, inner))
        return found

    def _scalar(self, node: Node, kind: inspect.Type, path: str) -> object:
        if not isinstance(node, Text):
            return self._wrong("value.kind", path, node.place, f"{_what(node)} stands where one value belongs")
        if len(node.text) > TEXT_LENGTH_MAX:
            return self._wrong("value.too_long", path, node.place, f"longer than {TEXT_LENGTH_MAX} characters")
        if isinstance(kind, inspect.LiteralType | inspect.EnumType):
            return self._choice(node, kind, path)
        try:
            value = READERS[type(kind)](node.text)
        except ValueError as fault:
            what, hint = fault.args
            return self._wrong("value.type", path, node.place, what, hint)
        if isinstance(kind, inspect.IntType | inspect.FloatType) and isinstance(value, int | float):
            return self._bounded(value, kind, path, node)
        return value

    def _bounded(self, value: float, kind: inspect.IntType | inspect.FloatType, path: str, node: Text) -> object:
        if kind.ge is not None and value < kind.ge:
            return self._wrong("value.bounds", path, node.place, f"{node.text} is less than {kind.ge:g}")
        if kind.le is not None and value > kind.le:
            hint = f"did you mean {node.text}%?" if kind.le == 1 and value <= 100 else ""
            return self._wrong("value.bounds", path, node.place, f"{node.text} is more than {kind.le:g}", hint)
        return value

    def _choice(self, node: Text, kind: inspect.LiteralType | inspect.EnumType, path: str) -> object:
        known = _choices(kind)
        if node.text not in known:
            hint = did_you_mean(node.text, known)
            return self._wrong("value.choice", path, node.place, f"{node.text!r} is not one of the choices", hint)
        return node.text


@cache
def _described(wanted: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(wanted)


def _choices(kind: inspect.LiteralType | inspect.EnumType) -> tuple[str, ...]:
    if isinstance(kind, inspect.LiteralType):
        return tuple(str(value) for value in kind.values)
    return tuple(str(member.value) for member in kind.cls)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _blank(node: Node) -> bool:
    return isinstance(node, Text) and node.plain and not node.text


def _what(node: Node) -> str:
    match node:
        case Mapping():
            return "a mapping"
        case Listing():
            return "a list"
        case Text(text=""):
            return "nothing"
        case Text(text=text):
            return repr(text[:40])
