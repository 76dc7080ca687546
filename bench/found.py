"""What a benchmark found: figures of every round, kept as they were; medians and ranges are made when they are shown.

Every benchmark ends in one ``Found``. With ``--json`` it prints that, one line, and ``python -m bench`` keeps it below
bench/results/; without, it prints the tables that RESULTS.md has. A ratio is taken within a round, never of medians.
"""

import json
import statistics
from collections.abc import Iterator, Sequence

import msgspec


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, once for each round."""

    name: str
    unit: str
    each: tuple[float, ...]


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """One ratio, or a figure that has a bound, once for each round."""

    name: str
    each: tuple[float, ...]
    least: float | None = None
    """Wanted: at least this."""
    most: float | None = None
    """Wanted: at most this."""
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median is as wanted; None if nothing is wanted."""
        if self.least is None and self.most is None:
            return None
        middle = statistics.median(self.each)
        return (self.least is None or middle >= self.least) and (self.most is None or middle <= self.most)

    @property
    def rounds_reached(self) -> int:
        """Rounds in which it was as wanted."""
        return sum(bool(msgspec.structs.replace(self, each=(one,)).reached) for one in self.each)


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Points for a plot: (x, y) for each named line."""

    name: str
    x: str
    y: str
    lines: dict[str, tuple[tuple[float, float], ...]]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All that one benchmark found."""

    measured: tuple[Measured, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    curves: tuple[Curve, ...] = ()
    said: tuple[str, ...] = ()
    """What a reader has to know of this run: what could not be measured, what was cut short."""

    def show(self, *, as_json: bool) -> None:
        """Print it."""
        print(json.dumps(msgspec.to_builtins(self)) if as_json else "\n".join(tables(self)), flush=True)


def tables(found: Found) -> Iterator[str]:
    """The lines of its tables, as Markdown."""
    if found.measured:
        yield "| measured | median | lowest to highest | rounds |"
        yield "|---|---|---|---|"
        for one in found.measured:
            middle = f"{number(statistics.median(one.each))} {one.unit}"
            yield f"| {one.name} | {middle} | {span(one.each)} | {len(one.each)} |"
        yield ""
    if found.ratios:
        yield "| ratio or bound | median | lowest to highest | rounds | wanted | |"
        yield "|---|---|---|---|---|---|"
        for ratio in found.ratios:
            middle = f"{number(statistics.median(ratio.each))}{ratio.unit and ' ' + ratio.unit}"
            yield (
                f"| {ratio.name} | {middle} | {span(ratio.each)} | {len(ratio.each)} | {wanted(ratio)} |"
                f" {verdict(ratio)} |"
            )
        yield ""
    for text in found.said:
        yield text
        yield ""


def wanted(ratio: Ratio) -> str:
    """The bound in words."""
    bounds = (("≥", ratio.least), ("≤", ratio.most))
    return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def verdict(ratio: Ratio) -> str:
    """reached or missed, by the median; how many rounds agree if not all do."""
    if ratio.reached is None:
        return ""
    agree = ratio.rounds_reached if ratio.reached else len(ratio.each) - ratio.rounds_reached
    said = "reached" if ratio.reached else "**missed**"
    return said if agree == len(ratio.each) else f"{said}, in {agree} of {len(ratio.each)} rounds"


def span(each: Sequence[float]) -> str:
    """From the lowest to the highest."""
    return f"{number(min(each))} to {number(max(each))}"


def number(value: float) -> str:
    """Three digits that count, thousands parted."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
