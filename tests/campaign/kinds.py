"""What a campaign is made of: each kind of run, how far it is to go, and the program that runs a range of its seeds.

A program prints one line of JSON at its end: ``violations``, and the first of them. What it ran, it is believed
to have run to the end only if that line is there.
"""

from collections.abc import Callable
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """One kind of run."""

    name: str
    what: str
    target: int
    chunk: int
    """Seeds that are one entry of the state: what an interruption may cost."""
    words: Callable[[int, int], tuple[str, ...]]
    """First seed and their number → what Python runs."""


KINDS: Final = (
    Kind(
        "schedules", "simulated schedules of the hub", 2_000_000, 2_000,
        lambda first, count: ("tests.simulation", "--from", str(first), "--seeds", str(count), "--json"),
    ),
    Kind(
        "stack", "simulated runs of the official client and the whole server", 20_000, 50,
        lambda first, count: ("tests.simulation", "--stack", "--from", str(first), "--seeds", str(count), "--json"),
    ),
    Kind(
        "powerloss", "power cuts, disk errors, full disks", 1_000_000, 4_000,
        lambda first, count: ("tests.powerloss", "--seed", str(first), "--cases", str(count)),
    ),
    Kind(
        "flips", "flipped bits", 100_000, 2_000,
        lambda first, count: ("tests.powerloss", "--seed", str(first), "--cases", "0", "--flips", str(count)),
    ),
    Kind(
        "shelves", "power cuts, disk errors, flipped bits in the folder of snapshots", 100_000, 1_000,
        lambda first, count: ("tests.powerloss", "--seed", str(first), "--cases", "0", "--shelves", str(count)),
    ),
    Kind(
        "kills", "kills of a real hub under load", 10_000, 20,
        lambda first, count: ("tests.crash", "--seed", str(first), "--kills", str(count), "--json"),
    ),
    Kind(
        "histories", "histories against every order tried", 1_000_000, 10_000,
        lambda first, count: ("tests.campaign.histories", "--from", str(first), "--count", str(count)),
    ),
)  # fmt: skip
