"""Which agents end up together in small made-up fleets, name by name, so that a change of the grouping is seen.

A change of the grouping moves agents to the other lane, so it is never an accident. ``python -m
tests.core.test_cluster_tables`` writes tables/clusters.txt anew; read what changed before it is kept.
"""

import random
from collections import defaultdict

import pytest

from crossfade.core import clusters
from tests.core.test_clusters import planted
from tests.kit.tables import TABLES

FILE = TABLES / "clusters.txt"
SEEDS = range(8)


def teams(seed: int) -> list[str]:
    """The clusters of a fleet, and which of them are above the cap; every other fleet has labels."""
    edges, team = planted(agents=30, teams=5, conversations=120, within=0.7, seed=seed)
    dice = random.Random(seed)
    agents = {agent: dice.randint(1, 4) for agent in team}
    labels = {agent: f"desk-{number % 2}" for number, agent in enumerate(sorted(team)) if number % 7 == seed % 7}
    cap_share, members_min = 0.1 + 0.05 * (seed % 3), 1 + seed % 6
    found = clusters.propagate(edges, agents, labels if seed % 2 else None, cap_share, members_min)
    members = defaultdict(list)
    for agent, cluster in found.items():
        members[cluster].append(agent.removeprefix("agent-"))
    weights = clusters.weights_of(found, agents)
    lines = [f"{seed} | {cluster} | {weights[cluster]} | {' '.join(members[cluster])}" for cluster in sorted(members)]
    over = clusters.oversized(found, agents, cap_share, members_min)
    return [*lines, *(f"{seed} | {one.cluster} | above the cap | {one.share:.6f}" for one in over)]


def kept() -> list[str]:
    lines = FILE.read_text("utf-8").splitlines() if FILE.exists() else []
    return [line for line in lines if line and line[0].isdigit()]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_fleet_is_grouped_the_same(seed: int) -> None:
    assert teams(seed) == [line for line in kept() if line.startswith(f"{seed} | ")]


def test_who_is_unknown_weighs_nothing_and_who_talks_to_nobody_stays_alone() -> None:
    assert clusters.weights_of({"a": "x", "b": "x", "c": "y"}, {"a": 2}) == {"x": 2, "y": 0}
    edges = {("a", "b"): 0, ("a", "eve"): 9, ("c", "c"): 5, ("c", "d"): 1}
    found = clusters.propagate(edges, dict.fromkeys("abcd", 1), cap_share=0.5)
    assert len({found[agent] for agent in "abcd"}) == 3
    assert found["c"] == found["d"]


@pytest.mark.parametrize(("agents", "cap"), [(0, 0.0), (1, 5.0), (2, 5.0), (10, 5.0), (100, 5.0), (2_000, 10.0)])
def test_the_cap_is_a_share_of_all_and_never_below_so_many_average_agents(agents: int, cap: float) -> None:
    fleet = {f"agent-{number}": 1 for number in range(agents)}
    assert clusters.cap_weight(fleet, 0.005, 5) == pytest.approx(cap)


def test_what_is_above_the_cap_depends_on_the_smallest_team_that_is_allowed() -> None:
    fleet = dict.fromkeys("abcdef", 1)
    both = {agent: "x" if agent in "abcd" else "y" for agent in fleet}
    assert clusters.oversized(both, fleet, 0.1, 4) == ()
    assert [one.cluster for one in clusters.oversized(both, fleet, 0.1, 3)] == ["x"]


if __name__ == "__main__":
    about = "# Seed of the fleet | cluster | weight | agents. Written by tests/core/test_cluster_tables.py.\n"
    FILE.write_text("\n".join([about, *(line for seed in SEEDS for line in teams(seed))]) + "\n", "utf-8")
