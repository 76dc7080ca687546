"""What of a run counts for the slope of memory: not its beginning, in which what a hub keeps is filled."""

import random

import pytest

from crossfade.fleet.load.profile import Phase, Profile
from crossfade.fleet.load.report import Sample
from crossfade.fleet.load.slope import slope
from crossfade.fleet.load.telling import WARM_UP_QUESTIONS, _leak

SECONDS, RATE = 1_800, 100.0
FILLED = WARM_UP_QUESTIONS / RATE
PROFILE = Profile(agents=5_000, phases=(Phase("steady", SECONDS, RATE),))


class Sampled:
    """A gauge after a run."""

    def __init__(self, memory):
        self.samples = [Sample(float(at), 5_000, 1, 0.3, 0.1, memory(at)) for at in range(SECONDS)]


def filling(at):
    """60 MiB until everything that is bounded is full, and the wandering of an allocator."""
    return 400 + 60 * min(1.0, at / FILLED)


def judged(leak_per_hour=0.0, seed=1):
    dice, wander = random.Random(seed), 0.0

    def memory(at):
        nonlocal wander
        wander = 0.9 * wander + dice.gauss(0, 0.3)
        return filling(at) + wander + leak_per_hour * at / 3_600

    found = _leak(PROFILE, Sampled(memory))
    assert found is not None
    return found


def test_filling_what_is_bounded_is_no_leak():
    found = [judged(seed=seed) for seed in range(40)]
    assert sum(one.grows for one in found) <= 4, "one of forty is promised"
    assert all(abs(one.per_hour) < 5 for one in found)
    everything = slope([(at, filling(at)) for at in range(SECONDS)])
    assert everything is not None
    assert everything.grows, "it would be, were the beginning counted"


@pytest.mark.parametrize("seed", range(5))
def test_a_leak_that_was_planted_is_found(seed):
    """A kibibyte for every question answered is 352 MiB an hour; here a twentieth of it."""
    found = judged(17.0, seed)
    assert found.grows
    assert abs(found.per_hour - 17) < 5


@pytest.mark.parametrize("period_seconds", [100, 250, 400])
def test_tables_that_fill_and_are_emptied_are_no_leak(period_seconds):
    def memory(at):
        return 400 + 10 * (at % period_seconds) / period_seconds

    tight, leaking = (_leak(PROFILE, Sampled(it)) for it in (memory, lambda at: memory(at) + 60 * at / 3_600))
    assert tight is not None
    assert not tight.grows
    assert leaking is not None
    assert leaking.grows, "and they do not hide one"


def test_samples_without_a_hub_on_this_machine_say_nothing():
    assert _leak(PROFILE, Sampled(lambda _: None)) is None
