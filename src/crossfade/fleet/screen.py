"""What a demonstration shows: a live view on a terminal, plain lines elsewhere, and the final table.

Not the report (fleet/report.py); with ``--json`` all of this goes to stderr.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crossfade.fleet.ramp import Stage
from crossfade.fleet.reconcile import Times
from crossfade.fleet.report import DemoReport

QUESTIONS_SHOWN: Final = 8
PLAIN_STATUS_EVERY: Final = 5
"""Without a terminal every so many status lines are printed."""


class Screen:
    """Shows one run on ``stream``; use as a context manager."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, width=None if stream.isatty() else 110)
        self._questions: deque[str] = deque(maxlen=QUESTIONS_SHOWN)
        self._status = ""
        self._updates = 0
        self._live = Live(get_renderable=self._draw, console=self._console, transient=True, refresh_per_second=5)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def stage(self, stage: Stage) -> None:
        """A stage began."""
        self.note(
            f"  {stage.name:<12} share {stage.share:4.0%}, reached {stage.achieved:6.1%}, "
            f"{stage.agents_on_elicitation:>4} agents on elicitation, {stage.asked:>6} questions so far"
        )

    def question(self, line: str) -> None:
        """A question came to its end; the last few are visible on a terminal."""
        self._questions.append(line)

    def status(self, text: str) -> None:
        """How it stands now; call it about once a second."""
        self._status = text
        self._updates += 1
        if not self._console.is_terminal and self._updates % PLAIN_STATUS_EVERY == 0:
            self.note(f"      {text}")

    def table(self, report: DemoReport) -> None:
        """The final table."""
        self._live.stop()
        for draw in (_stages, _lanes, _totals):
            self._console.print(draw(report, plain=not self._console.is_terminal))
        for fault in report.faults:
            self.note(f"  {fault.question}: {fault.what}")

    def _draw(self) -> RenderableType:
        return Group(*(Text(line, style="dim") for line in self._questions), Text(self._status, style="bold"))


Draw = Callable[[DemoReport], Table]


def _table(title: str, *columns: str, plain: bool) -> Table:
    table = Table(title=None if plain else title, box=None, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _stages(report: DemoReport, *, plain: bool) -> Table:
    table = _table("Ramp", "stage", "share", "reached", "on elicitation", "status", "asked before", plain=plain)
    for stage in report.stages:
        on = f"{stage.agents_on_elicitation} of {stage.agents}"
        table.add_row(stage.name, f"{stage.share:.0%}", f"{stage.achieved:.1%}", on, stage.status, str(stage.asked))
    return table


def _lanes(report: DemoReport, *, plain: bool) -> Table:
    table = _table("Times in ms", "lane", "what", "n", "p50", "p95", "p99", "p99.9", plain=plain)
    for lane, times in report.lanes.items():
        table.add_row(lane, "asked → received", *_times(times.delivery_ms))
        table.add_row("", "asked → answer", *_times(times.answer_ms))
    return table


def _totals(report: DemoReport, *, plain: bool) -> Table:
    table = _table("Reconciled from the agents' own journals", "what", "count", plain=plain)
    rows: dict[str, object] = {
        "questions": report.questions,
        "answered": report.answered,
        "lost": report.lost,
        "doubled": report.doubled,
        "shown twice (allowed)": report.repeats,
        "channels": ", ".join(f"{name} {count}" for name, count in sorted(report.channels.items())),
        "agents in clusters": f"{report.agents} in {report.clusters}",
        "hub restarts": report.hub_restarts,
        "reconnects": report.reconnects,
        "seconds": report.seconds,
    }
    for revision, count in report.official.items():
        received = ", ".join(f"{name} {number}" for name, number in sorted(count.received.items()))
        said = f"{count.answered} of {count.questions} answered by {count.agents} agents, received {received}"
        rows[f"official client, {revision}"] = said
    if report.unfinished:
        rows["agents that did not finish"] = report.unfinished
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _times(times: Times) -> tuple[str, ...]:
    return (
        str(times.n),
        *("-" if value is None else f"{value:.1f}" for value in (times.p50, times.p95, times.p99, times.p999)),
    )
