"""The model of one agent, the same on both lanes: it asks at a steady rate and answers what it gets.

Not a client library (crossfade.client is) and not the official client (fleet/official.py).

Rules
-----
1. Open loop: questions are due at random instants that do not depend on how fast the hub is, and are
   timed from the instant they were due.
2. The agent does not choose its lane. An adaptive agent runs the call that the ``lane`` in its last
   result names; an unchanged one goes on with ``wait_for_messages`` whatever happens; a textual one does
   the same and declares no elicitation.
3. What it journals it knows for certain (fleet/journal.py). Every processing of a question gives a
   different answer, so that a question processed twice cannot hide.
"""

import asyncio
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from crossfade.fleet.dice import Dice
from crossfade.fleet.journal import Journal, MonotonicClock
from crossfade.fleet.wire import Elicited, Given, Line, Outcome

ANSWER_SCHEMA: Final = {
    "type": "object",
    "properties": {"ok": {"type": "boolean", "title": "Agreed"}, "note": {"type": "string", "title": "Note"}},
    "required": ["ok", "note"],
}
DEADLINE_SECONDS: Final = 900
PENDING_ASKS_MAX: Final = 64
"""Questions of one agent waiting for a connection; what is due beyond that is not asked, and counted."""
PAUSE_SECONDS: Final = 0.05
"""After a refused carrier call, so that a refusing hub is not hammered."""

PASSING_CODES: Final = ("limit.", "unavailable", "hub.")
"""Refusals that go away by themselves."""


class Habit(StrEnum):
    """How an agent waits for what is addressed to it."""

    ADAPTIVE = "adaptive"
    UNCHANGED = "unchanged"
    TEXTUAL = "textual"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is like."""

    name: str
    cluster: str
    habit: Habit
    peers: tuple[str, ...]
    """Whom it asks; one is drawn each time, so a name may stand here twice."""
    asks_per_second: float
    """0: it only answers."""
    asks_max: int = 1_000_000_000
    """Questions after which it asks no more."""
    think_seconds: float = 0.0
    wait_seconds: int = 25
    topics: tuple[str, ...] = ("Ship build {n}?",)
    run: str = "run"
    """Part of every idempotency key; a second run on the same hub needs another."""

    @property
    def capable(self) -> bool:
        """Declare form elicitation when connecting."""
        return self.habit is not Habit.TEXTUAL


class Lines(NamedTuple):
    """An agent's two ways to the hub; they may be the same line if it takes calls side by side."""

    carrier: Line
    """Holds the waiting call."""
    commands: Line
    """Asks and answers."""


class Question(msgspec.Struct, frozen=True):
    """What an agent reads of a question."""

    question_id: str
    status: str
    content: msgspec.Raw = msgspec.Raw(b"null")


class Item(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    """What an agent reads of an item in its mailbox."""

    sequence: int
    kind: str = "message"
    sender: str = ""
    timestamp: str = ""
    question: Question | None = None


class Taken(msgspec.Struct, frozen=True):
    """What became of a question that was answered natively inside the call."""

    question_id: str
    status: str
    note: str = ""
    """Why the answer was not taken."""


class Batch(msgspec.Struct, frozen=True):
    """What an agent reads of the result of a waiting call."""

    messages: tuple[Item, ...] = ()
    elicited: tuple[Taken, ...] = ()
    cursor: int = 0
    lane: str = ""


class Pending(msgspec.Struct, frozen=True):
    """A question of mine that has no end yet."""

    peer: str
    message: str
    since_ns: int
    """When I wanted to ask it."""


class _Failure(msgspec.Struct, frozen=True):
    code: str = "unknown"


class _Failed(msgspec.Struct, frozen=True):
    error: _Failure = _Failure()


class AgentError(Exception):
    """The hub refused something that a well-behaved agent does."""


OnEnd = Callable[[str, Pending, Item], None]
"""Told of every end: the asker, what was asked, and what brought the end."""


class Agent:
    """One simulated agent: a line that waits, a line for asking and answering, and a journal."""

    def __init__(self, plan: Plan, lines: Lines, journal: Journal, clock: MonotonicClock, seed: int) -> None:
        self.plan = plan
        self.journal = journal
        self.lane = "polling"
        self.asking = True
        self.all_asked = asyncio.Event()
        """Set when ``asks_max`` questions are acknowledged."""
        self.shed = 0
        """Questions due but not asked because too many were waiting."""
        self.asked = 0
        """My questions that the hub acknowledged."""
        self.open: dict[str, Pending] = {}
        """My questions whose end I do not know yet."""
        self.on_end: OnEnd | None = None
        self._clock = clock
        self._dice = Dice(seed)
        self._lines = lines
        self._cursor = 0
        self._number = 0
        self._notes = 0
        self._given: dict[str, str] = {}
        """Native answers on their way: question → content."""
        self._answering: set[str] = set()
        self._early: set[str] = set()
        """My questions whose end came before the hub's reply to my ask, and ends shown again."""
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Something of mine is not finished: an ask or an answer under way, or a question without its end."""
        return bool(self._tasks or self.open or self._given)

    @property
    def reconnects(self) -> int:
        """Connections made again after one was lost."""
        return sum(max(0, line.connections - 1) for line in {self._lines.carrier, self._lines.commands})

    async def run(self) -> None:
        """Ask and answer until cancelled. Raises AgentError or CallError when the hub misbehaves."""
        try:
            async with self._group as group:
                group.create_task(self._carry())
                group.create_task(self._ask_steadily())
        finally:
            self._lines.carrier.close()
            self._lines.commands.close()

    # --- receiving ----------------------------------------------------------------------------------

    async def _carry(self) -> None:
        """Hold a waiting call open, for ever."""
        while True:
            tool, arguments = self._waiting_call()
            outcome = await self._lines.carrier.call(tool, arguments, self._elicited if self.plan.capable else None)
            if outcome.failed:
                self._complain(tool, outcome)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            batch = msgspec.json.decode(outcome.content, type=Batch)
            self.lane = batch.lane or self.lane
            self._settle(batch)
            for item in batch.messages:
                self._take(item, tool)
            self._cursor = max(self._cursor, batch.cursor, *(item.sequence for item in batch.messages), 0)

    def _waiting_call(self) -> tuple[str, dict[str, object]]:
        if self.plan.habit is Habit.ADAPTIVE and self.lane == "elicitation":
            return "attend", {"wait_seconds": self.plan.wait_seconds, "after": self._cursor}
        arguments = {
            "agent_id": self.plan.name,
            "timeout_seconds": self.plan.wait_seconds,
            "since_sequence": self._cursor,
        }
        return "wait_for_messages", arguments

    async def _elicited(self, question: Elicited) -> Given:
        """Answer a native elicitation."""
        self.journal.received(question.question_id, "", "native", "elicitation")
        content = await self._decide(question.question_id)
        self._given[question.question_id] = canonical(content)
        return Given("accept", content)

    def _settle(self, batch: Batch) -> None:
        """The call ended well: journal what became of the native answers given in it."""
        for taken in batch.elicited:
            content = self._given.pop(taken.question_id, None)
            if content is not None:
                stands = taken.status == "answered" and not taken.note
                self.journal.answered(taken.question_id, "accepted" if stands else taken.status, content)
        for question_id, content in self._given.items():
            self.journal.answered(question_id, "sent", content)
        self._given.clear()

    def _take(self, item: Item, tool: str) -> None:
        question = item.question
        if question is None:
            return
        channel = "attend" if tool == "attend" else "poll"
        if item.kind == "answer":
            self._ended(item, question, channel)
        elif item.kind == "question" and question.question_id not in self._answering:
            self.journal.received(question.question_id, item.sender, channel, self.lane)
            self._spawn(self._answer(question.question_id))

    def _ended(self, item: Item, question: Question, channel: str) -> None:
        content = canonical(msgspec.json.decode(question.content))
        self.journal.ended(question.question_id, question.status, content, channel)
        pending = self.open.pop(question.question_id, None)
        if pending is None:
            self._early.add(question.question_id)
        elif self.on_end is not None:
            self.on_end(self.plan.name, pending, item)

    # --- answering ----------------------------------------------------------------------------------

    async def _answer(self, question_id: str) -> None:
        self._answering.add(question_id)
        content = await self._decide(question_id)
        arguments = {
            "question_id": question_id,
            "action": "accept",
            "content": content,
            "key": f"{self.plan.run}-{content['note']}",
        }
        outcome = await self._lines.commands.call("answer", arguments)
        while outcome.failed and _code(outcome).startswith(PASSING_CODES):
            await asyncio.sleep(PAUSE_SECONDS)
            outcome = await self._lines.commands.call("answer", arguments)
        status = _standing(outcome, question_id)
        self.journal.answered(question_id, status, canonical(content))
        self._answering.discard(question_id)

    async def _decide(self, question_id: str) -> dict[str, object]:
        self._notes += 1
        note = f"{self.plan.name} {self._notes}"
        await asyncio.sleep(self.plan.think_seconds)
        return {"ok": True, "note": f"{note} on {question_id}"}

    # --- asking -------------------------------------------------------------------------------------

    async def _ask_steadily(self) -> None:
        """Ask at random instants with the planned mean rate, however long the asks take."""
        if self.plan.asks_per_second <= 0:
            return
        mean = 1 / self.plan.asks_per_second
        due_ns = self._clock()
        while self._number < self.plan.asks_max:
            due_ns += int(self._dice.gap(mean) * 1e9)
            await asyncio.sleep(max(0.0, (due_ns - self._clock()) / 1e9))
            if not self.asking:
                continue
            if len(self._tasks) >= PENDING_ASKS_MAX:
                self.shed += 1
                continue
            self._number += 1
            self._spawn(self._ask(due_ns, self._number))

    async def _ask(self, due_ns: int, number: int) -> None:
        message = self._dice.pick(self.plan.topics).format(n=number)
        pending = Pending(self._dice.pick(self.plan.peers), message, due_ns)
        arguments = {
            "to": pending.peer,
            "message": message,
            "schema": ANSWER_SCHEMA,
            "deadline_seconds": DEADLINE_SECONDS,
            "wait_seconds": 0,
            "key": f"{self.plan.run}-{self.plan.name}-ask-{number}",
        }
        outcome = await self._lines.commands.call("ask", arguments)
        while outcome.failed:
            self._complain("ask", outcome)
            await asyncio.sleep(PAUSE_SECONDS)
            outcome = await self._lines.commands.call("ask", arguments)
        question = msgspec.json.decode(outcome.content, type=Question)
        self.journal.asked(question.question_id, pending.peer, due_ns)
        self.asked += 1
        if self.asked == self.plan.asks_max:
            self.all_asked.set()
        if question.question_id in self._early:
            self._early.discard(question.question_id)
        else:
            self.open[question.question_id] = pending

    # --- inside -------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _complain(self, tool: str, outcome: Outcome) -> None:
        """A refusal that says to come back is waited out; any other is a fault worth stopping for."""
        code = _code(outcome)
        if not code.startswith(PASSING_CODES):
            raise AgentError(f"{self.plan.name}: {tool} was refused: {code} {outcome.text}")


def _standing(outcome: Outcome, question_id: str) -> str:
    """What the hub said to an answer: ``accepted`` only if this question now has it."""
    if outcome.failed:
        return _code(outcome)
    question = msgspec.json.decode(outcome.content, type=Question)
    return "accepted" if (question.question_id, question.status) == (question_id, "answered") else question.status


def _code(outcome: Outcome) -> str:
    return msgspec.json.decode(outcome.content, type=_Failed).error.code


def canonical(content: object) -> str:
    """JSON with sorted keys; empty for null."""
    return "" if content is None else msgspec.json.encode(content, order="sorted").decode()
