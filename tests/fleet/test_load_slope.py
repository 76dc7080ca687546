"""Whether memory grows: found when it does, and not cried when it only wanders."""

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.slope import slope


def noise(dice: Dice) -> float:
    """Roughly normal, of variance 1."""
    return sum(dice.fraction() for _ in range(12)) - 6


def wandering(seed: int, count: int, stickiness: float, leak_per_second: float = 0.0) -> list[tuple[float, float]]:
    """A level with noise whose neighbours are alike, like memory."""
    dice, deviation, points = Dice(seed), 0.0, []
    for second in range(count):
        deviation = stickiness * deviation + noise(dice)
        points.append((float(second), 300.0 + deviation + leak_per_second * second))
    return points


def test_a_straight_growth_is_found_with_its_slope() -> None:
    found = slope([(float(second), 100 + second / 60) for second in range(600)])
    assert found is not None
    assert found.grows
    assert abs(found.per_hour - 60) < 0.1
    assert found.low <= found.per_hour <= found.high


def test_a_leak_under_noise_is_found() -> None:
    found = slope(wandering(1, 1_800, 0.7, leak_per_second=0.01))
    assert found is not None
    assert found.grows
    assert 30 < found.per_hour < 42


def test_the_interval_holds_the_truth_nineteen_times_of_twenty() -> None:
    """36 MiB an hour, neighbours alike: 190 of 200 are promised."""
    found = [slope(wandering(seed, 600, 0.7, leak_per_second=0.01)) for seed in range(200)]
    assert sum(bool(one and one.low < 36 < one.high) for one in found) >= 182


def test_a_level_that_wanders_is_rarely_called_a_leak() -> None:
    called = sum(bool(found and found.grows) for found in (slope(wandering(seed, 1_200, 0.9)) for seed in range(200)))
    assert called <= 12  # 5 of 200 are promised


def test_a_level_that_wanders_slowly_is_not_mistaken_for_a_leak_often() -> None:
    """Neighbours alike for a minute: an interval that takes them for independent is wrong half the time."""
    called = sum(bool(found and found.grows) for found in (slope(wandering(seed, 1_200, 0.98)) for seed in range(200)))
    assert called <= 20


def test_falling_memory_is_not_growth() -> None:
    found = slope([(float(second), 100 - second / 60) for second in range(600)])
    assert found is not None
    assert not found.grows
    assert found.high < 0


def test_nothing_is_said_of_too_few_points() -> None:
    assert slope([]) is None
    assert slope([(1.0, 2.0)] * 29) is None
    assert slope([(1.0, 2.0)] * 50) is None  # all at one instant
