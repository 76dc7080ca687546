"""Worlds that are measured: readers who are always there, couriers that delay or lose, and what the log says."""

import asyncio
from collections import Counter
from collections.abc import Callable

from crossfade.core import measurements, questions
from crossfade.core.measurements import EDGES_MS, BlockRecorded, Exposure, Slice, added
from crossfade.core.records import Recorded
from crossfade.core.values import MILLISECOND, PROGRAMME, SPACE, Caller, Channel, Instant, Lane, Shard
from crossfade.engine.ports import Log
from crossfade.engine.requests import ReceiveRequest
from crossfade.engine.run_steps import Work
from crossfade.engine.streams import recorded
from crossfade.engine.subscriptions import Subscription
from tests.kit.hub import World, ok


class LateCourier:
    """A courier of the elicitation lane alone that is ``late`` by so many seconds, or for ever if that is None."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.late: Callable[[], float | None] = lambda: 0.0
        self.lost = 0

    def bring(self, wake: Callable[[], None], lane: Lane | None) -> None:
        """Wake them, some time."""
        seconds = self.late() if lane is Lane.ELICITATION else 0.0
        if seconds is None:
            self.lost += 1
        elif seconds:
            self._world.hub._c.again(seconds, wake)
        else:
            wake()


def with_late_courier(world: World) -> LateCourier:
    """Before ``start``: the hub delivers through this."""
    courier = LateCourier(world)
    world.hub.equip(Work(), courier)
    return courier


class Reader:
    """Somebody who holds a stream open and notes the questions that come."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world = world
        self.caller = caller
        self.questions: list[str] = []
        self.stream: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> "Reader":
        """Hold the stream."""
        self.stream = ok(await self._world.hub.subscribe(self.caller, None))
        self._task = asyncio.ensure_future(self._read(self.stream))
        await self._world.clock.advance(0)
        return self

    async def _read(self, stream: Subscription) -> None:
        while (item := await stream.next()) is not None:
            if item.event == "question":
                self.questions.append(item.data.decode().partition('"question_id":"')[2].partition('"')[0])

    def close(self) -> None:
        """Be gone."""
        if self.stream is not None:
            self.stream.close()


async def wait_in_vain(world: World, caller: Caller, seconds: float, **more: object) -> "asyncio.Task[object]":
    """Hold one call open."""
    request = ReceiveRequest(**{"channel": Channel.POLL, "wait_seconds": seconds, **more})  # type: ignore[arg-type]
    task: asyncio.Task[object] = asyncio.ensure_future(world.hub.receive(caller, request))
    await world.clock.advance(0)
    return task


async def records(log: Log, shard: Shard = SPACE) -> list[Recorded]:
    """Everything in a shard."""
    return [recorded(shard, row) for row in await log.read(shard, 0, 1_000_000)]  # type: ignore[arg-type]


async def blocks(log: Log) -> list[BlockRecorded]:
    """Every block that is in the log."""
    found = [record.event for record in await records(log, PROGRAMME) if record.stream == measurements.STREAM]
    return [event for event in found if isinstance(event, BlockRecorded)]


async def total(log: Log, exposure: Exposure, cluster: str | None = None) -> Slice:
    """Everything that was counted of an exposure."""
    slices = [one for block in await blocks(log) for one in block.slices if one.exposure is exposure]
    return added([one for one in slices if cluster in (None, one.cluster)], "", exposure)


async def recount(log: Log, cluster_of: Callable[[str], str]) -> dict[tuple[str, Exposure], Counter[str]]:
    """What the blocks have to say if every addressee was always there, counted from the questions' records alone."""
    asked: dict[str, tuple[questions.Asked, Instant]] = {}
    shown: set[str] = set()
    found: dict[tuple[str, Exposure], Counter[str]] = {}
    for record in await records(log):
        if isinstance(record.event, questions.Asked):
            asked[record.stream] = (record.event, record.at)
        if record.stream not in asked:
            continue
        question, at = asked[record.stream]
        counts = found.setdefault((cluster_of(question.addressee), question.exposure), Counter())
        offers: tuple[Instant, ...] = ()
        if isinstance(record.event, questions.Offered):
            offers = (Instant(record.event.shown_at or record.at),)
        elif isinstance(record.event, questions.Answered | questions.Declined):
            offers = tuple(when for _, when in record.event.offers)
        for when in offers[: record.stream not in shown]:
            shown.add(record.stream)
            counts["delivered"] += 1
            _judge(counts, when - at)
        _end(counts, record, record.stream in shown)
    return found


def _judge(counts: Counter[str], latency: int) -> None:
    counts["timed"] += 1
    for edge in EDGES_MS:
        counts[f"over {edge}"] += latency > edge * MILLISECOND


def _end(counts: Counter[str], record: Recorded, shown: bool) -> None:
    match record.event:
        case questions.Asked():
            counts["asked"] += 1
        case questions.Answered():
            counts["answered"] += 1
        case questions.Declined():
            counts["declined"] += 1
        case questions.Withdrawn():
            counts["withdrawn"] += 1
        case questions.Expired():
            counts["expired_seen" if shown else "expired_unseen"] += 1
        case _:
            pass


def counted(one: Slice) -> Counter[str]:
    """A slice in the form of ``recount``."""
    names = ("asked", "delivered", "timed", "answered", "declined", "withdrawn", "expired_seen", "expired_unseen")
    counts = Counter({name: getattr(one, name) for name in names})
    counts.update({f"over {edge}": over for edge, over in zip(EDGES_MS, one.over, strict=True)})
    return +counts
