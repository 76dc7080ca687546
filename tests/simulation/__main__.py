"""Run schedules by seed, on every core: ``python -m tests.simulation --seeds 20000 [--from 1] [--stack]``.

One seed is one schedule, for ever, on one commit: ``--seed S`` plays it again. A failure prints seed and
commit. A campaign of many seeds that never reached an interesting place (places.py) fails, too. ``--stack``
plays the official MCP client and the whole server instead of the core. ``--sweep`` plays each seed as often
as it has steps, with one crash and nothing else, before every single step.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.simulation.campaign import outcomes, run_stack, swept
from tests.simulation.places import ENOUGH, ENOUGH_FULL_STACK, EVENTS, FULL_STACK, SOMETIMES, missed
from tests.simulation.schedule import Outcome, run_schedule

SHOWN = 20
HASHSEED = "0"
"""Sets of words have one order in every process."""


def commit() -> str:
    """The commit that the seeds belong to."""
    command = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def main(arguments: list[str]) -> int:
    """Play, report; 1 if a promise was broken or a place was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--seed", type=int, help="one schedule, told in full")
    parser.add_argument("--stack", action="store_true", help="the official client and the whole server")
    parser.add_argument("--sweep", action="store_true", help="a crash before every step of each schedule")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end, for a campaign")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.seed is not None:
        options.first, options.seeds = options.seed, 1
    seeds = range(options.first, options.first + options.seeds)
    began, reached, done = time.perf_counter(), Counter[str](), Counter[str]()
    faults: list[str] = []
    play = run_stack if options.stack else swept if options.sweep else run_schedule
    for outcome in outcomes(seeds, options.jobs, play):
        reached.update(outcome.reached)
        done.update(schedules=1, steps=outcome.steps, crashes=outcome.crashes, questions=outcome.questions)
        if outcome.fault:
            faults.append(f"seed {outcome.seed}: {outcome.fault}")
            flag = " --stack" if options.stack else " --sweep" if options.sweep else ""
            print(f"seed {outcome.seed} at {commit()}: {outcome.fault}")
            print(f"again: python -m tests.simulation{flag} --seed {outcome.seed}", flush=True)
        if options.seed is not None:
            print(f"seed {outcome.seed}: {outcome.steps} steps, digest {outcome.digest}, {dict(outcome.reached)}")
    absent = _absent(reached, len(seeds), play)
    for place in absent:
        print(f"never reached: {place}")
    kind = "full-stack runs" if options.stack else "sweeps" if options.sweep else "schedules"
    print(
        f"{done['schedules']} {kind}, {done['steps']} steps, {done['crashes']} crashes, {done['questions']} questions"
        f" in {_spent(began, done['schedules'])}; {len(faults)} failed, {len(absent)} places missed"
    )
    if options.json:
        print(json.dumps({"done": done["schedules"], "violations": len(faults), "first": faults[:SHOWN]}))
    return int(bool(faults or absent))


def _spent(began: float, schedules: int) -> str:
    """Seconds by the clock on the wall, and of the processors: what others do on the machine is not in the second."""
    wall, times = time.perf_counter() - began, os.times()
    busy = times.user + times.system + times.children_user + times.children_system
    return f"{wall:.1f} s ({schedules / wall:.0f}/s; {schedules / busy:.0f} a second of one processor)"


def _absent(reached: Counter[str], seeds: int, play: Callable[[int], Outcome]) -> list[str]:
    if play is run_stack:
        return missed(reached, FULL_STACK) if seeds >= ENOUGH_FULL_STACK else []
    return missed(reached, (*SOMETIMES, *EVENTS)) if play is run_schedule and seeds >= ENOUGH else []


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASHSEED:
        os.environ["PYTHONHASHSEED"] = HASHSEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])  # noqa: S606 - itself
    sys.exit(main(sys.argv[1:]))
