"""``gate ls``, ``gate show``, ``gate explain``: the gates of the plan that drives the hub's rollout, as they stand."""

from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import Exit
from crossfade.cli.options import PLAIN, Options, call
from crossfade.cli.output import Output, Row
from crossfade.cli.rollout_plan import GATES

EXITS: Final = {"passed": Exit.OK, "failed": Exit.FAILED, "inconclusive": Exit.INCONCLUSIVE}
Name = Annotated[str, Parameter(name="--name", help="As `gate ls` prints it, e.g. gate.p99, or p99 for short.")]


def ls(*, options: Options = PLAIN) -> int:
    """List every gate, trigger and comparison with its verdict and its numbers."""
    found = call(options, lambda api: api.gates())
    output = Output(options)
    output.table([{name: one[name] for name in GATES} for one in found], GATES)
    if not found:
        output.note("there has been no plan: crossfade rollout start --plan FILE")
    return Exit.OK


def show(
    name: Name,
    *,
    check: Annotated[
        bool, Parameter(negative="", help="Exit with 0 only if it passed: 6 if it failed, 7 inconclusive, 1 errored.")
    ] = False,
    options: Options = PLAIN,
) -> int:
    """Show one gate: verdict, numbers, what it still needs, and what its verdict is worth."""
    gate = _gate(call(options, lambda api: api.gate(name))["gate"])
    Output(options).one(gate)
    return EXITS.get(str(gate["verdict"]), Exit.ERRORED) if check else Exit.OK


def explain(name: Name, *, options: Options = PLAIN) -> int:
    """Say why, in words and numbers: what happened, when, to whom, on what evidence, and what was done."""
    found = call(options, lambda api: api.gate(name))
    if options.machine:
        Output(options).one(found)
        return Exit.OK
    for line in msgspec.convert(found["story"], list[str]):
        print(line)
    return Exit.OK


def _gate(found: object) -> Row:
    return msgspec.convert(found, dict[str, object])
