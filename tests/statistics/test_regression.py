"""Regression and capacity against scipy: the same coefficients, the same quantiles."""

import random

import numpy as np
import pytest
from scipy import optimize, stats

from crossfade.core.regression import fit, student_95


@pytest.mark.parametrize("seed", range(40))
def test_coefficients_are_those_of_non_negative_least_squares(seed: int) -> None:
    dice = random.Random(seed)
    width = dice.randint(1, 6)
    truth = [dice.choice((0.0, dice.uniform(0, 3))) for _ in range(width - 1)]
    rows = [(1.0, *(dice.uniform(0, 10) for _ in truth)) for _ in range(dice.randint(width + 1, 30))]
    ys = [(1 + sum(a * b for a, b in zip(row[1:], truth, strict=True))) * (1 + dice.gauss(0, 0.2)) for row in rows]
    ys = [abs(y) + 1e-6 for y in ys]
    weighed = np.array(rows) / np.array(ys)[:, None]
    expected, residual = optimize.nnls(weighed, np.ones(len(ys)))
    found = fit(rows, ys)
    assert found.coefficients == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.relative_error * found.freedom**0.5 == pytest.approx(residual, rel=1e-6)


def test_quantiles_are_students() -> None:
    for freedom in (1, 2, 3, 4, 5, 8, 12, 30, 200):
        assert student_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.002)
