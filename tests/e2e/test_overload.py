"""Too much at once, over real sockets: slow readers, ten thousand deadlines at once, a herd, a stop under load."""

import asyncio
import re
import socket
import tempfile
from pathlib import Path

import msgspec
import pytest

from crossfade.bootstrap import RunningHub
from crossfade.core.values import SPACE, Caller
from crossfade.engine.requests import AskRequest, SendRequest
from crossfade.fleet.supervisor import HubProcess
from tests.kit.hub import YES_NO, ok, run
from tests.kit.live import live_hub, token

BODY = "x" * 60_000
MESSAGES = 120
DEADLINES = 10_000
HERD = 2_000


async def stream(
    hub: RunningHub, bearer: str, last: str = "", buffer_bytes: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open event stream, its head not yet read."""
    sock = socket.socket()
    if buffer_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", hub.server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**17)
    resume = f"Last-Event-ID: {last}\r\n" if last else ""
    head = f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{hub.server.port}\r\nAuthorization: Bearer {bearer}\r\n"
    writer.write(f"{head}{resume}\r\n".encode())
    await writer.drain()
    return reader, writer


async def ids(reader: asyncio.StreamReader, count: int) -> list[str]:
    """Ids of the next events that have one; fewer if the stream ends."""
    found: list[str] = []
    pending = ""
    try:
        while len(found) < count and (line := await reader.readline()):
            if line.startswith(b"id: "):
                pending = line[4:].decode().strip()
            elif line == b"\n" and pending:  # only what arrived whole arrived
                found.append(pending)
                pending = ""
    except ConnectionError:
        pass
    return found


@run
async def test_a_slow_reader_is_cut_resumes_and_costs_the_others_nothing() -> None:
    async with live_hub() as hub:
        sender, slow, quick = [await token(hub, name) for name in ("sender", "slow", "quick")]
        caller = ok(hub.hub.authenticate(sender))
        stuck, stuck_end = await stream(hub, slow, buffer_bytes=4_096)
        await stuck.readuntil(b"event: hello")
        reading, quick_end = await stream(hub, quick)
        await reading.readuntil(b"event: hello")
        got = asyncio.create_task(ids(reading, MESSAGES))
        for number in range(MESSAGES):
            ok(await hub.hub.send(caller, SendRequest(to=("slow", "quick"), body=f"{number} {BODY}")))
        everything = await asyncio.wait_for(got, 120)
        assert len(everything) == MESSAGES
        before = await asyncio.wait_for(ids(stuck, MESSAGES), 120)
        assert len(before) < MESSAGES, "the slow reader was never cut"
        stuck_end.transport.abort()
        while len(before) < MESSAGES:  # as any client does, from the last id it has
            again, again_end = await stream(hub, slow, last=before[-1] if before else "1-0")
            before += await asyncio.wait_for(ids(again, MESSAGES - len(before)), 120)
            again_end.transport.abort()
        quick_end.transport.abort()
        assert before == everything


@pytest.mark.slow
@run
async def test_ten_thousand_deadlines_in_one_second_all_expire_and_others_are_served_meanwhile() -> None:
    async with live_hub() as hub:
        asker = ok(hub.hub.authenticate(await token(hub, "asker")))
        other = ok(hub.hub.authenticate(await token(hub, "other")))
        await token(hub, "addressee")
        hub.hub._c.limits = msgspec.structs.replace(hub.hub._c.limits, commands_per_second_max=1e9)
        now = hub.hub._c.clock.now

        async def ask(by: Caller, to: str, left: float) -> None:
            ok(await hub.hub.ask(by, AskRequest(to=to, message="?", schema=YES_NO, deadline_seconds=left)))

        began = now()
        await asyncio.gather(*(ask(other, "asker", 3_600.0) for _ in range(500)))  # how long will all take?
        ends = now() + 3 * (now() - began) * DEADLINES // 1_000 + 1_000_000_000

        async def one(number: int) -> None:
            await ask(asker, "addressee", max(5.0, (ends - now()) / 1e9) + number / DEADLINES)

        for start in range(0, DEADLINES, 500):
            await asyncio.gather(*(one(number) for number in range(start, start + 500)))
        while True:
            ok(await hub.hub.send(other, SendRequest(to=("asker",), body="still here?")))
            if hub.hub.measures().ended["polling", "expired"] >= DEADLINES:
                break
            await asyncio.sleep(0.05)
        rows = []
        while page := await hub.hub._log.read(SPACE, rows[-1].sequence if rows else 0, 5_000):  # type: ignore[arg-type]
            rows += page
        assert sum(row.type == "question.expired/1" for row in rows) == DEADLINES


@pytest.mark.slow
@run
async def test_a_herd_that_comes_back_at_once_is_served_and_told_to_come_back_spread_out() -> None:
    async with live_hub() as hub:
        bearer = await token(hub, "herd")
        ends: list[asyncio.StreamWriter] = []

        async def join() -> int:
            reader, writer = await stream(hub, bearer)
            ends.append(writer)
            hello = await reader.readuntil(b"event: hello")
            told = re.search(rb"retry: (\d+)", hello)
            assert told is not None
            return int(told[1])

        for _ in range(2):  # all at once, cut, and all at once again
            waits = await asyncio.wait_for(asyncio.gather(*(join() for _ in range(HERD))), 120)
            assert len({wait // 500 for wait in waits}) == 10, "the times to come back are bunched"
            for writer in ends:
                writer.transport.abort()
            ends.clear()
            while hub.hub.measures().streams_open:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)


@pytest.mark.slow
@run
async def test_a_hub_that_is_asked_to_stop_answers_everything_it_accepted() -> None:
    with tempfile.TemporaryDirectory() as name:
        hub = HubProcess(Path(name))
        await hub.start()
        bearer = hub.operator_token
        complete, cut = 0, []

        async def one(number: int) -> bool:
            """One request on a connection of its own: True if it was answered, False if nobody took it."""
            nonlocal complete
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
            except OSError:
                return False
            try:
                body = b'{"name":"n-%d","scopes":["agent"]}' % number
                head = (
                    f"POST /v1/tokens HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nAuthorization: Bearer {bearer}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
                answer = await reader.read()
            except ConnectionError:
                answer = b""
            finally:
                writer.close()
            if not answer:
                return False  # closed before a byte of an answer: the listener's queue, nobody had accepted it
            head_bytes, _, content = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head_bytes.lower())
            if length is None or int(length[1]) != len(content) or answer[9:12] not in (b"200", b"201", b"503"):
                cut.append(answer)
            complete += 1
            return True

        async def client(first: int) -> None:
            number = first
            while await one(number):
                number += 1

        clients = [asyncio.create_task(client(place * 100_000)) for place in range(16)]
        while complete < 200:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(hub.stop())
        await asyncio.wait_for(asyncio.gather(*clients), 120)
        await stopping
        assert cut == []
        assert complete >= 200
