"""Write docs/reference/cli.md: every command with its arguments, options and exit codes, from the commands themselves.

Usage: cli_docs.py [--check]     with --check, exit status 1 if the page is not what would be written.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cyclopts import App
from cyclopts.argument import Argument

from crossfade.cli.app import COMMANDS, Command, build

PAGE: Final = Path(__file__).parent.parent / "docs/reference/cli.md"
EVERYWHERE: Final = "Every command"
HEAD: Final = """\
# The command line

Written from the commands by `make docs`; a test compares. Do not edit.

stdout holds data only: a table on a terminal, tab-separated lines in a pipe, one document with `--json`, one document a
line with `--jsonl`, always with the same fields. Notes and errors go to stderr. An error has two lines, `error:` and
`try:`, or with `--json` is `{"error": {"code", "message", "try"}}`. Nothing is asked unless stdin is a terminal. The
[exit codes](exit-codes.md) are the same for all commands, and so are these options:

"""


def found(app: App, command: Command) -> App:
    """The command itself."""
    for word in command.words.split():
        app = app[word]
    return app


def arguments(app: App, command: Command) -> list[Argument]:
    """What the command takes, in order."""
    return [one for one in found(app, command).assemble_argument_collection() if one.show and one.names]


def shared(argument: Argument) -> bool:
    """The option is one that every command has."""
    groups = argument.parameter.group
    several = groups if isinstance(groups, tuple | list) else (groups,)
    return any(getattr(group, "name", group) == EVERYWHERE for group in several)


def row(argument: Argument) -> str:
    """One line of a table of arguments."""
    names = ", ".join(f"`{name}`" for name in argument.names)
    if not argument.required or not argument.field_info.is_positional:
        shown = names
    else:
        shown = f"`{argument.names[0].lstrip('-').upper()}`"
    default = argument.field_info.default
    plain = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    said = " ".join((argument.parameter.help or "").split())
    tail = " Required." if argument.required else f" Default: `{default}`." if plain else ""
    return f"| {shown} | {said}{tail} |\n"


def table(rows: list[Argument]) -> str:
    """Arguments as a table; nothing if there are none."""
    return "| argument | meaning |\n|---|---|\n" + "".join(map(row, rows)) + "\n" if rows else ""


def section(app: App, command: Command) -> str:
    """One command."""
    function = found(app, command).default_command
    said = (inspect.getdoc(function) or command.help).strip()
    own = [one for one in arguments(app, command) if not shared(one)]
    return f"## crossfade {command.words}\n\n{said}\n\n{table(own)}"


def page() -> Iterator[str]:
    """The parts of the page."""
    app = build()
    yield HEAD
    yield table([one for one in arguments(app, COMMANDS[0]) if shared(one)])
    for command in COMMANDS:
        yield section(app, command)


def main(given: list[str]) -> int:
    """Write the page, or compare it."""
    text = "".join(page()).rstrip("\n") + "\n"
    if "--check" not in given:
        PAGE.write_text(text, "utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text("utf-8") == text:
        return 0
    print(f"error: {PAGE.name} differs from the commands\ntry: python tools/cli_docs.py")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
