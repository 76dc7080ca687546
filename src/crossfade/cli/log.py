"""``log head``, ``tail`` and ``show``: the record of everything, from a hub, a stopped hub's folder or an export."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.log_files import heads_of, records_of
from crossfade.cli.options import PLAIN, Options, call
from crossfade.cli.output import Output, row_of
from crossfade.client.api import Api
from crossfade.client.views import RecordView

HEADS: Final = ("shard", "epoch", "sequence", "chain")
FIELDS: Final = ("shard", "sequence", "at", "type", "stream", "actor", "event")
SPACE: Final = 1
PAGE: Final = 100
LINES_MAX: Final = 1_000_000
WAIT_SECONDS: Final = 25.0
Source = Annotated[Path | None, Parameter(name="--from", help="Read an export or a stopped hub's folder instead.")]
Shard = Annotated[int, Parameter(help="0 is the programme's, 1 the default space.")]


def head(*, source: Source = None, options: Options = PLAIN) -> int:
    """Show the end of every shard."""
    rows = call(options, lambda api: api.log_head()) if source is None else heads_of(source)
    Output(options).table(rows, HEADS)
    return Exit.OK


def tail(
    *,
    shard: Shard = SPACE,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="So many of the newest first.")] = 20,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as new ones come.")] = False,
    source: Source = None,
    options: Options = PLAIN,
) -> int:
    """Print the newest records of a shard."""
    output = Output(options)
    if not 0 <= lines <= LINES_MAX:
        raise usage(f"{lines} lines cannot be shown", f"name a number from 0 to {LINES_MAX}")
    if source is not None:
        if follow:
            raise usage("what is stopped has nothing to follow", "leave out --follow, or --from")
        output.table(deque(records_of(source, shard, FIELDS), lines), FIELDS)
        return Exit.OK

    async def work(api: Api) -> None:
        after = max(0, await _end(api, shard) - lines)
        page = await api.records(shard, {"after": after, "limit": PAGE})
        kept = list(page)
        while page and not follow:
            page = await api.records(shard, {"after": page[-1].sequence, "limit": PAGE})
            kept += page
        if not follow:
            output.table([row_of(record, FIELDS) for record in kept], FIELDS)
            return
        output.header(FIELDS)
        await _follow(api, shard, output, kept)

    call(options, work, patience_seconds=60.0 if follow else 0.0)
    return Exit.OK


async def _end(api: Api, shard: int) -> int:
    for end in await api.log_head():
        if end["shard"] == shard:
            return int(str(end["sequence"]))
    raise CommandError("log.unknown", f"there is no shard {shard}", "crossfade log head", Exit.REFUSED)


async def _follow(api: Api, shard: int, output: Output, page: Sequence[RecordView]) -> None:
    after = 0
    while True:
        for record in page:
            output.line(row_of(record, FIELDS))
            after = record.sequence
        page = await api.records(shard, {"after": after, "limit": PAGE, "wait_seconds": WAIT_SECONDS})


def show(
    sequence: Annotated[int, Parameter(help="Its place in the shard.")],
    *,
    shard: Shard = SPACE,
    source: Source = None,
    options: Options = PLAIN,
) -> int:
    """Show one record with everything it holds."""

    async def work(api: Api) -> list[RecordView]:
        return await api.records(shard, {"after": max(0, sequence - 1), "limit": 1})

    rows = [row_of(record) for record in call(options, work)] if source is None else records_of(source, shard)
    found = next((row for row in rows if row["sequence"] == sequence), None)
    if found is None:
        message = f"shard {shard} has no record {sequence}"
        raise CommandError("log.unknown", message, "crossfade log head", Exit.REFUSED)
    Output(options).one(found)
    return Exit.OK
