"""Checkpoints of the log's head in a second place, and a log that is held to the last one."""

import pytest

from crossfade.core.values import PROGRAMME, SPACE
from crossfade.engine import keeping, witnessing
from crossfade.engine.ports import Checkpoint, CorruptLogError, UnavailableError
from crossfade.logs.batch import Known, resolve
from crossfade.logs.codec import GENESIS
from crossfade.logs.memory import MemoryLog
from tests.kit.hub import World, run
from tests.kit.logs import tx

pytestmark = pytest.mark.requirement("P26")


class Notes:
    """A witness in a list, whose disk may be full."""

    def __init__(self):
        self.notes = []
        self.full = False

    async def keep(self, checkpoints):
        if self.full:
            raise OSError(28, "planted")
        self.notes += checkpoints

    async def last(self, shard):
        return next((note for note in reversed(self.notes) if note.shard == shard), None)

    async def kept(self, shard):
        return [note for note in self.notes if note.shard == shard]

    async def lines(self, shard):
        return [str(note.sequence) for note in self.notes if note.shard == shard]

    def public_key(self):
        return ""


async def guarded(notes, log=None):
    world = World(log or MemoryLog())
    world.hub.keeping.guard(notes)
    await world.hub.start()
    return world


async def head(world, shard=SPACE):
    found = await world.log.head(shard)
    return found.sequence, found.chain


@run
async def test_what_was_written_is_in_a_checkpoint_within_a_second():
    notes = Notes()
    world = await guarded(notes)
    await world.join("ana")
    assert notes.notes == []
    await world.clock.advance(1)
    assert {note.shard: (note.sequence, note.chain) for note in notes.notes} == {
        SPACE: await head(world),
        PROGRAMME: await head(world, PROGRAMME),
    }
    before = len(notes.notes)
    await world.clock.advance(60)
    assert len(notes.notes) == before, "a quiet log needs no checkpoints"
    await world.hub.stop()


@run
async def test_a_thousand_records_do_not_wait_for_the_second(monkeypatch):
    monkeypatch.setattr(witnessing, "RECORDS_MAX", 5)
    notes = Notes()
    world = await guarded(notes)
    ana = await world.join("ana")
    await world.join("bo")
    for _ in range(12):
        await world.ask(ana, "bo")
        await world.clock.advance(0)
    space = [note.sequence for note in notes.notes if note.shard == SPACE]
    assert space
    assert space[-1] > (await head(world))[0] - 5
    await world.hub.stop()


@run
async def test_an_orderly_stop_leaves_nothing_without_a_checkpoint():
    notes = Notes()
    world = await guarded(notes)
    await world.join("ana")
    await world.hub.stop()
    assert (await notes.last(SPACE)).sequence == (await head(world))[0]


@run
async def test_a_second_place_that_is_full_stops_nobody_and_is_tried_again():
    notes = Notes()
    world = await guarded(notes)
    notes.full = True
    await world.join("ana")
    await world.clock.advance(5)
    assert notes.notes == []
    notes.full = False
    await world.clock.advance(1)
    assert (await notes.last(SPACE)).sequence == (await head(world))[0]
    await world.hub.stop()


@run
async def test_a_second_place_that_fails_makes_the_hub_not_ready_and_says_why():
    notes = Notes()
    world = await guarded(notes)
    notes.full = True
    await world.join("ana")
    await world.clock.advance(1)
    assert not world.hub.ready
    assert "no checkpoint can be kept: [Errno 28] planted" in world.hub.keeping.reason
    assert world.hub.keeping.unwitnessed_records > 0
    await world.join("bo")  # commands are still taken
    notes.full = False
    await world.clock.advance(1)
    assert world.hub.ready
    assert world.hub.keeping.reason == ""
    assert world.hub.keeping.unwitnessed_records == 0
    await world.hub.stop()


@run
async def test_beyond_a_number_of_records_without_a_checkpoint_nothing_is_taken_until_one_is_kept(monkeypatch):
    monkeypatch.setattr(keeping, "RECORDS_UNWITNESSED_MAX", 6)
    notes = Notes()
    world = await guarded(notes)
    ana = await world.join("ana")
    await world.join("bo")
    await world.clock.advance(1)
    notes.full = True
    while world.hub.keeping.unwitnessed_records < 6:
        await world.ask(ana, "bo")
    await world.clock.advance(1)
    with pytest.raises(UnavailableError, match="no checkpoint can be kept"):
        await world.ask(ana, "bo")
    notes.full = False
    await world.clock.advance(1)
    await world.ask(ana, "bo")
    await world.hub.stop()


async def written(records, *, different_from=10**9):
    """A log, and a checkpoint after each tenth record; from a number on with other contents."""
    log, notes = MemoryLog(), []
    for number in range(1, records + 1):
        await log.append(SPACE, [tx(number + (10_000 if number >= different_from else 0), f"q/{number}")])
        end = await log.head(SPACE)
        if number % 10 == 0:
            notes.append(Checkpoint(SPACE, end.epoch, end.sequence, end.chain, 0))
    return log, notes


async def verdict(log, notes):
    witness = Notes()
    witness.notes = notes
    try:
        await witnessing.hold(log, witness, SPACE)
    except CorruptLogError as fault:
        return str(fault)
    return ""


@run
async def test_a_log_that_goes_on_after_its_last_checkpoint_is_served():
    log, _ = await written(37)
    assert await verdict(log, (await written(30))[1]) == ""


@run
async def test_a_lost_end_is_named():
    _, notes = await written(40)
    log, _ = await written(33)
    assert "shard 1: sequence 34 is missing: the log had reached 40" in await verdict(log, notes)


@pytest.mark.parametrize("different_from", [1, 9, 10, 11, 55, 90])
@run
async def test_a_log_made_anew_with_all_its_hashes_is_named_after_the_last_checkpoint_that_holds(different_from):
    _, notes = await written(90)
    log, _ = await written(90, different_from=different_from)
    first = (different_from - 1) // 10 * 10 + 1
    assert f"shard 1: sequence {first} is the first that may be false" in await verdict(log, notes)


@run
async def test_a_row_changed_without_its_hash_is_named_exactly():
    log, notes = await written(90)
    rows = log._shards[SPACE].rows
    forged = (await written(90, different_from=57))[0]._shards[SPACE].rows
    rows[57:] = forged[57:]
    assert "shard 1: sequence 58 is missing or false" in await verdict(log, notes)


@run
async def test_a_log_of_another_epoch_is_not_served():
    log, notes = await written(20)
    later = [Checkpoint(SPACE, 2, note.sequence, note.chain, 0) for note in notes]
    assert "epoch 1, its last checkpoint of epoch 2" in await verdict(log, later)


@run
async def test_a_hub_does_not_start_on_a_log_without_its_last_checkpoint():
    notes = Notes()
    world = await guarded(notes)
    await world.join("ana")
    await world.hub.stop()
    with pytest.raises(CorruptLogError, match=r"shard 0: sequence 1 is missing"):
        await guarded(notes, MemoryLog())


def test_the_forged_rows_of_these_tests_have_a_chain_that_holds():
    done = resolve(SPACE, MemoryLog()._shards[SPACE].head, [tx(1, "q/a")], Known({}, {}))
    assert done.rows[0].chain != GENESIS
