"""What need not wait is done without a task; what would wait is as if it had never begun."""

import asyncio

import pytest

from crossfade.inbound.asgi import ABORT, EventStream, StreamLimits, Streams
from crossfade.inbound.at_once import done_at_once
from tests.kit.hub import run


class Wire:
    """What a stream sends to: takes everything at once, or is full until somebody reads."""

    def __init__(self):
        self.sent = []
        self.readable = asyncio.Event()
        self.readable.set()
        self.fault = None

    async def send(self, message):
        if not self.readable.is_set():
            await self.readable.wait()
        if self.fault is not None:
            raise self.fault
        self.sent.append(message)

    async def receive(self):
        await asyncio.Event().wait()

    @property
    def bodies(self):
        return [message["body"] for message in self.sent if "body" in message]


async def a_stream(wire, *, ours=True):
    scope = {"extensions": {ABORT: lambda: None} if ours else {}}
    stream = EventStream(scope, wire.receive, wire.send, Streams(StreamLimits(ping_seconds=1_000.0)))
    await stream.start()
    return stream


def silent(stream):
    """As if nothing had been written for a period."""
    stream._wrote_at -= 1_000.0
    return stream


async def settled():
    """Everything that is ready has run."""
    for _ in range(5):
        await asyncio.sleep(0)


@run
async def test_a_ping_is_written_in_the_tick_itself():
    wire = Wire()
    stream = await a_stream(wire)
    before = asyncio.all_tasks()
    silent(stream).tick()
    assert wire.bodies == [b": ping\n\n"]
    assert asyncio.all_tasks() == before, "without a task"
    stream.tick()
    assert len(wire.bodies) == 1, "the silence begins anew"
    stream._close("complete")


@run
async def test_a_ping_to_a_slow_reader_waits_as_an_event_does():
    wire = Wire()
    stream = await a_stream(wire)
    wire.readable.clear()
    silent(stream).tick()
    await settled()
    assert wire.bodies == []
    assert stream.event(b"news")
    wire.readable.set()
    await settled()
    assert b"".join(wire.bodies) == b": ping\n\ndata: news\n\n", "once, and before what came later"
    stream._close("complete")


@run
async def test_under_another_server_a_ping_is_sent_by_a_task():
    wire = Wire()
    stream = await a_stream(wire, ours=False)
    silent(stream).tick()
    assert wire.bodies == []
    await settled()
    assert wire.bodies == [b": ping\n\n"]
    stream._close("complete")


@run
async def test_nothing_is_pinged_while_something_is_being_written():
    wire = Wire()
    stream = await a_stream(wire)
    wire.readable.clear()
    assert stream.event(b"news")
    await settled()
    stream._wrote_at -= 1_100.0
    stream.tick()
    wire.readable.set()
    await settled()
    assert wire.bodies == [b"data: news\n\n"]
    stream._close("complete")


def test_what_waits_is_ended_where_it_waits():
    async def work(done):
        try:
            await asyncio.sleep(0)
            done.append("went on")
        finally:
            done.append("ended")

    done = []
    assert not done_at_once(work(done))
    assert done == ["ended"]


def test_what_fails_at_once_raises():
    async def work():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        done_at_once(work())
