"""The scrubber: everything within a day, and what is damaged is not built upon."""

import logging

import pytest

from crossfade.core.values import SPACE
from crossfade.engine import scrubbing
from crossfade.engine.ports import UnavailableError
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.checkpoints import FolderWitness
from tests.kit.hub import SIGNER, World, ok, run
from tests.kit.logs import tx

pytestmark = pytest.mark.requirement("P26")


def test_a_round_takes_less_than_half_a_day_and_a_bit():
    assert scrubbing.ROUND_SECONDS <= 12 * 3_600, "a change behind the scrubber's back waits for the next round"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A day of 200 seconds."""
    monkeypatch.setattr(scrubbing, "ROUND_SECONDS", 100)


async def scrubbed_hub(folder, records=0):
    log = MemoryLog()
    world = World(log)
    world.hub.keeping.guard(FolderWitness(folder, SIGNER))
    await world.hub.start()
    ana, bo = await world.join("ana"), await world.join("bo")
    for number in range(records):
        await world.ask(ana, "bo", f"{number}?", deadline_seconds=10**6)
        await world.clock.advance(0.1)
    return world, ana, bo


@run
async def test_a_changed_record_stops_all_writing_within_two_rounds_and_reading_goes_on(tmp_path, caplog):
    world, ana, bo = await scrubbed_hub(tmp_path / "notes", 5)
    question = await world.ask(ana, "bo", "the last", deadline_seconds=10**6)
    rows = world.log._shards[SPACE].rows
    rows[3] = rows[-1]
    with caplog.at_level(logging.ERROR, "crossfade.log"):
        await world.clock.advance(200)
    assert [record.what for record in caplog.records if record.message == "log.damaged"] == [
        "shard 1: sequence 4 is missing or not as it was written"
    ]
    assert not world.hub.ready
    with pytest.raises(UnavailableError, match="shard 1: sequence 4"):
        await world.answer(bo, question.question_id)
    assert ok(await world.hub.question(bo, question.question_id)).status == "open"
    await world.hub.stop()


@run
async def test_a_sound_log_is_read_again_and_again_slice_by_slice(tmp_path, monkeypatch):
    monkeypatch.setattr(scrubbing, "SLICE_RECORDS", 3)
    read = []
    before = MemoryLog.verify

    async def watched(log, shard, after=0, through=None):
        read.append((shard, after, through))
        return await before(log, shard, after, through)

    monkeypatch.setattr(MemoryLog, "verify", watched)
    world, *_ = await scrubbed_hub(tmp_path / "notes", 4)
    await world.clock.advance(400)
    end = (await world.log.head(SPACE)).sequence
    slices = [(after, through) for shard, after, through in read if shard == SPACE]
    assert {through - after for after, through in slices} <= {1, 2, 3}
    assert {place for after, through in slices for place in range(after + 1, through + 1)} >= set(range(1, end - 20))
    assert len(slices) > end / 3, "more than one round in two days"
    assert world.hub.ready
    await world.log.append(SPACE, [tx(1, "q/a")])
    await world.hub.stop()
