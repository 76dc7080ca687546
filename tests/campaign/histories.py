"""Small histories by seed, and what trying every order says of them: the referee of ``core.histories``.

``python -m tests.campaign.histories --from 1 --count 5000`` compares the two; a seed is a history, for ever.
Not a checker for use: it is exponential, and that is why it is plain enough to be believed.
"""

import argparse
import itertools
import json
import random
import sys

from crossfade.core.histories import EXPIRED, OPEN, Ask, End, Read, answered_once

SHOWN = 20


def made(dice: random.Random) -> list[End | Read]:
    """A few calls of which some may contradict each other."""
    ops: list[End | Read] = []
    state = OPEN
    for number, point in enumerate(sorted(dice.randrange(20) for _ in range(dice.randrange(1, 6)))):
        called_at, returned_at = point - dice.randrange(4), point + dice.randrange(4)
        value = f"answered {number}"
        if dice.random() < 0.4:
            seen = state if dice.random() < 0.8 else dice.choice((OPEN, EXPIRED, "answered 0"))
            ops.append(Read(client="c", called_at=called_at, returned_at=returned_at, question="q", value=seen))
            continue
        accepted = state == OPEN
        state = value if accepted else state
        if dice.random() < 0.15:
            accepted = not accepted
        silent = dice.random() < 0.2
        ops.append(
            End(client="c", called_at=called_at, returned_at=None if silent else returned_at, question="q", value=value,
                accepted=accepted or silent)
        )  # fmt: skip
    return ops


def explained(ops: list[End | Read], deadline: int) -> bool:
    """Brute force: some order, with silent calls in or out and an expiry somewhere or nowhere, explains all."""
    expiry = End(client="time", called_at=deadline, question="q", value=EXPIRED)
    silent = [op for op in (*ops, expiry) if op.returned_at is None and op.called_at <= deadline]
    known = [op for op in ops if op.returned_at is not None]
    for count in range(len(silent) + 1):
        for happened in itertools.combinations(silent, count):
            if any(_plays(order) for order in itertools.permutations((*known, *happened))):
                return True
    return False


def _plays(order: tuple[End | Read, ...]) -> bool:
    for place, op in enumerate(order):
        if any(later.until < op.called_at for later in order[place + 1 :]):
            return False
    state = OPEN
    for op in order:
        if isinstance(op, Read):
            if op.value != state:
                return False
        elif op.returned_at is None:
            state = op.value if state == OPEN else state
        elif op.accepted != (state == OPEN):
            return False
        else:
            state = op.value if state == OPEN else state
    return True


def compared(seed: int) -> tuple[bool, bool]:
    """Whether the checker, and whether brute force, finds nothing wrong with the history of a seed."""
    dice = random.Random(seed)
    ops, deadline = made(dice), dice.randrange(25)
    ask = Ask(client="a", called_at=-10, returned_at=30, to="c", question="q", deadline_at=deadline)
    return not answered_once([ask, *ops]), explained(ops, deadline)


def main(arguments: list[str]) -> int:
    """Compare; one line of JSON; 1 if the two ever disagree."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.histories", description=__doc__)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--count", type=int, default=5_000)
    options = parser.parse_args(arguments)
    wrong: list[str] = []
    rejected = 0
    for seed in range(options.first, options.first + options.count):
        verdict, truth = compared(seed)
        rejected += not truth
        if verdict != truth:
            wrong.append(f"history {seed}: the checker says {verdict}, every order says {truth}")
    told = {"done": options.count, "rejected": rejected, "violations": len(wrong), "first": wrong[:SHOWN]}
    sys.stdout.write(json.dumps(told) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
