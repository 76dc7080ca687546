"""How long a hub takes to start on a long log, without a snapshot and with one; and what a copy costs meanwhile.

Fills a log with whole lives of questions (asked, offered, answered, cursors moved) by driving a hub in memory-fast
batches, stops it, and starts it twice: the first time there is no snapshot, so it folds everything and leaves one.
Then, while 64 writers append, the log is copied, and the p99 of an append is measured with and without the copy.

Usage: python bench/log_start.py [--records 1000000] [--folder FOLDER]
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import struct
import tempfile
import time
from pathlib import Path

import msgspec

from crossfade.core import agents, messages, questions
from crossfade.core.records import encode, type_name
from crossfade.core.values import SPACE, Channel, Instant, Kind, Lane, StreamName
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.ports import NewEvent, Tx
from crossfade.logs.backup import back_up
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.host import HostClock, HostIds, base32
from crossfade.outbound.signing import signing_key
from crossfade.outbound.snapshots import FolderShelf

AGENTS = 200
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"verdict":{"type":"string","enum":["ship","hold"]}}}')
CONTENT = msgspec.Raw(b'{"verdict":"ship"}')


def transactions(records):
    """Registrations, then questions: asked, offered and answered, three records each."""
    at = time.time_ns() - 10**12

    def tx(stream, *events):
        nonlocal at
        at += 1_000
        name = StreamName(stream)
        new = tuple(NewEvent(name, type_name(event), Instant(at), "bench", "", encode(event)) for event in events)
        return Tx(struct.pack(">Q", at) + os.urandom(8), (), new)

    for number in range(AGENTS):
        registered = agents.Registered(name=f"agent-{number}", kind=Kind.PROGRAM, label="")
        yield tx(f"agent/agent-{number}", registered)
    for number in range((records - AGENTS) // 3):
        asker, addressee = f"agent-{number % AGENTS}", f"agent-{(number * 7 + 1) % AGENTS}"
        question = f"q_{base32(number << 80)}"
        asked = questions.Asked(
            asker=asker, addressee=addressee, message="Is build 4711 ready to ship to the second ring?", schema=SCHEMA,
            deadline=Instant(at + 10**18), lane=Lane.POLLING, epoch=0, exposure="old", conversation=question,
        )
        answered = questions.Answered(by=addressee, content=CONTENT, channel=Channel.POLL)
        yield tx(f"question/{question}", asked, questions.Offered(channel=Channel.POLL), answered)
        if number % (AGENTS * 50) == AGENTS * 50 - 1:
            for other in range(AGENTS):
                yield tx(f"mailbox/agent-{other}", messages.Acknowledged(through=AGENTS + number * 3))


async def fill(folder, records):
    log = open_sqlite(folder)
    batch = []
    for tx in transactions(records):
        batch.append(tx)
        if len(batch) == 2_000:
            await log.append(SPACE, batch)
            batch = []
    await log.append(SPACE, batch)
    await log.close()


async def start(folder):
    began = time.perf_counter()
    log = open_sqlite(folder)
    hub = Hub(log, HostClock(), HostIds(), Limits())
    hub.keeping.guard(FolderWitness(folder / "checkpoints", signing_key(folder)))
    hub.keeping.save(FolderShelf(folder / "snapshots"))
    await hub.start()
    seconds = time.perf_counter() - began
    await hub.stop()
    await log.close()
    return seconds


async def p99_ms(log, seconds, alongside=None):
    taken, until = [], time.perf_counter() + seconds
    event = NewEvent(StreamName("q/x"), "t/1", Instant(1), "ann", "", os.urandom(500))

    async def writer():
        while time.perf_counter() < until or (alongside is not None and not alongside.done()):
            began = time.perf_counter()
            await log.append(SPACE, [Tx(os.urandom(16), (), (event,))])
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*(writer() for _ in range(64)))
    taken.sort()
    return taken[len(taken) * 99 // 100] * 1e3


async def copy(folder):
    log = open_sqlite(folder)
    quiet = [await p99_ms(log, 2)]
    began = time.perf_counter()
    copying = asyncio.ensure_future(back_up(log, folder.parent / "copy"))
    busy = await p99_ms(log, 1, copying)
    seconds = time.perf_counter() - began
    await copying
    quiet.append(await p99_ms(log, 2))
    await log.close()
    p99 = {"quiet": round(statistics.mean(quiet), 2), "copying": round(busy, 2)}
    return {"copy_seconds": round(seconds, 1), "append_p99_ms": p99}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="bench-start-", dir=options.folder))
    folder = place / "data"
    try:
        asyncio.run(fill(folder, options.records))
        found = {"records": options.records, "log_mib": round((folder / "log.db").stat().st_size / 2**20)}
        found["start_seconds"] = {"folding": round(asyncio.run(start(folder)), 2)}
        found["start_seconds"]["snapshot"] = round(statistics.median(asyncio.run(start(folder)) for _ in range(3)), 2)
        found["snapshot_mib"] = round(max(one.stat().st_size for one in (folder / "snapshots").iterdir()) / 2**20, 1)
        found |= asyncio.run(copy(folder))
        print(json.dumps(found))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
