"""The lean connection and the shared ones, against bytes cut anywhere and a scripted server."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.line import Line, Place, Traffic
from crossfade.fleet.load.pool import Pool

HELD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def plain(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Told:
    """Owner of a line that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def on_open(self, line: Line) -> None:
        self.said.append(("open",))

    def on_held(self, line: Line) -> None:
        self.said.append(("held",))

    def on_reply(self, line: Line, status: int, body: bytes) -> None:
        self.said.append(("reply", status, body))

    def on_event(self, line: Line, name: bytes, identifier: bytes, data: bytes) -> None:
        self.said.append(("event", name, identifier, data))

    def on_lost(self, line: Line) -> None:
        self.said.append(("lost",))


def heard(wire: bytes, cuts: list[int], *, live: bool = False) -> list[tuple[object, ...]]:
    """What the owner hears when ``wire`` arrives cut into pieces."""
    told = Told()
    line = Line(told, Traffic())
    line.live = live
    line.transport = SimpleNamespace(abort=lambda: told.on_lost(line))  # type: ignore[assignment]
    edges = [0, *sorted(cut % len(wire) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(edges):
        if wire[start:end]:
            line.data_received(wire[start:end])
    return told.said


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_replies_are_whole_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    stream = HELD + chunk(b": ping\n\n") + chunk(b'data: {"a":1}\n\n') + chunk(b'data: {"b"') + chunk(b":2}\n\n")
    wire = plain(b"one") + stream + b"0\r\n\r\n" + plain(b"", b"202 Accepted") + plain(b"busy", b"503 No")
    assert heard(wire, cuts) == [
        ("reply", 200, b"one"),
        ("held",),
        ("reply", 200, b'{"b":2}'),
        ("reply", 202, b""),
        ("reply", 503, b"busy"),
    ]


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_a_live_stream_tells_every_event(cuts: list[int]) -> None:
    first = chunk(b"retry: 5\nevent: hello\ndata: {}\n\n: ping\n\n")
    second = chunk(b"id: 1-7\nevent: question\ndata: {1}\n\nid: 1-8\nevent: end\ndata: {2}\n\n")
    assert heard(HELD + first + second + b"0\r\n\r\n", cuts, live=True) == [
        ("held",),
        ("event", b"hello", b"", b"{}"),
        ("event", b"question", b"1-7", b"{1}"),
        ("event", b"end", b"1-8", b"{2}"),
        ("reply", 200, b""),
    ]


@pytest.mark.parametrize("wire", [b"SSH-2.0-x\r\n\r\n", HELD + b"zz\r\n", HELD + b"7fffffff\r\nx"])
def test_what_is_not_http_loses_the_connection(wire: bytes) -> None:
    assert heard(wire, [])[-1] == ("lost",)


Serve = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def pooled(serve: Serve, calls: int, lines: int) -> tuple[list[tuple[int, bytes]], Pool]:
    """``calls`` calls over a pool of ``lines``, against a server that handles each connection by ``serve``."""
    number = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        try:
            await serve(number, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    place = Place("127.0.0.1", server.sockets[0].getsockname()[1], ("127.0.0.1", "127.0.0.2"))
    pool = Pool(place, Traffic(), lines, Dice(1))
    replies: list[tuple[int, bytes]] = []
    done = asyncio.Event()

    def keep(status: int, body: bytes) -> None:
        replies.append((status, body))
        if len(replies) == calls:
            done.set()

    try:
        for call in range(calls):
            pool.submit(b"GET /%02d HTTP/1.1\r\nHost: x\r\n\r\n" % call, keep)
        async with asyncio.timeout(120):
            await done.wait()
    finally:
        pool.close()
        server.close()
    return replies, pool


async def echo(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(plain(head[5:7]))


def test_calls_share_few_connections_and_all_are_answered() -> None:
    replies, pool = asyncio.run(pooled(echo, 50, 3))
    assert sorted(body for _, body in replies) == [b"%02d" % call for call in range(50)]
    assert pool.traffic.connections <= 3
    assert (pool.repeats, pool.waiting) == (0, 0)


def test_a_call_that_is_lost_or_told_to_come_back_is_sent_again_with_the_same_bytes() -> None:
    seen: list[bytes] = []

    async def rude(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if number == 1:
            return  # hangs up without a word
        writer.write(plain(b"later", b"503 Busy") if number == 2 else plain(b"ok"))
        if number == 2:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(plain(b"ok"))

    replies, pool = asyncio.run(pooled(rude, 1, 1))
    assert replies == [(200, b"ok")]
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert pool.repeats == 2


class Played:
    """A line as the pool sees it; keeps what is sent, and hangs up when it is told to."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.sent = pool, list[bytes]()

    def send(self, request: bytes) -> None:
        self.sent.append(request)

    def drop(self) -> None:
        self.pool.on_lost(self)  # type: ignore[arg-type]


def test_a_hub_that_holds_too_many_connections_says_so_without_being_asked_and_the_call_goes_over_another() -> None:
    """It says 503 as soon as somebody connects: on a connection that was made before there was a call."""
    said: list[tuple[int, bytes]] = []

    async def full() -> None:
        pool = Pool(Place("127.0.0.1", 9, ()), Traffic(), 2, Dice(1))
        pool._opening = 2  # as if two connections were being made
        first, second = Played(pool), Played(pool)
        pool.on_open(first)  # type: ignore[arg-type]
        pool.on_reply(first, 503, b"full")  # type: ignore[arg-type]
        pool.on_open(second)  # type: ignore[arg-type]
        pool.submit(b"call", lambda *both: said.append(both))
        pool.on_reply(second, 200, b"ok")  # type: ignore[arg-type]
        assert (first.sent, second.sent) == ([], [b"call"])

    asyncio.run(full())
    assert said == [(200, b"ok")]


def test_a_refusal_for_good_is_handed_on() -> None:
    async def refuse(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain(b"no", b"401 Unauthorized"))
        await writer.drain()

    replies, pool = asyncio.run(pooled(refuse, 1, 1))
    assert replies == [(401, b"no")]
    assert pool.repeats == 0
