"""Asking: what is due is asked at its instant over the shared connections, and waited for to its end.

Rules
-----
1. Timed from when it was due (fleet/load/schedule.py), however long it waited for a connection or was refused.
2. ``asked`` is journalled when the hub has acknowledged the question, ``ended`` when the asker has the end: in
   the call that asked, in ``question`` calls after it, or from its mailbox.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from crossfade.fleet.agents import PASSING_CODES, PAUSE_SECONDS
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.crew import MS, Crew
from crossfade.fleet.load.frames import MESSAGE, Caller, Message
from crossfade.fleet.load.schedule import Shape

NS: Final = 1_000_000_000
TEXT: Final = "Ship build {number}? "
BATCH_MAX: Final = 256
"""Asks sent in one go when many are due at once; then what has arrived is read first."""


class Ask:
    """One question on its way."""

    __slots__ = ("caller", "due_ns", "peer", "question_id")

    def __init__(self, caller: Caller, peer: str, due_ns: int) -> None:
        self.caller = caller
        self.peer = peer
        self.due_ns = due_ns
        self.question_id = ""


class Asking:
    """All asks of one load process."""

    def __init__(self, crew: Crew, callers: dict[int, Caller], names: Sequence[str], shape: Shape) -> None:
        """``callers``: the agents of this process by number; ``names``: of all agents."""
        self.due = 0
        """Questions that were due so far."""
        self.acknowledged = 0
        self.answered = 0
        self.finished = False
        """The schedule is at its end."""
        self._crew = crew
        self._callers = callers
        self.askers = [index for index in callers if shape.asks(index)]
        """Agents of this process that ask."""
        self._names = names
        self._shape = shape
        self._open: dict[str, Ask] = {}
        self._unsent = 0
        """Asks without an acknowledgement."""
        self._early: set[str] = set()
        """Questions whose end came before the reply to the ask, or came again."""
        self._wait_seconds = 0 if crew.profile.ends_by_mail else crew.model.ask_wait_seconds
        self._due: Iterator[int] = iter(())
        self._next_ns: int | None = None
        """When the next ask is due; None if there is none."""
        self._start_ns = 0
        crew.on_end = self._mailed

    @property
    def open(self) -> int:
        """Questions without their end, acknowledged or not."""
        return len(self._open) + self._unsent

    @property
    def unacknowledged(self) -> int:
        """Asks that the hub has not acknowledged."""
        return self._unsent

    def run(self, due: Iterator[int], start_ns: int) -> None:
        """Ask at ``start_ns`` + each of ``due`` nanoseconds."""
        self._due, self._start_ns = due, start_ns
        self._draw()
        self._turn()

    def _draw(self) -> None:
        """When the next ask is due."""
        after_ns = next(self._due, None)
        self._next_ns = None if after_ns is None else self._start_ns + after_ns

    def stop(self) -> None:
        """Ask nothing more."""
        self._next_ns = None
        self.finished = True

    # --- asking -------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Ask what is due, and come back for the next."""
        if self.finished:
            return
        now_ns = monotonic_ns()
        for _ in range(BATCH_MAX):
            if self._next_ns is None or self._next_ns > now_ns:
                break
            self._crew.lateness.add((now_ns - self._next_ns) / MS)
            self._ask_all(self._next_ns)
            self._draw()
        if self._next_ns is None:
            self.finished = True
            return
        self._crew.loop.call_later(max(0.0, (self._next_ns - monotonic_ns()) / NS), self._turn)

    def _ask_all(self, due_ns: int) -> None:
        dice = self._crew.dice
        asker = dice.pick(self.askers)
        for peer in self._shape.peers(asker, dice):
            self.due += 1
            self._begin(Ask(self._callers[asker], self._names[peer], due_ns))

    def _begin(self, ask: Ask) -> None:
        crew = self._crew
        self._unsent += 1
        text = TEXT.format(number=self.due)
        text += "x" * (crew.profile.payload_bytes - len(text))
        key = f"{crew.run}-{ask.caller.name}-{self.due}"
        frame = ask.caller.ask(
            ask.peer, msgspec.json.encode(text[: crew.profile.payload_bytes]), key, self._wait_seconds
        )
        crew.counts["ask"] += 1
        self._send(ask, frame)

    def _send(self, ask: Ask, frame: bytes) -> None:
        self._crew.pool.submit(frame, lambda status, body: self._said(ask, frame, status, body))

    def _said(self, ask: Ask, frame: bytes, status: int, body: bytes) -> None:
        """The reply to ``ask`` or ``question``."""
        message = MESSAGE.decode(body) if body else Message()
        if message.result is None:
            self._failed(ask, f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}")
            return
        content = message.result.structured_content
        if message.result.is_error:
            if content.error.code.startswith(PASSING_CODES):
                self._crew.counts["refused"] += 1
                self._crew.loop.call_later(PAUSE_SECONDS, self._send, ask, frame)
            else:
                self._failed(ask, f"ask refused: {content.error.code} {content.error.message}")
            return
        if not ask.question_id:
            self._acknowledge(ask, content.question_id)
        if content.status != "open":
            self._end(content.question_id, content.status, bytes(content.content), "call")
        elif self._wait_seconds and content.question_id in self._open:
            self._crew.counts["look"] += 1
            self._send(ask, ask.caller.look(content.question_id, self._wait_seconds))

    def _acknowledge(self, ask: Ask, question_id: str) -> None:
        ask.question_id = question_id
        self._unsent -= 1
        self.acknowledged += 1
        self._crew.journals.asked(ask.caller.name, question_id, ask.peer, ask.due_ns)
        if question_id in self._early:
            self._early.discard(question_id)
        else:
            self._open[question_id] = ask

    def _failed(self, ask: Ask, what: str) -> None:
        """It will have no end: a fault of the run, and what was acknowledged counts as lost."""
        self._crew.fault(what)
        if ask.question_id:
            self._open.pop(ask.question_id, None)
        else:
            self._unsent -= 1

    # --- ends ---------------------------------------------------------------------------------------

    def _mailed(self, question_id: str, status: str, content: bytes, channel: str) -> None:
        if question_id not in self._open:
            self._early.add(question_id)
        self._end(question_id, status, content, channel)

    def _end(self, question_id: str, status: str, content: bytes, channel: str) -> None:
        ask = self._open.pop(question_id, None)
        name = ask.caller.name if ask is not None else "?"
        self._crew.journals.ended(name, question_id, status, content, channel)
        self.answered += status == "answered"
