"""Regression: what the coefficients are, that intervals hold what they promise, and what is refused."""

import random

import pytest

from crossfade.core.regression import UndeterminedError, fit, student_95


def test_exact_figures_give_the_exact_costs() -> None:
    rows = [(1.0, a, b) for a, b in ((0, 0), (10, 0), (0, 7), (5, 5), (100, 1))]
    found = fit(rows, [3 + 0.5 * a + 2 * b for _, a, b in rows])
    assert found.coefficients == pytest.approx((3, 0.5, 2))
    assert found.relative_error == pytest.approx(0, abs=1e-9)
    assert found.predict((1, 20, 20)).value == pytest.approx(53)


def test_a_cause_that_would_save_something_is_left_out() -> None:
    rows = [(1.0, float(n)) for n in range(1, 9)]
    found = fit(rows, [10 - 0.5 * n for _, n in rows])
    assert found.coefficients[1] == 0
    assert found.used == (0,)


def test_errors_count_relative_to_the_figure() -> None:
    """One figure of a thousand that is 10 % off may not drown nine small ones that are right."""
    rows = [(float(n),) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 1000)]
    found = fit(rows, [n for (n,) in rows[:-1]] + [1100.0])
    assert found.coefficients[0] == pytest.approx(1.01, abs=0.005)


@pytest.mark.parametrize(("points", "noise"), [(6, 0.02), (8, 0.1), (20, 0.05)])
def test_about_95_of_100_further_measurements_lie_in_their_interval(points: int, noise: float) -> None:
    dice = random.Random(7)

    def measured(n: float) -> float:
        return (2 + 0.3 * n) * (1 + dice.gauss(0, noise))

    inside = 0
    for _ in range(2_000):
        rows = [(1.0, dice.uniform(1, 100)) for _ in range(points)]
        found = fit(rows, [measured(n) for _, n in rows])
        n = dice.uniform(1, 100)
        interval = found.predict((1.0, n))
        inside += interval.low <= measured(n) <= interval.high
    assert 0.925 <= inside / 2_000 <= 0.975


def test_students_t_agrees_with_the_tables() -> None:
    tables = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 1000: 1.962}
    for freedom, value in tables.items():
        assert student_95(freedom) == pytest.approx(value, rel=0.002)


@pytest.mark.parametrize(
    ("rows", "ys", "said"),
    [
        ([], [], "the same features"),
        ([(1.0, 2.0), (1.0,)], [1.0, 1.0], "the same features"),
        ([(1.0, 2.0), (1.0, 3.0)], [1.0, 1.0], "3 or more"),
        ([(1.0,), (1.0,)], [1.0, 0.0], "not above 0"),
        ([(1.0,), (1.0,)], [1.0, float("nan")], "not above 0"),
        ([(1.0,), (1.0,)], [1.0, float("inf")], "not above 0"),
        ([(0.0,), (0.0,)], [1.0, 1.0], "vary them"),
    ],
)
def test_what_does_not_determine_anything_is_refused(rows: list[tuple[float, ...]], ys: list[float], said: str) -> None:
    with pytest.raises(UndeterminedError, match=said):
        fit(rows, ys)


def test_causes_that_always_came_together_are_not_told_apart() -> None:
    rows = [(1.0, float(n), 2.0 * n) for n in range(1, 9)]
    found = fit(rows, [1.0 + n for n in range(1, 9)])
    assert len(found.used) == 2, "one of the two stands for both"
