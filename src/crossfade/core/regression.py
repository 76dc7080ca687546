"""Regression: linear least squares with coefficients that cannot be negative, and intervals for predictions.

For costs: each coefficient is what one more of something costs, so a negative one has no meaning and is left
out. Errors are taken as relative (a figure of 10 is as far off at 1 as one of 1,000 at 100), because that is how
measured costs scatter; the fit is therefore weighted by 1/y².

Rules: pure, no clock, no randomness. Too few rows, or rows that do not tell the features apart, raise
``UndeterminedError``; nothing is guessed.

Source: ordinary theory of weighted least squares; the error of what is left out is the PRESS statistic (Allen 1974).
The non-negative solution of so few features is found by trying every subset and keeping the best one whose coefficients
are all positive (Lawson, Hanson 1974, ch. 23, without their search). Student's t from the normal quantile by the
expansion of Hill (1970), error < 1 % from 3 degrees on.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Final

import msgspec

__all__ = ["FEATURES_MAX", "Fit", "Interval", "UndeterminedError", "fit", "left_out"]

FEATURES_MAX: Final = 6
"""Every subset is tried: 2⁶ solutions at most."""
NORMAL_95: Final = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 %."""
_SINGULAR: Final = 1e-12

Row = Sequence[float]
Matrix = list[list[float]]


class UndeterminedError(ValueError):
    """The rows do not determine the coefficients."""


class Interval(msgspec.Struct, frozen=True):
    """A prediction for one more measurement, and where it lies in 95 of 100 cases."""

    low: float
    value: float
    high: float


class Fit(msgspec.Struct, frozen=True):
    """Coefficients, and what is needed to say how far a prediction may be off."""

    coefficients: tuple[float, ...]
    """One for each feature, 0 for those that were left out."""
    relative_error: float
    """Standard deviation of one measurement around the fit, relative to it."""
    freedom: int
    """Rows minus the features used."""
    used: tuple[int, ...]
    inverse: tuple[tuple[float, ...], ...]
    """(XᵀWX)⁻¹ of the features used."""

    def at(self, row: Row) -> float:
        """The predicted value, in the unit of the ys."""
        return sum(map(float.__mul__, self.coefficients, map(float, row)))

    def predict(self, row: Row) -> Interval:
        """The predicted value with its 95 % prediction interval; the low end is never below 0."""
        value = self.at(row)
        used = [float(row[index]) for index in self.used]
        leverage = sum(a * sum(map(float.__mul__, line, used)) for a, line in zip(used, self.inverse, strict=True))
        scale = self.relative_error * math.sqrt(value * value + leverage)
        half = student_95(self.freedom) * scale
        return Interval(max(0.0, value - half), value, value + half)


def fit(rows: Sequence[Row], ys: Sequence[float]) -> Fit:
    """Fit ys ≈ rows · coefficients, all coefficients ≥ 0.

    Args:
        rows: features of each measurement, the same number in each, at most FEATURES_MAX.
        ys: what was measured, each above 0.

    Raises:
        UndeterminedError: fewer rows than features plus one, fewer different rows than features, a y that is not above
            0, or no subset has a solution.
    """
    width = len(rows[0]) if rows else 0
    if len(rows) != len(ys) or not 1 <= width <= FEATURES_MAX or any(len(row) != width for row in rows):
        raise UndeterminedError("every measurement needs the same features, and one figure")
    if len(rows) < width + 1:
        raise UndeterminedError(f"{len(rows)} measurements do not determine {width} coefficients: {width + 1} or more")
    if (different := len(set(map(tuple, rows)))) < width:
        raise UndeterminedError(
            f"measurements at {different} settings do not determine {width} coefficients: {width} or more"
        )
    if any(not (y > 0 and math.isfinite(y)) for y in ys):
        raise UndeterminedError("a measured figure is not above 0")
    best: tuple[float, Fit] | None = None
    for size in range(width, 0, -1):
        for used in combinations(range(width), size):
            found = _solve(rows, ys, used, width)
            if found is not None and (best is None or found[0] < best[0]):
                best = found
    if best is None:
        raise UndeterminedError("the measurements do not tell the causes apart: vary them one at a time")
    return best[1]


def left_out(fitted: Fit, rows: Sequence[Row], ys: Sequence[float]) -> float:
    """How far predictions are off: each row predicted from all others, root of the mean squared relative error.

    For choosing between sets of features: the more there are, the better they fit, and from some number on the worse
    they predict. Infinite where one row alone determines a coefficient.
    """
    squares = 0.0
    for row, y in zip(rows, ys, strict=True):
        used = [float(row[index]) / y for index in fitted.used]
        lever = sum(a * sum(map(float.__mul__, line, used)) for a, line in zip(used, fitted.inverse, strict=True))
        if lever > 1 - _SINGULAR:
            return math.inf
        squares += ((1 - fitted.at(row) / y) / (1 - lever)) ** 2
    return math.sqrt(squares / len(ys))


def _solve(rows: Sequence[Row], ys: Sequence[float], used: tuple[int, ...], width: int) -> tuple[float, Fit] | None:
    """Sum of squared relative errors and the fit with these features; None if singular or one is negative."""
    weighed = [[float(row[index]) / y for index in used] for row, y in zip(rows, ys, strict=True)]
    normal = [[sum(line[a] * line[b] for line in weighed) for b in range(len(used))] for a in range(len(used))]
    inverse = _inverse(normal)
    if inverse is None:
        return None
    right = [sum(line[a] for line in weighed) for a in range(len(used))]
    found = [sum(map(float.__mul__, line, right)) for line in inverse]
    if min(found) < 0:
        return None
    errors = sum((1 - sum(map(float.__mul__, line, found))) ** 2 for line in weighed)
    freedom = len(rows) - len(used)
    coefficients = [0.0] * width
    for index, value in zip(used, found, strict=True):
        coefficients[index] = value
    spread = math.sqrt(errors / freedom)
    return errors, Fit(tuple(coefficients), spread, freedom, used, tuple(map(tuple, inverse)))


def _inverse(matrix: Matrix) -> Matrix | None:
    """Gauss-Jordan with pivots, columns scaled to 1 first; None if it is singular to the last digits."""
    size = len(matrix)
    scale = [math.sqrt(matrix[index][index]) for index in range(size)]
    if min(scale) == 0:
        return None
    rows = [
        [matrix[a][b] / (scale[a] * scale[b]) for b in range(size)] + [float(a == b) for b in range(size)]
        for a in range(size)
    ]
    for column in range(size):
        pivot = max(range(column, size), key=lambda index: abs(rows[index][column]))
        if abs(rows[pivot][column]) < _SINGULAR:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        lead = rows[column][column]
        rows[column] = [value / lead for value in rows[column]]
        for index in range(size):
            factor = rows[index][column]
            if index != column and factor:
                rows[index] = [a - factor * b for a, b in zip(rows[index], rows[column], strict=True)]
    return [[rows[a][size + b] / (scale[a] * scale[b]) for b in range(size)] for a in range(size)]


def student_95(freedom: int) -> float:
    """The two-sided 95 % point of Student's t; exact for 1 and 2 degrees of freedom."""
    if freedom == 1:
        return 12.706204736174694
    if freedom == 2:
        return 4.302652729749462
    z = NORMAL_95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * freedom**4)
    )
