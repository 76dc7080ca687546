"""Many seeds on every core. In a module of its own, because child processes import it."""

import logging
import multiprocessing
import warnings
from collections.abc import Iterator

from tests.simulation.schedule import Outcome, run_schedule

CHUNK = 20


def run_stack(seed: int) -> Outcome:
    """One run of the full stack; the official client is imported only here."""
    from tests.simulation.stack import run_stack_schedule

    return run_stack_schedule(seed)


def prepared() -> None:
    """Silence what a life leaves behind when it is cut off."""
    warnings.simplefilter("ignore")
    logging.getLogger("mcp").setLevel(logging.CRITICAL)


def outcomes(seeds: range, jobs: int, *, stack: bool) -> Iterator[Outcome]:
    """The outcome of every seed, in order."""
    play = run_stack if stack else run_schedule
    if jobs == 1 or len(seeds) == 1:
        prepared()
        yield from map(play, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, prepared) as pool:
        yield from pool.imap(play, seeds, CHUNK if not stack else 2)
