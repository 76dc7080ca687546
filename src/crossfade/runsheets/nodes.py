"""YAML text to a tree of plain text: every scalar a string, every key and value with its place.

Not here: what a value means (reading.py). Nothing is ever constructed from a tag, and no scalar is guessed at:
``12:30`` stays ``12:30`` and ``no`` stays ``no``.

Rules
-----
1. Refused, each with its place: a second document, anchors, aliases, tags, a key that is no plain text, the same
   key twice in one mapping, nesting deeper than ``DEPTH_MAX``, more than ``NODES_MAX`` values.
2. The tree is built from the parser's events on a stack, so depth is refused before it can exhaust anything.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
import yaml

from crossfade.runsheets.problems import START, Place

DEPTH_MAX: Final = 32
NODES_MAX: Final = 20_000


class Text(msgspec.Struct, frozen=True):
    """A scalar, as written."""

    place: Place
    text: str
    plain: bool
    """Without quotes; only a plain empty value means "nothing here"."""


class Entry(msgspec.Struct, frozen=True):
    """One key of a mapping with its value."""

    key: Text
    value: "Node"


class Mapping(msgspec.Struct):
    """Keys and values in the order of the file."""

    place: Place
    entries: list[Entry]


class Listing(msgspec.Struct):
    """Values in order."""

    place: Place
    items: list["Node"]


Node = Text | Mapping | Listing
T = TypeVar("T", Text, Mapping, Listing)


class YamlError(Exception):
    """The text is not the YAML that a runsheet may be."""

    def __init__(self, code: str, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.place, self.message, self.hint = code, place, message, hint


def compose(text: str) -> Node:
    """The tree of the one document in ``text``. Raises YamlError."""
    try:
        return _Tree().grown(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        place = Place(before.count("\n") + 1, fault.position - before.rfind("\n"))
        raise YamlError("yaml.syntax", place, f"the character U+{int(fault.character):04X} is not allowed") from None
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        said = " ".join(part for part in (fault.context, fault.problem) if part)
        raise YamlError("yaml.syntax", _place(mark), said) from None


def _place(mark: object) -> Place:
    """The place of a mark; the parser in C has marks of its own type."""
    line, column = getattr(mark, "line", 0), getattr(mark, "column", 0)
    return Place(line + 1, column + 1)


class _Tree:
    """A tree that grows event by event."""

    def __init__(self) -> None:
        self._open: list[Mapping | Listing] = []
        self._keys: list[Text | None] = []
        """For each open collection: the key that waits for its value."""
        self._seen: list[dict[str, Place]] = []
        self._root: Node | None = None
        self._nodes = 0
        self._documents = 0

    def grown(self, events: Iterable[yaml.Event]) -> Node:
        for event in events:
            self._take(event, _place(event.start_mark))
        if self._root is None:
            raise YamlError("yaml.empty", START, "the file is empty", "write something into it: see docs/reference")
        return self._root

    def _take(self, event: yaml.Event, place: Place) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise YamlError("yaml.documents", place, "a second document begins", "one runsheet is one document")
            case yaml.AliasEvent():
                raise YamlError("yaml.alias", place, f"alias *{event.anchor}", "write the value out")
            case yaml.ScalarEvent():
                self._add(_plain(event, Text(place, event.value, event.style is None)))
            case yaml.MappingStartEvent():
                self._begin(_plain(event, Mapping(place, [])))
            case yaml.SequenceStartEvent():
                self._begin(_plain(event, Listing(place, [])))
            case yaml.CollectionEndEvent():
                for stack in (self._open, self._keys, self._seen):
                    stack.pop()
            case _:
                pass

    def _begin(self, node: Mapping | Listing) -> None:
        if len(self._open) >= DEPTH_MAX:
            raise YamlError("yaml.too_deep", node.place, f"nested deeper than {DEPTH_MAX} levels")
        self._add(node)
        self._open.append(node)
        self._keys.append(None)
        self._seen.append({})

    def _add(self, node: Node) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise YamlError("yaml.too_many", node.place, f"more than {NODES_MAX} values")
        if not self._open:
            self._root = node
            return
        match self._open[-1], self._keys[-1]:
            case Listing(items=items), _:
                items.append(node)
            case Mapping(entries=entries), Text() as key:
                entries.append(Entry(key, node))
                self._keys[-1] = None
            case _:
                self._key(node)

    def _key(self, node: Node) -> None:
        if not isinstance(node, Text):
            raise YamlError("yaml.key", node.place, "a key has to be plain text")
        first = self._seen[-1].setdefault(node.text, node.place)
        if first != node.place:
            said = f"the key {node.text!r} stands here twice, first in line {first.line}"
            raise YamlError("yaml.duplicate_key", node.place, said, "keep one of them")
        self._keys[-1] = node


def _plain(event: yaml.NodeEvent, node: T) -> T:
    """The node, unless the event carries an anchor or a tag."""
    if event.anchor is not None:
        raise YamlError("yaml.anchor", node.place, f"anchor &{event.anchor}", "write the value out where it is needed")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise YamlError("yaml.tag", node.place, f"tag {tag}", "leave it out: every value is read as its field needs it")
    return node
