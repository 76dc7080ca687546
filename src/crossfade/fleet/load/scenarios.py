"""The scenarios that are shipped: a profile each, and what of it may be changed on the command line.

A scenario of one step is one run; ``scaling`` is one run a step, each on a hub of its own.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from crossfade.fleet.load.profile import Phase, Profile, ProfileError


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One way to put load on a hub."""

    name: str
    help: str
    agents: int = 1_000
    rate: float = 100.0
    """Questions a second."""
    seconds: float = 30.0
    share: float = 0.0
    spike: float = 0.0
    """The middle third has so many times the rate; 0: no spike."""
    experts_share: float = 0.0
    """Share of the agents that are asked by all others; 0: everybody asks everybody."""
    storm: bool = False
    """Half-way, every connection is lost at once."""
    steps: tuple[int, ...] = ()
    """Numbers of agents, a run each."""
    leak: bool = False
    """What counts is whether the hub's memory grows."""


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="baseline", help="A steady rate: the figures that others are compared with."),
        Scenario(
            name="scaling",
            help="From 100 to 15,000 agents, a hub and a row for each step.",
            rate=100.0,
            seconds=10.0,
            steps=(100, 1_000, 5_000, 10_000, 15_000),
        ),
        Scenario(name="spike", help="The middle third has five times the rate; before, during, after.", spike=5.0),
        Scenario(
            name="endurance",
            help="A long steady run that says whether the hub's memory grows.",
            agents=5_000,
            rate=100.0,
            seconds=1_800.0,
            leak=True,
        ),
        Scenario(
            name="coordination",
            help="One agent in a hundred is an expert whom all others ask: 100 experts, 10,000 workers.",
            agents=10_100,
            experts_share=1 / 101,
        ),
        Scenario(
            name="reconnect-storm",
            help="Half-way, every agent loses its connection at the same moment.",
            agents=2_000,
            storm=True,
        ),
    )
}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; None: as the scenario has it."""

    agents: int | None = None
    rate: float | None = None
    seconds: float | None = None
    share: float | None = None
    steps: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    """Questions a second, a run each."""
    more: Mapping[str, object] = {}
    """Further fields of the profile."""


def profiles(scenario: Scenario, wish: Wish) -> list[Profile]:
    """The profile of each step of a scenario."""
    steps = wish.steps or scenario.steps
    if steps and wish.agents is not None:
        if wish.steps:
            raise ProfileError("--agents and --steps exclude each other", "give one of them")
        steps = (*(step for step in steps if step < wish.agents), wish.agents)
    if wish.rates and wish.rate is not None:
        raise ProfileError("--questions-per-second and --rates exclude each other", "give one of them")
    agents = scenario.agents if wish.agents is None else wish.agents
    wishes = [msgspec.structs.replace(wish, rate=rate) for rate in wish.rates] or [wish]
    return [_profile(scenario, each, number) for number in steps or (agents,) for each in wishes]


def _profile(scenario: Scenario, wish: Wish, agents: int) -> Profile:
    rate = scenario.rate if wish.rate is None else wish.rate
    seconds = scenario.seconds if wish.seconds is None else wish.seconds
    phases: tuple[Phase, ...] = (Phase("steady", seconds, rate),)
    if scenario.spike:
        third = seconds / 3
        phases = (
            Phase("before", third, rate),
            Phase("spike", third, rate * scenario.spike),
            Phase("after", third, rate),
        )
    profile = Profile(
        agents=agents,
        phases=phases,
        share=scenario.share if wish.share is None else wish.share,
        experts=max(1, round(agents * scenario.experts_share)) if scenario.experts_share else 0,
        storm_at_seconds=seconds / 2 if scenario.storm else 0.0,
    )
    return msgspec.structs.replace(profile, **wish.more)


def of_name(name: str) -> Scenario:
    """The scenario called so. Raises ProfileError."""
    found = SCENARIOS.get(name)
    if found is None:
        raise ProfileError(f"there is no scenario {name!r}", f"one of: {', '.join(SCENARIOS)}")
    return found
