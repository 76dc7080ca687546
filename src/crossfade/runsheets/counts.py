"""A file of counts (CSV) to counts in the order of time; the first mistake with its line and column.

The format is docs/reference/gates.md: columns at, cluster, exposure, n, bad, in any order, and no others.

Rules
-----
1. Nothing is guessed or left out: a cell that is not what it has to be refuses the file.
2. Each cluster's counts of an exposure go forward in time; different ones may come in any order.
3. A million rows take seconds and about 40 bytes each; more than ``ROWS_MAX`` are refused.
"""

import csv
import re
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from crossfade.core.gates import Count, Exposure, instant_of
from crossfade.core.values import Instant
from crossfade.runsheets.problems import Problem, did_you_mean

COLUMNS: Final = ("at", "cluster", "exposure", "n", "bad")
ROWS_MAX: Final = 10_000_000
NUMBER: Final = re.compile(r"[0-9]{1,15}")
NAME_LENGTH_MAX: Final = 200
YEARS: Final = (instant_of("1970-01-01"), instant_of("2200-01-01"))
"""Instants that can be kept as whole nanoseconds, with room."""
EXPOSURES: Final = tuple(Exposure)


class CountsError(Exception):
    """The file is not counts; ``problem`` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Counts:
    """All counts of a file, in little memory; iterates in the order of time, as often as wanted."""

    def __init__(self) -> None:
        self._at, self._n, self._bad, self._line = array("q"), array("q"), array("q"), array("q")
        self._cluster, self._exposure = array("l"), array("b")
        self._names: dict[str, int] = {}
        self._sorted = True
        self._seen: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[Count]:
        names = list(self._names)
        order: Iterable[int] = range(len(self._at))
        if not self._sorted:
            order = sorted(order, key=self._at.__getitem__)
        for i in order:
            yield Count(
                Instant(self._at[i]), names[self._cluster[i]], EXPOSURES[self._exposure[i]],
                self._n[i], self._bad[i], self._line[i],
            )  # fmt: skip

    def exposed(self, exposure: Exposure) -> int:
        """How many clusters have observations of an exposure."""
        side = EXPOSURES.index(exposure)
        return sum(one == side for _, one in self._seen)

    def add(self, at: int, series: tuple[str, int], n: int, bad: int, line: int) -> None:
        """One row; ``series`` is the cluster and the number of its exposure."""
        cluster = self._names.setdefault(series[0], len(self._names))
        self._sorted = self._sorted and (not self._at or at >= self._at[-1])
        self._at.append(at)
        self._cluster.append(cluster)
        self._exposure.append(series[1])
        self._n.append(n)
        self._bad.append(bad)
        self._line.append(line)
        if n:
            self._seen.add((cluster, series[1]))


def load_counts(path: str) -> Counts:
    """Read counts from a file. Raises CountsError."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            return parse_counts(stream, path)
    except OSError as fault:
        raise _error(path, 1, 1, "", f"cannot be read: {fault.strerror}") from None


def parse_counts(lines: Iterable[str], file: str = "counts.csv") -> Counts:
    """Counts from lines of text. Raises CountsError."""
    return _Table(file).read(lines)


class _Table:
    """One file being read."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.counts = Counts()
        self.columns: list[str] = []
        self.places: dict[str, int] = {}
        self.last: dict[tuple[str, int], tuple[int, int]] = {}
        """By series: instant and line of its last row."""
        self.instants: dict[str, int] = {}
        self.raw = ""
        """The line that was read last."""
        self.line = 0

    def read(self, lines: Iterable[str]) -> Counts:
        rows = csv.reader(self.seen(lines), strict=True)
        try:
            self.header(next(rows, []))
            for row in rows:
                if row:
                    self.line = rows.line_num
                    self.take(row)
        except csv.Error as fault:
            raise _error(self.file, rows.line_num, 1, "", f"is not CSV: {fault}") from None
        return self.counts

    def seen(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self.raw = line
            yield line

    def header(self, row: list[str]) -> None:
        self.columns, self.line = [cell.strip() for cell in row], 1
        for index, name in enumerate(self.columns):
            if name not in COLUMNS:
                raise self.wrong(index, f"there is no column {name[:40]!r}", did_you_mean(name, COLUMNS))
            if self.columns.index(name) != index:
                raise self.wrong(index, f"the column {name} stands here twice", "keep one of them")
        for name in COLUMNS:
            if name not in self.columns:
                raise _error(self.file, 1, 1, name, "the column is missing", f"the header is {','.join(COLUMNS)}")
        self.places = {name: index for index, name in enumerate(self.columns)}

    def take(self, row: list[str]) -> None:
        if len(row) != len(self.columns):
            told = f"{len(row)} fields stand where {len(self.columns)} columns are"
            raise _error(self.file, self.line, 1, "", told)
        cells = {name: row[index].strip() for name, index in self.places.items()}
        for name, cell in cells.items():
            if not cell:
                raise self.wrong(self.places[name], "the cell is empty")
        at, series = self.instant(cells["at"]), (self.name(cells["cluster"]), self.side(cells["exposure"]))
        n, bad = self.number("n", cells["n"]), self.number("bad", cells["bad"])
        if bad > n:
            raise self.wrong(self.places["bad"], f"{bad} bad of {n} cannot be")
        self.forward(at, series, cells)
        if len(self.counts) >= ROWS_MAX:
            raise _error(self.file, self.line, 1, "", f"more than {ROWS_MAX} rows", "sum them up, a row a minute")
        self.counts.add(at, series, n, bad, self.line)

    def instant(self, text: str) -> int:
        known = self.instants.get(text)
        if known is not None:
            return known
        try:
            at = instant_of(text)
        except (ValueError, OverflowError):
            at = Instant(-1)
        if not YEARS[0] <= at < YEARS[1]:
            raise self.wrong(self.places["at"], f"{text[:40]!r} is no instant", "write it like 2026-11-30T08:00:00Z")
        if len(self.instants) > 10_000:
            self.instants.clear()
        self.instants[text] = at
        return at

    def name(self, text: str) -> str:
        if len(text) > NAME_LENGTH_MAX or not text.isprintable():
            raise self.wrong(self.places["cluster"], "is no name of a cluster: too long, or with unreadable characters")
        return text

    def side(self, text: str) -> int:
        for index, exposure in enumerate(EXPOSURES):
            if text == exposure:
                return index
        raise self.wrong(self.places["exposure"], f"{text[:40]!r} is no exposure", did_you_mean(text, EXPOSURES))

    def number(self, column: str, text: str) -> int:
        if not NUMBER.fullmatch(text):
            what = "is negative" if re.fullmatch(r"-[0-9.]+", text) else "is not a whole number"
            raise self.wrong(self.places[column], f"{text[:40]!r} {what}", "write a count in digits")
        return int(text)

    def forward(self, at: int, series: tuple[str, int], cells: dict[str, str]) -> None:
        last = self.last.get(series)
        if last is not None and at <= last[0]:
            who = f"{series[0]} {EXPOSURES[series[1]]}"
            if at == last[0]:
                raise self.wrong(self.places["at"], f"{who} is counted twice for this instant, first in line {last[1]}")
            raise self.wrong(self.places["at"], f"{cells['at']} is before line {last[1]} of {who}: the clock goes back")
        self.last[series] = (at, self.line)

    def wrong(self, index: int, message: str, hint: str = "") -> CountsError:
        name = self.columns[index]
        shown = name if name in COLUMNS else ascii(name[:40]) if not name.isprintable() else name[:40]
        return _error(self.file, self.line, 1 + _start(self.raw, index), shown, message, hint)


def _start(line: str, index: int) -> int:
    """Where the cell with this number begins in a line; a comma within quotes divides nothing."""
    quoted, cells = False, 0
    for at, sign in enumerate(line):
        if cells == index:
            return at
        quoted ^= sign == '"'
        cells += sign == "," and not quoted
    return len(line.rstrip("\r\n"))


def _error(file: str, line: int, column: int, name: str, message: str, hint: str = "") -> CountsError:
    problem = Problem(code="counts.refused", file=file, line=line, column=column, path=name, message=message, hint=hint)
    return CountsError(problem)
