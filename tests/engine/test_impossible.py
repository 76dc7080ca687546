"""A log that tells what cannot have been, with every hash right: the hub does not start, and names the place."""

import pytest

from crossfade.core.values import SPACE, Instant, StreamName
from crossfade.engine.ports import CorruptLogError, NewEvent, Tx
from crossfade.logs.memory import MemoryLog
from tests.kit.hub import World, run


@pytest.mark.parametrize(
    ("stream", "kind", "payload", "said"),
    [
        ("message/m_forged", "mailbox.acknowledged/1", b'{"through":1}', "does not follow"),
        ("question/q_forged", "question.expired/1", b"{}", "does not follow"),
        ("nonsense/1", "mailbox.acknowledged/1", b'{"through":1}', "does not follow"),
        ("mailbox/bo", "mailbox.acknowledged/1", b'{"through":', "cannot be read"),
        ("mailbox/bo", "mailbox.acknowledged/1", b'{"through":"one"}', "cannot be read"),
    ],
)
@run
async def test_a_record_that_cannot_be_there_is_named_at_the_start(
    stream: str, kind: str, payload: bytes, said: str
) -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        await world.ask(ana, "bo", deadline_seconds=60)
    log = world.log
    assert isinstance(log, MemoryLog)
    last = (await log.head(SPACE)).sequence
    event = NewEvent(StreamName(stream), kind, Instant(world.clock.now()), "eve", "", payload)
    more = NewEvent(StreamName("mailbox/ana"), "mailbox.acknowledged/1", event.at, "ana", "", b'{"through":1}')
    await log.append(SPACE, [Tx(b"k" * 16, (), (event, more))])
    with pytest.raises(CorruptLogError, match=f"^shard 1: sequence {last + 1} .*{said}"):
        async with World(log, world.clock):
            pass
