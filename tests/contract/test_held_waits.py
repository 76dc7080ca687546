"""A wait for which nothing runs ends once, however its ends meet, and leaves nothing behind; what came is not lost.

Two ends come in one turn of the loop, in every order, to a call that is fresh, has its stream open, was pinged, or of a
client that reads slowly. Nothing is timed: the patience of a call and its pings are called for.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import cast

import pytest

from crossfade.core.values import SECOND, Instant
from crossfade.engine.requests import SendRequest
from crossfade.engine.views.mailboxes import Mailbox
from crossfade.inbound.beats import ROWS
from crossfade.inbound.mcp.running import LOOKS, Running
from tests.contract.test_front import Side, call
from tests.kit.hub import ROOT, ok, run
from tests.kit.wires import heads, settle

NOW, OLD = "2026-07-28", "2025-11-25"
STATES = ("fresh", "open", "pinged", "slow")
ENDS = ("message", "time", "gone", "cancelled", "stopping", "drain")
SECONDS = 9.0


class Held:
    """An agent that waits, and a message to it of which it was not told yet."""

    async def start(self, revision: str, state: str, monkeypatch: pytest.MonkeyPatch) -> "Held":
        """Let it wait."""
        self.faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: self.faults.append(fault))
        self.side = await Side().start(fronted=True)
        side = self.side
        self.mailbox = side.world.hub._views.directory.member("ana").mailbox
        self.runner = side.endpoint._runner
        given = {"timeout_seconds": SECONDS}
        assert await side.say(call(side, "ana", "wait_for_messages", given, revision)) == b""
        [self.call] = self.runner.conditions.patience.waiting
        self.began_at = len(side.pipe.said)
        self.is_there = True
        if state != "fresh":
            self.open()
        if state == "pinged":
            self.ping()
        if state == "slow":
            side.connection.flow.pause_writing()
        with monkeypatch.context() as patched:
            patched.setattr(Mailbox, "wake", lambda _: None)
            bo = ok(side.world.hub.authenticate(side.tokens["bo"]))
            ok(await side.world.hub.send(bo, SendRequest(to=("ana",), body="kept")))
            await settle()
        return self

    def open(self) -> None:
        """The patience of its client is at its end."""
        del self.runner.conditions.patience.waiting[self.call]
        self.call.out_of_patience()
        assert self.side.pipe.said[self.began_at :].startswith(b"HTTP/1.1 200 ")

    def ping(self) -> None:
        """It was silent for long."""
        for _ in range(LOOKS):
            self.call.tick()

    def is_stream(self) -> bool:
        """Its stream is an object."""
        return self.call.stream is not None

    @property
    def said(self) -> bytes:
        """What it was told of the call."""
        return self.side.pipe.said[self.began_at :]

    async def end(self, how: str) -> None:
        """One end, at once, or as near to that as it goes."""
        match how:
            case "message":
                self.mailbox.wake()
            case "time":
                clock = self.side.world.clock
                clock._now = Instant(clock._now + int(SECONDS * SECOND))
                self.mailbox.wake()
            case "gone":
                if self.is_there:
                    self.side.wires.leave(self.side.connection)
                self.is_there = False
            case "cancelled":
                self.call.interrupt("cancelled")
            case "stopping":
                self.call.stop()
            case "drain":
                self.side.world.hub.drain()

    async def left(self) -> None:
        """Nothing of it is."""
        if self.is_there:
            self.side.connection.flow.resume_writing()
        await settle()
        streams = self.side.host.streams
        assert self.mailbox.wakers == ()
        assert not self.mailbox.ready._carriers
        assert (len(streams), streams.beats._count, len(self.side.wires.gate.strands)) == (0, 0, 0)
        assert (self.runner.running, self.runner.conditions.patience.waiting) == ({}, {})
        assert self.side.connection.held is None
        assert self.call.waiting is None
        assert self.faults == []

    async def next(self) -> bytes:
        """What its next call brings."""
        if self.is_there:
            self.side.reconnect()
        else:
            self.side.connection, self.side.pipe = self.side.wires.connect()
        return await self.side.say(call(self.side, "ana", "inbox", {"wait_seconds": 0}))


@pytest.mark.parametrize("revision", [NOW, OLD])
@pytest.mark.parametrize("state", STATES)
def test_however_two_ends_of_a_wait_meet_it_ends_once_and_what_came_is_told_once(
    state: str, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @run
    async def scenario() -> None:
        for first, second in itertools.product(ENDS, ENDS):
            held = await Held().start(revision, state, monkeypatch)
            await held.end(first)
            await held.end(second)
            await held.left()
            case = first, second
            said, ends = held.said, {first, second}
            assert len(heads(said)) == (0 if state == "fresh" and "gone" in ends and said == b"" else 1), case
            told = said.count(b"kept") // 2  # as text, and as an object
            assert said.count(b'"id":7') <= 1, case
            if not ends & {"gone"}:
                whole = said.endswith(b"0\r\n\r\n") if b"chunked" in said else said.count(b'"id":7') == 1
                assert whole, case
            if not ends & {"gone", "cancelled"}:
                assert said.count(b'"id":7') == 1, case
            brought = (await held.next()).count(b"kept") // 2
            assert told + brought == 1, case
            await held.side.stop()

    scenario()


@pytest.mark.parametrize("state", STATES)
def test_a_wait_whose_time_is_over_says_so_with_its_cursor(state: str) -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, state, patch)
            held.mailbox.mail.clear()
            await held.side.world.clock.advance(SECONDS)
            await held.left()
            assert b'"messages":[]' in held.said
            assert b'"cursor":' in held.said
            await held.side.stop()

    scenario()


@pytest.mark.parametrize("state", STATES)
def test_a_wait_that_is_woken_in_vain_waits_on(state: str) -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, state, patch)
            mail = dict(held.mailbox.mail)
            held.mailbox.mail.clear()
            for _ in range(2):
                await held.end("message")
                await settle()
                assert len(held.mailbox.wakers) == 1
            held.mailbox.mail.update(mail)
            await held.end("message")
            await held.left()
            assert held.said.count(b"kept") == 2
            await held.side.stop()

    scenario()


def test_a_stream_that_is_held_is_pinged_once_in_its_silence_and_slow_readers_become_streams() -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, "open", patch)
            for looks in range(1, 2 * LOOKS + 1):
                held.call.tick()
                assert held.said.count(b": ping\n\n") == looks // LOOKS
            assert not held.is_stream()
            held.side.connection.flow.pause_writing()
            held.ping()
            assert held.is_stream(), "it deals with slow readers"
            await settle()
            assert held.said.count(b": ping\n\n") == 2
            await held.end("message")
            await held.left()
            assert held.said.count(b": ping\n\n") == 3
            assert held.said.count(b"kept") == 2
            await held.side.stop()

    scenario()


def test_a_connection_that_waits_keeps_no_bytes_of_its_heads_and_knows_them_all_the_same() -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, "open", patch)
            heads_of = held.side.connection.heads
            assert heads_of is not None
            assert heads_of._known == ()
            resting = len(heads_of._resting)
            assert resting > 1, "that of the agent who waits is one of several"
            await held.end("message")
            await held.left()
            patch.setattr(held.side.connection, "on_message_begin", None)  # what the parser would call
            held.began_at = len(held.side.pipe.said)
            await held.side.say(call(held.side, "ana", "wait_for_messages", {"timeout_seconds": 0}))
            assert heads(held.said) == [200]
            assert (len(heads_of._known), len(heads_of._resting)) == (1, resting - 1)
            await held.side.stop()

    scenario()


def test_a_held_wait_is_looked_at_by_the_beats_of_its_streams() -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, "open", patch)
            beats = held.side.host.streams.beats
            loop = _Still()
            for _ in range(ROWS * LOOKS):
                beats._beat(loop)  # type: ignore[arg-type]
            assert held.said.count(b": ping\n\n") == 1
            await held.end("gone")
            await held.left()
            await held.side.stop()

    scenario()


def test_a_client_that_takes_no_stream_is_held_as_well_and_told_when_the_server_stops() -> None:
    @run
    async def scenario() -> None:
        for end in ENDS:
            with pytest.MonkeyPatch.context() as patch:
                held = await Held().start(NOW, "fresh", patch)
                await held.end("stopping")
                await held.left()
                held.side.reconnect()
                asked = call(held.side, "ana", "wait_for_messages", {"timeout_seconds": SECONDS, "since_sequence": 99})
                asked = asked.replace(b"Accept: application/json, text/event-stream", b"Accept: application/json")
                asked = asked.replace(b'"since_sequence": 99', b'"since_sequence": %d' % held.mailbox.mail.popitem()[0])
                held.began_at = 0
                assert await held.side.say(_sized(asked)) == b""
                assert len(held.side.host.streams) == 1
                held.call = cast("Running", next(iter(held.side.host.streams._held)))
                await held.end(end)
                if end == "message":
                    await held.end("time")
                await held.left()
                assert heads(held.said) == ([] if end == "gone" else [200])
                await held.side.stop()

    scenario()


def test_whoever_reads_slowly_when_the_server_stops_has_the_whole_grace_to_read_the_end() -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, "slow", patch)
            drain = asyncio.ensure_future(held.side.host.streams.drain(60.0))
            await settle()
            assert held.is_stream()
            assert not drain.done(), "it is held still"
            await held.left()
            assert await drain == 0
            assert held.said.count(b'"id":7') == 1
            assert held.said.endswith(b"0\r\n\r\n")
            await held.side.stop()

    scenario()


def test_a_wait_that_is_woken_often_in_one_turn_looks_once() -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(NOW, "open", patch)
            looks: list[Running] = []
            look = held.runner.look

            def counted(call: Running) -> None:
                looks.append(call)
                look(call)

            patch.setattr(held.runner, "look", counted)
            for _ in range(3):
                await held.end("message")
            await held.left()
            assert looks == [held.call]
            await held.side.stop()

    scenario()


@pytest.mark.parametrize("revision", [NOW, OLD])
@pytest.mark.parametrize("state", STATES)
def test_a_wait_ends_with_the_credential_of_whoever_waits(state: str, revision: str) -> None:
    @run
    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            held = await Held().start(revision, state, patch)
            held.mailbox.mail.clear()
            hub = held.side.world.hub
            [ana] = [token for token in ok(await hub.tokens(ROOT)) if token.name == "ana"]
            ok(await hub.revoke_token(ROOT, ana.token_id))
            await held.left()
            assert held.said.count(b'"id":7') == 1
            assert b'"messages":[]' in held.said
            bo = ok(hub.authenticate(held.side.tokens["bo"]))
            ok(await hub.send(bo, SendRequest(to=("ana",), body="late")))
            said = await held.side.say(call(held.side, "ana", "wait_for_messages", {"timeout_seconds": 1}, revision))
            assert heads(said) == [401]
            assert b"late" not in held.said
            await held.side.stop()

    scenario()


class _Still:
    """A loop on which nothing comes later."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Nothing."""


def _sized(asked: bytes) -> bytes:
    """The request with the length that its body has."""
    head, _, body = asked.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body
