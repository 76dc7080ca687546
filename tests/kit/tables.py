"""Reads decision tables: text files whose rows a reviewer can check by eye.

Cells are parted by ``|`` with a space on each side. The first row names the columns. Empty lines and
lines beginning with ``#`` are left out. Every row must have every cell, so a slip is an error and not
a row that silently tests nothing.
"""

from pathlib import Path

TABLES = Path(__file__).parent.parent / "core" / "tables"


def rows(name: str) -> list[dict[str, str]]:
    """Read ``tests/core/tables/<name>.txt``; each row also has ``line``, its place in the file."""
    header: list[str] = []
    found: list[dict[str, str]] = []
    for number, line in enumerate((TABLES / f"{name}.txt").read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split(" | ")]
        if not header:
            header = cells
            continue
        if len(cells) != len(header):
            raise ValueError(f"{name}.txt:{number}: {len(cells)} cells, expected {len(header)}")
        found.append({**dict(zip(header, cells, strict=True)), "line": f"{name}.txt:{number}"})
    if not found:
        raise ValueError(f"{name}.txt has no rows")
    return found


def ids(table: list[dict[str, str]]) -> list[str]:
    """Name the rows for a parametrised test: ``name.txt:12``."""
    return [row["line"] for row in table]
