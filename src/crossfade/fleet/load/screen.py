"""What a load run shows: a progress bar on stderr while it runs, tables at its end."""

import os
from collections.abc import Sequence
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from crossfade.fleet.load.compare import LanesReport
from crossfade.fleet.load.gauge import Gauge
from crossfade.fleet.load.report import LoadReport
from crossfade.fleet.load.rows import lane_rows, lanes_table, steps_table, totals

PLAIN_WIDTH = 140


class Bar:
    """The progress bar; nothing is shown where nobody looks. Use as a context manager."""

    def __init__(self, stream: TextIO, *, quiet: bool) -> None:
        console = Console(file=stream, highlight=False)
        self._shown = console.is_terminal and not quiet
        self._title = ""
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"), TimeElapsedColumn(),
            console=console, transient=True, disable=not self._shown, refresh_per_second=5,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=1.0, figures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def title(self, text: str) -> None:
        """What is being run, before each stage."""
        self._title = f"{text}: " if text else ""

    def watch(self, what: str, part: float, gauge: Gauge) -> None:
        """``run.Watch``."""
        if self._shown:
            figures = f"{gauge.attached:,} held, {gauge.acknowledged:,} asked, {gauge.open:,} open"
            self._progress.update(self._task, description=self._title + what, completed=part, figures=figures)


def show(stream: TextIO, reports: Sequence[LoadReport]) -> None:
    """The tables of a run, or of the steps of a scenario."""
    console = _console(stream)
    last = reports[-1]
    if len(reports) > 1:
        _draw(console, *steps_table(reports))
    _draw(console, ("what", "figure"), totals(last), left=2)
    _draw(console, ("times in ms", "what", "n", "p50", "p95", "p99", "p99.9", "max"), lane_rows(last), left=2)
    for report in reports:
        _troubles(console, report)


def show_lanes(stream: TextIO, report: LanesReport) -> None:
    """The table of a comparison."""
    console = _console(stream)
    _draw(console, *lanes_table(report))
    if report.reason:
        console.print(f"cut short: {report.reason}", markup=False)


def _troubles(console: Console, report: LoadReport) -> None:
    said = [f"cut short: {report.reason}"] if report.reason else []
    said += [f"refused {count} times: {what}" for what, count in report.faults.items()]
    said += [f"{fault.question}: {fault.what}" for fault in report.wrong]
    said += [f"warning: {text}" for text in report.warnings]
    if report.journals:
        said.append(f"journals: {report.journals}")
    for line in said:
        console.print(line, markup=False, soft_wrap=True)


def _console(stream: TextIO) -> Console:
    return Console(
        file=stream, highlight=False, no_color="NO_COLOR" in os.environ, width=None if stream.isatty() else PLAIN_WIDTH
    )


def _draw(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
