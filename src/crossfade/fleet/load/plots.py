"""Line plots as SVG text, for a page that needs nothing from anywhere.

Not a charting library: lines over a numeric axis, linear or logarithmic upward, a legend, a few ticks.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

Point = tuple[float, float]
Series = tuple[str, Sequence[Point]]

WIDTH: Final = 640
HEIGHT: Final = 220
LEFT: Final = 56
RIGHT: Final = 12
TOP: Final = 28
BOTTOM: Final = 26
INKS: Final = ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)")
DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")
"""Lines differ by more than colour."""
POINTS_MAX: Final = 1_200
DOTS_MAX: Final = 30
"""So few points are marked: one alone, or two at the same place, are no line."""
DECADES_FINE: Final = 3
"""A logarithmic axis over more has a tick each decade, else three."""
UNIT_ROOM: Final = 7
"""Of the unit at the end of the axis, for each letter; a tick that would be under it is left out."""


def plot(title: str, series: Sequence[Series], *, x_unit: str, y_unit: str, log: bool = False) -> str:
    """One plot; says so if there is nothing to draw."""
    drawn = [(name, _thinned([(x, y) for x, y in points if not log or y > 0])) for name, points in series]
    every = [point for _, points in drawn for point in points]
    if not every:
        return f"<figure><figcaption>{escape(title)}: not measured</figcaption></figure>"
    across = _Axis(min(x for x, _ in every), max(x for x, _ in every), LEFT, WIDTH - RIGHT, log=False)
    lowest = min(y for _, y in every) if log else 0.0
    upward = _Axis(lowest, max(y for _, y in every), HEIGHT - BOTTOM, TOP, log=log)
    parts = [_grid(across, upward, x_unit, y_unit)]
    for number, (name, points) in enumerate(drawn):
        parts.append(_line(points, across, upward, number))
        parts.append(_legend(name, number))
    label = escape(f"{title}, {y_unit} over {x_unit}")
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


class _Axis:
    """From values to places."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool) -> None:
        self.log = log
        self.low, self.high = low, high if high > low else low + (abs(low) or 1.0)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Where a value is."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, low))
        return self._start + (at - low) / (high - low) * (self._end - self._start)

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            factors = (1, 2, 5) if last - first <= DECADES_FINE else (1,)
            places = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
            return [value for value in places if self.low <= value <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 3))
        step *= next((factor for factor in (1, 2, 5) if (self.high - self.low) / (step * factor) <= 5), 10)
        first = math.ceil(self.low / step)
        return [step * number for number in range(first, math.floor(self.high / step) + 1)]


def _grid(across: _Axis, upward: _Axis, x_unit: str, y_unit: str) -> str:
    parts = []
    for value in upward.ticks():
        y = upward.place(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_shown(value)}</text>')
    parts += [
        f'<text x="{across.place(value):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{_shown(value)}</text>'
        for value in across.ticks()
        if not x_unit or across.place(value) < WIDTH - RIGHT - UNIT_ROOM * (len(x_unit) + 2)
    ]
    parts.append(f'<text x="4" y="14">{escape(y_unit)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(x_unit)}</text>')
    return "".join(parts)


def _shown(value: float) -> str:
    """A number at an axis; in full, however large."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"


def _line(points: Sequence[Point], across: _Axis, upward: _Axis, number: int) -> str:
    places = " ".join(f"{across.place(x):.1f},{upward.place(y):.1f}" for x, y in points)
    ink, dash = INKS[number % len(INKS)], DASHES[number % len(DASHES)]
    line = f'<polyline points="{places}" fill="none" stroke="{ink}" stroke-width="1.6" stroke-dasharray="{dash}"/>'
    if len(points) > DOTS_MAX:
        return line
    dots = (f'<circle cx="{across.place(x):.1f}" cy="{upward.place(y):.1f}" r="2.5" fill="{ink}"/>' for x, y in points)
    return line + "".join(dots)


def _legend(name: str, number: int) -> str:
    x = LEFT + 40 + number * 130
    ink, dash = INKS[number % len(INKS)], DASHES[number % len(DASHES)]
    return (
        f'<line x1="{x}" x2="{x + 22}" y1="10" y2="10" stroke="{ink}" stroke-width="2" stroke-dasharray="{dash}"/>'
        f'<text x="{x + 28}" y="14">{escape(name)}</text>'
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most POINTS_MAX points, of each stretch the highest, so that no peak is hidden."""
    size = math.ceil(len(points) / POINTS_MAX) if points else 1
    return [max(points[at : at + size], key=lambda point: point[1]) for at in range(0, len(points), size)]
