"""Run the tests against each change that mutmut prepared; started by mutation.py inside its copy of the tree.

Usage: mutation_loop.py SECONDS CHILDREN [FILE…]

mutmut itself starts pytest anew for every change, which costs ten times what the tests of core take. Here the tests
are collected once; each change is a child forked from there, which runs the tests that reach the changed function, the
shortest first, until one fails. Which tests reach what is mutmut's own account, and verdicts go where it keeps its own.
"""

import gc
import json
import os
import resource
import signal
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.format_utils import mangled_name_from_mutant_name

CORE: Final = "src/crossfade/core"
WITHOUT_TESTS: Final = 33
SAVED_EVERY: Final = 50
CONTROL_SECONDS: Final = 120
"""The tests together may take ten times this much processor time where nothing is changed."""
QUIET: Final = ("--rootdir=.", "-q", "-s", "--tb=no", "--assert=plain")
PROFILE: Final = "judging"
"""Of Hypothesis: the first example that fails is enough; looking for the smallest one takes minutes."""


class Ledger:
    """The verdicts on disk: exit status of the tests by mutant, None if they did not run yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = {path: json.loads(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py.meta"))}
        self._changed: set[Path] = set()
        self._count = 0

    def open(self, wanted: list[str]) -> list[tuple[Path, str]]:
        """What has no verdict, of some files or of all."""
        return [
            (path, mutant)
            for path, data in self.files.items()
            if not wanted or str(path.relative_to(self.folder)).removesuffix(".py.meta") in wanted
            for mutant, status in data["exit_code_by_key"].items()
            if status is None
        ]

    def put(self, path: Path, mutant: str, status: int) -> None:
        """Keep a verdict; every so many are written down."""
        self.files[path]["exit_code_by_key"][mutant] = status
        self._changed.add(path)
        self._count += 1
        if self._count % SAVED_EVERY == 0:
            self.save()

    def save(self) -> None:
        """Write down what is new."""
        for path in self._changed:
            path.write_text(json.dumps(self.files[path], indent=4), "utf-8")
        self._changed.clear()
        print(f"\r{self._count} verdicts", end="", flush=True)


class Loop:
    """Takes the place of pytest's own loop over the tests."""

    def __init__(self, ledger: Ledger, seconds: float, children: int, wanted: list[str]) -> None:
        self.ledger = ledger
        self.over = False
        self.children = children
        self.wanted = wanted
        self.running: dict[int, tuple[Path, str]] = {}
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _ring(self, _number: int, _frame: object) -> None:
        self.over = True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every change that has no verdict, the cheapest first."""
        stats = json.loads(Path("mutmut-stats.json").read_text("utf-8"))
        took: dict[str, float] = defaultdict(float, stats["duration_by_test"])
        reach = stats["tests_by_mangled_function_name"]
        items = {item.nodeid: item for item in session.items}
        plan = []
        for path, mutant in self.ledger.open(self.wanted):
            names = [name for name in reach.get(mangled_name_from_mutant_name(mutant), ()) if name in items]
            names.sort(key=lambda name: took[name])
            plan.append((sum(took[name] for name in names), path, mutant, [items[name] for name in names]))
        plan.sort(key=lambda entry: entry[0])
        print(f"{len(plan)} changes without a verdict, {len(items)} tests")
        gc.collect()
        gc.freeze()
        self._control(session)
        for cost, path, mutant, chosen in plan:
            if self.over:
                break
            self._try(session, cost, (path, mutant), chosen)
        while self.running:
            self._reap()
        self.ledger.save()
        print()
        return True

    def _control(self, session: pytest.Session) -> None:
        """Raise unless every test passes where nothing is changed: else all that follows would be taken for noticed."""
        child = os.fork()
        if not child:
            status = 3
            try:
                status = _judged(session, CONTROL_SECONDS, "", session.items)
            finally:
                os._exit(status)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise pytest.UsageError("a test fails without any change; run it in var/mutation/mutants")

    def _try(self, session: pytest.Session, cost: float, change: tuple[Path, str], chosen: list[Any]) -> None:
        if not chosen:
            self.ledger.put(*change, WITHOUT_TESTS)
            return
        while len(self.running) >= self.children:
            self._reap()
        child = os.fork()
        if child:
            self.running[child] = change
            return
        status = 3
        try:
            status = _judged(session, cost, change[1], chosen)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        child, status = os.wait()
        self.ledger.put(*self.running.pop(child), os.waitstatus_to_exitcode(status))


def _judged(session: pytest.Session, cost: float, mutant: str, chosen: list[Any]) -> int:
    """In the child: 1 if a test fails under the change, 0 if none does; killed by the system if it never ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    seconds = 4 + int(10 * cost)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    set_mutant_under_test(mutant)
    for item, following in zip(chosen, [*chosen[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def main() -> int:
    """Run; pytest's exit status."""
    seconds, children, *wanted = sys.argv[1:]
    chosen = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    settings.register_profile(PROFILE, parent=settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
    os.chdir("mutants")
    sys.path[:0] = [str(Path("src").resolve()), str(Path.cwd())]
    loop = Loop(Ledger(Path(CORE).resolve()), float(seconds), int(children), wanted)
    tests = [*chosen["pytest_add_cli_args"], *chosen["pytest_add_cli_args_test_selection"]]
    # Why a test failed is of no interest here, and taking comparisons apart costs more than the tests.
    return int(pytest.main([*QUIET, *tests, f"--hypothesis-profile={PROFILE}"], plugins=[loop]))


if __name__ == "__main__":
    sys.exit(main())
