"""``board``: component by runsheet version, what each specialist said, and whether it is ready."""

from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import Exit
from crossfade.cli.options import PLAIN, Options, call
from crossfade.cli.output import Output
from crossfade.core.board import Board

COMPONENT: Final = "component"


def board(
    *,
    offline: Annotated[bool, Parameter(negative="", help="Of the shipped runsheets, without a hub.")] = False,
    options: Options = PLAIN,
) -> int:
    """Show the board of the runsheets whose review was recorded, and what was signed."""
    found = _shipped() if offline else msgspec.convert(call(options, lambda api: api.board()), Board)
    output = Output(options)
    if options.machine:
        output.one(msgspec.to_builtins(found))
        return Exit.OK
    if not found.versions:
        output.note("no review is recorded; record one: crossfade runsheet review FILE --record")
    fields = (COMPONENT, *(f"{one.runsheet} {one.version}".strip() for one in found.versions))
    rows = []
    for row in found.rows:
        cells = (f"{cell.mark} {cell.title}" for cell in row.cells)
        rows.append(dict(zip(fields, (row.component, *cells), strict=True)))
    output.table(rows, fields)
    return Exit.OK


def _shipped() -> Board:
    from crossfade.core.board import ReviewRecorded, table
    from crossfade.engine.reviewing import recorded_as
    from crossfade.runsheets.loader import load, shipped_names

    loaded = [found for found in map(load, shipped_names()) if not isinstance(found, list)]
    reviews = [recorded_as(one.runsheet, one.digest) for one in loaded]
    return table([ReviewRecorded(**msgspec.structs.asdict(review)) for review in reviews], {})
