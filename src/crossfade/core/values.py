"""Value types that every module shares: ids, instants, sequences, identities.

Not here: anything that reads a clock or makes an id (see outbound/host.py).
Units: instants and durations are whole nanoseconds, so arithmetic on them is exact.
"""

from enum import StrEnum
from typing import Final, NewType

import msgspec

AgentName = NewType("AgentName", str)
"""Name of a program, person or service, unique in a hub: ``[a-z0-9][a-z0-9._-]{0,63}``."""

QuestionId = NewType("QuestionId", str)
"""``q_`` and a 26-character time-ordered id."""

MessageId = NewType("MessageId", str)
"""``m_`` and a 26-character time-ordered id."""

StreamName = NewType("StreamName", str)
"""``kind/id``, e.g. ``question/q_01J…``; at most 200 bytes of UTF-8."""

Shard = NewType("Shard", int)
"""Number of a totally ordered log: 0 is the programme's, 1 and up hold the spaces."""

Sequence = NewType("Sequence", int)
"""Place in a shard: 1 for the first record, no gaps. 0 means before the first."""

Instant = NewType("Instant", int)
"""A point in time: nanoseconds since the Unix epoch, UTC. Never local, never a float."""

PROGRAMME: Final = Shard(0)
"""The shard of the rollout, credentials, runs and incidents."""

SPACE: Final = Shard(1)
"""The shard of the default space: its agents, messages and questions."""

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000


class Kind(StrEnum):
    """What stands behind an identity."""

    PROGRAM = "program"
    PERSON = "person"
    SERVICE = "service"


class Lane(StrEnum):
    """How things reach a recipient."""

    POLLING = "polling"
    ELICITATION = "elicitation"


class Channel(StrEnum):
    """The carrier over which an item was shown to its addressee."""

    POLL = "poll"
    """``wait_for_messages``, as text."""
    NATIVE = "native"
    """MCP elicitation inside a call that the addressee holds open."""
    STREAM = "stream"
    """The event stream ``/v1/stream``."""
    INBOX = "inbox"
    """The tool ``inbox`` or its HTTP twin."""
    CONSOLE = "console"
    """The page for people."""


class Scope(StrEnum):
    """What a credential may do; each includes nothing of the others."""

    AGENT = "agent"
    PERSON = "person"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a request, as the credential says. Never built from an argument of the request."""

    name: AgentName
    kind: Kind = Kind.PROGRAM
    scopes: frozenset[Scope] = frozenset()
    client: str = ""
    """Name of the client program as it reports itself; for display and quirks, never for authority."""
    faces_person: bool = False
    """The client shows dialogs to somebody, so a decline within a blink was made by a machine."""
    guest: bool = False
    """Admitted without a credential (development hub on loopback only)."""


def stream_of(kind: str, identifier: str) -> StreamName:
    """The stream that holds the events of one thing."""
    return StreamName(f"{kind}/{identifier}")
