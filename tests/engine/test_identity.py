"""Who may come in, who is there, and what a stream shows them."""

import asyncio

import msgspec

from crossfade.core.values import Kind, Scope
from crossfade.engine.limits import Limits
from crossfade.engine.requests import SendRequest
from tests.kit.hub import ROOT, World, ok, refused, run


@run
async def test_a_token_is_known_until_it_expires_or_is_revoked() -> None:
    async with World() as world:
        issued = ok(await world.hub.issue_token(ROOT, "ana", Kind.PROGRAM, [Scope.AGENT], expires_seconds=100))
        assert ok(world.hub.authenticate(issued.token)).name == "ana"
        await world.clock.advance(101)
        assert refused(world.hub.authenticate(issued.token)) == "auth.expired"
        other = ok(await world.hub.issue_token(ROOT, "ana", Kind.PROGRAM, [Scope.AGENT]))
        assert ok(world.hub.authenticate(other.token)).name == "ana"
        ok(await world.hub.revoke_token(ROOT, other.token_id))
        assert refused(world.hub.authenticate(other.token)) == "auth.revoked"


@run
async def test_no_secret_of_a_token_is_in_the_log() -> None:
    async with World() as world:
        issued = ok(await world.hub.issue_token(ROOT, "ana", Kind.PROGRAM, [Scope.AGENT]))
        rows = [*ok(await world.hub.records(ROOT, 0, 0, 1000)), *ok(await world.hub.records(ROOT, 1, 0, 1000))]
        assert rows
        assert all(issued.token.encode() not in msgspec.json.encode(row) for row in rows)


@run
async def test_bad_tokens_are_refused_each_in_its_way() -> None:
    async with World() as world:
        assert refused(world.hub.authenticate("")) == "auth.missing"
        for token in ("nonsense", "cf_" + "x" * 43, "cf_" + "x" * 5000):
            assert refused(world.hub.authenticate(token)) == "auth.unknown"


@run
async def test_a_guest_cannot_take_a_name_that_has_a_token() -> None:
    async with World() as world:
        await world.join("ana")
        assert refused(await world.hub.admit("ana")) == "auth.required"
        guest = ok(await world.hub.admit("Claude Code!"))
        assert (guest.name, guest.guest, guest.scopes) == ("claude-code", True, frozenset({Scope.AGENT}))


@run
async def test_tokens_survive_a_restart() -> None:
    async with World() as first:
        issued = ok(await first.hub.issue_token(ROOT, "ana", Kind.PROGRAM, [Scope.AGENT]))
        world = await first.restart()
        assert ok(world.hub.authenticate(issued.token)).name == "ana"
        await world.hub.stop()


@run
async def test_silence_beyond_the_lease_makes_an_agent_away_and_a_word_brings_it_back() -> None:
    async with World(limits=Limits(lease_seconds=90)) as world:
        ana = await world.join("ana")
        await world.clock.advance(60)
        world.hub.touch(ana, native=False)
        await world.clock.advance(60)
        assert (await world.hub.agents(ROOT, "ana"))[0].status == "present"
        await world.clock.advance(60)
        assert (await world.hub.agents(ROOT, "ana"))[0].status == "away"
        world.hub.touch(ana, native=False)
        await world.clock.advance(0)
        assert (await world.hub.agents(ROOT, "ana"))[0].status == "present"


@run
async def test_a_retired_agent_cannot_be_addressed() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        ok(await world.hub.retire(ROOT, "bo"))
        assert refused(await world.hub.send(ana, SendRequest(to=("bo",), body="x"))) == "recipient.unknown"


@run
async def test_what_needs_a_scope_is_refused_without_it() -> None:
    async with World() as world:
        ana = await world.join("ana")
        assert refused(await world.hub.tokens(ana)) == "auth.scope"
        assert refused(await world.hub.issue_token(ana, "x", Kind.PROGRAM, [Scope.ADMIN])) == "auth.scope"
        assert refused(await world.hub.records(ana, 1, 0, 10)) == "auth.scope"
        assert refused(await world.hub.retire(ana, "ana")) == "auth.scope"


@run
async def test_a_stream_says_hello_then_brings_questions_messages_and_ends_in_order() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        stream = ok(await world.hub.subscribe(bo, None))
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi")))
        asked = await world.ask(bo, "ana")
        ok(await world.answer(ana, asked.question_id))
        await world.ask(ana, "bo")
        items = [item for _ in range(4) if (item := await stream.next()) is not None]
        assert [item.event for item in items] == ["hello", "message", "end", "question"]
        stream.close()
        assert await stream.next() is None
        resumed = ok(await world.hub.subscribe(bo, int(items[1].id.partition("-")[2])))
        again = [item for _ in range(3) if (item := await resumed.next()) is not None]
        assert [item.id for item in again] == ["", items[2].id, items[3].id]


@run
async def test_a_stream_resumes_from_before_what_was_acknowledged() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        for number in range(3):
            ok(await world.hub.send(ana, SendRequest(to=("bo",), body=str(number))))
        batch = await world.poll(bo, after=0)
        assert world.hub.acknowledge(bo, batch.cursor) is None
        stream = ok(await world.hub.subscribe(bo, 0))
        bodies = [msgspec.json.decode(item.data) for _ in range(4) if (item := await stream.next()) is not None]
        assert [body.get("content") for body in bodies] == [None, "0", "1", "2"]
        stream.close()


@run
async def test_a_stream_tells_when_the_lane_changes() -> None:
    async with World() as world:
        bo = await world.join("bo")
        stream = ok(await world.hub.subscribe(bo, None))
        assert b'"polling"' in ok(await stream.next()).data  # type: ignore[union-attr]
        nxt = asyncio.ensure_future(stream.next())
        await world.rollout(1.0)
        item = await nxt
        assert item is not None
        assert (item.event, b'"elicitation"' in item.data) == ("lane", True)
        stream.close()


@run
async def test_revoking_a_token_ends_its_streams() -> None:
    async with World() as world:
        bo = await world.join("bo")
        stream = ok(await world.hub.subscribe(bo, None))
        await stream.next()
        [token] = [token for token in ok(await world.hub.tokens(ROOT)) if token.name == "bo"]
        ok(await world.hub.revoke_token(ROOT, token.token_id))
        assert await stream.next() is None


@run
async def test_an_expiry_beyond_ten_years_is_refused() -> None:
    async with World() as world:
        far = await world.hub.issue_token(ROOT, "ana", Kind.PROGRAM, [Scope.AGENT], expires_seconds=1e14)
        assert refused(far) == "token.expiry_far"
        assert ok(await world.hub.tokens(ROOT)) == []


@run
async def test_nobody_acts_under_a_name_of_the_hub_itself() -> None:
    async with World() as world:
        for name in ("system", "hub", "kill-file", "programme"):
            assert refused(await world.hub.admit(name)) == "auth.required"
            assert refused(await world.hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT])) == "agent.reserved"
