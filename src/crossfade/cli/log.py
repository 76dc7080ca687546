"""``log``: the record of everything, and the proof that nobody changed it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Options, call, settings
from crossfade.cli.output import Output, row_of
from crossfade.client.api import Api
from crossfade.client.views import RecordView

HEADS: Final = ("shard", "epoch", "sequence", "chain")
FIELDS: Final = ("shard", "sequence", "at", "type", "stream", "actor", "event")
VERIFIED: Final = ("shard", "records", "first_bad")
SPACE: Final = 1
PAGE: Final = 100
WAIT_SECONDS: Final = 25.0
Shard = Annotated[int, Parameter(help="0 is the programme's, 1 the default space.")]


def head(*, options: Options = PLAIN) -> int:
    """Show the end of every shard."""
    Output(options).table(call(options, lambda api: api.log_head()), HEADS)
    return Exit.OK


def tail(
    *,
    shard: Shard = SPACE,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="So many of the newest first.")] = 20,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as new ones come.")] = False,
    options: Options = PLAIN,
) -> int:
    """Print the newest records of a shard."""
    output = Output(options)

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
    options: Options = PLAIN,
) -> int:
    """Show one record with everything it holds."""

    async def work(api: Api) -> list[RecordView]:
        return await api.records(shard, {"after": max(0, sequence - 1), "limit": 1})

    found = [record for record in call(options, work) if record.sequence == sequence]
    if not found:
        message = f"shard {shard} has no record {sequence}"
        raise CommandError("log.unknown", message, "crossfade log head", Exit.REFUSED)
    Output(options).one(row_of(found[0]))
    return Exit.OK


def verify(*, options: Options = PLAIN) -> int:
    """Check the hash chain of a stopped hub's log from the first record to the last.

    Exit code: 0 every record is as it was written, 6 not, 11 a hub is using the folder.
    """
    from crossfade.bootstrap import has_log, verify_log
    from crossfade.engine.ports import LogError, LogInUseError

    config = settings(options)
    if not has_log(config):  # nothing to check is not a log that was checked
        what = f"there is no log in {config.data_path}"
        raise CommandError("log.missing", what, "name its folder: --data", Exit.USAGE)
    try:
        verdicts = asyncio.run(verify_log(config))
    except LogInUseError as error:
        raise CommandError("log.in_use", str(error), "stop the hub first, or verify a copy", Exit.CONFLICT) from None
    except LogError as error:
        raise CommandError("log.damaged", str(error), "restore from a copy; keep this folder", Exit.FAILED) from None
    rows = [dict(zip(VERIFIED, verdict, strict=True)) for verdict in verdicts]
    Output(options).table(rows, VERIFIED)
    return Exit.FAILED if any(row["first_bad"] is not None for row in rows) else Exit.OK
