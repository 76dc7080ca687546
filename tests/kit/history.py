"""A small run of a hub in which nearly everything happens once, and its log as lines of text.

The lines are what tests/contract/histories keeps: every column of every record, one a line.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from crossfade.core.records import Recorded
from crossfade.core.values import PROGRAMME, SPACE, Caller, Channel, Shard
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Log, StoredEvent
from crossfade.engine.projector import Projector, Views
from crossfade.engine.requests import AnswerRequest, NativeReply, ReceiveRequest, SendRequest
from crossfade.engine.streams import Streams, recorded
from crossfade.logs.memory import MemoryLog
from tests.kit.hub import ROOT, SHIP, World, ok


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One record with all its columns; ``payload`` keeps its exact bytes."""

    shard: Shard
    sequence: int
    stream: str
    version: int
    type: str
    at: int
    actor: str
    cause: str
    key: str
    payload: msgspec.Raw
    chain: str

    def stored(self) -> StoredEvent:
        """The record as a log gives it."""
        binary = {"key": bytes.fromhex(self.key), "payload": bytes(self.payload), "chain": bytes.fromhex(self.chain)}
        return msgspec.convert({**msgspec.structs.asdict(self), **binary}, StoredEvent)


async def dump(log: Log) -> list[Line]:
    """Both shards, the programme's first."""
    return [
        Line(
            shard=shard, sequence=row.sequence, stream=row.stream, version=row.version, type=row.type,
            at=row.at, actor=row.actor, cause=row.cause,
            key=row.key.hex(), payload=msgspec.Raw(row.payload), chain=row.chain.hex(),
        )
        for shard in (PROGRAMME, SPACE)
        for row in await log.read(shard, 0, 10_000)  # type: ignore[arg-type]
    ]  # fmt: skip


def fold(lines: Iterable[Line]) -> Views:
    """The views that the projector makes of them."""
    views = Views()
    projector = Projector(Streams(MemoryLog(), Limits().ended_questions_kept), views)
    records: list[Recorded] = [recorded(line.shard, line.stored()) for line in lines]
    projector.apply(records)
    return views


def states(lines: Iterable[Line]) -> dict[str, Any]:
    """The state of every stream that they leave in memory, as JSON types."""
    streams = Streams(MemoryLog(), Limits().ended_questions_kept)
    Projector(streams, Views()).apply([recorded(line.shard, line.stored()) for line in lines])
    slots, _ = streams.saved()
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({name: slot.state for name, slot in slots.items()}))
    return found


def changes(lines: Iterable[Line]) -> dict[str, Any]:
    """What the first and the last record of each event type change in the state of their stream.

    ``fields``: the names that a state of each kind has; ``changed``: type → place of the record → what is new by it.
    """
    streams = Streams(MemoryLog(), Limits().ended_questions_kept)
    fields: dict[str, list[str]] = {}
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        slot, was = streams.evolve(recorded(line.shard, line.stored()))
        before, after = (msgspec.json.decode(msgspec.json.encode(state)) for state in (was, slot.state))
        fields[line.stream.partition("/")[0]] = sorted(after)
        places = found.setdefault(line.type, {})
        while len(places) > 1:
            places.popitem()
        places[f"{line.shard}:{line.sequence}"] = _change(before, after)
    return {"fields": fields, "changed": found}


def _change(before: Any, after: Any) -> Any:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: _change(before.get(name), after.get(name)) for name in names}


async def small_run(world: World) -> None:
    """Ask, answer, decline, withdraw, expire, dismiss, send, acknowledge, ramp, kill, deprecate, remove, undo."""
    ana, bo = await world.join("ana", label="team-1"), await world.join("bo", native=True)
    pat = await world.join("pat", native=True, faces_person=True)
    await _ends(world, ana, bo)
    await world.rollout(0.5)
    await world.rollout(0.25)
    await world.rollout(0.0)
    await world.rollout(1.0)
    await _natively(world, ana, bo, pat)
    await _kill_in_the_middle(world, ana, bo)
    await _to_the_end(world)
    await world.clock.advance(100)
    issued = ok(await world.hub.tokens(ROOT))
    ok(await world.hub.revoke_token(ROOT, issued[0].token_id))
    ok(await world.hub.retire(ROOT, "pat"))
    await world.clock.advance(0)


async def _ends(world: World, ana: Caller, bo: Caller) -> None:
    asked = [await world.ask(ana, "bo", f"Question {number}?", deadline_seconds=60) for number in range(4)]
    batch = await world.poll(bo, after=0)
    ok(await world.answer(bo, asked[0].question_id, key="a"))
    ok(await world.hub.answer(bo, AnswerRequest(question_id=asked[1].question_id, action="decline", reason="busy")))
    ok(await world.hub.withdraw(ana, asked[2].question_id, reason="settled"))
    await world.clock.advance(61)
    sent = ok(await world.hub.send(bo, SendRequest(to=("ana", "pat"), body="hello")))
    ok(await world.hub.send(ana, SendRequest(to=(), body="hello back", reply_to=sent.message_id), cause="trace-1"))
    await world.poll(bo, after=batch.cursor)


async def _natively(world: World, ana: Caller, bo: Caller, pat: Caller) -> None:
    taken = ReceiveRequest(channel=Channel.NATIVE, native=True, wait_seconds=0)
    accepted = await world.ask(ana, "bo")
    ok(await world.hub.receive(bo, taken))
    ok(await world.hub.native_reply(bo, NativeReply(question_id=accepted.question_id, action="accept", content=SHIP)))
    declined = await world.ask(ana, "pat")
    ok(await world.hub.receive(pat, taken))
    ok(await world.hub.native_reply(pat, NativeReply(question_id=declined.question_id, action="decline")))
    await world.hub.seen(pat, declined.question_id, Channel.CONSOLE)
    silent = await world.ask(ana, "bo", deadline_seconds=500)
    ok(await world.hub.receive(bo, taken))
    await world.clock.advance(61)
    ok(await world.answer(bo, silent.question_id, channel=Channel.STREAM))


async def _kill_in_the_middle(world: World, ana: Caller, bo: Caller) -> None:
    ok(await world.hub.rollout_hold(ROOT, "review"))
    ok(await world.hub.rollout_resume(ROOT, "reviewed"))
    asked = await world.ask(ana, "bo", deadline_seconds=5_000)
    ok(await world.hub.rollout_kill(ROOT, "drill"))
    await world.clock.advance(0)
    await world.ask(ana, "bo", "And this?", reply_to=asked.question_id, deadline_seconds=5_000)
    ok(await world.hub.rollout_resume(ROOT, "over"))


async def _to_the_end(world: World) -> None:
    await world.rollout(1.0)
    ok(await world.hub.rollout_deprecate(ROOT, 10, "Polling ends."))
    await world.clock.advance(11)
    ok(await world.hub.rollout_remove(ROOT))
    ok(await world.hub.rollout_kill(ROOT, "somebody still polls", source="file"))
