"""What a call costs is held to a number of functions called, which is the same on every machine; time is not.

The bounds are a tenth above what was counted when they were written down (docs/adr/0027). Whoever makes it less may
lower them; whoever has a reason to make it more says so there. `python -m bench.trip --top 60` lists who is called.
"""

import asyncio

import pytest

from bench.trip import REVISIONS, Counter, Desk
from tests.kit.clock import FakeClock, FakeIds

TRIPS = 40
PARTS = ("inbound", "engine", "core")


async def counted(revision: str, work: str) -> dict[str, float]:
    """Functions written in Python that were called (or continued) for each trip or call, by the part they are in."""
    async with Desk(revision, 4, FakeClock(), FakeIds(3)) as desk:
        await getattr(desk, work)(TRIPS)  # heads are remembered, shapes known, caches filled
        with Counter() as counter:
            await getattr(desk, work)(TRIPS)
    return {part: count[0] for part, count in counter.parts(TRIPS).items() if part in PARTS}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    ("work", "inbound_max", "whole_max"),
    [
        ("calls", 27.2, 37.5),  # `question`: 24.8 and 34.1
        ("trips", 103.6, 249.4),  # ask → answer: 94 and 227
    ],
)
def test_a_call_and_a_round_trip_call_no_more_functions_than_they_did(
    revision: str, work: str, inbound_max: float, whole_max: float
) -> None:
    found = asyncio.run(counted(revision, work))
    assert found["inbound"] <= inbound_max, found
    assert sum(found.values()) <= whole_max, found
    assert found["inbound"] > inbound_max / 2, "too few to be true: what is counted?"
