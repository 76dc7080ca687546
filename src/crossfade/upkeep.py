"""Upkeep: what is done to the folder of a hub that is not running. Export, verify, copy, restore.

Like bootstrap it chooses adapters; unlike it, it never serves. Raises the log's own faults (engine.ports):
LogInUseError when a hub holds the folder, CorruptLogError when the log is not what it was.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from crossfade.config import Config
from crossfade.core.values import PROGRAMME, SPACE, Sequence, Shard
from crossfade.engine.ports import Log
from crossfade.logs.export import first_line, record_lines
from crossfade.logs.sqlite import SqliteLog, open_sqlite
from crossfade.outbound.checkpoints import line_texts
from crossfade.outbound.signing import PUBLIC_FILE

SHARDS: Final = (PROGRAMME, SPACE)
ROWS: Final = 2_000


async def export_log(config: Config, out: BinaryIO) -> int:
    """Write the whole log of a stopped hub as lines of JSON; how many records."""
    async with opened_log(config.data_path) as log:
        heads = {shard: await log.head(shard) for shard in SHARDS}
        notes = [line for shard in SHARDS for line in line_texts(config.checkpoint_path, shard)]
        out.write(first_line(heads, notes, _public_key(config.data_path)))
        for shard in SHARDS:
            await _write_rows(log, shard, out)
        return sum(head.sequence for head in heads.values())


async def _write_rows(log: Log, shard: Shard, out: BinaryIO) -> None:
    after = Sequence(0)
    while rows := await log.read(shard, after, ROWS):
        out.writelines(record_lines(shard, rows))
        after = rows[-1].sequence


@asynccontextmanager
async def opened_log(folder: Path) -> AsyncIterator[SqliteLog]:
    """The log of a folder, for as long as the block lasts."""
    log = open_sqlite(folder)
    try:
        yield log
    finally:
        await log.close()


def _public_key(folder: Path) -> str:
    path = folder / PUBLIC_FILE
    return path.read_text() if path.exists() else ""
