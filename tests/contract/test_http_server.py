"""The HTTP server over real sockets: every bound is reached, and the end is orderly."""

import asyncio
import gc
import inspect
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from crossfade.config import Config
from crossfade.inbound.asgi import Ending, EventStream, Receive, Scope, Send, Streams, disconnected, json_response
from crossfade.inbound.collector import FREEZE_EVERY, THRESHOLDS, CollectorPolicy
from crossfade.inbound.gate import ConnectionLimits
from crossfade.inbound.listeners import AddressInUseError, ListenError
from crossfade.inbound.server import Server, ServerSettings
from tests.kit.http_server import (
    HEAD,
    PATIENCE_SECONDS,
    Echo,
    Fronted,
    code,
    connected,
    exchange,
    fewer_connections,
    run,
    serving,
    status,
)

CHUNKED = b"Transfer-Encoding: chunked\r\n"

# --- requests ----------------------------------------------------------------------------------------


def test_an_ordinary_request_is_answered_and_the_connection_kept() -> None:
    async def scenario() -> None:
        async with serving(Echo()) as server, connected(server) as client:
            for body in (b"one", b"two"):
                await client.send(b"POST / " + HEAD + b"Content-Length: 3\r\n\r\n" + body)
                head = await client.until(b"\r\n\r\n")
                assert status(head) == 200
                assert b"date: " in head
                assert b"server: " not in head
                assert await client.reader.readexactly(3) == body

    run(scenario())


@pytest.mark.parametrize(
    "fragments",
    [
        pytest.param([], id="nothing at all"),
        pytest.param([b"\r\n"], id="blank lines only"),
        pytest.param([b"POST / " + HEAD + b"X-Slow: "], id="an unfinished header"),
        pytest.param([b"POST / " + HEAD + b"Content-Length: 9\r\n\r\n", b"12"], id="an unfinished body"),
        pytest.param([b"POST / " + HEAD + CHUNKED + b"\r\n", b"1\r\nX"], id="an unfinished chunk"),
    ],
)
def test_a_request_that_does_not_arrive_in_time_is_cut(fragments: list[bytes]) -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, request_seconds=0.2) as server:
            assert status(await exchange(server, *fragments)) == 0
        assert "answered" not in echo.ends

    run(scenario())


def test_bytes_trickling_in_do_not_extend_the_deadline() -> None:
    async def scenario() -> None:
        async with serving(Echo(), request_seconds=0.3) as server, connected(server) as client:
            await client.send(b"POST / " + HEAD + b"Content-Length: 1000\r\n\r\n")
            rest = asyncio.ensure_future(client.rest())
            while not rest.done():
                client.writer.write(b"x")
                await asyncio.wait({rest}, timeout=0.02)
            assert status(await rest) == 0

    run(scenario())


@pytest.mark.parametrize("fragment", [b"GET / HTTP/1.1\r\nHo", b"POST / " + HEAD + b"Content-Length: 9\r\n\r\n1"])
def test_the_deadline_holds_for_the_second_request_of_a_connection(fragment: bytes) -> None:
    async def scenario() -> None:
        async with serving(Echo(), request_seconds=1.0) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await client.until(b"\r\n\r\n")
            await client.send(fragment)
            assert await client.rest() in (b"", b"<reset>")

    run(scenario())


def test_a_held_answer_is_not_subject_to_the_deadline() -> None:
    release = asyncio.Event()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_later(1.5, release.set)
        await release.wait()
        await json_response(send, 200, b"{}")

    async def scenario() -> None:
        async with serving(held, request_seconds=1.0) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            assert status(await client.until(b"{}")) == 200

    run(scenario())


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-Big: " + b"a" * 20_000 + b"\r\n\r\n", id="one header too long"),
        pytest.param(b"".join(b"X-%d: v\r\n" % n for n in range(101)) + b"\r\n", id="too many"),
        pytest.param(b"X-Big: " + b"a" * 70_000, id="not even finished"),
    ],
)
def test_a_head_beyond_its_bound_is_refused(head: bytes) -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo) as server:
            answer = await exchange(server, b"GET / " + HEAD + head)
        assert (status(answer), code(answer), echo.paths) == (431, "http.headers_too_large", [])

    run(scenario())


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"Content-Length: 20000000\r\n\r\n", *[b"x" * 65_536] * 20], id="declared"),
        pytest.param([b"Content-Length: 20000000\r\nExpect: 100-continue\r\n\r\n"], id="announced"),
    ],
)
def test_a_declared_body_beyond_its_bound_never_reaches_the_application(parts: list[bytes]) -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo) as server:
            answer = await exchange(server, b"POST / " + HEAD, *parts)
        assert (status(answer), code(answer), echo.paths) == (413, "http.body_too_large", [])
        assert b"connection: close" in answer

    run(scenario())


def test_a_chunked_body_beyond_its_bound_is_refused_and_the_application_sees_a_disconnect() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo, body_bytes=5_000) as server:
            chunks = [b"3e8\r\n" + b"x" * 1000 + b"\r\n"] * 6
            answer = await exchange(server, b"POST / " + HEAD + CHUNKED + b"\r\n", *chunks)
        assert (status(answer), code(answer), echo.ends) == (413, "http.body_too_large", ["ClientGoneError"])

    run(scenario())


def test_the_application_sees_the_disconnect_while_the_refused_client_is_still_sending() -> None:
    async def scenario() -> None:
        waiting, ended = asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            waiting.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            ended.set()

        async with serving(app, body_bytes=10, linger_seconds=60) as server, connected(server) as client:
            await client.send(b"POST / " + HEAD + CHUNKED + b"\r\n")
            await waiting.wait()
            await client.send(b"14\r\n" + b"x" * 20 + b"\r\n")
            await client.until(b"http.body_too_large")
            await ended.wait()
            assert server.connections == 1

    run(scenario())


def test_chunk_extensions_count_although_they_are_no_body() -> None:
    async def scenario() -> None:
        async with serving(Echo(), body_bytes=1_000, header_bytes=1_000) as server:
            start = b"POST / " + HEAD + CHUNKED + b"\r\n1;x=" + b"y" * 5_000
            assert status(await exchange(server, start, b"y" * 5_000)) == 413

    run(scenario())


def test_trailers_do_not_become_headers() -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo) as server, connected(server) as client:
            await client.send(b"POST / " + HEAD + CHUNKED + b"\r\n1\r\nX\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
            assert status(await client.until(b"X")) == 200
        assert b"authorization" not in dict(echo.headers)

    run(scenario())


# --- requests that two readers could understand differently ------------------------------------------

POST_HOST = b"POST /a " + HEAD


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(b"GET /a HTTP/1.1\r\n\r\n", "http.host", id="no Host"),
        pytest.param(b"GET /a " + HEAD + b"Host: other\r\n\r\n", "http.host", id="two Hosts"),
        pytest.param(b"GET http://evil/a " + HEAD + b"\r\n", "http.target", id="target names another host"),
        pytest.param(
            POST_HOST + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\nGET /b " + HEAD + b"\r\n",
            "http.malformed",
            id="length, then chunked",
        ),
        pytest.param(
            POST_HOST + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n", "http.malformed", id="chunked, then length"
        ),
        pytest.param(
            POST_HOST + b"Content-Length: 4\r\nContent-Length: 0\r\n\r\nAAAA", "http.malformed", id="two lengths"
        ),
        pytest.param(POST_HOST + b"Content-Length: +4\r\n\r\nAAAA", "http.malformed", id="signed length"),
        pytest.param(POST_HOST + b"Content-Length: 0x4\r\n\r\nAAAA", "http.malformed", id="hexadecimal length"),
        pytest.param(POST_HOST + b"Content-Length:\r\n\r\n", "http.malformed", id="empty length"),
        pytest.param(POST_HOST + b"Content-Length : 4\r\n\r\nAAAA", "http.malformed", id="space before the colon"),
        pytest.param(
            POST_HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "http.malformed",
            id="not chunked last",
        ),
        pytest.param(POST_HOST + CHUNKED + b"\r\n0x1\r\nA\r\n0\r\n\r\n", "http.malformed", id="bad chunk size"),
        pytest.param(b"GET /a HTTP/1.1\nHost: x\n\n", "http.malformed", id="bare line feeds"),
        pytest.param(b"GET /a " + HEAD + b"X-A: a\rX-B: b\r\n\r\n", "http.malformed", id="bare carriage return"),
        pytest.param(b"GET /a " + HEAD + b"X-A: a\0b\r\n\r\n", "http.malformed", id="NUL in a value"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", "http.malformed", id="TLS to a plain port"),
    ],
)
def test_an_ambiguous_request_is_refused(request_bytes: bytes, expected: str) -> None:
    async def scenario() -> None:
        echo = Echo()
        async with serving(echo) as server:
            answer = await exchange(server, request_bytes)
        assert (status(answer), code(answer)) == (400, expected)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert "answered" not in echo.ends

    run(scenario())


def test_a_refusal_is_not_written_into_an_answer_in_progress() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        held = EventStream(scope, receive, send, Streams())
        await held.start()
        held.push(b"data: 1\n\n")
        await held.wait_closed()

    async def scenario() -> None:
        async with serving(stream) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await client.until(b"data: 1\n\n")
            await client.send(b"nonsense\r\n\r\n")
            assert b"400" not in await client.rest()

    run(scenario())


def test_an_upgrade_nobody_offers_is_an_ordinary_request() -> None:
    async def scenario() -> None:
        async with serving(Echo()) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert status(await client.until(b"\r\n\r\n")) == 200

    run(scenario())


# --- connections -------------------------------------------------------------------------------------


def test_connections_beyond_the_cap_are_told_to_come_back() -> None:
    async def scenario() -> None:
        async with serving(Echo(), connections_max=2) as server:
            async with connected(server) as first, connected(server) as second:
                for client in (first, second):
                    await client.send(b"GET / " + HEAD + b"\r\n")
                    assert status(await client.until(b"\r\n\r\n")) == 200
                answer = await exchange(server, b"GET / " + HEAD + b"\r\n")
                assert (status(answer), code(answer)) == (503, "http.busy")
                assert b"retry-after: 5" in answer
                assert (server.connections, server.gate.shed) == (2, 1)
                second.writer.close()
                await fewer_connections(server, 1)
            async with connected(server) as third:
                await third.send(b"GET / " + HEAD + b"\r\n")
                assert status(await third.until(b"\r\n\r\n")) == 200

    run(scenario())


def test_idle_connections_are_kept_a_shorter_time_under_pressure() -> None:
    async def scenario() -> None:
        for share, closes in ((0.0, True), (0.8, False)):
            limits = {"pressed_share": share, "keep_alive_seconds": 60, "keep_alive_pressed_seconds": 0.1}
            async with serving(Echo(), None, 5.0, **limits) as server, connected(server) as client:
                await client.send(b"GET / " + HEAD + b"\r\n")
                await client.until(b"\r\n\r\n")
                rest = asyncio.ensure_future(client.rest())
                done, _ = await asyncio.wait({rest}, timeout=PATIENCE_SECONDS / 2 if closes else 0.5)
                assert bool(done) is closes
                rest.cancel()

    run(scenario())


def test_the_application_learns_that_a_polling_client_went_away() -> None:
    async def scenario() -> None:
        waiting, gone = asyncio.Event(), asyncio.Event()

        async def poll(scope: Scope, receive: Receive, send: Send) -> None:
            lost = disconnected(scope, receive)
            waiting.set()
            await lost
            gone.set()

        async with serving(poll) as server:
            async with connected(server) as client:
                await client.send(b"GET / " + HEAD + b"\r\n")
                await waiting.wait()
                assert not gone.is_set()
            await gone.wait()

    run(scenario())


# --- the end -----------------------------------------------------------------------------------------


class Held:
    """Holds every request as an event stream."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.opened: list[EventStream] = []
        self.endings: list[Ending] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = EventStream(scope, receive, send, self.streams)
        await stream.start()
        self.opened.append(stream)
        self.endings.append(await stream.wait_closed())


def test_two_hundred_streams_end_cleanly_when_the_server_stops() -> None:
    async def scenario() -> None:
        streams = Streams()
        app = Held(streams)

        async def watch(server: Server) -> bytes:
            async with connected(server) as client:
                await client.send(b"GET / " + HEAD + b"\r\n")
                await client.until(b"\r\n\r\n")
                ready.release()
                return await client.rest()

        ready = asyncio.Semaphore(0)
        async with serving(app, streams.drain, grace_seconds=15) as server:
            clients = [asyncio.ensure_future(watch(server)) for _ in range(200)]
            for _ in range(200):
                await ready.acquire()
            assert len(streams) == 200
            server.stop()
            await server.wait()
            assert await asyncio.gather(*clients) == [b"0\r\n\r\n"] * 200
        assert app.endings == [Ending.COMPLETE] * 200
        assert len(streams) == 0

    run(scenario())


def test_a_request_in_flight_is_answered_before_the_server_ends() -> None:
    async def scenario() -> None:
        started, release = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            await release.wait()
            await json_response(send, 200, b"{}")

        async with serving(slow) as server, connected(server) as client, connected(server) as idle:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await started.wait()
            server.stop()
            assert await idle.rest() == b"", "it ends, and who has nothing to wait for is let go"
            release.set()
            answer = await client.rest()
            assert status(answer) == 200
            assert b"connection: close" in answer
            await server.wait()

    run(scenario())


def test_nobody_is_let_in_while_the_server_ends() -> None:
    async def scenario() -> None:
        refused: list[bool] = []

        async def knock(seconds: float) -> None:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
            refused.append(True)

        async with serving(Echo(), knock) as server:
            server.stop()
            await server.wait()
        assert refused

    run(scenario())


def test_what_does_not_end_within_the_grace_is_dropped() -> None:
    async def scenario() -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with serving(stuck, grace_seconds=0.1) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await started.wait()
            server.stop()
            assert status(await client.rest()) == 0
            await server.wait()
            await cancelled.wait()

    run(scenario())


def test_a_closed_connection_leaves_nothing_for_the_collector() -> None:
    """What is frozen is never collected, so a cycle left behind by each connection would be a leak."""

    async def scenario() -> None:
        streams = Streams()
        app = Held(streams)

        async def visit(server: Server, *requests: bytes) -> None:
            async with connected(server) as client:
                for request in requests:
                    await client.send(request)
                    await client.until(b"\r\n\r\n")
            await fewer_connections(server, 0)

        front = Fronted()
        async with (
            serving(Echo()) as echo,
            serving(app, streams.drain) as held,
            serving(Echo(), front=front) as fronted,
        ):
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    await visit(echo, b"POST / " + HEAD + b"Content-Length: 1\r\n\r\nx")
                    await visit(echo, b"nonsense\r\n\r\n")
                    await visit(held, b"GET / " + HEAD + b"\r\n")
                    await visit(fronted, *[b"POST /mcp " + HEAD + b"Content-Length: 1\r\n\r\nx"] * 3)
                app.opened.clear()
                gc.set_debug(gc.DEBUG_SAVEALL)
                gc.collect()
                ours = [o for o in gc.garbage if type(o).__module__.startswith(("crossfade", "uvicorn", "httptools"))]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
        assert ours == []
        assert front.served == 60

    run(scenario())


# --- listening ---------------------------------------------------------------------------------------


def test_a_second_server_on_the_port_is_refused_in_two_lines() -> None:
    async def scenario() -> None:
        async with serving(Echo()) as server:
            second = Server(Echo(), ServerSettings(port=server.port))
            with pytest.raises(AddressInUseError) as caught:
                await second.start()
        first, hint = str(caught.value).split("\n")
        assert first.startswith(f"error: 127.0.0.1:{server.port} is in use")
        assert hint.startswith("try: ")

    run(scenario())


def test_two_servers_that_start_at_the_same_moment_cannot_share_a_port() -> None:
    """The first has bound but the probe of the second came before: only the lock is left to tell."""

    async def scenario() -> None:
        async with serving(Echo()) as server:
            from crossfade.inbound import listeners

            with pytest.raises(OSError, match="in use"):
                listeners._exclusive(("127.0.0.1", server.port))

    run(scenario())


def test_a_port_that_another_program_offers_to_share_is_not_taken() -> None:
    async def scenario() -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(AddressInUseError):
                await Server(Echo(), ServerSettings(port=other.getsockname()[1])).start()

    run(scenario())


def test_a_port_is_free_again_after_the_server_stopped() -> None:
    async def scenario() -> None:
        async with serving(Echo()) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await client.until(b"\r\n\r\n")
            server.stop()
            await server.wait()
            again = Server(Echo(), ServerSettings(port=server.port))
            await again.start()
            assert again.started.is_set()
            again.stop()
            await again.wait()

    run(scenario())


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-name.invalid"])
def test_an_address_that_is_not_ours_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str, *_: object, **more: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, f"{name} is not known")

    async def scenario() -> None:
        if host.endswith(".invalid"):  # no resolver of the machine is asked: it may take its time
            monkeypatch.setattr("crossfade.inbound.listeners.socket.getaddrinfo", unknown)
        with pytest.raises(ListenError, match=r"(?s)error: .*try: "):
            await Server(Echo(), ServerSettings(host=host, port=0)).start()

    run(scenario())


def test_accepted_connections_have_the_socket_options_of_their_listener() -> None:
    seen: list[tuple[int, int]] = []

    async def scenario() -> None:
        async with serving(Echo()) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            await client.until(b"\r\n\r\n")
            for connection in server._runner.server_state.connections:
                sock = connection.transport.get_extra_info("socket")
                user_timeout = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                seen.append((sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), user_timeout))

    run(scenario())
    assert seen == [(1, 30_000)]


# --- what of uvicorn this rests on -------------------------------------------------------------------


def test_uvicorn_still_has_the_insides_that_we_build_on() -> None:
    assert uvicorn.__version__.startswith("0.54.")
    signature = inspect.signature(HttpToolsProtocol.__init__)
    assert list(signature.parameters) == ["self", "config", "server_state", "app_state", "_loop"]
    methods = (
        "connection_made connection_lost data_received on_message_begin on_headers_complete on_body "
        "on_message_complete on_response_complete send_400_response shutdown _unset_keepalive_if_required"
    )
    for name in methods.split():
        assert callable(getattr(HttpToolsProtocol, name)), name
    for name in ("startup", "main_loop", "on_tick", "shutdown", "capture_signals", "serve"):
        assert callable(getattr(uvicorn.Server, name)), name

    async def scenario() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            (protocol,) = server._runner.server_state.connections
            assert isinstance(protocol, HttpToolsProtocol)
            assert isinstance(protocol.cycle, RequestResponseCycle)
            for name in ("response_started", "response_complete", "disconnected", "message_event", "keep_alive"):
                assert hasattr(protocol.cycle, name), name
            assert protocol.flow.read_paused is False
            assert not protocol.pipeline
            assert protocol.timeout_keep_alive_task is None
            assert isinstance(server._runner.server_state.tasks, set)
            await json_response(send, 200, b"{}")

        async with serving(app) as server, connected(server) as client:
            await client.send(b"GET / " + HEAD + b"\r\n")
            assert status(await client.until(b"{}")) == 200
            assert len(server._runner.servers) == 2

    run(scenario())


# --- as a process of its own -------------------------------------------------------------------------

ECHO_PROGRAM = Path(__file__).parents[2] / "bench" / "http_echo.py"


async def started_program(port: int) -> asyncio.subprocess.Process:
    environment = dict(os.environ, PYTHONPATH=str(ECHO_PROGRAM.parents[1] / "src"))
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, str(ECHO_PROGRAM), "--port", str(port))
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)


def test_sigterm_ends_the_streams_of_a_process_and_then_the_process() -> None:
    async def scenario() -> None:
        program = await started_program(0)
        assert program.stdout is not None
        port = int((await program.stdout.readline()).rsplit(b":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream " + HEAD + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        program.send_signal(signal.SIGTERM)
        assert await reader.read() == b"0\r\n\r\n"
        writer.close()
        _, errors = await program.communicate()
        assert (program.returncode, errors) == (0, b"")

    run(scenario())


def test_of_two_processes_started_together_on_one_port_one_serves() -> None:
    async def scenario() -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        both = [await started_program(port) for _ in range(2)]
        ends = [asyncio.ensure_future(program.wait()) for program in both]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        refused = next(n for n, end in enumerate(ends) if end.done())
        serving_one = both[1 - refused]
        assert serving_one.stdout is not None
        assert b":%d" % port in await serving_one.stdout.readline()
        serving_one.terminate()
        outcomes = [await program.communicate() for program in both]
        assert b"AddressInUseError" in outcomes[refused][1]
        assert (serving_one.returncode, outcomes[1 - refused][1]) == (0, b"")

    run(scenario())


def test_a_pass_of_the_collector_visits_no_more_however_much_a_hub_holds_and_every_pause_is_told() -> None:
    before = gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks)
    clock = itertools.count(0, 3_000_000)
    policy = CollectorPolicy(lambda: next(clock))
    policy.start()
    passes, sizes = [], []
    gc.callbacks.append(lambda phase, info: passes.append(info["generation"]) if phase == "start" else None)
    try:
        held = []
        for _ in range(30):
            held.append([[number] for number in range(THRESHOLDS[0])])
            sizes.append(sum(len(gc.get_objects(generation)) for generation in range(3)))
    finally:
        gc.callbacks.pop()
        policy.stop()
    assert max(sizes) <= THRESHOLDS[0] * (THRESHOLDS[1] + 3)
    assert {0, 1} == set(passes)
    assert (policy.pauses.by_length_ms.count, policy.pauses.longest_ms) == (len(passes), 3.0)
    del held
    gc.collect()
    assert (gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks)) == before


def test_a_hub_that_frees_as_much_as_it_makes_gathers_no_young_objects() -> None:
    """The collector counts made minus freed: without a beat of its own it would come after hundreds of thousands."""
    beats: list[Callable[[], None]] = []

    class Timer:
        def cancel(self) -> None:
            beats.clear()

    class Loop:
        def call_later(self, _seconds: float, beat: Callable[[], None]) -> Timer:
            beats.append(beat)
            return Timer()

    policy = CollectorPolicy()
    old = [[number] for number in range(200_000)]
    policy.start(cast("asyncio.AbstractEventLoop", Loop()))
    young = []
    gathered = 0
    try:
        for turn in range(40):
            for number in range(2_000):
                old.pop()
                young.append([number])
            if turn == 20:
                gathered = len(gc.get_objects(0)) + len(gc.get_objects(1))
            if turn >= 20:
                beats[-1]()
        left = len(gc.get_objects(0)) + len(gc.get_objects(1))
        assert len(beats) == 21, "each beat winds the next one"
    finally:
        policy.stop()
        gc.collect()
    assert gathered > 40_000, "the beat is needed"
    assert left < 5_000
    assert beats == [], "none comes after the end"


def test_by_default_a_hub_holds_18_000_connections_and_drops_idle_ones_in_5_seconds_under_pressure() -> None:
    bounds = ConnectionLimits()
    assert (bounds.connections_max, bounds.keep_alive_pressed_seconds) == (18_000, 5.0)
    assert Config().connections_max == bounds.connections_max


def test_the_collector_is_told_off_while_a_server_owns_the_process_and_back_afterwards() -> None:
    async def scenario() -> None:
        before = gc.get_threshold(), gc.get_freeze_count()
        server = Server(Echo(), ServerSettings(port=0, listeners=1, own_process=True))
        await server.start()
        try:
            frozen = gc.get_freeze_count()
            assert gc.get_threshold() == THRESHOLDS
            for _ in range(FREEZE_EVERY):
                server.gate.admitted()
            assert gc.get_freeze_count() > frozen > before[1]
        finally:
            server.stop()
            await server.wait()
        assert (gc.get_threshold(), gc.get_freeze_count()) == before

    run(scenario())
