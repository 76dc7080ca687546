"""Any sequence of calls on a hub keeps its promises: played against a model that is a page long.

The model knows nothing of lanes, views or logs: only who asked whom, what ended how, what was handed out and
what was acknowledged. More examples: CROSSFADE_TEST_EXAMPLES=2000. A failure prints the calls that led to it.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule

from crossfade.core.decider import Refusal
from crossfade.core.values import SPACE, Caller, Channel
from crossfade.engine.limits import Limits
from crossfade.engine.requests import AnswerRequest, AskRequest, Batch, NativeReply, ReceiveRequest, SendRequest
from tests.kit.hub import ROOT, SHIP, YES_NO, World, ok
from tests.kit.views import snapshot

EXAMPLES = int(os.environ.get("CROSSFADE_TEST_EXAMPLES", "120"))
STEPS = int(os.environ.get("CROSSFADE_TEST_STEPS", "40"))
LIMITS = Limits(ended_questions_kept=3, native_patience_seconds=60, lease_seconds=90, commands_per_second_max=1e9)
AGENTS = ("ana", "bo", "cy")
NATIVE = ("bo", "cy")
ENDS = {"question.answered/1", "question.declined/1", "question.withdrawn/1", "question.expired/1"}
T = TypeVar("T")


class Asked:
    """What the model knows of a question."""

    def __init__(self, asker: str, addressee: str, deadline: int) -> None:
        self.asker, self.addressee, self.deadline = asker, addressee, deadline
        self.end = ""


class Model:
    """What must be true, whatever the hub does inside."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}
        self.sent: dict[tuple[str, str], list[str]] = defaultdict(list)
        """(sender, recipient) → ids of messages, in order."""
        self.acknowledged: dict[str, int] = defaultdict(int)
        self.places: dict[str, dict[int, str]] = defaultdict(dict)
        """Recipient → sequence → id of what was handed out under it."""
        self.passed: dict[str, set[str]] = defaultdict(set)
        """Recipient → ids of what it has acknowledged."""
        self.collected: set[str] = set()

    def open(self, addressee: str) -> set[str]:
        return {one for one, asked in self.asked.items() if asked.addressee == addressee and not asked.end}

    def ends(self, question_id: str, how: str, now: int) -> str | None:
        """End it if it can be; what it becomes, or None if it has its end."""
        asked = self.asked[question_id]
        if not asked.end and now >= asked.deadline:
            asked.end = "expired"
        if asked.end:
            return None
        asked.end = how
        return how

    def elapse(self, now: int) -> None:
        for asked in self.asked.values():
            if not asked.end and now >= asked.deadline:
                asked.end = "expired"

    def handed(self, name: str, batch: Batch) -> None:
        """Check and note a batch: in order, each place one thing, nothing old, ended or foreign."""
        sequences = [item.sequence for item in batch.items]
        assert sequences == sorted(set(sequences))
        assert all(sequence > self.acknowledged[name] for sequence in sequences)
        for item in batch.items:
            assert self.places[name].setdefault(item.sequence, item.id) == item.id
            if item.kind == "message":
                assert item.id in self.sent[item.sender, name]
            else:
                asked = self.asked[item.id]
                assert (asked.addressee if item.kind == "question" else asked.asker) == name
                assert (asked.end == "") == (item.kind == "question")
            mark = f"{item.kind} {item.id}"
            assert mark not in self.passed[name], f"{mark} came again after it was acknowledged"
        for question in batch.questions:
            assert question.question_id in self.open(name)

    def acknowledge(self, name: str, batch: Batch, through: int) -> None:
        self.acknowledged[name] = max(self.acknowledged[name], through)
        self.passed[name] |= {f"{item.kind} {item.id}" for item in batch.items if item.sequence <= through}


class HubMachine(RuleBasedStateMachine):
    """Calls on a hub, each compared with the model."""

    questions = Bundle("questions")
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.seed = 1
        self.world = self.do(self._begin())
        self.last: dict[str, Batch] = {}
        self.taken: dict[str, set[str]] = defaultdict(set)

    async def _begin(self) -> World:
        world = World(limits=LIMITS)
        await world.hub.start()
        for name in AGENTS:
            await world.join(name, native=name in NATIVE, label=f"team-{name}")
        return world

    def do(self, work: Awaitable[T]) -> T:
        """Run it, and let what follows from it settle."""

        async def settled() -> T:
            outcome = await work
            await self.world.clock.advance(0) if hasattr(self, "world") else None
            return outcome

        return self.loop.run_until_complete(settled())

    def call(self, function: Callable[..., object], *arguments: object, **more: object) -> None:
        """A call that does not wait, made where the hub lives."""

        async def called() -> None:
            function(*arguments, **more)

        self.do(called())

    @property
    def now(self) -> int:
        return self.world.clock.now()

    def caller(self, name: str) -> Caller:
        return self.world.callers[name]

    # --- asking -----------------------------------------------------------------------------------------

    def _ask(self, asker: str, to: str, seconds: float, reply_to: str | None) -> Any:
        request = AskRequest(to=to, message="Ship?", schema=YES_NO, deadline_seconds=seconds, reply_to=reply_to)
        outcome = self.do(self.world.hub.ask(self.caller(asker), request))
        if isinstance(outcome, Refusal):
            expected = {"question.to_self"} if asker == to else {"reply.unknown", "limit.hops"} if reply_to else set()
            assert outcome.code in expected
            return multiple()
        assert asker != to
        assert outcome.status == "open"
        self.model.asked[outcome.question_id] = Asked(asker, to, self.now + int(seconds * 1e9))
        return outcome.question_id

    @rule(
        target=questions,
        asker=st.sampled_from(AGENTS),
        to=st.sampled_from(AGENTS),
        seconds=st.sampled_from((5, 80, 900)),
    )
    def ask(self, asker: str, to: str, seconds: float) -> Any:
        return self._ask(asker, to, seconds, None)

    @rule(target=questions, parent=questions, asker=st.sampled_from(AGENTS), to=st.sampled_from(AGENTS))
    def ask_in_reply(self, parent: str, asker: str, to: str) -> Any:
        return self._ask(asker, to, 300, parent)

    @rule(question=questions, by=st.sampled_from(AGENTS))
    def withdraw(self, question: str, by: str) -> None:
        outcome = self.do(self.world.hub.withdraw(self.caller(by), question))
        self._compare(question, outcome, "withdrawn", allowed=by == self.model.asked[question].asker)

    # --- ending -----------------------------------------------------------------------------------------

    def _compare(self, question: str, outcome: Any, how: str, *, allowed: bool) -> None:
        self.model.elapse(self.now)
        if not allowed:
            assert isinstance(outcome, Refusal)
            return
        if self.model.ends(question, how, self.now) is None:
            assert isinstance(outcome, Refusal)
            assert outcome.code == "question.closed"
        else:
            assert ok(outcome).status == how

    @rule(question=questions, by=st.sampled_from(AGENTS), action=st.sampled_from(("accept", "decline")))
    def answer(self, question: str, by: str, action: str) -> None:
        request = AnswerRequest(question_id=question, action=action, content=SHIP)  # type: ignore[arg-type]
        outcome = self.do(self.world.hub.answer(self.caller(by), request))
        how = "answered" if action == "accept" else "declined"
        self._compare(question, outcome, how, allowed=by == self.model.asked[question].addressee)

    @rule(question=questions)
    def answer_twice_at_once(self, question: str) -> None:
        addressee = self.caller(self.model.asked[question].addressee)

        async def both() -> list[Any]:
            return await asyncio.gather(*(self.world.answer(addressee, question) for _ in range(2)))

        for outcome in self.do(both()):
            self._compare(question, outcome, "answered", allowed=True)

    @rule(question=questions)
    def answer_in_words(self, question: str) -> None:
        addressee = self.caller(self.model.asked[question].addressee)
        outcome = self.do(self.world.hub.send(addressee, SendRequest(to=(), body="hold", reply_to=question)))
        self.model.elapse(self.now)
        assert isinstance(outcome, Refusal) == (self.model.ends(question, "answered", self.now) is None)

    # --- the native carrier -------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NATIVE))
    def attend(self, name: str) -> None:
        self.call(self.world.hub.touch, self.caller(name), native=True)
        batch = self._receive(name, None, native=True, channel=Channel.NATIVE)
        self.taken[name] |= {question.question_id for question in batch.questions}

    @precondition(lambda self: any(self.taken.values()))
    @rule(data=st.data(), action=st.sampled_from(("accept", "decline", "cancel", "nonsense")))
    def native_reply(self, data: st.DataObject, action: str) -> None:
        name, question = data.draw(st.sampled_from(sorted((n, q) for n in self.taken for q in self.taken[n])))
        self.taken[name].discard(question)
        content = msgspec.Raw(b'{"verdict":"maybe"}') if action == "nonsense" else SHIP if action == "accept" else None
        reply = NativeReply(question_id=question, action="accept" if action == "nonsense" else action, content=content)  # type: ignore[arg-type]
        outcome = self.do(self.world.hub.native_reply(self.caller(name), reply))
        if action in {"accept", "decline"}:
            self._compare(question, outcome, "answered" if action == "accept" else "declined", allowed=True)
            return
        self.model.elapse(self.now)
        assert isinstance(outcome, Refusal) == bool(self.model.asked[question].end)

    @precondition(lambda self: any(self.taken.values()))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(name for name in self.taken if self.taken[name])))
        self.call(self.world.hub.release, self.caller(name), sorted(self.taken[name]))
        self.taken[name].clear()
        self.last.pop(name, None)

    # --- messages and polls -------------------------------------------------------------------------------

    @rule(target=messages, sender=st.sampled_from(AGENTS), to=st.sets(st.sampled_from(AGENTS), min_size=1))
    def send(self, sender: str, to: set[str]) -> str:
        sent = ok(self.do(self.world.hub.send(self.caller(sender), SendRequest(to=tuple(sorted(to)), body="hi"))))
        for name in to:
            self.model.sent[sender, name].append(sent.message_id)
        return sent.message_id

    def _receive(self, name: str, after: int | None, **more: Any) -> Batch:
        """Receive; calling without a cursor acknowledges what the last such call brought."""
        request = ReceiveRequest(**{"channel": Channel.POLL, "wait_seconds": 0.0, "after": after, "limit": 3, **more})
        if after is None and name in self.last:
            self.model.acknowledge(name, self.last[name], self.last[name].cursor)
        batch = ok(self.do(self.world.hub.receive(self.caller(name), request)))
        self.last.pop(name, None)
        self.model.elapse(self.now)
        self.model.handed(name, batch)
        if after is None and batch.items:
            self.last[name] = batch
        return batch

    @rule(
        name=st.sampled_from(AGENTS), ways=st.lists(st.sampled_from(("none", "held", "next")), min_size=1, max_size=4)
    )
    def poll(self, name: str, ways: list[str]) -> None:
        """Without a cursor, with the one already confirmed, or with that of what has just come."""
        for way in ways:
            batch = self._receive(name, None if way == "none" else self.model.acknowledged[name])
            if way == "next" and batch.items:
                self.model.acknowledge(name, batch, batch.cursor)
                self._receive(name, batch.cursor)

    @rule(name=st.sampled_from(AGENTS))
    def poll_twice_at_once(self, name: str) -> None:
        request = ReceiveRequest(channel=Channel.POLL, wait_seconds=0, after=self.model.acknowledged[name])

        async def both() -> list[Any]:
            return await asyncio.gather(*(self.world.hub.receive(self.caller(name), request) for _ in range(2)))

        batches = self.do(both())
        self.last.pop(name, None)
        self.model.elapse(self.now)
        for batch in batches:
            self.model.handed(name, ok(batch))

    @rule(question=questions)
    def read(self, question: str) -> None:
        asked = self.model.asked[question]
        view = ok(self.do(self.world.hub.question(self.caller(asked.asker), question)))
        self.model.elapse(self.now)
        assert view.status == (asked.end or "open")
        if asked.end:
            self.model.collected.add(question)

    # --- what happens around it -----------------------------------------------------------------------------

    @rule(share=st.sampled_from((0.0, 0.3, 0.6, 1.0)))
    def set_share(self, share: float) -> None:
        if self.world.hub.rollout().name == "":
            ok(self.do(self.world.hub.rollout_start(ROOT, "test", salt="salt")))
        if self.world.hub.rollout().held:
            ok(self.do(self.world.hub.rollout_resume(ROOT, "go on")))
        self.do(self.world.hub.rollout_set(ROOT, share, "test"))

    @rule()
    def kill(self) -> None:
        self.do(self.world.hub.rollout_kill(ROOT, "drill"))
        assert self.world.hub.rollout().agents_on_elicitation == 0

    @rule(seconds=st.sampled_from((0.1, 6.0, 61.0, 100.0)))
    def advance(self, seconds: float) -> None:
        self.do(self.world.clock.advance(seconds))
        self.model.elapse(self.now)

    @rule(name=st.sampled_from(AGENTS), native=st.booleans())
    def heard_from(self, name: str, native: bool) -> None:
        self.call(self.world.hub.touch, self.caller(name), native=native and name in NATIVE)

    @rule()
    def restart(self) -> None:
        self.do(self.world.clock.advance(1.5))  # offers and cursors are recorded a little later than they are made
        self.model.elapse(self.now)
        old = self.world.hub._views
        before = snapshot(old, collected=self.model.collected)
        self.seed += 1
        self.world = self.do(self.world.restart(self.seed))
        after = snapshot(self.world.hub._views, collected=self.model.collected)
        assert after == snapshot(old, collected=self.model.collected)
        for part in ("measurements", "blocks"):  # the last block is recorded when the hub goes down
            before.pop(part, None)
            after.pop(part, None)
        assert after == before
        self.last.clear()
        for name in AGENTS:  # the news of an end may come again: no record says that it was read
            self.model.passed[name] -= {f"answer {question}" for question in self.model.collected}
        self.model.collected.clear()

    # --- what always holds ----------------------------------------------------------------------------------

    @invariant()
    def every_open_question_can_be_had_by_its_addressee(self) -> None:
        self.model.elapse(self.now)
        for name in AGENTS:
            expected = self.model.open(name)
            listed = self.do(self.world.hub.open_questions(self.caller(name), 100))
            assert {view.question_id for view in listed} == expected
            mailbox = self.world.hub._views.directory.member(name).mailbox
            text = [mail.entry.question_id for mail in mailbox.mail.values() if mail.kind == "question" and mail.entry]
            shelved = set(mailbox.native)
            assert not shelved & set(text)
            assert len(set(text)) == len(text)
            seen = {mark.partition(" ")[2] for mark in self.model.passed[name] if mark.startswith("question")}
            assert expected <= shelved | set(text) | seen

    @invariant()
    def every_message_waits_in_order_or_was_acknowledged(self) -> None:
        for (sender, name), sent in self.model.sent.items():
            mailbox = self.world.hub._views.directory.member(name).mailbox
            ids = [mail.record.stream.partition("/")[2] for mail in mailbox.mail.values() if mail.kind == "message"]
            waiting = [one for one in ids if one in set(sent)]
            assert waiting == sent[len(sent) - len(waiting) :]
            gone = sent[: len(sent) - len(waiting)]
            assert all(f"message {one}" in self.model.passed[name] for one in gone), (sender, name)

    @invariant()
    def every_question_has_the_one_end_that_the_model_knows(self) -> None:
        rows = self.do(self.world.log.read(SPACE, 0, 10_000))  # type: ignore[arg-type]
        ended = [row.stream.partition("/")[2] for row in rows if row.type in ENDS]
        assert len(set(ended)) == len(ended)
        assert set(ended) == {one for one, asked in self.model.asked.items() if asked.end}

    def teardown(self) -> None:
        try:
            self.restart()
            self.do(self.world.hub.stop())
        finally:
            self.loop.close()


HubMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestHub = HubMachine.TestCase
