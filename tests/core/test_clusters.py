"""Agents that talk to each other end up together, and never too many of them."""

import random
from collections import Counter

import pytest

from crossfade.core import clusters

Pairs = dict[tuple[str, str], int]


def planted(agents: int, teams: int, conversations: int, within: float, seed: int = 1) -> tuple[Pairs, dict[str, str]]:
    """Conversations of a fleet whose teams we know: ``within`` of them stay inside a team."""
    chance = random.Random(seed)
    team = [number * teams // agents for number in range(agents)]
    chance.shuffle(team)
    members: dict[int, list[int]] = {}
    for agent, number in enumerate(team):
        members.setdefault(number, []).append(agent)
    edges: Pairs = {}
    for _ in range(conversations):
        one = chance.randrange(agents)
        other = chance.choice(members[team[one]]) if chance.random() < within else chance.randrange(agents)
        pair = (f"agent-{one}", f"agent-{other}")
        edges[pair] = edges.get(pair, 0) + 1
    return edges, {f"agent-{agent}": f"team-{number}" for agent, number in enumerate(team)}


def share_inside(edges: Pairs, cluster: dict[str, str]) -> float:
    """Conversations whose two ends share a cluster."""
    return sum(n for (one, other), n in edges.items() if cluster[one] == cluster[other]) / sum(edges.values())


def test_the_teams_of_ten_thousand_agents_are_found_and_none_is_above_the_cap() -> None:
    edges, team = planted(agents=10_000, teams=300, conversations=50_000, within=0.95)
    agents = dict.fromkeys(team, 1)
    found = clusters.propagate(edges, agents)
    assert found.keys() == agents.keys()
    assert share_inside(edges, found) >= 0.9
    assert max(Counter(found.values()).values()) <= 50
    assert not clusters.oversized(found, agents)


def test_a_small_fleet_does_not_fall_apart_under_the_cap() -> None:
    edges, team = planted(agents=40, teams=5, conversations=800, within=0.95)
    found = clusters.propagate(edges, dict.fromkeys(team, 1))
    assert share_inside(edges, found) >= 0.9
    assert max(Counter(found.values()).values()) <= clusters.MEMBERS_MIN


def test_neither_the_order_of_the_input_nor_the_direction_of_a_pair_matters() -> None:
    edges, team = planted(agents=300, teams=40, conversations=900, within=0.5)
    agents = dict.fromkeys(team, 1)
    expected = clusters.propagate(edges, agents)
    assert list(expected) == sorted(expected)
    chance = random.Random(3)
    for _ in range(3):
        shuffled = [(pair if chance.random() < 0.5 else pair[::-1], n) for pair, n in edges.items()]
        chance.shuffle(shuffled)
        names = list(agents)
        chance.shuffle(names)
        assert clusters.propagate(shuffled, dict.fromkeys(names, 1)) == expected


def test_labelled_agents_keep_their_label_and_their_partners_join_them() -> None:
    edges = {("a", "b"): 5, ("b", "c"): 3, ("d", "e"): 4, ("a", "x"): 1}
    agents = dict.fromkeys("abcde", 1)
    found = clusters.propagate(edges, agents, labels={"a": "payments", "d": "search", "gone": "search"})
    assert found == {"a": "payments", "b": "payments", "c": "payments", "d": "search", "e": "search"}


def test_two_labels_are_never_joined() -> None:
    found = clusters.propagate({("a", "b"): 100}, {"a": 1, "b": 1}, labels={"a": "one", "b": "two"})
    assert found == {"a": "one", "b": "two"}


def test_a_full_label_takes_nobody_else() -> None:
    labels = {f"agent-{number}": "all" for number in range(9)}
    agents = dict.fromkeys([*labels, "late"], 1)
    assert clusters.propagate({("late", "agent-1"): 9}, agents, labels=labels)["late"] == "~late"


def test_the_cap_is_on_weight_and_one_heavy_agent_stays_alone() -> None:
    agents = {"heavy": 1_000} | {f"light-{number}": 1 for number in range(1_999)}
    edges = {("heavy", f"light-{number}"): 3 for number in range(1_999)}
    found = clusters.propagate(edges, agents)
    assert [name for name, cluster in found.items() if cluster == found["heavy"]] == ["heavy"]
    assert [large.cluster for large in clusters.oversized(found, agents)] == ["~heavy"]


def test_agents_that_talk_to_nobody_are_clusters_of_one() -> None:
    assert clusters.propagate({("b", "b"): 7, ("a", "b"): 0}, {"a": 1, "b": 1}) == {"a": "~a", "b": "~b"}
    assert clusters.propagate({}, {}) == {}


def test_a_computed_name_is_never_that_of_a_label() -> None:
    found = clusters.propagate({}, {"a": 1, "b": 1}, labels={"a": "~b"})
    assert found == {"a": "~b", "b": "~~b"}


def test_a_computed_cluster_is_named_after_its_first_member() -> None:
    edges = {("d", "c"): 5, ("c", "b"): 5, ("d", "b"): 5}
    assert set(clusters.propagate(edges, dict.fromkeys("bcd", 1)).values()) == {"~b"}


def test_labels_above_the_cap_are_reported_the_heaviest_first() -> None:
    cluster = {f"agent-{number}": f"team-{number % 3}" for number in range(4_000)}
    cluster |= {f"single-{number}": f"~single-{number}" for number in range(6_000)}
    agents = dict.fromkeys(cluster, 1) | {"agent-0": 11}
    found = clusters.oversized(cluster, agents)
    assert [large.cluster for large in found] == ["team-0", "team-1", "team-2"]
    assert found[0].share == (1_334 + 10) / 10_010
    assert clusters.weights_of(cluster, agents)["team-0"] == 1_344


def test_a_cluster_exactly_at_the_cap_is_not_reported() -> None:
    cluster = {f"agent-{number}": "full" if number < 10 else f"~agent-{number}" for number in range(2_000)}
    assert not clusters.oversized(cluster, dict.fromkeys(cluster, 1))
    assert len(clusters.oversized(cluster | {"agent-10": "full"}, dict.fromkeys(cluster, 1))) == 1


def test_a_team_in_two_halves_is_joined_again() -> None:
    halves = {(f"{half}{one}", f"{half}{other}"): 5 for half in "ab" for one in range(3) for other in range(one)}
    joints = {(f"a{number}", f"b{number}"): 4 for number in range(3)}
    agents = dict.fromkeys([f"{half}{number}" for half in "ab" for number in range(3)], 1)
    assert len(set(clusters.propagate(halves | joints, agents).values())) == 1
    weak = dict.fromkeys(joints, 1)
    assert len(set(clusters.propagate(halves | weak, agents).values())) == 2


def test_passes_are_bounded_and_what_is_not_settled_by_then_is_still_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    edges, team = planted(agents=60, teams=6, conversations=600, within=0.9)
    agents = dict.fromkeys(team, 1)
    settled = share_inside(edges, clusters.propagate(edges, agents))
    inside = []
    for rounds, merges in ((0, 0), (1, 0), (1, 1)):
        monkeypatch.setattr(clusters, "ROUNDS_MAX", rounds)
        monkeypatch.setattr(clusters, "MERGES_MAX", merges)
        found = clusters.propagate(edges, agents)
        assert found.keys() == agents.keys()
        assert max(Counter(found.values()).values()) <= clusters.MEMBERS_MIN
        inside.append(share_inside(edges, found))
    assert inside[0] == sum(n for (one, other), n in edges.items() if one == other) / sum(edges.values())
    assert inside[0] < inside[1] <= inside[2] <= settled
