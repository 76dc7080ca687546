"""The simulations behind docs/gate-figures.md: ``make gates``, or ``python -m tests.statistics --runs N [--weeks]``."""

import argparse
import sys
import time

from tests.statistics import campaign


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.statistics", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--weeks", type=int, default=300, help="twelve-week runs (about two minutes); 0: none")
    parser.add_argument("--only", default="", help="only figures with this in their name")
    options = parser.parse_args(arguments)
    began = time.process_time()
    figures = list(campaign.figures())
    if options.weeks:
        figures.append(("A1 twelve weeks at nine thresholds", lambda _: campaign.twelve_weeks(options.weeks)))
    for name, work in figures:
        if options.only in name:
            told = work(options.runs)
            print(f"{name}: " + ", ".join(f"{what} {value:.6g}" for what, value in told.items()), flush=True)
    print(f"{time.process_time() - began:.0f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
