"""Logs that were written once still fold to the state they folded to then."""

from pathlib import Path

import msgspec
import pytest

from crossfade.core.values import PROGRAMME, SPACE, Instant
from crossfade.logs.codec import GENESIS, verify
from crossfade.logs.memory import MemoryLog
from tests.kit.clock import FakeClock
from tests.kit.history import Line, dump, fold, small_run
from tests.kit.hub import World, run
from tests.kit.views import snapshot

FOLDER = Path(__file__).parent / "histories"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def history(name: str) -> list[Line]:
    return [msgspec.json.decode(line, type=Line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()]


def state(name: str) -> object:
    return msgspec.json.decode((FOLDER / f"{name}.state.json").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_history_folds_to_the_recorded_state(name: str) -> None:
    assert snapshot(fold(history(name))) == state(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_chain_of_a_recorded_history_holds_byte_by_byte(name: str) -> None:
    for shard in (PROGRAMME, SPACE):
        rows = [line.stored() for line in history(name) if line.shard == shard]
        assert rows
        assert verify(shard, rows, 0, GENESIS) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_a_hub_goes_on_where_a_recorded_history_ends(name: str) -> None:
    @run
    async def body() -> None:
        lines = history(name)
        log = MemoryLog()
        for shard in (PROGRAMME, SPACE):
            log._shards[shard].rows = [line.stored() for line in lines if line.shard == shard]
        world = World(log, FakeClock(Instant(max(line.at for line in lines))))
        for shard, committer in world.hub._committers.items():
            await world.hub._replay(shard)
            assert committer.head == sum(line.shard == shard for line in lines)
        assert snapshot(world.hub._views) == state(name)

    body()


def test_a_changed_field_in_a_history_is_seen() -> None:
    lines = history("ramp-1")
    for place, line in enumerate(lines):
        if line.type == "question.answered/1":
            changed = msgspec.Raw(bytes(line.payload).replace(b'"ship"', b'"hold"'))
            lines[place] = msgspec.structs.replace(line, payload=changed)
    assert snapshot(fold(lines)) != state("ramp-1")


@run
async def test_the_run_that_is_recorded_still_runs_and_folds_as_it_was_lived() -> None:
    async with World() as world:
        await small_run(world)
        assert snapshot(fold(await dump(world.log))) == snapshot(world.hub._views)
