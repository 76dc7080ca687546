"""Many seeds on every core. In a module of its own, because child processes import it."""

import gc
import logging
import multiprocessing
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

from tests.simulation.schedule import Outcome, run_schedule

CHUNK = 20
NO_STEP = 10**9
"""No schedule is that long."""


def run_stack(seed: int) -> Outcome:
    """One run of the full stack; the official client is imported only here."""
    from tests.simulation.stack import run_stack_schedule

    return run_stack_schedule(seed)


def prepared() -> None:
    """Silence what a life leaves behind when it is cut off."""
    warnings.simplefilter("ignore")
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    gc.freeze()  # what is imported is never garbage; only what a schedule leaves is looked through


def swept(seed: int) -> Outcome:
    """The schedule of a seed, again and again with one crash: before each of its steps, one after the other.

    The counts are of all of them together; the fault is the first, and says at which step.
    """
    whole = run_schedule(seed, NO_STEP)
    counts, crashes, fault = Counter(whole.reached), 0, whole.fault
    for step in range(1, whole.steps + 1):
        outcome = run_schedule(seed, step)
        counts.update(outcome.reached)
        crashes += outcome.crashes
        fault = fault or (outcome.fault and f"crash at step {step}: {outcome.fault}")
    return Outcome(seed, fault, whole.steps, crashes, whole.questions, dict(counts), whole.digest)


def outcomes(seeds: range, jobs: int, play: Callable[[int], Outcome]) -> Iterator[Outcome]:
    """The outcome of every seed, in order."""
    if jobs == 1 or len(seeds) == 1:
        prepared()
        yield from map(play, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, prepared) as pool:
        yield from pool.imap(play, seeds, CHUNK if play is run_schedule else 1)
        pool.close()
        pool.join()  # so that the time that the processes took is counted
