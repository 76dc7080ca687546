"""Run the benchmarks one after the other, keep what each found, and write bench/RESULTS.md anew.

    python -m bench [--only log_append scaling] [--rounds 5] [--render] [--list]

A section that fails keeps its former result, and the exit code is 1; the others are run all the same. ``--render``
measures nothing and writes RESULTS.md and the plots of docs/ from what is kept.
"""

import argparse
import json
import subprocess
import sys
import time

import msgspec

from bench import page, plots
from bench.found import Found
from bench.machine import Watch, load, machine, today
from bench.page import Result
from bench.sections import SECTIONS, Section
from bench.targets import scratch

FAILED = 1
INTERRUPTED = 130


def measured(section: Section, rounds: int | None) -> Result | None:
    """Run one section; None if it failed, which it has said on stderr."""
    facts, watch, began = machine(scratch()), Watch(), time.monotonic()
    words = (sys.executable, *section.words(rounds), "--json")
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, cwd=page.HERE.parent)
    crowd, took = watch.crowd(), time.monotonic() - began
    if done.returncode != 0:
        print(f"error: {section.name} ended with exit code {done.returncode}", file=sys.stderr, flush=True)
        return None
    found = msgspec.convert(json.loads(done.stdout.splitlines()[-1]), Found)
    return Result(
        section=section.name, day=today(), command=section.command(rounds), machine=facts, crowd=crowd,
        took_seconds=round(took, 1), found=found,
    )  # fmt: skip


def render() -> None:
    """Write RESULTS.md and the plots from what is kept."""
    kept = page.results()
    page.PAGE.write_text(page.page(kept), "utf-8")
    plots.draw(kept)


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[section.name for section in SECTIONS], nargs="+", metavar="SECTION")
    parser.add_argument("--rounds", type=int, help="of each section; else its own number")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="the sections")
    chosen = parser.parse_args()
    if chosen.list:
        for section in SECTIONS:
            print(f"{section.name:12} {section.minutes:4.1f} min  {section.title}")
        return 0
    wanted = [] if chosen.render else [one for one in SECTIONS if not chosen.only or one.name in chosen.only]
    failed = []
    for number, section in enumerate(wanted, 1):
        print(f"[{number}/{len(wanted)}] {section.title}, load average {load():.1f}", file=sys.stderr, flush=True)
        result = measured(section, chosen.rounds)
        if result is None:
            failed.append(section.name)
            continue
        page.save(result)
        render()
    render()
    print(f"{page.PAGE.relative_to(page.HERE.parent)} is written", file=sys.stderr)
    return FAILED if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        sys.exit(INTERRUPTED)
