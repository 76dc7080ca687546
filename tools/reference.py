"""Write the pages of docs/reference that repeat what the source says: settings and exit codes.

Usage: reference.py [--check]     with --check, exit status 1 if a page is not what would be written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from crossfade.cli.exits import MEANING
from crossfade.config import FIELDS, SETTINGS, Setting, type_word

FOLDER: Final = Path(__file__).parent.parent / "docs/reference"
WRITTEN: Final = "Written from the source by `make docs`; a test compares. Do not edit."


def settings() -> str:
    """Every setting with type, default, bounds and variable."""
    head = f"""\
# Settings

{WRITTEN} `crossfade config show` prints what is in force and where each value comes from.

Later wins: default, `crossfade.toml`, environment, flag. A dot in a name is a table in TOML. An unknown name, a wrong
type and a value out of bounds are errors that name the place; nothing is guessed.

| setting | type | default | bounds | environment | what it is |
|---|---|---|---|---|---|
"""
    return head + "".join(f"{row}\n" for row in map(setting_row, SETTINGS))


def setting_row(setting: Setting) -> str:
    """One row of the table of settings."""
    default = FIELDS[setting.name][1]
    shown = "" if default in {"", ()} else str(default).lower() if isinstance(default, bool) else str(default)
    span = "" if setting.low is None or setting.high is None else f"{number(setting.low)} … {number(setting.high)}"
    cells = [f"`{setting.name}`", type_word(setting.name).replace("|", "or"), f"`{shown}`" if shown else "", span]
    return "| " + " | ".join([*cells, f"`{setting.variable}`", setting.help]) + " |"


def number(value: float) -> str:
    """A bound as people write it."""
    return f"{value:g}" if value % 1 else f"{int(value):,}"


def exits() -> str:
    """Every exit code."""
    rows = "".join(f"| {code.value} | {meaning} |\n" for code, meaning in MEANING.items())
    return f"# Exit codes\n\n{WRITTEN} Scripts may rely on all of them.\n\n| code | meaning |\n|---:|---|\n{rows}"


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with what it should say."""
    yield FOLDER / "settings.md", settings()
    yield FOLDER / "exit-codes.md", exits()


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" not in arguments:
        for path, text in stale:
            path.write_text(text, "utf-8")
        return 0
    for path, _ in stale:
        print(f"error: {path.name} differs from the source\ntry: make docs")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
