"""What a command prints: data on stdout, notes on stderr.

Rules
-----
1. A terminal gets a table; a pipe gets tab-separated lines under a header; ``--json`` one document. All three show
   the same fields, because all come from the same rows.
2. No colour when stdout is not a terminal or NO_COLOR is set (https://no-color.org).
3. A value that is not text is shown as JSON, so that nothing is lost by the table.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from crossfade.cli.options import Options

Row = Mapping[str, object]


def row_of(view: msgspec.Struct, fields: Sequence[str] = ()) -> Row:
    """A view as a row, in the order of ``fields``; all fields if none are named."""
    whole = msgspec.to_builtins(view)
    return {name: whole[name] for name in fields} if fields else whole


def _cell(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return msgspec.json.encode(value).decode()


def _flat(text: str) -> str:
    return " ".join(text.split())


class Output:
    """Where one command prints."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.terminal = sys.stdout.isatty() and not options.machine

    def table(self, rows: Iterable[Row], fields: Sequence[str]) -> None:
        """Print rows; with ``--json``: ``{"items": [...]}``, with ``--jsonl``: a line each."""
        kept = [{name: row[name] for name in fields} for row in rows]
        if self.options.json:
            self._document({"items": kept})
        elif self.options.jsonl:
            for row in kept:
                self._document(row)
        elif self.terminal:
            self._drawn(kept, fields)
        else:
            self.header(fields)
            for row in kept:
                self.line(row)

    def one(self, row: Row) -> None:
        """Print one thing, a field a line."""
        if self.options.machine:
            self._document(row)
            return
        width = max(len(name) for name in row) if self.terminal else 0
        for name, value in row.items():
            gap = " " * (width - len(name) + 2) if self.terminal else "\t"
            print(f"{name}{gap}{_flat(_cell(value))}")

    def header(self, fields: Sequence[str]) -> None:
        """Begin a stream of lines."""
        if not self.options.machine:
            print("\t".join(fields))

    def line(self, row: Row) -> None:
        """Print one row of a stream, at once."""
        if self.options.machine:
            self._document(row)
        else:
            print("\t".join(_flat(_cell(value)) for value in row.values()), flush=True)

    def note(self, text: str) -> None:
        """Tell a person something that is not data."""
        if not self.options.quiet and not self.options.machine:
            print(text, file=sys.stderr, flush=True)

    def _document(self, value: object) -> None:
        print(msgspec.json.encode(value).decode(), flush=True)

    def _drawn(self, rows: Sequence[Row], fields: Sequence[str]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        if not rows:
            self.note("nothing to show")
            return
        table = Table(*fields, box=SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(_flat(_cell(value))) for value in row.values()))
        Console(no_color="NO_COLOR" in os.environ).print(table)
