"""Records: an event with its envelope, and the registry of every event type ever written.

An event type is named ``stream-kind.past-tense/version``. The name is a disk format: a Python class
may be renamed, its registered name may not. A new field needs a default; a change of meaning needs
a new version, and the old one stays readable for ever.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from crossfade.core.values import Instant, Sequence, Shard, StreamName


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact, in the past tense. Subclasses document every field: their fields are the disk format."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event in its place in the log."""

    shard: Shard
    sequence: Sequence
    stream: StreamName
    version: int
    """Number of the event within its stream: 1 for the first, no gaps."""
    at: Instant
    """When it was decided, by the hub's clock; never earlier than the record before it."""
    actor: str
    """Whose command it was; ``system`` for what time or the hub itself did."""
    cause: str
    """Trace or request id that led to it; empty if none."""
    event: Event


class UnknownEventError(Exception):
    """A record's type is not one this release knows. The log stays readable, but not writable."""


_TYPES: Final[dict[str, type[Event]]] = {}
_NAMES: Final[dict[type[Event], str]] = {}
_DECODERS: Final[dict[str, "msgspec.json.Decoder[Any]"]] = {}
_ENCODER: Final = msgspec.json.Encoder()


def register(name: str, event_type: type[Event]) -> None:
    """Bind a type name on disk to the class that holds it; each name and class once."""
    if name in _TYPES or event_type in _NAMES:
        raise ValueError(f"event type registered twice: {name}")
    _TYPES[name] = event_type
    _NAMES[event_type] = name
    _DECODERS[name] = msgspec.json.Decoder(event_type)


def type_name(event: Event) -> str:
    """The name under which ``event`` is stored."""
    return _NAMES[type(event)]


encode: Final[Callable[[Event], bytes]] = _ENCODER.encode
"""The payload of an event as JSON, without its type name."""


def decode(name: str, payload: bytes) -> Event:
    """The event stored as ``payload``. Raises UnknownEventError for a type of a later release."""
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise UnknownEventError(name)
    event: Event = decoder.decode(payload)
    return event


def registered() -> dict[str, type[Event]]:
    """Every event type by its name on disk."""
    return dict(_TYPES)
