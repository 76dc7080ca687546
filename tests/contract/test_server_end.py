"""The end of a server as its clients see it: whoever got a request in is answered, and a signal told twice is one."""

import asyncio
import signal
import socket

import pytest

from crossfade.inbound import server as module
from crossfade.inbound.asgi import Receive, Scope, Send
from crossfade.inbound.server import Server, ServerSettings
from tests.kit.http_server import HEAD, connected, run, serving

pytestmark = pytest.mark.requirement("P17")

CLIENTS = 60


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def test_a_request_of_a_connection_that_only_the_kernel_had_accepted_is_answered() -> None:
    async def scenario() -> None:
        app = Slow()
        app.go.set()
        async with serving(app) as server:
            sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CLIENTS)]
            for sock in sockets:
                sock.sendall(b"GET / " + HEAD + b"\r\n")
            server.stop()  # the loop has not turned since: none of them is known to it
            await server.wait()
            for sock in sockets:
                sock.settimeout(0)
                assert sock.recv(1_000).startswith(b"HTTP/1.1 200 ")
                sock.close()

    run(scenario())


@pytest.mark.parametrize(("apart", "answered"), [(1e9, True), (0.0, False)])
def test_a_signal_told_twice_drops_nobody_and_another_one_later_does(
    monkeypatch: pytest.MonkeyPatch, apart: float, answered: bool
) -> None:
    monkeypatch.setattr(module, "SAME_SIGNAL_SECONDS", apart)

    async def scenario() -> None:
        app = Slow()
        async with serving(app) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await app.asked.wait()
            server._on_signal()
            server._on_signal()
            for _ in range(50):  # more turns than dropping takes
                await asyncio.sleep(0)
            if answered:
                app.go.set()
            await server.wait()
            told = await client.reader.read()
            assert told.startswith(b"HTTP/1.1 200 ") is answered

    run(scenario())


def test_a_process_of_its_own_takes_the_signals_until_its_log_is_closed() -> None:
    async def scenario() -> None:
        server = Server(Slow(), ServerSettings(port=0, listeners=1, handle_signals=True, own_process=True))
        await server.start()
        server.stop()
        await server.wait()
        loop = asyncio.get_running_loop()
        assert [loop.remove_signal_handler(number) for number in (signal.SIGINT, signal.SIGTERM)] == [True, True]

    run(scenario())
