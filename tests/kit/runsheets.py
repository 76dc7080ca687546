"""Runsheets for tests: the shipped ones, and copies of them with one value changed."""

from functools import cache

import msgspec

from crossfade.core.runsheets import Runsheet
from crossfade.runsheets import Loaded, Place, digest_of, load

GONE = object()
"""As a value: the field is not there."""


@cache
def shipped(name: str) -> Loaded:
    found = load(name)
    assert isinstance(found, Loaded), found
    return found


def tree(runsheet: Runsheet) -> dict[str, object]:
    """A runsheet as plain values that can be changed."""
    return msgspec.json.decode(msgspec.json.encode(runsheet), type=dict[str, object])


def runsheet_of(plain: object) -> Runsheet:
    return msgspec.convert(plain, Runsheet, strict=False)


def changed(runsheet: Runsheet, *changes: tuple[str, object]) -> Runsheet:
    """A copy with other values at dotted paths; an item of a list is named by its index or its id."""
    plain = tree(runsheet)
    for path, value in changes:
        *way, last = path.split(".")
        node = plain
        for name in way:
            node = _child(node, name)
        _put(node, last, value)
    return runsheet_of(plain)


def _child(node, name):
    if isinstance(node, list):
        return node[_index(node, name)]
    return node.setdefault(name, {})


def _put(node, name, value) -> None:
    if isinstance(node, list):
        if value is GONE:
            del node[_index(node, name)]
        elif name == "+":
            node.append(value)
        else:
            node[_index(node, name)] = value
    elif value is GONE:
        node.pop(name, None)
    else:
        node[name] = value


def _index(items, name: str) -> int:
    if name.isdigit():
        return int(name)
    return next(place for place, item in enumerate(items) if item["id"] == name)


def as_loaded(runsheet: Runsheet) -> Loaded:
    """Without a file: everything stands in line 1."""
    return Loaded(
        runsheet=runsheet, places={"": Place(1, 1)}, digest=digest_of(runsheet), source=b"", file="planted.yaml"
    )
