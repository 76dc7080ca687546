"""What every log promises (engine.ports.Log): one body, run against each implementation."""

import asyncio
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.core.values import PROGRAMME, SPACE, Instant
from crossfade.engine.ports import Committed, Conflict, Duplicate, NewEvent, Tx, UnavailableError
from crossfade.logs.codec import GENESIS
from crossfade.logs.memory import MemoryLog
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import event, everything, key, run, tx

pytestmark = pytest.mark.requirement("P26")


@pytest.fixture(params=["memory", "sqlite"])
def make(request, tmp_path):
    return MemoryLog if request.param == "memory" else lambda: open_sqlite(tmp_path / "log")


def test_events_get_sequences_from_1_without_gaps_and_versions_by_stream(make):
    async def check(log):
        results = await log.append(SPACE, [tx(1, "q/a", "q/b", "q/a"), tx(2, "q/a")])
        assert results == [Committed(1, 3), Committed(4, 4)]
        rows = await everything(log)
        assert [(row.sequence, row.stream, row.version) for row in rows] == [
            (1, "q/a", 1), (2, "q/b", 1), (3, "q/a", 2), (4, "q/a", 3),
        ]  # fmt: skip

    run(make, check)


def test_every_field_comes_back_as_it_was_given(make):
    async def check(log):
        given_ = NewEvent("frage/ä", "t/2", Instant(7), "jörg", "Ursache ✓", bytes(range(256)))
        await log.append(SPACE, [Tx(key(9), (), (given_,))])
        (row,) = await log.read(SPACE, 0, 10)
        assert (row.stream, row.type, row.at, row.actor, row.cause, row.payload, row.key) == (
            "frage/ä", "t/2", 7, "jörg", "Ursache ✓", bytes(range(256)), key(9),
        )  # fmt: skip

    run(make, check)


def test_a_conflict_stores_nothing_of_its_transaction_and_fails_no_other(make):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a")])
        batch = [tx(2, "q/x"), tx(3, "q/y", "q/a", expect={"q/y": 0, "q/a": 0}), tx(4, "q/z", expect={"q/a": 1})]
        assert await log.append(SPACE, batch) == [Committed(2, 2), Conflict("q/a", 1), Committed(3, 3)]
        assert [row.stream for row in await everything(log)] == ["q/a", "q/x", "q/z"]

    run(make, check)


def test_a_stream_that_must_not_exist_and_one_that_must_are_both_checked(make):
    async def check(log):
        assert await log.append(SPACE, [tx(1, "q/a", expect={"q/a": 1})]) == [Conflict("q/a", 0)]
        assert await log.append(SPACE, [tx(2, "q/a", expect={"q/a": 0})]) == [Committed(1, 1)]
        assert await log.append(SPACE, [tx(3, "q/a", expect={"q/a": 0})]) == [Conflict("q/a", 1)]

    run(make, check)


def test_of_writers_that_race_for_one_stream_exactly_one_wins(make):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a")])
        answers = [log.append(SPACE, [tx(number, "q/a", expect={"q/a": 1})]) for number in range(2, 12)]
        results = [result for (result,) in await asyncio.gather(*answers)]
        assert sorted(type(result).__name__ for result in results) == ["Committed"] + ["Conflict"] * 9
        assert len(await log.read_stream(SPACE, "q/a")) == 2

    run(make, check)


def test_within_a_batch_the_earlier_transactions_are_seen_by_the_later(make):
    async def check(log):
        batch = [tx(1, "q/a", expect={"q/a": 0}), tx(2, "q/a", expect={"q/a": 0}), tx(1, "q/b")]
        assert await log.append(SPACE, batch) == [Committed(1, 1), Conflict("q/a", 1), Duplicate(1, 1)]

    run(make, check)


def test_a_key_that_was_used_stores_nothing_and_tells_where_the_first_events_are(make):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a", "q/b"), tx(2, "q/c")])
        assert await log.append(SPACE, [tx(1, "q/other", expect={"q/a": 99})]) == [Duplicate(1, 2)]
        assert (await log.head(SPACE)).sequence == 3

    run(make, check)


def test_a_key_whose_transaction_met_a_conflict_is_still_free(make):
    async def check(log):
        assert await log.append(SPACE, [tx(1, "q/a", expect={"q/a": 5})]) == [Conflict("q/a", 0)]
        assert await log.find(SPACE, key(1)) is None
        assert await log.append(SPACE, [tx(1, "q/a", expect={"q/a": 0})]) == [Committed(1, 1)]

    run(make, check)


def test_shards_share_neither_sequences_nor_streams_nor_keys_nor_chains(make):
    async def check(log):
        for shard in (PROGRAMME, SPACE):
            assert await log.append(shard, [tx(1, "q/a", expect={"q/a": 0})]) == [Committed(1, 1)]
        assert await log.find(PROGRAMME, key(1)) == Committed(1, 1)
        assert await log.find(2, key(1)) is None
        assert await log.read_stream(2, "q/a") == []
        assert (await log.head(PROGRAMME)).chain != (await log.head(SPACE)).chain

    run(make, check)


def test_an_empty_shard_has_epoch_1_sequence_0_and_a_chain_of_zeros(make):
    async def check(log):
        head = await log.head(SPACE)
        assert (head.epoch, head.sequence, head.chain) == (1, 0, GENESIS)
        assert await log.read(SPACE, 0, 10) == []
        assert await log.append(SPACE, []) == []

    run(make, check)


def test_reads_are_contiguous_from_any_place_and_limited(make):
    async def check(log):
        for number in range(40):
            await log.append(SPACE, [tx(number * 50 + one, f"q/{one}") for one in range(50)])
        for after, limit in ((0, 1), (0, 3), (999, 1200), (1_990, 100), (0, 10_000), (2_000, 5), (5_000, 5)):
            rows = await log.read(SPACE, after, limit)
            assert [row.sequence for row in rows] == list(range(after + 1, min(after + limit, 2_000) + 1))

    run(make, check)


def test_a_stream_is_read_whole_and_in_order_however_long(make):
    async def check(log):
        for number in range(3):
            await log.append(SPACE, [tx(number * 400 + one, "q/a", "q/b") for one in range(400)])
        rows = await log.read_stream(SPACE, "q/b")
        assert [row.version for row in rows] == list(range(1, 1_201))
        assert {row.stream for row in rows} == {"q/b"}
        assert await log.read_stream(SPACE, "q/none") == []

    run(make, check)


def test_find_tells_where_the_events_of_a_key_are(make):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a"), tx(2, "q/b", "q/c")])
        assert await log.find(SPACE, key(2)) == Committed(2, 3)
        assert await log.find(SPACE, key(3)) is None

    run(make, check)


def test_a_waiting_reader_wakes_when_something_is_stored(make):
    async def check(log):
        waiting = asyncio.ensure_future(log.wait(SPACE, 0, 50))
        elsewhere = asyncio.ensure_future(log.wait(PROGRAMME, 0, 50))
        await asyncio.sleep(0)
        assert not waiting.done()
        await log.append(SPACE, [tx(1, "q/a")])
        assert await waiting == 1
        assert not elsewhere.done()
        elsewhere.cancel()

    run(make, check)


def test_a_wait_returns_at_once_when_the_head_is_beyond_and_empty_handed_at_its_end(make):
    async def check(log):
        await log.append(SPACE, [tx(1, "q/a")])
        assert await log.wait(SPACE, 0, 50) == 1
        assert await log.wait(SPACE, 1, 0.001) == 1

    run(make, check)


def test_a_closed_log_lets_waiting_readers_go_and_takes_no_calls(make):
    async def check(log):
        waiting = asyncio.ensure_future(log.wait(SPACE, 0, 50))
        await asyncio.sleep(0)
        await log.close()
        await log.close()
        for call in (
            waiting,
            log.append(SPACE, [tx(1, "q/a")]),
            log.read(SPACE, 0, 1),
            log.read_stream(SPACE, "q/a"),
            log.find(SPACE, key(1)),
            log.head(SPACE),
            log.wait(SPACE, 0, 0),
        ):
            with pytest.raises(UnavailableError):
                await call

    run(make, check)


def test_a_cancelled_append_takes_nothing_from_the_others(make):
    async def check(log):
        tasks = [asyncio.ensure_future(log.append(SPACE, [tx(number, f"q/{number}")])) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result[0], Committed) for result in results[1::2])  # type: ignore[index]
        stored = {row.key for row in await everything(log)}
        assert stored >= {key(number) for number in range(1, 20, 2)}
        # What became of a cancelled one, its key tells.
        (again,) = await log.append(SPACE, [tx(0, "q/0")])
        assert isinstance(again, Duplicate if key(0) in stored else Committed)

    run(make, check)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (Tx(b"short", (), (event("q/a"),)), "key"),
        (Tx(key(1), (), ()), "events"),
        (Tx(key(1), (), (event("q/a"),) * 1_001), "events"),
        (Tx(key(1), (("q/a", 0),) * 1_001, (event("q/a"),)), "expect"),
        (Tx(key(1), (), (event(""),)), "stream"),
        (Tx(key(1), (), (event("q" * 201),)), "stream"),
        (Tx(key(1), (), (event("ü" * 101),)), "stream"),
        (Tx(key(1), (("ü" * 101, 0),), (event("q/a"),)), "stream"),
        (Tx(key(1), (), (event("\ud800"),)), "surrogates"),
        (Tx(key(1), (), (event("q/a", b"x" * (2 * 1024 * 1024 + 1)),)), "payload"),
        (Tx(key(1), (), (event("q/a", at=-1),)), "at"),
        (Tx(key(1), (), (event("q/a", at=2**63),)), "at"),
        (Tx(key(1), (), (NewEvent("q/a", "t" * 201, Instant(1), "a", "c", b""),)), "type"),
        (Tx(key(1), (), (NewEvent("q/a", "t", Instant(1), "a" * 201, "c", b""),)), "actor"),
        (Tx(key(1), (), (NewEvent("q/a", "t", Instant(1), "a", "c" * 201, b""),)), "cause"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_by_name_with_all_of_its_batch(make, bad, field):
    async def check(log):
        with pytest.raises(ValueError, match=field):
            await log.append(SPACE, [tx(7, "q/good"), bad])
        assert (await log.head(SPACE)).sequence == 0

    run(make, check)


def test_what_is_just_within_the_limits_is_stored(make):
    async def check(log):
        big = NewEvent("s" * 200, "t" * 200, Instant(2**63 - 1), "a" * 200, "ü" * 100, b"x" * (2 * 1024 * 1024))
        assert await log.append(SPACE, [Tx(key(1), (), (big,) * 10)]) == [Committed(1, 10)]
        assert len(await log.read(SPACE, 0, 100)) == 9, "a read stops beyond 16 MiB of payload"
        assert await log.verify(SPACE) is None

    run(make, check)


@pytest.mark.parametrize(("shard", "after", "limit"), [(-1, 0, 1), (2**20, 0, 1), (1, -1, 1), (1, 2**40, 1), (1, 0, 0)])
def test_an_impossible_read_is_refused(make, shard, after, limit):
    async def check(log):
        with pytest.raises(ValueError, match=r"shard|after|limit"):
            await log.read(shard, after, limit)

    run(make, check)


def test_the_chain_is_the_one_that_was_published(make):
    """A golden value: if it changes, logs that exist can no longer be verified."""

    async def check(log):
        await log.append(SPACE, [tx(1, "q/a", "frage/ä"), tx(2, "q/a")])
        assert (await log.head(SPACE)).chain.hex() == GOLDEN
        assert await log.verify(SPACE) is None

    run(make, check)


GOLDEN = "33389952da19bc431bc83045acf1c1c26ae5c8d9fdfbb7957efe036f4b8bff8b"

STREAMS = st.sampled_from(["q/a", "q/b", "q/c", "frage/ä"])
TXS = st.builds(
    Tx,
    st.integers(1, 12).map(key),
    st.lists(st.tuples(STREAMS, st.integers(0, 4)), max_size=2).map(tuple),
    st.lists(st.builds(event, STREAMS, st.binary(max_size=5)), min_size=1, max_size=3).map(tuple),
)


class Model:
    """The contract in plain words: the simplest thing that keeps it."""

    def __init__(self):
        self.rows, self.used = [], {}

    def append(self, one):
        if one.key in self.used:
            return Duplicate(*self.used[one.key])
        versions = defaultdict(int)
        for row in self.rows:
            versions[row[0]] += 1
        for stream, expected in one.expect:
            if versions[stream] != expected:
                return Conflict(stream, versions[stream])
        first = len(self.rows) + 1
        self.rows += [(new.stream, one.key, new.payload) for new in one.events]
        self.used[one.key] = first, len(self.rows)
        return Committed(*self.used[one.key])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.sampled_from([0, 1]), st.lists(TXS, max_size=6)), max_size=6))
def test_any_batches_give_what_the_model_gives_and_the_same_chain_in_every_log(tmp_path_factory, batches):
    async def whole(folder: Path):
        memory, sqlite, models = MemoryLog(), open_sqlite(folder), {0: Model(), 1: Model()}
        for shard, batch in batches:
            expected = [models[shard].append(one) for one in batch]
            assert await memory.append(shard, batch) == expected
            assert await sqlite.append(shard, batch) == expected
        for shard, model in models.items():
            rows = await everything(memory, shard)
            assert [(row.stream, row.key, row.payload) for row in rows] == model.rows
            assert await everything(sqlite, shard) == rows
            assert await sqlite.head(shard) == await memory.head(shard)
        await sqlite.close()
        again = open_sqlite(folder)
        for shard in models:
            assert await everything(again, shard) == await everything(memory, shard)
        await again.close()

    asyncio.run(whole(tmp_path_factory.mktemp("model") / "log"))
