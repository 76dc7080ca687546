"""Closed-loop rungs: so many round trips in flight, each pair of agents as fast as it can. For the ceiling.

A round trip is three tool calls, durable before each reply: ``ask``, which waits for the end; the addressee's
``wait_for_messages``; its ``answer``. Not a load with a schedule (that is fleet/load): with a closed loop the
latencies mean nothing, and none are taken.

Rules
-----
1. Counted is what ends within the window; a tenth of it before that warms up.
2. The ladder is climbed several times, and of each rung the best counts: what else the machine does can only slow it.
3. Whatever the hub refuses ends the rung with ``LadderError``: a ceiling must not be made of refusals.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from crossfade.core.capacity import Rung
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.frames import MESSAGE, Caller, Content
from crossfade.fleet.load.target import Target
from crossfade.fleet.sockets import LostError, Socket, connect

WAIT_SECONDS: Final = 25
CLIMBS: Final = 3
PATIENCE_SECONDS: Final = 60.0
"""Beyond the window, for one rung."""
CONTENT: Final = b'{"ok":true,"note":"fine"}'


class LadderError(Exception):
    """A rung could not be measured; the message says why."""


async def climb(target: Target, in_flight: Sequence[int], seconds: float) -> list[Rung]:
    """Measure each rung, for so many seconds in all. Raises LadderError, EnlistError."""
    names = [f"rung-{number}" for number in range(2 * max(in_flight))]
    tokens = await target.operator.enlist([(name, "rung") for name in names])
    callers = [Caller(name, token, target.authority, capable=False) for name, token in zip(names, tokens, strict=True)]
    best = [Rung(in_flight=count, questions_per_second=0.0) for count in in_flight]
    for climb_number in range(CLIMBS):
        for place, count in enumerate(in_flight):
            found = await _rung(target, callers[: 2 * count], seconds / CLIMBS, f"c{climb_number}r{place}")
            best[place] = max(best[place], found, key=lambda rung: rung.questions_per_second)
    return best


async def _rung(target: Target, callers: Sequence[Caller], seconds: float, name: str) -> Rung:
    window = _Window(seconds)
    pairs = list(zip(callers[::2], callers[1::2], strict=True))
    lines: list[Socket] = []
    answering: list[asyncio.Task[None]] = []
    try:
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            for _ in callers:
                lines.append(await connect(target.host, target.port))  # noqa: PERF401, what is open is closed
            for line, (_, addressee) in zip(lines[1::2], pairs, strict=True):
                answering.append(asyncio.create_task(_answer(line, addressee)))
            window.begin()
            asks = [
                _ask(line, asker, addressee.name, window, name)
                for line, (asker, addressee) in zip(lines[::2], pairs, strict=True)
            ]
            await asyncio.gather(*asks)
    except (LostError, TimeoutError) as fault:
        raise LadderError(f"{len(pairs)} round trips in flight: {str(fault) or 'they did not end'}") from None
    finally:
        for line in lines:
            line.close()
        await asyncio.gather(*answering, return_exceptions=True)
    return Rung(in_flight=len(pairs), questions_per_second=window.done / seconds)


class _Window:
    """What ended between two instants."""

    def __init__(self, seconds: float) -> None:
        self._length_ns = round(seconds * 1e9)
        self._from_ns = self._until_ns = 0
        self.done = 0

    def begin(self) -> None:
        self._from_ns = monotonic_ns() + self._length_ns // 10
        self._until_ns = self._from_ns + self._length_ns

    @property
    def open(self) -> bool:
        return monotonic_ns() < self._until_ns

    def ended(self) -> None:
        self.done += self._from_ns <= monotonic_ns() < self._until_ns


async def _ask(line: Socket, caller: Caller, to: str, window: _Window, name: str) -> None:
    number = 0
    while window.open:
        number += 1
        found = await _said(line, caller.ask(to, b'"Ship?"', f"{name}-{caller.name}-{number}", WAIT_SECONDS))
        if found.status != "answered":
            raise LadderError(f"a question was {found.status or found.error.code} instead of answered")
        window.ended()


async def _answer(line: Socket, caller: Caller) -> None:
    """Wait and answer until the connection is closed."""
    cursor = 0
    while True:
        given = b'{"agent_id":"%b","timeout_seconds":%d,"since_sequence":%d}'
        found = await _said(
            line, caller.tool(b"wait_for_messages", given % (caller.name.encode(), WAIT_SECONDS, cursor))
        )
        for item in found.messages:
            cursor = max(cursor, item.sequence)
            if item.question is not None and item.kind == "question":
                identifier = item.question.question_id
                await _said(line, caller.answer(identifier, CONTENT, identifier))


async def _said(line: Socket, frame: bytes) -> Content:
    """The outcome of a tool call. Raises LadderError, LostError."""
    reply = await line.exchange(frame)
    body: bytes | None = reply.body
    while reply.streaming:
        body = await line.event()
        if body is None or MESSAGE.decode(body).result is not None:
            break
    if reply.streaming and body is not None:
        await line.event()  # its end
    message = MESSAGE.decode(body) if body else None
    if reply.status != 200 or message is None or message.result is None or message.result.is_error:
        raise LadderError(f"HTTP {reply.status}: {(body or b'')[:200].decode('utf-8', 'replace')}")
    return message.result.structured_content
