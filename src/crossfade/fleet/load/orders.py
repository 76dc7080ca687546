"""What the parent and its load processes tell each other: one JSON object a line, orders in, reports out.

Rules
-----
1. A load process ends when its stdin ends: it cannot outlive the one who started it.
2. Histograms travel in their compact form (core/histograms.py) and are merged by the parent.
"""

from typing import Final

import msgspec

from crossfade.fleet.load.profile import Profile


class Order(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """The first line to a load process: everything it has to know."""

    process: int
    processes: int
    profile: Profile
    run: str
    host: str
    """Address of the hub."""
    port: int
    authority: str
    """Value of the Host header."""
    sources: tuple[str, ...]
    lines: int
    folder: str
    """For its journals."""
    tokens: tuple[str, ...]
    """Of its own agents, in their order."""
    on_elicitation: tuple[int, ...]
    """Clusters on the elicitation lane."""


class Go(msgspec.Struct, frozen=True, tag="go"):
    """Begin to ask at this instant of CLOCK_MONOTONIC."""

    start_ns: int


class Halt(msgspec.Struct, frozen=True, tag="halt"):
    """Ask nothing more, but let what is open come to its end."""


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Let go of everything, write the journals, say the last word and end."""


class State(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """How a load process stands; sent several times a second."""

    attached: int
    due: int
    acknowledged: int
    answered: int
    received: int
    open: int
    unacknowledged: int
    answering: int
    waiting: int
    """Calls that wait for a shared connection."""
    finished: bool
    """Its schedule is at its end."""
    cpu_seconds: float
    bytes_in: int
    bytes_out: int
    requests: int
    empty: int
    """Waits that brought nothing."""
    failed: int
    """Connections in a row that could not be made."""
    at_ns: int


class Histogrammed(msgspec.Struct, frozen=True, array_like=True):
    """A tally on its way."""

    compact: tuple[str, tuple[tuple[int, int], ...]]
    largest: float | None


class Last(msgspec.Struct, frozen=True, kw_only=True, tag="last"):
    """The last word of a load process."""

    counts: dict[str, int]
    faults: dict[str, int]
    lateness: Histogrammed
    reattached: Histogrammed
    connections: int
    state: State


UNWRITABLE: Final = 74
"""Exit code of a load process that could not write its journals: EX_IOERR."""
ORDERS = msgspec.json.Decoder(Order | Go | Halt | Finish)
REPORTS = msgspec.json.Decoder(State | Last)
