"""Regression: what the coefficients are, that intervals hold what they promise, and what is refused."""

import math
import random

import pytest

from crossfade.core.regression import UndeterminedError, fit, left_out, student_95


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
        ([(1.0, 2.0)] * 5, [1.0, 1.1, 0.9, 1.0, 1.2], "at 1 settings do not determine 2"),
    ],
)
def test_what_does_not_determine_anything_is_refused(rows: list[tuple[float, ...]], ys: list[float], said: str) -> None:
    with pytest.raises(UndeterminedError, match=said):
        fit(rows, ys)


def test_causes_that_always_came_together_are_not_told_apart() -> None:
    rows = [(1.0, float(n), 2.0 * n) for n in range(1, 9)]
    found = fit(rows, [1.0 + n for n in range(1, 9)])
    assert len(found.used) == 2, "one of the two stands for both"


@pytest.mark.parametrize("freedom", [3, 4, 5, 7, 12, 60])
def test_students_t_is_the_expansion_of_hill_term_by_term(freedom: int) -> None:
    """Its polynomials written the other way round: (Abramowitz, Stegun 26.7.5), in powers of z²."""
    z, square = 1.959963984540054, 1.959963984540054**2
    terms = (
        (square + 1) * z / 4,
        ((5 * square + 16) * square + 3) * z / 96,
        (((3 * square + 19) * square + 17) * square - 15) * z / 384,
        ((((79 * square + 776) * square + 1482) * square - 1920) * square - 945) * z / 92160,
    )
    expected = z + sum(term / freedom ** (place + 1) for place, term in enumerate(terms))
    assert student_95(freedom) == pytest.approx(expected, rel=1e-14)


def test_students_t_of_one_and_two_degrees_is_exact() -> None:
    assert student_95(1) == pytest.approx(math.tan(math.pi / 2 * 0.95), rel=1e-14)
    assert student_95(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-14)


def test_an_interval_is_that_of_the_textbook() -> None:
    """One feature, worked by hand: y = c n, errors relative; spread, leverage and t from their definitions."""
    ns, ys = (1.0, 2.0, 4.0), (1.1, 1.9, 4.2)
    found = fit([(n,) for n in ns], ys)
    shares = [n / y for n, y in zip(ns, ys, strict=True)]
    slope = sum(shares) / sum(share * share for share in shares)
    spread = math.sqrt(sum((1 - slope * share) ** 2 for share in shares) / 2)
    assert found.coefficients == pytest.approx((slope,), rel=1e-12)
    assert found.relative_error == pytest.approx(spread, rel=1e-9)
    assert found.freedom == 2
    assert found.inverse[0][0] == pytest.approx(1 / sum(share * share for share in shares), rel=1e-12)
    value = 3.0 * slope
    half = 4.302652729749462 * spread * math.sqrt(value * value + 9.0 * found.inverse[0][0])
    interval = found.predict((3.0,))
    assert (interval.low, interval.value, interval.high) == pytest.approx((value - half, value, value + half), rel=1e-9)


def test_a_prediction_is_never_below_0() -> None:
    found = fit([(1.0,), (1.0,), (1.0,)], [0.01, 1.0, 10.0])
    interval = found.predict((1.0,))
    assert interval.low == 0.0
    assert interval.value > 0.0


def test_as_many_causes_as_can_be_told_apart_are_fitted_and_one_more_is_refused() -> None:
    rows = [tuple(float((place + 1) ** power % 11 + 1) for power in range(1, 7)) for place in range(12)]
    costs = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    ys = [sum(cost * one for cost, one in zip(costs, row, strict=True)) for row in rows]
    assert fit(rows, ys).coefficients == pytest.approx(costs, rel=1e-6)
    with pytest.raises(UndeterminedError, match=r"^every measurement needs the same features, and one figure$"):
        fit([(*row, 1.0) for row in rows], ys)
    with pytest.raises(UndeterminedError, match=r"^every measurement needs the same features, and one figure$"):
        fit([() for _ in rows], ys)
    with pytest.raises(UndeterminedError, match=r"^every measurement needs the same features, and one figure$"):
        fit(rows, ys[1:])
    with pytest.raises(UndeterminedError, match="6 measurements do not determine 6 coefficients: 7 or more"):
        fit(rows[:6], ys[:6])


def test_what_is_left_out_is_predicted_from_all_others() -> None:
    dice = random.Random(5)
    rows = [(1.0, float(n), dice.uniform(1, 9)) for n in range(1, 13)]
    ys = [(2 + 0.3 * a + 1.5 * b) * (1 + dice.gauss(0, 0.1)) for _, a, b in rows]
    squares = 0.0
    for index, (row, y) in enumerate(zip(rows, ys, strict=True)):
        rest = fit(rows[:index] + rows[index + 1 :], ys[:index] + ys[index + 1 :])
        assert len(rest.used) == 3, "nothing is at its bound in this example"
        squares += (1 - rest.at(row) / y) ** 2
    assert left_out(fit(rows, ys), rows, ys) == pytest.approx((squares / len(ys)) ** 0.5)


def test_a_row_that_alone_determines_a_coefficient_cannot_be_predicted_from_the_others() -> None:
    rows = [(1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 5.0)]
    ys = [1.0, 1.1, 0.9, 7.0]
    assert left_out(fit(rows, ys), rows, ys) == math.inf


@pytest.mark.parametrize(
    ("ys", "said"),
    [
        ((1.0, 0.0), "a measured figure is not above 0"),
        ((1.0, 1.0), "the measurements do not tell the causes apart: vary them one at a time"),
    ],
)
def test_what_is_refused_is_said_in_a_sentence(ys: tuple[float, ...], said: str) -> None:
    with pytest.raises(UndeterminedError) as caught:
        fit([(0.0,), (0.0,)], ys)
    assert str(caught.value) == said
