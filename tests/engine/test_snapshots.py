"""A start from a snapshot is the same as a start without, and a snapshot that does not fit is thrown away."""

import asyncio
import gc
import random
import weakref

import msgspec
import pytest

from crossfade.core.values import PROGRAMME, SPACE
from crossfade.engine import saving, snapshots
from crossfade.engine.limits import Limits
from crossfade.engine.measures import Measures
from crossfade.engine.projector import Projector, Views
from crossfade.engine.requests import SendRequest
from crossfade.engine.snapshots import Folded, Snapshots
from crossfade.engine.streams import Streams, recorded
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import Mail, Mailbox
from crossfade.engine.views.measurements import Measurements
from crossfade.engine.views.plans import Driven
from crossfade.engine.views.programme import Programme
from crossfade.engine.views.questions import Entry
from crossfade.engine.views.runs import Entry as RunEntry
from crossfade.engine.views.signoffs import Entry as SignoffEntry
from crossfade.engine.views.signoffs import Signoffs
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.snapshots import FolderShelf
from tests.kit.history import small_run
from tests.kit.hub import World, ok, run
from tests.kit.views import snapshot

pytestmark = pytest.mark.requirement("P26")
SHARDS = (PROGRAMME, SPACE)


class OneShelf:
    """A shelf in memory that keeps one."""

    def __init__(self):
        self.content: bytes | None = None
        self.kept = 0

    async def keep(self, place, content):
        self.content, self.kept = content, self.kept + 1

    async def newest(self):
        return self.content

    async def discard_newest(self):
        self.content = None


def fresh(log, kept=10_000):
    return Folded(Streams(log, kept), Views())


async def fold(log, folded, upto):
    """Fold each shard up to a place."""
    projector = Projector(folded.streams, folded.views)
    for shard in SHARDS:
        after = folded.ends.get(shard, (0, b""))[0]
        rows = await log.read(shard, after, upto[shard] - after) if upto[shard] > after else []
        projector.apply([recorded(shard, row) for row in rows])
        if rows:
            folded.ends[shard] = (rows[-1].sequence, rows[-1].chain)
            folded.last_at = max(folded.last_at, rows[-1].at)


def state(folded):
    return saving.dump(folded.streams, folded.views, folded.ends, folded.last_at)


def parts(folded):
    return msgspec.msgpack.decode(state(folded))


@pytest.fixture(scope="module")
def busy_log():
    """The log of a run in which nearly everything happens, with something left open everywhere."""

    async def work():
        log = MemoryLog()
        world = World(log)
        await world.hub.start()
        await small_run(world)
        eve, dan = await world.join("eve", native=True), await world.join("dan")
        for number in range(6):
            await world.ask(eve, "dan", f"left open {number}", deadline_seconds=9_000)
            question = await world.ask(dan, "eve", f"natively {number}", deadline_seconds=9_000)
            if number % 2:
                ok(await world.answer(eve, question.question_id))
        await world.hub.stop()
        return log

    return asyncio.run(work())


async def ends(log):
    return {shard: (await log.head(shard)).sequence for shard in SHARDS}


@pytest.mark.parametrize("kept", [10_000, 2, 0])
@pytest.mark.parametrize("seed", range(12))
def test_a_snapshot_and_the_records_since_give_what_all_records_give(busy_log, kept, seed):
    async def check():
        whole = fresh(busy_log, kept)
        last = await ends(busy_log)
        await fold(busy_log, whole, last)
        dice = random.Random(seed)
        folded = fresh(busy_log, kept)
        for _ in range(3):
            upto = {shard: dice.randint(folded.ends.get(shard, (0, b""))[0], last[shard]) for shard in SHARDS}
            await fold(busy_log, folded, upto)
            saved = msgspec.msgpack.decode(state(folded), type=saving.Saved)
            again = fresh(busy_log, kept)
            saving.fill(saved, again.streams, again.views)
            again.ends, again.last_at = dict(folded.ends), folded.last_at
            assert state(again) == state(folded)
            folded = again
        await fold(busy_log, folded, last)
        assert parts(folded) == parts(whole)
        assert state(folded) == state(whole)
        assert snapshot(folded.views) == snapshot(whole.views)

    asyncio.run(check())


def test_nothing_of_the_views_is_left_out_by_oversight():
    """Whoever adds a part to a view says here whether a snapshot holds it."""
    assert set(Member.__slots__) == {"accepted", "asked_open", "mailbox", "open", "state"} | {
        "_heard_at", "allowance", "allowance_at", "lane", "lane_under", "watched",
    }  # fmt: skip
    assert set(Mailbox.__slots__) == {"cursor", "history", "mail", "native", "news"} | {
        "patience", "ready", "unconfirmed", "wakers",
    }  # fmt: skip
    assert set(Mail.__struct_fields__) == {"entry", "kind", "record", "sequence"}
    assert set(Entry.__struct_fields__) == {
        "asked_at", "ended_at", "offered_at", "question_id", "sequence", "state", "text_at", "version",
    } | {
        "claimed_at", "collectors", "decider", "deadline_timer", "kept_view", "patience", "reclaim", "shard", "shown",
        "waiters",
    }  # fmt: skip
    assert set(RunEntry.__slots__) == {"changed_at", "created_by", "run_id", "state"}
    assert set(SignoffEntry.__slots__) == {"ended_at", "requested_at", "signoff_id", "state"} | {"deadline_timer"}
    assert set(vars(Signoffs())) == {"by_question", "certificates", "entries", "issued", "reviews"}
    assert set(vars(Programme())) == {"holders", "rollout", "since", "talk", "tokens"} | {
        "killed", "killed_by_file",
    }  # fmt: skip
    assert set(vars(Views())) == {
        "directory", "measurements", "measures", "plan", "programme", "questions", "runs", "signoffs",
    }  # fmt: skip
    assert set(vars(Measurements())) == {"_slices", "kept", "recent"}
    assert set(vars(Driven())) == {"fired", "state", "watch"}
    assert set(saving._measures(Measures())) == set(vars(Measures()))


# --- a hub with a shelf ---------------------------------------------------------------------------------------


async def hub_on(log, shelf, clock=None, seed=2):
    world = World(log, clock, seed=seed)
    world.hub.keeping.save(shelf)
    await world.hub.start()
    return world


@run
async def test_a_hub_that_starts_from_a_snapshot_reads_only_what_came_since(monkeypatch):
    monkeypatch.setattr(snapshots, "RECORDS_MIN", 5)
    shelf = OneShelf()
    world = await hub_on(MemoryLog(), shelf, seed=1)
    ana = await world.join("ana")
    bo = await world.join("bo")
    question = await world.ask(ana, "bo", deadline_seconds=1_000)
    await world.hub.stop()
    assert shelf.kept == 1
    read = []
    before = MemoryLog.read

    async def watched(log, shard, after, limit):
        read.append(after)
        return await before(log, shard, after, limit)

    monkeypatch.setattr(MemoryLog, "read", watched)
    again = await hub_on(world.log, shelf, world.clock)
    places = {shard: (await world.log.head(shard)).sequence for shard in SHARDS}
    assert min(read) >= min(places.values()) - 1, "nothing before the snapshot was folded"
    assert ok(await again.answer(bo, question.question_id)).status == "answered"
    late = await again.ask(ana, "bo", deadline_seconds=10)
    await again.clock.advance(11)
    assert ok(await again.hub.question(ana, late.question_id)).status == "expired"
    await again.hub.stop()


@run
async def test_what_a_snapshot_was_folded_in_is_gone_when_it_is_made(monkeypatch):
    """While it is folded the collector freezes what is there: a cycle in it would never be freed."""
    shelf = OneShelf()
    world = await hub_on(MemoryLog(), shelf, seed=1)
    ana, bo = await world.join("ana"), await world.join("bo")
    asked = [await world.ask(ana, "bo", deadline_seconds=1_000) for _ in range(5)]
    ok(await world.answer(bo, asked[0].question_id))
    await world.hub.send(ana, SendRequest(to=("bo",), body="hello"))
    born = []

    class Watched(Views):
        def __init__(self):
            super().__init__()
            born.append(weakref.ref(self))

    monkeypatch.setattr(snapshots, "Views", Watched)
    making = Snapshots(world.log, Limits(), shelf, SHARDS)
    gc.collect()
    gc.disable()
    try:
        await making.make()
        await making.make()  # the second one begins with what the first one saved
        members = [thing for thing in gc.get_objects() if isinstance(thing, Member)]
        assert [ref() for ref in born] == [None, None]
        assert len(members) == len(list(world.hub._views.directory)), "nor any of what they held"
    finally:
        gc.enable()
    await world.hub.stop()


@pytest.mark.parametrize("fault", ["another release", "cut off", "another log", "longer than the log"])
@run
async def test_a_snapshot_that_does_not_fit_is_thrown_away_and_all_is_folded(monkeypatch, fault):
    monkeypatch.setattr(snapshots, "RECORDS_MIN", 5)
    shelf = OneShelf()
    world = await hub_on(MemoryLog(), shelf, seed=1)
    await world.join("ana")
    await world.join("bo")
    await world.hub.stop()
    log, wanted = world.log, "bo"
    assert shelf.content is not None
    match fault:
        case "another release":
            shelf.content = b"9" + shelf.content
        case "cut off":
            shelf.content = shelf.content[:-40]
        case _:
            other = World(MemoryLog(), seed=7 if fault == "another log" else 1)
            await other.hub.start()
            await other.join("ana")
            if fault == "another log":
                await other.join("carl")
                wanted = "carl"
            else:
                wanted = "ana"
            await other.hub.stop()
            log = other.log
    misfit = shelf.content
    assert await Snapshots(log, Limits(), shelf, SHARDS).load(fresh(log)) == 0
    assert await shelf.newest() is None
    shelf.content = misfit
    again = await hub_on(log, shelf)
    assert again.hub.agent(wanted) is not None
    assert (again.hub.agent("bo") is None) is (wanted != "bo")
    await again.hub.stop()


@run
async def test_a_snapshot_holds_nothing_that_the_log_does_not_know(monkeypatch):
    monkeypatch.setattr(snapshots, "RECORDS_BETWEEN", 10)
    shelf = OneShelf()
    world = await hub_on(MemoryLog(), shelf, seed=1)
    ana, bo = await world.join("ana"), await world.join("bo")
    for _ in range(12):
        question = await world.ask(ana, "bo")
        await world.answer(bo, question.question_id)
        await world.poll(ana)
        await world.clock.advance(0)
    assert shelf.kept > 1, "made while it serves"
    folded = fresh(world.log, Limits().ended_questions_kept)
    kept = Snapshots(world.log, Limits(), shelf, SHARDS)
    assert await kept.load(folded) > 10
    alone = fresh(world.log, Limits().ended_questions_kept)
    await fold(world.log, alone, {shard: end for shard, (end, _) in folded.ends.items()})
    alone.ends, alone.last_at = dict(folded.ends), folded.last_at
    assert state(folded) == state(alone)
    await world.hub.stop()


# --- on disk ----------------------------------------------------------------------------------------------------


@run
async def test_a_damaged_file_is_none_and_the_one_before_is_taken(tmp_path):
    shelf = FolderShelf(tmp_path / "snapshots")
    assert await shelf.newest() is None
    for place in (5, 70, 900):
        await shelf.keep(place, b"content %d" % place)
    newest = sorted((tmp_path / "snapshots").iterdir())
    assert len(newest) == 2
    content = bytearray(newest[-1].read_bytes())
    content[40] ^= 4
    newest[-1].write_bytes(content)
    assert await shelf.newest() == b"content 70"
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
    await shelf.discard_newest()
    assert await shelf.newest() is None
