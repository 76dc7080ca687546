"""Cohorts: which clusters are on the elicitation lane at a threshold, and which threshold gives a share.

Every cluster has a fixed point in [0, 1); it is on the lane iff its point is below the threshold. So a
higher threshold only ever adds clusters, and the same salt brings them in the same order again.
The share is a share of *weight*: with few heavy clusters, a threshold of 0.05 may hold 1 % or 9 % of
the traffic (docs/adr/0007). Golden vectors in the tests keep any release from moving a cluster.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final

from crossfade.core.values import Lane

HASH_VERSION: Final = 1
"""1: the first 8 bytes, big-endian, of BLAKE2b-64 over salt, a zero byte and the cluster, over 2**64."""

_BELOW_ONE: Final = 1 - 2**-53


def point(salt: str, cluster: str) -> float:
    """Place ``cluster`` on [0, 1)."""
    digest = blake2b(f"{salt}\0{cluster}".encode(), digest_size=8).digest()
    # The largest 2**10 digests would round to 1.0, which no threshold is above.
    return min(int.from_bytes(digest) / 2**64, _BELOW_ONE)


def lane_of(salt: str, threshold: float, cluster: str) -> Lane:
    """Give the lane of ``cluster`` at ``threshold``, 0.0 (nobody) to 1.0 (everybody)."""
    return Lane.ELICITATION if point(salt, cluster) < threshold else Lane.POLLING


def achieved(salt: str, weights: Mapping[str, int], threshold: float) -> float:
    """Weigh what is on the lane at ``threshold``, as a share of all; ``threshold`` if nothing has weight."""
    total = sum(weights.values())
    if not total:
        return threshold
    return sum(weight for cluster, weight in weights.items() if point(salt, cluster) < threshold) / total


def threshold_for(salt: str, weights: Mapping[str, int], share: float, floor: float = 0.0) -> float:
    """Find the threshold, at least ``floor``, whose weight on the lane is closest to ``share`` of all.

    ``share`` 0 gives the floor and 1 gives 1.0, exactly. Otherwise the threshold lies between two points, as
    far from both as it can, so that no rounding elsewhere moves a cluster. Of two equally close ones
    the lower wins. Without any weight it is ``share`` itself: each later cluster has that chance.
    """
    if share <= 0.0:
        return floor
    if share >= 1.0:
        return 1.0
    total = sum(weights.values())
    if not total:
        return max(share, floor)
    lower, upper, _ = min(_gaps(salt, weights), key=lambda gap: (abs(gap[2] - share * total), gap[1]))
    middle = (lower + upper) / 2
    # Two neighbouring floats have no middle: the upper one is as good, because the lane is "below".
    return max(middle if middle > lower else upper, floor)


def _gaps(salt: str, weights: Mapping[str, int]) -> Iterator[tuple[float, float, int]]:
    """Each gap between neighbouring points as lower end, upper end and the weight below it."""
    lower, below = 0.0, 0
    for place, cluster in sorted((point(salt, cluster), cluster) for cluster in weights):
        if place > lower:
            yield lower, place, below
        lower = place
        below += weights[cluster]
    yield lower, 1.0, below
