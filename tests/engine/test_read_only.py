"""A log of a later release: the hub shows what it can read, writes nothing, and says why."""

import pytest

from crossfade.core.values import SPACE, AgentName, Caller, Instant, Scope, StreamName
from crossfade.engine.ports import NewEvent, Tx, UnavailableError
from crossfade.engine.requests import AskRequest, SendRequest
from crossfade.logs.memory import MemoryLog
from tests.kit.clock import FakeClock
from tests.kit.http import Web
from tests.kit.hub import ROOT, YES_NO, World, ok, run

ANA = Caller(name=AgentName("ana"), scopes=frozenset({Scope.AGENT}))


async def later_release() -> tuple[MemoryLog, str, FakeClock]:
    """A log with one question and, after it, something that only a later release knows."""
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo", deadline_seconds=60)
    assert isinstance(world.log, MemoryLog)
    event = NewEvent(StreamName("holiday/1"), "holiday.taken/1", Instant(world.clock.now()), "ana", "", b"{}")
    await world.log.append(SPACE, [Tx(b"k" * 16, ((event.stream, 0),), (event,))])
    return world.log, asked.question_id, world.clock


@pytest.mark.requirement("P26")
@run
async def test_a_record_of_a_later_release_makes_the_hub_read_only() -> None:
    log, question_id, clock = await later_release()
    before = await log.head(SPACE)
    async with World(log, clock) as world:
        ana = ok(await world.hub.agents(ROOT, "ana"))[0]
        assert ana.name == "ana"
        assert not world.hub.ready
        assert "holiday.taken/1" in world.hub.read_only
        assert ok(await world.hub.question(ROOT, question_id)).status == "open"
        assert ok(await world.hub.records(ROOT, SPACE, 0, 1_000))[-1].type == "holiday.taken/1"
        for work in (
            world.hub.ask(ANA, AskRequest(to="bo", message="Now?", schema=YES_NO)),
            world.hub.send(ANA, SendRequest(to=("bo",), body="hi")),
            world.hub.rollout_start(ROOT, "test"),
        ):
            with pytest.raises(UnavailableError):
                await work
        await world.clock.advance(120)  # its deadline passes, and nothing is written
    assert await log.head(SPACE) == before


@run
async def test_readiness_says_why_a_hub_only_reads() -> None:
    log, _, _ = await later_release()
    async with Web(log) as web:
        answer = await web.get("/readyz")
        assert answer.status == 503
        assert answer.json["reason"].endswith("of a later release")
        assert (await web.get("/livez")).status == 200


@run
async def test_a_hub_that_may_write_gives_no_reason() -> None:
    async with Web() as web:
        assert "reason" not in (await web.get("/readyz")).json
