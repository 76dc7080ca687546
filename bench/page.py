"""bench/RESULTS.md from what is kept below bench/results/, and what was written by hand below bench/notes/.

A section without a result says so; a result that was cut short, too. Nothing here measures.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.found import Found, tables
from bench.machine import Crowd, Machine
from bench.sections import SECTIONS, Section

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
NOTES = HERE / "notes"
PAGE = HERE / "RESULTS.md"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one section found, when, where, and how busy the machine was."""

    section: str
    day: str
    command: str
    machine: Machine
    crowd: Crowd
    took_seconds: float
    found: Found


def save(result: Result, folder: Path = RESULTS) -> None:
    """Keep it."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{result.section}.json").write_bytes(plain + b"\n")


def results(folder: Path = RESULTS) -> dict[str, Result]:
    """Everything that is kept, by section."""
    found = (msgspec.json.decode(one.read_bytes(), type=Result) for one in sorted(folder.glob("*.json")))
    return {one.section: one for one in found}


def page(kept: Mapping[str, Result], notes: Path = NOTES) -> str:
    """The whole of RESULTS.md."""
    lines = [
        "# Results",
        "",
        "Written by `make bench`; what explains the figures is in bench/notes/. Do not edit it.",
        "",
    ]
    lines += _noted(notes / "introduction.md")
    lines += _overview(kept)
    for section in SECTIONS:
        lines += [
            f"## {section.title}",
            "",
            *_section(section, kept.get(section.name)),
            *_noted(notes / f"{section.name}.md"),
        ]
    return "\n".join(lines).rstrip() + "\n"


def _overview(kept: Mapping[str, Result]) -> Iterator[str]:
    """Every bound in one table."""
    yield "| section | bounds reached | missed, by the median |"
    yield "|---|---|---|"
    for section in SECTIONS:
        result = kept.get(section.name)
        ratios = [] if result is None else [ratio for ratio in result.found.ratios if ratio.reached is not None]
        if ratios:
            missed = [ratio.name for ratio in ratios if not ratio.reached]
            yield f"| {section.title} | {len(ratios) - len(missed)} of {len(ratios)} | {'; '.join(missed) or 'none'} |"
    yield ""


def _section(section: Section, result: Result | None) -> Iterator[str]:
    if result is None:
        yield f"Not measured: `{section.command(None)}`."
        yield ""
        return
    yield "```sh"
    yield result.command
    yield "```"
    yield ""
    yield where(result)
    yield ""
    yield from tables(result.found)


def where(result: Result) -> str:
    """Day, machine, and what else went on, in one paragraph."""
    machine, crowd = result.machine, result.crowd
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items() if name != "crossfade")
    commit = f", commit {machine.commit}" if machine.commit else ""
    return (
        f"{result.day}{commit}; {machine.processors} processors ({machine.model}), {machine.memory_mib // 1024} GiB, "
        f"{machine.kernel}, {machine.file_system}; Python {machine.python}, {packages}. Load average before "
        f"{crowd.load_before:.1f}; while it ran {crowd.load_median:.0f} runnable processes (median, at most "
        f"{crowd.load_max:.0f}), its own among them; processors idle {crowd.idle:.0%}, stolen {crowd.stolen:.0%}. "
        f"It took {result.took_seconds:.0f} s."
    )


def _noted(path: Path) -> list[str]:
    """A note, with its links as they are seen from the page, which is a folder above."""
    return [path.read_text("utf-8").rstrip().replace("](../", "]("), ""] if path.is_file() else []
