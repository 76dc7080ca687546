"""Change core by machine, one small change at a time, and count which of them the tests notice.

Usage: mutation.py [FILE…] [--again] [--report] [--seconds N] [--children N] [--seconds-each N]

    mutation.py                everything that has no verdict yet; stopped and started again it goes on
    mutation.py runs clusters  of these files of core only
    mutation.py --again        what survived or had no test once more: after writing tests
    mutation.py --report       only the table
    mutation.py --seconds-each 2   for each change only the shortest tests, of 2 s together; the others may notice more

Works in a copy of the tree below var/, so that nothing here is changed. mutmut prepares the changes and finds out which
tests reach which function (mutation_prepare.py); mutation_loop.py runs those. Which tests count, and which lines are
left alone, is [tool.mutmut] in pyproject.toml. The score is killed / (killed + survived + without a test). A change
under which the tests run out of time is noticed, so it counts as killed; one that changes nothing (an equivalent)
counts as survived.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
COPY: Final = ROOT / "var/mutation"
CORE: Final = Path("src/crossfade/core")
TAKEN: Final = ("src", "tests", "docs", "examples", "pyproject.toml")
KILLED: Final = frozenset({1, 3, 24, -24, -9, 36, 152, 255})
"""pytest's exit status after a failure, and those of a process that ran out of time."""
SURVIVED: Final = 0
WITHOUT: Final = frozenset({5, 33})
"""Exit status if no test reaches the changed function."""


def refresh() -> set[str]:
    """Make the copy what the tree is now; a file that is the same keeps its time, so that its verdicts stay.

    Returns the paths of what has changed.
    """
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", *TAKEN], capture_output=True, check=True, text=True
    )
    names = {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}
    changed = set()
    for name in names:
        here, there = ROOT / name, COPY / name
        if not there.is_file() or there.read_bytes() != here.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here, there)
            changed.add(name)
    for base in (COPY, COPY / "mutants"):
        for path in (*(base / "src").rglob("*.py"), *(base / "tests").rglob("*.py")):
            if str(path.relative_to(base)) not in names:
                path.unlink()
    return changed


def unlearn(changed: set[str]) -> None:
    """Take back what tests in changed files reach, and those that reach a changed file of core."""
    path = COPY / "mutants/mutmut-stats.json"
    if not path.is_file():
        return
    stats = json.loads(path.read_text("utf-8"))
    reach = stats["tests_by_mangled_function_name"]
    modules = {name.removeprefix("src/").removesuffix(".py").replace("/", ".") for name in changed}
    modules |= {name.removesuffix(".__init__") for name in modules}
    stale = {test for function, tests in reach.items() if function.rpartition(".")[0] in modules for test in tests}
    stale |= {test for test in stats["duration_by_test"] if test.partition("::")[0] in changed}
    for function, tests in reach.items():
        reach[function] = [test for test in tests if test not in stale]
    for test in stale:
        stats["duration_by_test"].pop(test, None)
    path.write_text(json.dumps(stats, indent=4), "utf-8")


def prepare() -> int:
    """Let mutmut write every change into the copy, and find out which tests reach what; its exit status."""
    program = str(Path(__file__).parent / "mutation_prepare.py")
    return subprocess.run([sys.executable, program], cwd=COPY, check=False).returncode


def verdicts() -> dict[str, dict[str, int | None]]:
    """File of core to its mutants, each with the exit status of its tests; None if they did not run yet."""
    base = COPY / "mutants" / CORE
    found = {}
    for path in sorted(base.rglob("*.py.meta")):
        name = str(path.relative_to(base)).removesuffix(".py.meta")
        if (COPY / CORE / f"{name}.py").is_file():
            found[name] = json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    return found


def forget(files: list[str]) -> None:
    """Take back the verdicts of what was not noticed, in some files or in all: the tests have changed."""
    base = COPY / "mutants" / CORE
    for path in base.rglob("*.py.meta"):
        if files and str(path.relative_to(base)).removesuffix(".py.meta") not in files:
            continue
        data = json.loads(path.read_text("utf-8"))
        for mutant, status in data["exit_code_by_key"].items():
            data["exit_code_by_key"][mutant] = status if status in KILLED else None
        path.write_text(json.dumps(data, indent=4), "utf-8")


def score(counts: Counter[str]) -> str:
    """Per cent of the mutants with a verdict that the tests notice; a dash if there are none."""
    judged = counts["killed"] + counts["survived"] + counts["without a test"]
    return f"{100 * counts['killed'] / judged:.1f} %" if judged else "-"


def counted(statuses: dict[str, int | None]) -> Counter[str]:
    """How many have which verdict."""
    counts: Counter[str] = Counter()
    for status in statuses.values():
        if status in KILLED:
            counts["killed"] += 1
        elif status == SURVIVED:
            counts["survived"] += 1
        elif status in WITHOUT:
            counts["without a test"] += 1
        else:
            counts["no verdict"] += 1
    return counts


def report() -> str:
    """The table, as Markdown, the whole last."""
    kinds = ("killed", "survived", "without a test", "no verdict")
    lines = [f"| file | mutants | {' | '.join(kinds)} | score |", f"|---|--:|{'--:|' * len(kinds)}--:|"]
    whole: Counter[str] = Counter()
    rows = {name: counted(statuses) for name, statuses in verdicts().items() if statuses}
    for counts in rows.values():
        whole += counts
    for name, counts in (*rows.items(), ("**all of core**", whole)):
        cells = [str(counts[kind]) for kind in kinds]
        lines.append(f"| {name} | {counts.total()} | {' | '.join(cells)} | {score(counts)} |")
    return "\n".join(lines)


def main() -> int:
    """Prepare, run, report; exit status 0 if the tests themselves ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="files of core without .py, e.g. runs review/facts")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--seconds", type=float, default=86_400)
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--seconds-each", type=float, default=3_600, help="of tests for one change, processor time")
    options = parser.parse_args()
    status = 0
    if not options.report:
        unlearn(refresh())
        if options.again:
            forget(options.files)
        status = prepare()
    if not options.report and status == 0:
        loop = [sys.executable, str(Path(__file__).parent / "mutation_loop.py")]
        arguments = [str(options.seconds), str(options.children), str(options.seconds_each), *options.files]
        status = subprocess.run(["nice", "-n", "10", *loop, *arguments], cwd=COPY, check=False).returncode
    print(report())
    return 0 if status in (0, 5) else status


if __name__ == "__main__":
    sys.exit(main())
