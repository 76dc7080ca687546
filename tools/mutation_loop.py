"""Run the tests against each change that mutmut prepared; started by mutation.py inside its copy of the tree.

Usage: mutation_loop.py SECONDS CHILDREN SECONDS_EACH [FILE…]

mutmut itself starts pytest anew for every change, which costs ten times what the tests of core take. Here the tests
are collected once; each change is a child forked from there, which runs the tests that reach the changed function until
one fails: first those that noticed another change of the same function, then the shortest, as many as take SECONDS_EACH
of processor time together. Which tests reach what is mutmut's own account, and verdicts go where it keeps its own.
"""

import gc
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, NoReturn

import pytest
from hypothesis import Phase, settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.format_utils import mangled_name_from_mutant_name

CORE: Final = "src/crossfade/core"
WITHOUT_TESTS: Final = 33
SAVED_EVERY: Final = 50
GRACE_SECONDS: Final = 2
SLOWER: Final = 6
"""Each test may take six times as much processor time as it did where nothing was changed, and two seconds."""
CONTROL_SECONDS: Final = 20
"""What one test is taken to need at most where nothing is changed."""
REMEMBERED: Final = 8
"""So many of the tests that noticed a change of a function are tried first at the next one."""
NUMBER: Final = struct.Struct("=q")
CLOCK: Final = struct.Struct("=dq")
"""Processor time, and how many tests have failed so far."""
Limited = tuple[pytest.Item, float]
"""A test, and the processor time it takes where nothing is changed, in seconds."""
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


@dataclass(frozen=True)
class Change:
    """One change to try: where its verdict goes, its function, and the tests that reach it, the shortest first."""

    path: Path
    mutant: str
    function: str
    tests: list[Limited]


class Loop:
    """Takes the place of pytest's own loop over the tests."""

    def __init__(self, ledger: Ledger, seconds: float, children: int, seconds_each: float, wanted: list[str]) -> None:
        self.ledger = ledger
        self.over = False
        self.children = children
        self.seconds_each = seconds_each
        self.wanted = wanted
        self.running: dict[int, tuple[Change, list[Limited], int]] = {}
        self.noticed: dict[str, list[Limited]] = defaultdict(list)
        self.board = mmap.mmap(-1, NUMBER.size * children)
        """Where a child says which of its tests runs, a place for each of those that run at once."""
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _ring(self, _number: int, _frame: object) -> None:
        self.over = True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every change that has no verdict, the cheapest first."""
        gc.collect()
        gc.freeze()
        took = self._control(session)
        print(f"{len(took)} tests take {sum(took.values()):.0f} s of processor time")
        plan = self._plan(session, took)
        print(f"{len(plan)} changes without a verdict", flush=True)
        for change in plan:
            if self.over:
                break
            self._try(session, change)
        while self.running:
            self._reap()
        self.ledger.save()
        print()
        return True

    def _control(self, session: pytest.Session) -> dict[str, float]:
        """What processor time each test takes where nothing is changed, in seconds.

        Without those that fail there, which are named: else all that they reach would be taken for noticed.
        """
        clock = mmap.mmap(-1, CLOCK.size * (len(session.items) + 1))

        def tell(count: int) -> None:
            CLOCK.pack_into(clock, CLOCK.size * count, time.process_time(), session.testsfailed)

        child = os.fork()
        if not child:
            _become(session, "", [(item, CONTROL_SECONDS) for item in session.items], tell, all_of_them=True)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) not in (0, 1):
            raise pytest.UsageError("the tests do not run without any change; run them in var/mutation/mutants")
        took, told = {}, list(CLOCK.iter_unpack(clock[:]))
        for item, (begin, before), (end, after) in zip(session.items, told, told[1:], strict=False):
            if after > before:
                print(f"fails without any change, so it is left out: {item.nodeid}")
            else:
                took[item.nodeid] = end - begin
        return took

    def _plan(self, session: pytest.Session, took: dict[str, float]) -> list[Change]:
        reach = json.loads(Path("mutmut-stats.json").read_text("utf-8"))["tests_by_mangled_function_name"]
        items = {item.nodeid: (item, took[item.nodeid]) for item in session.items if item.nodeid in took}
        plan = []
        for path, mutant in self.ledger.open(self.wanted):
            function = mangled_name_from_mutant_name(mutant)
            tests = sorted((items[name] for name in reach.get(function, ()) if name in items), key=_seconds)
            together = accumulate(map(_seconds, tests))
            chosen = [test for test, so_far in zip(tests, together, strict=True) if so_far <= self.seconds_each]
            plan.append(Change(path, mutant, function, chosen or tests[:1]))
        return sorted(plan, key=lambda change: sum(map(_seconds, change.tests)))

    def _try(self, session: pytest.Session, change: Change) -> None:
        if not change.tests:
            self.ledger.put(change.path, change.mutant, WITHOUT_TESTS)
            return
        while len(self.running) >= self.children:
            self._reap()
        first = self.noticed[change.function]
        tests = [*first, *(test for test in change.tests if test not in first)]
        place = min(set(range(self.children)) - {place for _change, _tests, place in self.running.values()})
        child = os.fork()
        if not child:
            _become(
                session, change.mutant, tests, lambda count: NUMBER.pack_into(self.board, NUMBER.size * place, count)
            )
        self.running[child] = (change, tests, place)

    def _reap(self) -> None:
        child, status = os.wait()
        change, tests, place = self.running.pop(child)
        code = os.waitstatus_to_exitcode(status)
        self.ledger.put(change.path, change.mutant, code)
        if code:
            noticing = tests[NUMBER.unpack_from(self.board, NUMBER.size * place)[0]]
            others = [test for test in self.noticed[change.function] if test is not noticing]
            self.noticed[change.function] = [noticing, *others][:REMEMBERED]


def _seconds(test: Limited) -> float:
    return test[1]


def _become(
    session: pytest.Session,
    mutant: str,
    tests: list[Limited],
    tell: Callable[[int], None],
    *,
    all_of_them: bool = False,
) -> NoReturn:
    """In the child: end with 1 if a test fails under the change, else 0; the system ends one whose test never does.

    ``tell`` is given how many tests are over, before each and after the last. With ``all_of_them`` it does not end at
    the first that fails.
    """
    status = 3
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        set_mutant_under_test(mutant)
        before = session.testsfailed
        for count, ((item, seconds), following) in enumerate(zip(tests, [*tests[1:], None], strict=True)):
            tell(count)
            limit = int(time.process_time() + GRACE_SECONDS + SLOWER * seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following[0] if following else None)
            if session.testsfailed > before and not all_of_them:
                break
        else:
            tell(len(tests))
        status = int(session.testsfailed > before)
    finally:
        os._exit(status)


def main() -> int:
    """Run; pytest's exit status."""
    seconds, children, seconds_each, *wanted = sys.argv[1:]
    chosen = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    settings.register_profile(PROFILE, parent=settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
    os.chdir("mutants")
    sys.path[:0] = [str(Path("src").resolve()), str(Path.cwd())]
    loop = Loop(Ledger(Path(CORE).resolve()), float(seconds), int(children), float(seconds_each), wanted)
    tests = [*chosen["pytest_add_cli_args"], *chosen["pytest_add_cli_args_test_selection"]]
    # Why a test failed is of no interest here, and taking comparisons apart costs more than the tests.
    return int(pytest.main([*QUIET, *tests, f"--hypothesis-profile={PROFILE}"], plugins=[loop]))


if __name__ == "__main__":
    sys.exit(main())
