"""One simulated agent: it waits, thinks, answers, works, and waits again (fleet/model.py), by callbacks.

Three carriers, one life. A ``Poller`` waits in a tool call and answers on the same connection, natively where
the hub asks natively; a ``Listener`` has an event stream and answers over the shared connections.

Rules
-----
1. Everything that changes something has a key and is sent again, byte for byte, when its outcome is unknown.
2. Every processing of a question gives a different answer, so that one processed twice cannot hide.
3. What the hub refuses for the moment is tried again; what it refuses for good is counted as a fault of the run.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from crossfade.fleet.agents import PASSING_CODES, PAUSE_SECONDS
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.crew import Crew
from crossfade.fleet.load.frames import GREETING, MESSAGE, QUESTION, Caller, Content, Result
from crossfade.fleet.load.line import Line, open_line
from crossfade.fleet.load.pool import PASSING, backoff

ACKNOWLEDGE_EVERY: Final = 16
"""Events of a stream that are acknowledged together."""


class Member:
    """What every carrier has: a line of its own that is made again when it is lost, and questions to answer."""

    __slots__ = ("attached", "attempt", "caller", "crew", "cursor", "line", "notes", "task", "waiting_since_ns")

    def __init__(self, crew: Crew, caller: Caller) -> None:
        self.crew = crew
        self.caller = caller
        self.line: Line | None = None
        self.attached = False
        self.attempt = 0
        self.cursor = 0
        self.notes = 0
        self.task: asyncio.Task[None] | None = None
        self.waiting_since_ns = 0
        """When the call or stream was sent that is under way, or was last."""

    async def start(self) -> None:
        """Connect for the first time."""
        await open_line(self.crew.place, self, self.crew.carried)

    def stop(self) -> None:
        """Hang up for good."""
        if self.line is not None:
            self.line.drop()

    def drop(self) -> None:
        """Lose the connection, as in a break of the network."""
        if self.line is not None:
            self.line.drop()

    def resume(self) -> None:
        """A new line is there: take up what was under way."""
        raise NotImplementedError

    def on_open(self, line: Line) -> None:
        """Told by the line."""
        self.line = line
        self.resume()

    def on_held(self, line: Line) -> None:
        """Told by the line: the hub holds our call."""
        self.attempt = 0
        if not self.attached:
            self.attached = True
            self.crew.on_attached()

    def on_event(self, line: Line, name: bytes, identifier: bytes, data: bytes) -> None:
        """Told by the line; only listeners hear events."""

    def on_reply(self, line: Line, status: int, body: bytes) -> None:
        """Told by the line."""
        raise NotImplementedError

    def on_lost(self, line: Line) -> None:
        """Told by the line: connect again, unless all is over."""
        self.line = None
        self._detach()
        if not self.crew.stopping:
            self.crew.counts["lost"] += 1
            self.attempt += 1
            self.crew.loop.call_later(backoff(self.attempt - 1, self.crew.dice), self._connect)

    def _detach(self) -> None:
        if self.attached:
            self.attached = False
            self.crew.attached -= 1

    def _connect(self) -> None:
        if not self.crew.stopping:
            self.task = self.crew.loop.create_task(self.start())

    def _thought(self, question_id: str) -> tuple[bytes, str, float]:
        """An answer unlike any other: its content as JSON with sorted keys, its key, and the seconds it takes."""
        self.notes += 1
        note = f"{self.caller.name} {self.notes} on {question_id}"
        content = b'{"note":"%b","ok":true}' % note.encode()
        return content, f"{self.crew.run}-{note}", self.crew.model.think(self.crew.dice)

    def _after(self, seconds: float, work: Callable[[], None]) -> None:
        """Do it after so long; at once if that is nothing."""
        if seconds > 0:
            self.crew.loop.call_later(seconds, work)
        else:
            work()

    def _receive(self, question_id: str, asker: str, channel: str, lane: str) -> None:
        self.crew.answering += 1
        self.crew.journals.received(self.caller.name, question_id, asker, channel, lane, self.waiting_since_ns)

    def _settle(self, question_id: str, status: str, content: bytes, own_seconds: float) -> None:
        self.crew.answering -= 1
        self.crew.journals.answered(self.caller.name, question_id, status, content.decode(), own_seconds)


Answer = tuple[str, bytes, bytes, float]
"""Question, content, frame that says so, seconds it took to think."""


class Poller(Member):
    """Waits in ``wait_for_messages`` or ``attend``; one call at a time on one connection."""

    __slots__ = ("_answer", "_arguments", "_native", "_queue", "_request", "_tool", "_wait_seconds")

    def __init__(self, crew: Crew, caller: Caller, tool: bytes, wait_seconds: int, first_seconds: int = 0) -> None:
        """``first_seconds``: patience of the first wait, if another: waits of a fleet do not end in step."""
        super().__init__(crew, caller)
        self._tool = tool
        self._wait_seconds = first_seconds or wait_seconds
        self._arguments = b""
        self._queue: deque[str] = deque()
        self._answer: Answer | None = None
        """The answer that is under way as a call of its own."""
        self._native: dict[str, tuple[bytes, float]] = {}
        """Native answers given in this wait: question → content, seconds."""
        self._request = b""
        self._wait(send=False)
        self._wait_seconds = wait_seconds

    def resume(self) -> None:
        """Send what is under way, again if need be; nothing while the agent is busy with itself."""
        if self._request and self.line is not None:
            self.line.send(self._request)

    def on_reply(self, line: Line, status: int, body: bytes) -> None:
        """The wait or the answer is over."""
        if status in PASSING:
            self.attempt += 1
            self.crew.loop.call_later(backoff(self.attempt, self.crew.dice), self.resume)
            return
        message = MESSAGE.decode(body) if body else None
        if message is None or message.result is None:
            self.crew.fault(f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}")
            self.crew.loop.call_later(1.0, self._begin_again)
        elif message.result.is_error:
            self._refused(message.result.structured_content)
        elif self._answer is not None:
            self._answered(message.result.structured_content.status)
        else:
            self._waited(message.result)

    # --- waiting ------------------------------------------------------------------------------------

    def _wait(self, *, send: bool = True) -> None:
        if self._tool == b"attend":
            self._arguments = b'{"wait_seconds":%d,"after":%d}' % (self._wait_seconds, self.cursor)
        else:
            self._arguments = b'{"agent_id":"%b","timeout_seconds":%d,"since_sequence":%d}' % (
                self.caller.name.encode(), self._wait_seconds, self.cursor,
            )  # fmt: skip
        self._request = self.caller.tool(self._tool, self._arguments)
        self.waiting_since_ns = monotonic_ns()
        self.crew.counts["wait"] += 1
        if send:
            self.resume()

    def _waited(self, result: Result) -> None:
        self._request = b""
        if result.result_type == "input_required":
            self._asked(result)
            return
        content = result.structured_content
        self._taken(content)
        for item in content.messages:
            self.cursor = max(self.cursor, item.sequence)
            question = item.question
            if question is None:
                continue
            if item.kind == "answer":
                self.crew.on_end(question.question_id, question.status, bytes(question.content), "poll")
            elif item.kind == "question":
                channel = "attend" if self._tool == b"attend" else "poll"
                self._receive(question.question_id, item.sender, channel, content.lane)
                self._queue.append(question.question_id)
        self.cursor = max(self.cursor, content.cursor)
        if not content.messages and not content.elicited:
            self.crew.counts["empty"] += 1
        self._next()

    def _next(self) -> None:
        """The next question, or work of one's own, or waiting."""
        if self._queue:
            question_id = self._queue.popleft()
            content, key, own_seconds = self._thought(question_id)
            frame = self.caller.answer(question_id, content, key)
            self._after(own_seconds, lambda: self._reply((question_id, content, frame, own_seconds)))
        else:
            self._after(self.crew.model.work(self.crew.dice), self._wait)

    # --- answering ----------------------------------------------------------------------------------

    def _reply(self, answer: Answer) -> None:
        self._answer = answer
        self._request = answer[2]
        self.crew.counts["answer"] += 1
        self.resume()

    def _answered(self, status: str) -> None:
        assert self._answer is not None
        question_id, content, _, own_seconds = self._answer
        self._answer, self._request = None, b""
        self._settle(question_id, "accepted" if status == "answered" else status, content, own_seconds)
        self._next()

    def _asked(self, result: Result) -> None:
        """The hub asks natively: think, and call again with the answers."""
        own_seconds = 0.0
        given: dict[str, object] = {}
        for question_id in result.input_requests:
            self._receive(question_id, "", "native", "elicitation")
            content, _, seconds = self._thought(question_id)
            own_seconds += seconds
            self._native[question_id] = (content, seconds)
            given[question_id] = {"action": "accept", "content": msgspec.Raw(content)}
        more = b',"inputResponses":%b,"requestState":%b' % (
            msgspec.json.encode(given), msgspec.json.encode(result.request_state),
        )  # fmt: skip
        self._after(own_seconds, lambda: self._respond(self.caller.tool(self._tool, self._arguments, more)))

    def _respond(self, frame: bytes) -> None:
        self._request = frame
        self.waiting_since_ns = monotonic_ns()
        self.crew.counts["respond"] += 1
        self.resume()

    def _taken(self, content: Content) -> None:
        """The wait is complete: what became of the answers given in it."""
        if not self._native:
            return
        stands = {taken.question_id: taken for taken in content.elicited}
        for question_id, (said, seconds) in self._native.items():
            taken = stands.get(question_id)
            accepted = taken is not None and taken.status == "answered" and not taken.note
            status = "accepted" if accepted else "sent" if taken is None else taken.status
            self._settle(question_id, status, said, seconds)
        self._native.clear()

    # --- trouble ------------------------------------------------------------------------------------

    def _refused(self, content: Content) -> None:
        code = content.error.code
        if code.startswith(PASSING_CODES):
            self.crew.counts["refused"] += 1
            self.crew.loop.call_later(PAUSE_SECONDS, self.resume)
        elif self._answer is not None:
            self._answered(code)
        else:
            self.crew.fault(f"wait refused: {code} {content.error.message}")
            self.crew.loop.call_later(1.0, self._begin_again)

    def _begin_again(self) -> None:
        """Give up what was under way, and wait: nothing is lost by that, the hub offers it again."""
        if self._answer is not None:
            self._answered("faulted")
        else:
            self._taken(Content())
            self._wait()


class Listener(Member):
    """Has an event stream; answers over the shared connections."""

    __slots__ = ("_busy", "_lane", "_queue", "_unread")

    def __init__(self, crew: Crew, caller: Caller) -> None:
        super().__init__(crew, caller)
        self._lane = ""
        self._queue: deque[str] = deque()
        self._busy = False
        self._unread = 0

    def resume(self) -> None:
        """Open the stream where the last one ended."""
        if self.line is not None:
            self.line.live = True
            self.waiting_since_ns = monotonic_ns()
            self.crew.counts["stream"] += 1
            self.line.send(self.caller.stream(self.cursor))

    def on_reply(self, line: Line, status: int, body: bytes) -> None:
        """The hub ended the stream, or refused it."""
        if status != 200 and status not in PASSING:
            self.crew.fault(f"stream refused: HTTP {status}: {body[:200].decode('utf-8', 'replace')}")
        self.attempt += 1
        line.drop()

    def on_event(self, line: Line, name: bytes, identifier: bytes, data: bytes) -> None:
        """Something is addressed to the agent."""
        if name in (b"hello", b"lane"):
            self._lane = GREETING.decode(data).lane
            return
        self._move(identifier)
        question = QUESTION.decode(data)
        if name == b"question":
            self._receive(question.question_id, question.asker, "stream", question.lane or self._lane)
            self._queue.append(question.question_id)
            if not self._busy:
                self._next()
        elif name == b"end":
            self.crew.on_end(question.question_id, question.status, bytes(question.content), "stream")

    def _move(self, identifier: bytes) -> None:
        if not identifier:
            return
        self.cursor = max(self.cursor, int(identifier.rpartition(b"-")[2]))
        self._unread += 1
        if self._unread >= ACKNOWLEDGE_EVERY:
            self._unread = 0
            self.crew.counts["acknowledge"] += 1
            self.crew.pool.submit(self.caller.acknowledge(self.cursor), _noted)

    def _next(self) -> None:
        if not self._queue:
            self._busy = False
            return
        self._busy = True
        question_id = self._queue.popleft()
        content, key, own_seconds = self._thought(question_id)
        frame = self.caller.answer(question_id, content, key)
        self._after(own_seconds, lambda: self._reply(question_id, content, frame, own_seconds))

    def _reply(self, question_id: str, content: bytes, frame: bytes, own_seconds: float) -> None:
        self.crew.counts["answer"] += 1

        def done(status: int, body: bytes) -> None:
            message = MESSAGE.decode(body) if body else None
            if message is None or message.result is None:
                self.crew.fault(f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}")
                said = "faulted"
            else:
                found = message.result.structured_content
                said = found.error.code if message.result.is_error else found.status
            if said.startswith(PASSING_CODES):
                self.crew.loop.call_later(PAUSE_SECONDS, self.crew.pool.submit, frame, done)
                return
            self._settle(question_id, "accepted" if said == "answered" else said, content, own_seconds)
            self._next()

        self.crew.pool.submit(frame, done)


def _noted(status: int, body: bytes) -> None:
    """An acknowledgement needs no answer."""
