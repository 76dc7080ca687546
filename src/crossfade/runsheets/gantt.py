"""The plan as a picture: phases and bakes by week, risk windows hatched, freezes, sign-offs, and the share.

Not here: what has happened; this is the plan alone.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from crossfade.core.review.facts import share_text, time_text
from crossfade.core.runsheets import Phase, RiskWindow, Runsheet, weeks_between
from crossfade.core.timeline import Dated, day_of, timeline
from crossfade.runsheets.svg import element, picture, text, titled

LEFT: Final = 176.0
CHART: Final = 910.0
RIGHT: Final = 24.0
TOP: Final = 128.0
ROW: Final = 46.0
BAR: Final = 24.0
STRIP: Final = 96.0
LEGEND: Final = 30.0
LINE: Final = 20.0
DIAMOND: Final = 6.0


def gantt(runsheet: Runsheet) -> str:
    """The picture, as SVG text."""
    return _Drawing(runsheet).drawn()


class _Drawing:
    """One picture being drawn: scales and parts."""

    def __init__(self, runsheet: Runsheet) -> None:
        self.runsheet = runsheet
        calendar = runsheet.calendar
        self.weeks = max(1, weeks_between(calendar.first_week, calendar.last_week))
        self.day_width = CHART / (self.weeks * 7)
        self.bottom = TOP + ROW * len(runsheet.phases)
        self.strip_top = self.bottom + 34
        self.strip_bottom = self.strip_top + STRIP
        self.steps = [timeline(runsheet, index) for index in range(len(runsheet.phases))]

    def drawn(self) -> str:
        entries = len(self.runsheet.risk_windows)
        height = self.strip_bottom + LEGEND + 2 * LINE + LINE * ((entries + 1) // 2) + 16
        title = f"Plan of {self.runsheet.title or self.runsheet.name}"
        parts = [*self._head(), *self._axis(), *self._freezes(), *self._risks()]
        parts += [part for index, phase in enumerate(self.runsheet.phases) for part in self._phase(index, phase)]
        parts += [*self._share(), *self._legend()]
        return picture((LEFT + CHART + RIGHT, height), title, self._about(), parts)

    def _about(self) -> str:
        phases = "; ".join(
            f"{phase.title}: weeks {phase.first_week} to {phase.last_week}, up to {share_text(phase.share)}"
            for phase in self.runsheet.phases
        )
        risks = "; ".join(f"week {w.week} day {w.day}: {w.title or w.id}" for w in self.runsheet.risk_windows)
        return f"{phases}. Risk windows: {risks or 'none'}."

    def _x(self, day: date) -> float:
        """The left edge of a day, kept inside the chart."""
        ahead = (day - self.runsheet.calendar.start).days
        return LEFT + min(max(ahead * self.day_width, 0.0), CHART)

    def _head(self) -> Iterator[str]:
        calendar = self.runsheet.calendar
        version = f" {self.runsheet.version}" if self.runsheet.version else ""
        ends = day_of(calendar, calendar.last_week, 7)
        yield text(20, 34, f"{self.runsheet.title or self.runsheet.name}", "h")
        about = f"{self.runsheet.name}{version}, {calendar.start} to {ends}, {self.weeks} weeks, all times UTC"
        yield text(20, 54, about, "s")

    def _axis(self) -> Iterator[str]:
        for index in range(len(self.runsheet.phases)):
            if index % 2 == 0:
                box = {"x": 12, "y": TOP + ROW * index, "width": LEFT + CHART, "height": ROW}
                yield element("rect", {**box, "fill": "var(--band)", "rx": 4})
        for place in range(self.weeks):
            first = self.runsheet.calendar.first_week + place
            week = first + 1 if self.runsheet.calendar.first_week < 0 <= first else first
            day = self.runsheet.calendar.start + timedelta(weeks=place)
            x = self._x(day)
            yield self._line(x, 84, x, self.strip_bottom, "var(--line)")
            yield text(x + 5, 88, f"week {week}" if place == 0 else f"{week}", "b")
            yield text(x + 5, 102, f"{day.day} {day:%b}", "s")
        yield self._line(LEFT + CHART, 84, LEFT + CHART, self.strip_bottom, "var(--line)")

    def _line(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
        return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "stroke": colour})

    def _freezes(self) -> Iterator[str]:
        for freeze in self.runsheet.freezes:
            x, ends = self._x(freeze.start), self._x(freeze.end + timedelta(days=1))
            box = {"x": x, "y": TOP, "width": ends - x, "height": self.strip_bottom - TOP}
            shade = element("rect", {**box, "fill": "var(--freeze)", "fill_opacity": 0.28})
            tip = f"freeze {freeze.id}: {freeze.start} to {freeze.end}"
            yield titled(tip, shade)

    def _risks(self) -> Iterator[str]:
        yield element(
            "defs",
            {},
            element(
                "pattern",
                {"id": "hatch", "width": 6, "height": 6, "patternUnits": "userSpaceOnUse",
                 "patternTransform": "rotate(45)"},
                element("line", {"x1": 0, "y1": 0, "x2": 0, "y2": 6, "stroke": "var(--risk)", "stroke_width": 2.4}),
            ),
        )  # fmt: skip
        for number, window in enumerate(self.runsheet.risk_windows, start=1):
            x, width = self._window(window)
            box = {"x": x, "y": TOP, "width": width, "height": self.strip_bottom - TOP}
            hatch = element("rect", {**box, "fill": "url(#hatch)", "stroke": "var(--risk)", "fill_opacity": 0.75})
            sign = self._numbered(x + width / 2, TOP - 9, number)
            yield titled(f"{self._risk_text(window)}", hatch, sign)

    def _window(self, window: RiskWindow) -> tuple[float, float]:
        """Left edge and width; at least wide enough to be seen."""
        x = self._x(day_of(self.runsheet.calendar, window.week, window.day))
        return x, max(self.day_width * window.days, 8.0)

    def _numbered(self, x: float, y: float, number: int) -> str:
        circle = element("circle", {"cx": x, "cy": y, "r": 8, "fill": "var(--risk)"})
        return circle + text(x, y + 4, f"{number}", "on m")

    def _risk_text(self, window: RiskWindow) -> str:
        staffed = "" if window.staffed else ", not staffed"
        return f"week {window.week} day {window.day}: {window.title or window.id}{staffed}"

    def _phase(self, index: int, phase: Phase) -> Iterator[str]:
        y = TOP + ROW * index + (ROW - BAR) / 2
        begins = day_of(self.runsheet.calendar, phase.first_week, 1)
        ends = day_of(self.runsheet.calendar, phase.last_week, 7) + timedelta(days=1)
        x, width = self._x(begins), self._x(ends) - self._x(begins)
        weeks = f"week {phase.first_week}" if phase.first_week == phase.last_week else (
            f"weeks {phase.first_week} to {phase.last_week}"
        )  # fmt: skip
        yield text(20, y + 9, phase.title, "b")
        yield text(20, y + 24, f"{weeks}, {share_text(phase.share)}", "s")
        bar = element("rect", {"x": x, "y": y, "width": width, "height": BAR, "rx": 5, "fill": "var(--bar)"})
        yield titled(f"{phase.title}: {begins} to {ends - timedelta(days=1)}", bar)
        yield from self._bake(index, phase, y)
        for dated in self.steps[index]:
            yield self._step(dated, y)
        if phase.entry_signoffs:
            yield self._signed(x, y, "before it begins", sorted({r for s in phase.entry_signoffs for r in s.roles}))
        if phase.exit_signoffs:
            told = sorted({r for s in phase.exit_signoffs for r in s.roles})
            yield self._signed(x + width, y, "before it ends", told)

    def _bake(self, index: int, phase: Phase, y: float) -> Iterator[str]:
        moved = [dated for dated in self.steps[index] if dated.step.moves_share]
        if phase.bake is None or not moved:
            return
        x, ends = self._x(moved[-1].day), self._x(moved[-1].day + phase.bake)
        box = {"x": x, "y": y + 3, "width": ends - x, "height": BAR - 6, "rx": 3, "fill": "var(--bake)"}
        share = share_text(moved[-1].step.share or 0)
        yield titled(f"bake: {share} has to stand for {time_text(phase.bake)}", element("rect", box))

    def _step(self, dated: Dated, y: float) -> str:
        x, step = self._x(dated.day) + self.day_width / 2, dated.step
        tip = f"{dated.day} {step.title or step.id}"
        middle = y + BAR / 2
        if step.irreversible:
            cross = f"M{x - 5:.1f} {middle - 5:.1f}l10 10m0 -10l-10 10"
            mark = element("path", {"d": cross, "stroke": "var(--on)", "stroke_width": 3, "fill": "none"})
            return titled(f"{tip}, cannot be undone", mark)
        colour = "var(--on)" if step.moves_share else "var(--page)"
        radius = 4 if step.moves_share else 2
        return titled(tip, element("circle", {"cx": x, "cy": middle, "r": radius, "fill": colour,
                                              "stroke": "var(--bar)", "stroke_width": 0.6}))  # fmt: skip

    def _signed(self, x: float, y: float, when: str, roles: Sequence[str]) -> str:
        return titled(f"sign-off by {', '.join(roles)} {when}", self._diamond(x, y - 2))

    def _diamond(self, x: float, y: float) -> str:
        shape = (
            f"M{x:.1f} {y - DIAMOND:.1f}l{DIAMOND:g} {DIAMOND:g}l-{DIAMOND:g} {DIAMOND:g}l-{DIAMOND:g} -{DIAMOND:g}z"
        )
        return element("path", {"d": shape, "fill": "var(--sign)", "stroke": "var(--page)", "stroke_width": 1.2})

    def _share(self) -> Iterator[str]:
        """The share of the fleet over time, as a staircase."""
        yield text(20, self.strip_top + 14, "Share of the fleet", "b")
        yield text(20, self.strip_top + 30, "on the elicitation lane", "s")
        moved = [dated for steps in self.steps for dated in steps if dated.step.share is not None]
        tall = STRIP - 18
        points, y = [(LEFT, self.strip_bottom)], self.strip_bottom
        for dated in moved:
            x = self._x(dated.day)
            points.append((x, y))
            y = self.strip_bottom - tall * (dated.step.share or 0)
            points.append((x, y))
        points += [(LEFT + CHART, y), (LEFT + CHART, self.strip_bottom)]
        outline = " ".join(f"{x:.1f},{height:.1f}" for x, height in points)
        area = {"points": outline, "fill": "var(--area)", "fill_opacity": 0.22, "stroke": "var(--area)"}
        yield element("polygon", {**area, "stroke_width": 1.5})
        for dated in moved:
            height = self.strip_bottom - tall * (dated.step.share or 0)
            yield text(self._x(dated.day) + 13, height - 5, share_text(dated.step.share or 0), "b")

    def _legend(self) -> Iterator[str]:
        y = self.strip_bottom + LEGEND
        x = LEFT
        for mark, said, wide in self._marks(y - 4):
            yield element("g", {"transform": f"translate({x:.1f} 0)"}, mark)
            yield text(x + 20, y, said, "s")
            x += wide
        for index, window in enumerate(self.runsheet.risk_windows):
            at = LEFT + (index % 2) * CHART / 2, y + LINE * (1.3 + index // 2)
            yield self._numbered(at[0] + 7, at[1] - 4, index + 1)
            yield text(at[0] + 20, at[1], self._risk_text(window), "s")

    def _marks(self, y: float) -> Iterator[tuple[str, str, float]]:
        def box(fill: str, opacity: float = 1.0) -> str:
            return element("rect", {"x": 0, "y": y - 6, "width": 14, "height": 12, "rx": 3, "fill": fill,
                                    "fill_opacity": opacity})  # fmt: skip

        cross = element("path", {"d": f"M2 {y - 5:.1f}l10 10m0 -10l-10 10", "stroke": "var(--ink)",
                                 "stroke_width": 3, "fill": "none"})  # fmt: skip
        yield box("var(--bar)"), "phase, with its steps", 150
        yield box("var(--bake)"), "bake: the share has to stand", 188
        yield self._diamond(7, y), "sign-off", 84
        yield box("url(#hatch)"), "risk window", 104
        yield box("var(--freeze)", 0.4), "freeze", 78
        yield cross, "cannot be undone", 130
