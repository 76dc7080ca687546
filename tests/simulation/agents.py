"""Simulated clients: they ask, answer, send, wait on every channel, lose replies, try again, and note what they saw.

An agent keeps the promises that clients are asked to keep (the same key for the same command, a cursor that
only goes on) and otherwise behaves as badly as it may: it answers at the very deadline, twice, with nonsense,
or never; it hangs up; it reads what it has read before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from crossfade.core import histories
from crossfade.core.decider import Refusal
from crossfade.core.histories import OPEN, Piece
from crossfade.core.values import AgentName, Caller, Channel, Instant, Scope
from crossfade.engine.hub import Hub
from crossfade.engine.ports import LogError
from crossfade.engine.requests import (
    AnswerRequest,
    AskRequest,
    Batch,
    Item,
    NativeReply,
    QuestionView,
    ReceiveRequest,
    SendRequest,
    SentView,
)
from tests.simulation.world import LostError, World

SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"say":{"type":"string"}},"required":["say"]}')
NONSENSE = msgspec.Raw(b'{"say":7}')
FAULTS = (LostError, LogError)
NOTICED_SECONDS = 0.02
"""After so long the hub knows that a client has hung up."""
DEADLINES = (0.05, 0.8, 5.0, 5.0, 30.0, 90.0)


class Style(msgspec.Struct, frozen=True):
    """How an agent waits."""

    channels: tuple[str, ...]
    """Drawn from for each wait: poll, inbox, native, stream."""
    native: bool = False
    cursor: bool = True
    """It keeps its own cursor, and sends it."""


class Agent:
    """One client."""

    def __init__(self, world: World, name: str, peers: tuple[str, ...], style: Style) -> None:
        self.world = world
        self.name = name
        self.peers = peers
        self.style = style
        self.dice = world.dice
        self.caller = Caller(name=AgentName(name), scopes=frozenset({Scope.AGENT}), client="sim")
        self.cursor = 0
        self.number = 0
        self.mine: dict[str, QuestionView] = {}
        """Questions I asked, by id."""
        self.ended: set[str] = set()
        """Questions whose end I was shown, perhaps before the hub's reply to my ask."""
        self.read: set[str] = set()
        """Of those, the ones I have asked about: their end need not come as mail."""
        self.got: dict[str, QuestionView] = {}
        self.messages: list[str] = []
        self.withdrawn: set[str] = set()

    # --- writing down ---------------------------------------------------------------------------------

    def note(self, op: Callable[..., histories.Line], called_at: int, *, known: bool = True, **fields: Any) -> None:
        """Add an operation to the history."""
        returned_at = Instant(self.world.now_ns) if known else None
        line = len(self.world.history) + 1
        made = op(client=self.name, called_at=Instant(called_at), returned_at=returned_at, line=line, **fields)
        self.world.history.append(made)

    def shown(self, called_at: int, view: QuestionView) -> None:
        """I was shown this question."""
        self.note(histories.Read, called_at, question=view.question_id, value=value_of(view))
        if view.status != "open":
            self.ended.add(view.question_id)

    # --- calling --------------------------------------------------------------------------------------

    async def surely(self, work: Callable[[Hub], Awaitable[Any]], *, at_once: bool = False) -> Any:
        """Call until there is a reply; None if it gives up, which it does only before all is healed."""
        lost = False
        while True:
            try:
                result = await self.world.call(work, at_once=at_once)
            except FAULTS:
                lost, at_once = True, False
                if not self.world.healed and self.dice.random() < 0.1:
                    return None
                await self.world.loop.nap(self.dice.random() * 0.8)
            else:
                if lost and not isinstance(result, Refusal):
                    self.world.reached("a command went through when it was tried again")
                return result

    # --- asking ---------------------------------------------------------------------------------------

    async def act(self, actions: int) -> None:
        """Do this many things, one after another."""
        for _ in range(actions):
            await self.world.loop.nap(self.dice.random() * 1.5)
            await self.dice.choices(
                (self.ask, self.send, self.look, self.withdraw, self.resend), weights=(8, 4, 3, 1, 1)
            )[0]()

    async def ask(self) -> None:
        """Ask somebody, sometimes in reply to something."""
        self.number += 1
        reply_to = (
            self.dice.choice((*self.got, *self.mine)) if (self.got or self.mine) and self.dice.random() < 0.2 else None
        )
        request = AskRequest(
            to=self.dice.choice(self.peers),
            message=f"{self.name} {self.number}",
            schema=SCHEMA,
            deadline_seconds=self.dice.choice(DEADLINES),
            key=f"ask {self.number}",
            reply_to=reply_to,
        )
        called_at = self.world.now_ns
        view = await self.surely(lambda hub: hub.ask(self.caller, request))
        if isinstance(view, QuestionView):
            self.mine[view.question_id] = view
            self.note(histories.Ask, called_at, to=request.to, question=view.question_id)
            self.shown(called_at, view)
        else:  # it may be there all the same: an earlier try got no reply
            self.note(histories.Ask, called_at, known=False, to=request.to)

    async def send(self) -> None:
        """Send a message to one or two."""
        self.number += 1
        to = tuple(sorted(set(self.dice.choices(self.peers, k=2))))
        await self._send(SendRequest(to=to, body=f"{self.name} {self.number}", key=f"send {self.number}"))

    async def _send(self, request: SendRequest) -> None:
        called_at = self.world.now_ns
        sent = await self.surely(lambda hub: hub.send(self.caller, request))
        if isinstance(sent, SentView):
            if sent.message_id in self.messages:
                return
            self.messages.append(sent.message_id)
            self.last_sent = request
            self.note(histories.Send, called_at, to=request.to, message=sent.message_id)
        else:
            self.note(histories.Send, called_at, known=False, to=request.to)

    last_sent: SendRequest | None = None

    async def resend(self) -> None:
        """The same request again, as a network that duplicates would."""
        if self.last_sent is None:
            return
        request = self.last_sent
        sent = await self.surely(lambda hub: hub.send(self.caller, request))
        assert not isinstance(sent, SentView) or sent.message_id in self.messages, "I8: the same key sent twice"

    async def look(self) -> None:
        """Read one of mine, or wait for its end."""
        unended = [one for one in self.mine if one not in self.ended]
        if unended:
            await self.look_at(self.dice.choice(unended), self.dice.choice((0.0, 0.5, 10.0)))

    async def look_at(self, question_id: str, wait_seconds: float) -> None:
        """Read it."""
        self.read.add(question_id)
        called_at = self.world.now_ns
        try:
            view = await self.world.call(lambda hub: hub.question(self.caller, question_id, wait_seconds))
        except FAULTS:
            return
        assert isinstance(view, QuestionView), f"I1: {question_id} was acknowledged and is {view}"
        self.shown(called_at, view)

    async def withdraw(self) -> None:
        """Take one of mine back."""
        unended = [one for one in self.mine if one not in self.ended | self.withdrawn]
        if unended:
            question_id = self.dice.choice(unended)
            self.withdrawn.add(question_id)
            key = f"withdraw {question_id}"
            await self._end(question_id, "withdrawn", lambda hub: hub.withdraw(self.caller, question_id, key=key))

    # --- ending ---------------------------------------------------------------------------------------

    async def _end(
        self, question_id: str, value: str, work: Callable[[Hub], Awaitable[Any]], *, at_once: bool = False
    ) -> None:
        """End a question by a call that has a key, and write down what came of it."""
        called_at = self.world.now_ns
        result = await self.surely(work, at_once=at_once)
        self._ended(question_id, value, called_at, result)

    def _ended(self, question_id: str, value: str, called_at: int, result: Any) -> None:
        if isinstance(result, QuestionView):
            if result.status == "open":
                return  # the hub took it for no end
            assert value_of(result) == value, f"I8: {value} was accepted as {value_of(result)}"
            assert question_id in self.world.watch.ends, f"I1: {question_id} is ended and the log does not know"
            self.note(histories.End, called_at, question=question_id, value=value)
        elif isinstance(result, Refusal):
            if result.code == "question.closed":
                self.note(histories.End, called_at, question=question_id, value=value, accepted=False)
                self._beaten(question_id, value, called_at)
            else:
                assert result.code.startswith("limit."), f"{question_id}: {result}"
        else:
            self.note(histories.End, called_at, known=False, question=question_id, value=value)

    def _beaten(self, question_id: str, value: str, called_at: int) -> None:
        status = self.world.lives[-1].hub._views.questions.get(question_id)
        if status is not None and status.state.status == "expired" and status.ended_at is not None:
            self.world.reached("an answer came at the instant of the expiry")
        elif value.startswith("answered"):
            self.world.reached("a second answer was refused")

    async def reply(self, view: QuestionView) -> None:
        """Answer a question that came as text, in one of many ways, or not at all."""
        way = self.dice.choice(
            ("answer", "answer", "answer", "deadline", "twice", "words", "decline", "never", "nonsense")
        )
        if way == "never" and not self.world.healed:
            return
        if way == "deadline":
            await self._until_deadline(view)
        else:
            await self.world.loop.nap(self.dice.choice((0.0, 0.01, 1.0, 4.0)))
        if way == "twice":
            await asyncio.gather(self._answer(view), self._answer(view))
        elif way == "words":
            await self._in_words(view)
        elif way == "decline":
            self.number += 1
            request = AnswerRequest(question_id=view.question_id, action="decline", key=f"no {self.number}")
            await self._end(view.question_id, "declined", lambda hub: hub.answer(self.caller, request))
        elif way == "nonsense":
            request = AnswerRequest(question_id=view.question_id, content=NONSENSE)
            result = await self.surely(lambda hub: hub.answer(self.caller, request))
            assert result is None or isinstance(result, Refusal), "I7: nonsense was accepted"
            await self._answer(view)
        else:
            await self._answer(view, at_once=way == "deadline")

    async def _until_deadline(self, view: QuestionView) -> None:
        """Wait for the very instant, or a nanosecond before, as the hub's clock has it."""
        entry = self.world.watch.asked[view.question_id]
        left = entry.deadline - self.dice.choice((0, 1, 1_000)) - self.world.clock.now()
        if left > 0:
            future = self.world.loop.create_future()
            self.world.loop.at_ns(self.world.now_ns + left, future.set_result, None)
            await future

    async def _answer(self, view: QuestionView, *, at_once: bool = False) -> None:
        content = self._content()
        request = AnswerRequest(question_id=view.question_id, content=content, key=f"answer {bytes(content)!r}")
        value = f"answered {bytes(content).decode()}"
        await self._end(view.question_id, value, lambda hub: hub.answer(self.caller, request), at_once=at_once)

    async def _in_words(self, view: QuestionView) -> None:
        self.number += 1
        words = f"{self.name}-{self.number}"
        request = SendRequest(to=(), body=words, reply_to=view.question_id, key=f"words {words}")
        value = f'answered {{"say":"{words}"}}'
        called_at = self.world.now_ns
        result = await self.surely(lambda hub: hub.send(self.caller, request))
        if isinstance(result, SentView):
            assert question_of(result) == view.question_id, "a reply to a question became a message"
            self.note(histories.End, called_at, question=view.question_id, value=value)
        else:
            self._ended(view.question_id, value, called_at, result)

    def _content(self) -> msgspec.Raw:
        self.number += 1
        return msgspec.Raw(f'{{"say":"{self.name}-{self.number}"}}'.encode())

    # --- dialogs --------------------------------------------------------------------------------------

    async def dialog(self, view: QuestionView) -> None:
        """Answer an elicitation: accept, decline, cancel, send nonsense, or close the lid."""
        way = self.dice.choice(("accept", "accept", "accept", "decline", "cancel", "nonsense", "silent"))
        await self.world.loop.nap(self.dice.choice((0.0, 0.02, 2.0)))
        if way == "silent":
            self.world.reached("a dialog was never answered")
        elif way == "accept":
            content = self._content()
            reply = NativeReply(question_id=view.question_id, action="accept", content=content)
            value = f"answered {bytes(content).decode()}"
            await self._end(view.question_id, value, lambda hub: hub.native_reply(self.caller, reply))
        elif way == "decline":
            await self._once(view, NativeReply(question_id=view.question_id, action="decline"))
        else:
            given = NONSENSE if way == "nonsense" else None
            action = "accept" if way == "nonsense" else "cancel"
            nothing = NativeReply(question_id=view.question_id, action=action, content=given)  # type: ignore[arg-type]
            result = await self.surely(lambda hub: hub.native_reply(self.caller, nothing))
            # Tried again after a lost reply, it may find a question that has expired by itself meanwhile.
            taken = isinstance(result, QuestionView) and result.status not in ("open", "expired")
            assert not taken, f"I7: {way} was taken for an end"

    async def _once(self, view: QuestionView, reply: NativeReply) -> None:
        """A decline has no key, so each try is an operation of its own."""
        while True:
            called_at = self.world.now_ns
            try:
                result = await self.world.call(lambda hub: hub.native_reply(self.caller, reply))
            except FAULTS:
                self.note(histories.End, called_at, known=False, question=view.question_id, value="declined")
                await self.world.loop.nap(self.dice.random())
            else:
                self._ended(view.question_id, "declined", called_at, result)
                return

    # --- receiving ------------------------------------------------------------------------------------

    def carriers(self) -> int:
        """How many waits it holds at once: whoever keeps no cursor may hold but one."""
        return self.dice.choice((1, 1, 2)) if self.style.cursor else 1

    async def carry(self) -> None:
        """Hold a wait open, for ever."""
        while True:
            channel = self.dice.choice(self.style.channels)
            try:
                if channel == "stream":
                    await self.stream()
                else:
                    await self.wait(Channel(channel))
            except FAULTS:
                # The next call of one without a cursor says that the last one arrived, so the hub has to know first.
                noticed_seconds = 0.0 if self.style.cursor else NOTICED_SECONDS
                await self.world.loop.nap(noticed_seconds + self.dice.random() * 0.7)

    async def wait(self, channel: Channel) -> None:
        """One wait, and what follows from it."""
        after = self._after()
        native = self.style.native and channel in (Channel.POLL, Channel.NATIVE)
        request = ReceiveRequest(
            channel=channel,
            wait_seconds=12.0 if self.world.healed else self.dice.choice((0.0, 1.0, 12.0)),
            after=after,
            limit=self.dice.choice((1, 2, 5)), native=native,
        )  # fmt: skip
        called_at = self.world.now_ns

        async def work(hub: Hub) -> Batch | Refusal:
            hub.touch(self.caller, native=native)
            return await hub.receive(self.caller, request)

        patience = request.wait_seconds + 3 if self.dice.random() < 0.9 else 0.3
        batch = await self.world.call(work, patience_seconds=patience, on_lost=self._unreached)
        assert isinstance(batch, Batch), f"{self.name}: {batch}"
        self._take(batch, called_at, after)
        if not batch.items and not batch.questions:
            await self.world.loop.nap(self.dice.random() * 0.2)

    def _after(self) -> int | None:
        if not self.style.cursor:
            return None
        if self.cursor and self.dice.random() < 0.05:
            self.world.reached("a client read what it had acknowledged")
            return int(self.dice.random() * self.cursor)
        return self.cursor

    def _unreached(self, hub: Hub, batch: Any) -> None:
        """The hub noticed that its reply went nowhere, as it does when the connection is gone."""
        if isinstance(batch, Batch) and (not self.style.cursor or self.dice.random() < 0.5):
            hub.release(self.caller, [view.question_id for view in batch.questions])

    def _take(self, batch: Batch, called_at: int, after: int | None) -> None:
        pieces = [Piece(id=item.id, sender=item.sender, kind=item.kind, sequence=item.sequence) for item in batch.items]
        pieces += [Piece(id=view.question_id, sender=view.asker, kind="question") for view in batch.questions]
        if pieces:
            self.note(histories.Receive, called_at, items=tuple(pieces), after=after or 0)
        for item in batch.items:
            self._item(item, called_at)
        for view in batch.questions:
            self.shown(called_at, view)
            self.got[view.question_id] = view
            self.world.spawn(self.dialog(view))
        self.cursor = max(self.cursor, batch.cursor) if self.style.cursor else 0

    def _item(self, item: Item, called_at: int) -> None:
        if item.question is not None:
            self.question(item.kind, item.question, called_at)

    def question(self, kind: str, view: QuestionView, called_at: int) -> None:
        """A question as text, or the news of an end."""
        self.shown(called_at, view)
        if kind == "question" and (view.question_id not in self.got or self.dice.random() < 0.2):
            self.got[view.question_id] = view
            self.world.spawn(self.reply(view))

    async def stream(self) -> None:
        """Hold the event stream for a while; what it brings is acknowledged later, or by the next wait."""
        if self.cursor:
            self.world.reached("a stream went on where it was")
        after = self._after() if self.cursor else None
        arrived: list[tuple[str, str, bytes]] = []
        called_at = self.world.now_ns
        slow_seconds = self.dice.choice((0.0, 0.0, 0.0, 0.2, 3.0))

        async def work(hub: Hub) -> None:
            hub.touch(self.caller, native=False)
            subscription = await hub.subscribe(self.caller, after)
            assert not isinstance(subscription, Refusal), f"{self.name}: {subscription}"
            try:
                while (item := await subscription.next()) is not None:
                    arrived.append((item.event, item.id, item.data))
                    if slow_seconds:
                        await self.world.loop.nap(slow_seconds)
            finally:
                if subscription.behind:
                    self.world.reached("a slow reader was cut while more was waiting")
                subscription.close()

        try:
            await self.world.call(work, patience_seconds=self.dice.choice((0.5, 6.0, 20.0)))
        finally:
            self._streamed(arrived, called_at, after)
        await asyncio.sleep(0)

    def _streamed(self, arrived: list[tuple[str, str, bytes]], called_at: int, after: int | None) -> None:
        """Take what came; a wire that breaks takes the last items with it."""
        kept = arrived[: len(arrived) - self.dice.choice((0, 0, 1))]
        pieces: list[Piece] = []
        for event, identifier, data in kept:
            if event in ("hello", "lane"):
                continue
            sequence = int(identifier.partition("-")[2])
            if event == "message":
                item = msgspec.json.decode(data, type=_Message)
                pieces.append(Piece(id=item.id, sender=item.sender, kind="message", sequence=sequence))
            else:
                view = msgspec.json.decode(data, type=QuestionView)
                kind, sender = ("question", view.asker) if event == "question" else ("answer", view.addressee)
                pieces.append(Piece(id=view.question_id, sender=sender, kind=kind, sequence=sequence))
                self.question(kind, view, called_at)
            self.cursor = max(self.cursor, sequence) if self.style.cursor else 0
        if pieces:
            self.note(histories.Receive, called_at, items=tuple(pieces), after=after or 0)


class _Message(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    id: str
    sender: str


def value_of(view: QuestionView) -> str:
    """The question's value as a register."""
    if view.status == "open":
        return OPEN
    return f"answered {bytes(view.content).decode()}" if view.status == "answered" else view.status


def question_of(sent: SentView) -> str:
    """The question that a sent body answered."""
    return sent.message_id
