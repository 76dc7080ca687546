"""Event streams over real sockets: who is cut, who is not, and how each stream ends."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from crossfade.inbound.asgi import (
    BodyTooLargeError,
    ClientGoneError,
    Ending,
    EventStream,
    StreamLimits,
    Streams,
    frame,
    read_body,
)
from tests.kit.http_server import HEAD, Client, connected, fewer_connections, run, serving, status

Work = Callable[[EventStream], Awaitable[object]]
GET = b"GET / " + HEAD + b"\r\n"


class Stage:
    """Opens a stream for each request, runs ``work`` on it, keeps how it ended."""

    def __init__(self, work: Work | None = None, **limits: float) -> None:
        bounds = StreamLimits(**limits)  # type: ignore[arg-type]
        self.streams = Streams(bounds)
        self.work = work
        self.opened: asyncio.Queue[EventStream] = asyncio.Queue()
        self.endings: asyncio.Queue[Ending] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        stream = EventStream(scope, receive, send, self.streams)
        await stream.start(((b"x-extra", b"1"),))
        self.opened.put_nowait(stream)
        if self.work is not None:
            await self.work(stream)
        self.endings.put_nowait(await stream.wait_closed())


async def opened(stage: Stage, client: Client) -> EventStream:
    await client.send(GET)
    await client.until(b"\r\n\r\n")
    return await stage.opened.get()


def test_headers_come_at_once_and_forbid_buffering() -> None:
    async def scenario() -> None:
        stage = Stage()
        async with serving(stage) as server, connected(server) as client:
            await client.send(GET)
            head = await client.until(b"\r\n\r\n")
            assert status(head) == 200
            for line in (b"content-type: text/event-stream", b"x-accel-buffering: no", b"cache-control: no-store"):
                assert line in head
            assert b"x-extra: 1" in head

    run(scenario())


def test_events_arrive_in_order_and_the_stream_ends_with_the_terminal_chunk() -> None:
    async def scenario() -> None:
        async def work(stream: EventStream) -> None:
            for n in range(100):
                assert stream.event(b"%d" % n, event_id=f"1:{n}", event="item")
            assert await stream.aclose() is Ending.COMPLETE
            assert await stream.aclose() is Ending.COMPLETE
            assert stream.push(b"data: late\n\n") is False

        stage = Stage(work)
        async with serving(stage) as server, connected(server) as client:
            await client.send(GET)
            received = await client.until(b"\r\n0\r\n\r\n")
            events = [b"id: 1:%d\nevent: item\ndata: %d\n\n" % (n, n) for n in range(100)]
            assert b"".join(events) in received
            assert await stage.endings.get() is Ending.COMPLETE
            assert len(stage.streams) == 0
            await client.send(GET)  # the connection is as good as before
            assert status(await client.until(b"\r\n\r\n")) == 200

    run(scenario())


def test_a_slow_reader_is_cut_while_another_keeps_receiving() -> None:
    async def scenario() -> None:
        stage = Stage(queue_events=16)
        async with (
            serving(stage) as server,
            connected(server, receive_buffer_bytes=4_096) as slow,
            connected(server) as quick,
        ):
            slow_stream = await opened(stage, slow)
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            quick_stream = await opened(stage, quick)
            event = frame(b"x" * 50_000)
            sent = 0
            while slow_stream.push(event):
                assert quick_stream.push(event)
                await quick.until(b"\n\n")
                sent += 1
                assert sent < 2_000, "the slow reader is never cut"
            assert await slow_stream.wait_closed() is Ending.CUT
            assert quick_stream.event(b"still here")
            assert b"still here" in await quick.until(b"still here\n\n")
            assert len(stage.streams) == 1
            await fewer_connections(server, 1)  # not waiting for its unread bytes: gone at once

    run(scenario())


def test_too_many_queued_events_cut_however_small_they_are() -> None:
    async def scenario() -> None:
        stage = Stage(queue_events=4)
        async with serving(stage) as server, connected(server) as client:
            stream = await opened(stage, client)
            assert [stream.event(b"x") for _ in range(6)] == [True] * 4 + [False] * 2
            assert await stream.wait_closed() is Ending.CUT

    run(scenario())


def test_too_many_queued_bytes_cut_as_well_but_one_large_event_passes() -> None:
    async def scenario() -> None:
        stage = Stage(queue_bytes=1_000)
        async with serving(stage) as server, connected(server) as client:
            stream = await opened(stage, client)
            assert stream.event(b"x" * 5_000)
            await client.until(b"\n\n")
            assert stream.event(b"x" * 5_000)
            assert stream.event(b"y" * 800)
            assert not stream.event(b"z" * 800)
            assert await stream.wait_closed() is Ending.CUT

    run(scenario())


def test_a_reader_that_takes_nothing_for_two_periods_is_cut_without_overflow() -> None:
    async def scenario() -> None:
        stage = Stage(ping_seconds=0.1)
        async with serving(stage) as server, connected(server, receive_buffer_bytes=4_096) as client:
            stream = await opened(stage, client)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            stream.event(b"x" * 20_000_000)
            stream.event(b"more")
            assert await stream.wait_closed() is Ending.CUT

    run(scenario())


def test_an_idle_stream_is_pinged_and_not_cut() -> None:
    async def scenario() -> None:
        stage = Stage(ping_seconds=0.05)
        async with serving(stage) as server, connected(server) as client:
            stream = await opened(stage, client)
            for _ in range(6):
                assert await client.until(b"\n\n\r\n") == b"8\r\n: ping\n\n\r\n"
            assert not stream.closed.done()

    run(scenario())


def test_a_client_that_leaves_ends_its_stream() -> None:
    async def scenario() -> None:
        stage = Stage()
        async with serving(stage) as server:
            async with connected(server) as client:
                stream = await opened(stage, client)
            assert await stream.wait_closed() is Ending.GONE
            assert stream.event(b"nobody") is False
            assert len(stage.streams) == 0

    run(scenario())


def test_waiting_for_the_end_can_be_cancelled_without_ending_it() -> None:
    async def scenario() -> None:
        stage = Stage()
        async with serving(stage) as server, connected(server) as client:
            stream = await opened(stage, client)
            waiter = asyncio.ensure_future(stream.wait_closed())
            await asyncio.wait({waiter}, timeout=0)
            waiter.cancel()
            await asyncio.wait({waiter})
            assert not stream.closed.done()
            assert stream.event(b"here")
            await client.until(b"here\n\n")

    run(scenario())


def test_catching_up_in_steps_never_overflows() -> None:
    async def scenario() -> None:
        async def work(stream: EventStream) -> None:
            for n in range(50):
                assert stream.event(b"%d" % n)
                if n % 2:
                    assert await stream.drained()
            stream.end()

        stage = Stage(work, queue_events=2)
        async with serving(stage) as server, connected(server) as client:
            await client.send(GET)
            assert b"data: 49\n\n" in await client.until(b"0\r\n\r\n")
            assert await stage.endings.get() is Ending.COMPLETE

    run(scenario())


def test_draining_lets_the_application_say_a_last_word() -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            told = asyncio.Event()
            stream = EventStream(scope, receive, send, streams, on_drain=told.set)
            await stream.start()
            await told.wait()
            stream.event(b"pending")
            await stream.aclose()

        streams = Streams()
        async with serving(app, streams.drain) as server, connected(server) as client:
            await client.send(GET)
            await client.until(b"\r\n\r\n")
            server.stop()
            assert b"data: pending\n\n\r\n0\r\n\r\n" in await client.rest()

    run(scenario())


def test_draining_cuts_a_stream_whose_reader_is_stuck() -> None:
    async def scenario() -> None:
        stage = Stage()
        async with serving(stage) as server, connected(server, receive_buffer_bytes=4_096) as client:
            stream = await opened(stage, client)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            assert stream.event(b"x" * 20_000_000)
            assert stream.event(b"more")
            assert await stage.streams.drain(0.1) == 1
            assert await stream.wait_closed() is Ending.CUT

    run(scenario())


def test_a_poll_is_told_when_the_server_drains_even_if_it_came_late() -> None:
    async def scenario() -> None:
        streams = Streams()
        told: list[str] = []

        async def poll(name: str) -> None:
            released = asyncio.Event()
            with streams.holding(released.set):
                await released.wait()
            told.append(name)

        early = asyncio.ensure_future(poll("early"))
        await asyncio.wait({early}, timeout=0)
        assert len(streams) == 1
        assert await streams.drain(5.0) == 0
        await poll("late")
        assert told == ["early", "late"]
        await early

    run(scenario())


# --- under a server without our extensions, as a stand-in for one --------------------------------------


def test_without_our_extensions_a_disconnect_is_noticed_through_receive() -> None:
    async def scenario() -> None:
        incoming: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        sent: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        stream = EventStream({"type": "http"}, incoming.get, send, Streams())
        await stream.start()
        stream.event(b"1")
        assert await stream.drained()
        assert sent[1]["body"] == b"data: 1\n\n"
        incoming.put_nowait({"type": "http.disconnect"})
        assert await stream.wait_closed() is Ending.GONE

    run(scenario())


def test_events_pushed_before_the_start_follow_the_headers_in_one_write() -> None:
    async def scenario() -> None:
        sent: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        stream = EventStream({"type": "http"}, asyncio.Event().wait, send, Streams())  # type: ignore[arg-type]
        stream.event(b"1")
        stream.event(b"2")
        await stream.start()
        await stream.aclose()
        last = (b"data: 1\n\ndata: 2\n\n", False)  # the terminal chunk goes with the last event
        assert [(m.get("body"), m.get("more_body")) for m in sent] == [(None, None), last]

    run(scenario())


@pytest.mark.parametrize("data", [b"a\nb", b"a\r\nb", b"a\rb"])
def test_data_of_several_lines_keeps_its_lines(data: bytes) -> None:
    assert frame(data) == b"data: a\ndata: b\n\n"


@pytest.mark.parametrize("bad", ["1\n2", "1\r2", "1\0"])
def test_an_id_that_could_break_the_framing_raises(bad: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        frame(b"x", event_id=bad)


# --- bodies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [[b"12345"], [b"123", b"45"], [b"12345", b""]])
def test_a_body_is_read_up_to_its_limit(pieces: list[bytes]) -> None:
    async def read(limit_bytes: int) -> bytes:
        messages = [{"type": "http.request", "body": p, "more_body": p is not pieces[-1]} for p in pieces]

        async def receive() -> MutableMapping[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        return await read_body(receive, limit_bytes)

    assert run(read(5)) == b"12345"
    with pytest.raises(BodyTooLargeError):
        run(read(4))


def test_a_body_that_breaks_off_has_no_reader() -> None:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        run(read_body(receive, 5))
