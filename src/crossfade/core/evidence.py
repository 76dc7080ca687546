"""Evidence: bytes that a claim rests on, kept in the log under their SHA-256.

Rule: what is kept under a digest has that digest, so nobody can put other bytes in its place.
The state does not hold the bytes; they are read from the log when somebody asks for them.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.values import Instant

SIZE_BYTES_MAX: Final = 256 * 1024


class Status(StrEnum):
    """Whether the bytes are there."""

    ABSENT = "absent"
    KEPT = "kept"


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    media: str
    content: bytes


class EvidenceKept(Event, frozen=True, kw_only=True):
    digest: str
    """Hex SHA-256 of the content; also the name of the stream."""
    media: str
    """Media type, e.g. ``application/json``."""
    size_bytes: int
    """Length of the content."""
    content: bytes
    """The bytes themselves, base64 on disk."""


register("evidence.kept/1", EvidenceKept)

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {(Status.ABSENT, EvidenceKept): Status.KEPT}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the bytes without reading them."""

    status: Status = Status.ABSENT
    digest: str = ""
    media: str = ""
    size_bytes: int = 0


def decide(state: State, command: Keep, now: Instant) -> tuple[EvidenceKept, ...] | Refusal:
    """Keep the bytes; nothing happens if they are kept already.

    Refuses with: evidence.too_large, evidence.digest_differs.
    """
    if len(command.content) > SIZE_BYTES_MAX:
        return Refusal(
            "evidence.too_large",
            f"The evidence has {len(command.content)} bytes, at most {SIZE_BYTES_MAX} are kept.",
            "Keep a summary that names the digest of the whole.",
        )
    if sha256(command.content).hexdigest() != command.digest:
        return Refusal("evidence.digest_differs", "The bytes have another digest.", "Take the SHA-256 of the bytes.")
    if state.status is Status.KEPT:
        return ()
    size = len(command.content)
    return (EvidenceKept(digest=command.digest, media=command.media, size_bytes=size, content=command.content),)


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    assert isinstance(event, EvidenceKept)
    return State(status=status, digest=event.digest, media=event.media, size_bytes=event.size_bytes)


def deadline(state: State) -> Instant | None:
    """None: evidence is kept as long as the log is."""
    return None


DECIDER: Final[Decider[State, Keep, Event]] = Decider(initial=State(), decide=decide, evolve=evolve, deadline=deadline)
