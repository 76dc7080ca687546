"""Draw docs/explanation/state-machines.md from the ``NEXT`` tables in crossfade.core.

Usage: diagrams.py [--check]     with --check, exit status 1 if the page is not what would be drawn.

A module takes part by having a mapping called ``NEXT`` from (status, event type) to status.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

import crossfade.core

PAGE: Final = Path(__file__).parent.parent / "docs/explanation/state-machines.md"
HEAD: Final = """\
# State machines

Drawn from the `NEXT` tables in `src/crossfade/core/` by `make docs`; a test compares this page with the source,
so it is never out of date. Do not edit it. An event that is not drawn at a state is refused there.
"""


def machines() -> Iterator[tuple[ModuleType, Mapping[tuple[object, type], object]]]:
    """Every module of the core that holds a state machine, with its table, by name."""
    for found in sorted(pkgutil.walk_packages(crossfade.core.__path__, "crossfade.core."), key=lambda info: info.name):
        module = importlib.import_module(found.name)
        table = getattr(module, "NEXT", None)
        if isinstance(table, Mapping):
            yield module, table


def arrows(table: Mapping[tuple[object, type], object]) -> Iterator[str]:
    """One arrow a pair of states, carrying every event that leads along it."""
    labels: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in table.items():
        labels.setdefault((name(before), name(after)), []).append(event.__name__)
    for (before, after), events in labels.items():
        yield f"    {before} --> {after}: {', '.join(events)}"


def name(status: object) -> str:
    """A state as the diagram shows it; what does not exist yet is the starting point."""
    return "[*]" if str(status) == "absent" else str(status).replace("-", "_")


def section(module: ModuleType, table: Mapping[tuple[object, type], object]) -> str:
    """Heading, first sentence of the module, diagram."""
    title = module.__name__.rpartition(".")[2].replace("_", " ").capitalize()
    said = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
    ends = [f"    {name(state)} --> [*]" for state in ended(table)]
    drawing = "\n".join(["```mermaid", "stateDiagram-v2", *arrows(table), *ends, "```"])
    return f"## {title}\n\n{said}\n\n{drawing}\n"


def ended(table: Mapping[tuple[object, type], object]) -> list[object]:
    """States that nothing leads out of, in order of appearance."""
    left = {before for before, _ in table}
    return list(dict.fromkeys(after for after in table.values() if after not in left))


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(module, table) for module, table in machines())])


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    drawn = page()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text("utf-8") == drawn:
            return 0
        print(f"error: {PAGE.name} differs from the NEXT tables\ntry: make docs")
        return 1
    PAGE.write_text(drawn, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
