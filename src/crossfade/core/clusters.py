"""Clusters: groups of agents that talk to each other, so that both ends of a conversation share a lane.

A label wins; agents without one are grouped by label propagation over who talks to whom, with a cap on
a cluster's weight: one heavy cluster would make every share a jump. Deterministic: neither the order of
the input nor chance decides. Not here: lanes (cohorts.py), and the freeze (rollouts.py).

Sources: Raghavan, Albert, Kumara 2007 (label propagation); Meyerhenke, Sanders, Schulz 2014 (size
constraint and contraction). Figures and what was left out: docs/adr/0007.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

CAP_SHARE: Final = 0.005
"""Most weight of one computed cluster, as a share of all."""
MEMBERS_MIN: Final = 8
"""The cap never falls below the weight of this many average agents, else small fleets fall apart."""
ROUNDS_MAX: Final = 12
"""Passes over all agents; most fleets settle in three to five."""
MERGES_MAX: Final = 6
"""Passes that join whole clusters."""
MERGE_SHARE: Final = 0.25
"""A cluster joins another only if this share of all its conversations is with it."""
COMPUTED: Final = "~"
"""Begins the name of a computed cluster, which goes on with its first member; repeated if a label begins so."""

Edges = Mapping[tuple[str, str], int] | Iterable[tuple[tuple[str, str], int]]
_Graph = dict[str, dict[str, int]]


class Oversized(msgspec.Struct, frozen=True):
    """A cluster above the cap."""

    cluster: str
    share: float
    """Its weight as a share of all."""


def propagate(
    edges: Edges,
    agents: Mapping[str, int],
    labels: Mapping[str, str] | None = None,
    cap_share: float = CAP_SHARE,
    members_min: int = MEMBERS_MIN,
) -> dict[str, str]:
    """Group ``agents`` (name to weight) by ``edges`` (pair of names to conversations, either direction).

    Gives every agent a cluster. Agents in ``labels`` keep theirs, and others may join it below the cap.
    Computed clusters stay below the cap, except for one agent that alone is above it. Edges to unknown
    agents or with no conversations do not count.
    """
    graph = _graph(edges, agents)
    fixed = {agent: label for agent, label in (labels or {}).items() if agent in agents}
    cap = cap_weight(agents, cap_share, members_min)
    mark = _mark(fixed)
    cluster = {agent: fixed.get(agent, mark + agent) for agent in agents}
    _settle(graph, agents, cluster, frozenset(fixed), cap)
    _merge(graph, agents, cluster, frozenset(fixed.values()), cap)
    return _named(cluster, frozenset(fixed.values()), mark)


def cap_weight(agents: Mapping[str, int], cap_share: float = CAP_SHARE, members_min: int = MEMBERS_MIN) -> float:
    """Weigh the largest cluster allowed; no cap below ``members_min`` average agents."""
    return max(cap_share, members_min / max(len(agents), 1)) * sum(agents.values())


def weights_of(clusters: Mapping[str, str], agents: Mapping[str, int]) -> dict[str, int]:
    """Sum the agents' weights by cluster, clusters in order of name; an unknown agent weighs nothing."""
    weights: dict[str, int] = dict.fromkeys(sorted(set(clusters.values())), 0)
    for agent, cluster in clusters.items():
        weights[cluster] += agents.get(agent, 0)
    return weights


def oversized(
    clusters: Mapping[str, str],
    agents: Mapping[str, int],
    cap_share: float = CAP_SHARE,
    members_min: int = MEMBERS_MIN,
) -> tuple[Oversized, ...]:
    """List the clusters above the cap, the heaviest first; only labels and single agents can be."""
    cap, total = cap_weight(agents, cap_share, members_min), sum(agents.values())
    heavy = sorted((-weight, cluster) for cluster, weight in weights_of(clusters, agents).items() if weight > cap)
    return tuple(Oversized(cluster, -weight / total) for weight, cluster in heavy)


def _mark(fixed: Mapping[str, str]) -> str:
    mark = COMPUTED
    while any(label.startswith(mark) for label in fixed.values()):
        mark += COMPUTED
    return mark


def _graph(edges: Edges, agents: Mapping[str, int]) -> _Graph:
    graph: _Graph = {agent: {} for agent in agents}
    for (one, other), conversations in edges.items() if isinstance(edges, Mapping) else edges:
        if one != other and conversations > 0 and one in graph and other in graph:
            graph[one][other] = graph[one].get(other, 0) + conversations
            graph[other][one] = graph[other].get(one, 0) + conversations
    return graph


def _settle(
    graph: _Graph, agents: Mapping[str, int], cluster: dict[str, str], fixed: frozenset[str], cap: float
) -> None:
    """Let each agent join the cluster it talks to most and fits into, until nobody moves; in place."""
    weight = weights_of(cluster, agents)
    # Those with few partners first: they have the clearest belonging.
    order = sorted((agent for agent in graph if agent not in fixed), key=lambda agent: (len(graph[agent]), agent))
    for _ in range(ROUNDS_MAX):
        moved = False
        for agent in order:
            here, mine = cluster[agent], agents[agent]
            there = _strongest(_pull(graph[agent], cluster), here, weight, cap - mine)
            if there != here:
                weight[here] -= mine
                weight[there] += mine
                cluster[agent] = there
                moved = True
        if not moved:
            return


def _merge(
    graph: _Graph, agents: Mapping[str, int], cluster: dict[str, str], fixed: frozenset[str], cap: float
) -> None:
    """Join whole clusters that belong together, the lightest first, until none does; in place."""
    for _ in range(MERGES_MAX):
        weight = weights_of(cluster, agents)
        between = _contract(graph, cluster)
        into: dict[str, str] = {}
        for name in sorted((name for name in between if name not in fixed), key=lambda name: (weight[name], name)):
            if name in into.values():
                continue
            least = MERGE_SHARE * sum(between[name].values())
            pull = {other: n for other, n in between[name].items() if n >= least and other not in into}
            there = _strongest(pull, name, weight, cap - weight[name], stay=False)
            if there != name:
                into[name] = there
                weight[there] += weight[name]
        if not into:
            return
        for agent, name in cluster.items():
            cluster[agent] = into.get(name, name)


def _contract(graph: _Graph, cluster: Mapping[str, str]) -> _Graph:
    """Count conversations by pair of clusters; within a cluster each counts twice."""
    between: _Graph = defaultdict(lambda: defaultdict(int))
    for agent, partners in graph.items():
        row = between[cluster[agent]]
        for partner, conversations in partners.items():
            row[cluster[partner]] += conversations
    return between


def _pull(partners: Mapping[str, int], cluster: Mapping[str, str]) -> dict[str, int]:
    pull: dict[str, int] = {}
    for partner, conversations in partners.items():
        name = cluster[partner]
        pull[name] = pull.get(name, 0) + conversations
    return pull


def _strongest(
    pull: Mapping[str, int], here: str, weight: Mapping[str, int], weight_max: float, *, stay: bool = True
) -> str:
    """Choose the strongest pull to a cluster of at most ``weight_max``; a tie is for staying, then by name."""
    best, strength = here, pull.get(here, 0) if stay else 0
    for name, conversations in pull.items():
        stronger = conversations > strength or (conversations == strength and best != here and name < best)
        if stronger and name != here and weight[name] <= weight_max:
            best, strength = name, conversations
    return best


def _named(cluster: Mapping[str, str], fixed: frozenset[str], mark: str) -> dict[str, str]:
    """Name computed clusters after their first member, which may have changed while they grew."""
    first: dict[str, str] = {}
    for agent in sorted(cluster):
        first.setdefault(cluster[agent], agent)
    return {agent: name if name in fixed else mark + first[name] for agent, name in sorted(cluster.items())}
