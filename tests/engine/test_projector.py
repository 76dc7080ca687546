"""The views hold what the log says, whether it was lived through or read back."""

import msgspec
import pytest

from crossfade.core import questions
from crossfade.core.records import Recorded
from crossfade.core.values import SPACE, Caller, Channel, Instant, Sequence, StreamName
from crossfade.engine.limits import Limits
from crossfade.engine.mail import OFFER_SECONDS
from crossfade.engine.projector import Projector, Views
from crossfade.engine.requests import AnswerRequest, Batch, NativeReply, ReceiveRequest, SendRequest
from crossfade.engine.streams import Streams
from crossfade.logs.memory import MemoryLog
from tests.kit.hub import ROOT, SHIP, World, ok, run, started


async def attend(world: World, caller: Caller) -> Batch:
    world.hub.touch(caller, native=True)
    batch = ok(await world.hub.receive(caller, ReceiveRequest(channel=Channel.NATIVE, native=True, wait_seconds=0)))
    await world.clock.advance(0)
    return batch


async def fleet(world: World) -> tuple[Caller, Caller]:
    ana, bo = await world.join("ana"), await world.join("bo", native=True)
    await world.rollout(1.0)
    return ana, bo


def names(batch: Batch) -> list[str]:
    return [item.id for item in batch.items]


@run
async def test_a_question_that_waits_as_text_is_not_there_twice_after_a_kill() -> None:
    async with World() as world:
        ana, _ = await fleet(world)
        plain = await world.join("plain")
        asked = await world.ask(ana, "plain")
        assert asked.lane == "elicitation"
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        await world.clock.advance(0)
        assert names(await world.poll(plain, after=0)) == [asked.question_id]


@run
async def test_a_dialog_that_is_cancelled_after_a_kill_does_not_bring_the_text_again() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert (await attend(world, bo)).questions
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        await world.clock.advance(0)
        batch = await world.poll(bo, after=0)
        assert names(batch) == [asked.question_id]
        view = ok(await world.hub.native_reply(bo, NativeReply(question_id=asked.question_id, action="cancel")))
        assert view.dismissals == ("cancelled",)
        assert names(await world.poll(bo, after=batch.cursor)) == []


@run
async def test_a_dialog_that_was_cancelled_is_not_also_given_up_for_want_of_a_reply() -> None:
    async with World(limits=Limits(native_patience_seconds=60)) as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert (await attend(world, bo)).questions
        ok(await world.hub.native_reply(bo, NativeReply(question_id=asked.question_id, action="cancel")))
        batch = await world.poll(bo, after=0)
        assert names(batch) == [asked.question_id]
        await world.clock.advance(100)
        assert names(await world.poll(bo, after=batch.cursor)) == []
        assert ok(await world.hub.question(ana, asked.question_id)).dismissals == ("cancelled",)


@run
async def test_two_polls_at_once_of_a_client_that_lost_elicitation_bring_the_text_once() -> None:
    async with World(limits=Limits(lease_seconds=90)) as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo", deadline_seconds=1_000)
        await world.clock.advance(91)
        request = ReceiveRequest(channel=Channel.POLL, wait_seconds=0, after=0)
        for _ in range(3):
            ok(await world.hub.receive(bo, request))
        await world.clock.advance(0)
        assert names(await world.poll(bo, after=0)) == [asked.question_id]


@run
async def test_a_reader_that_lost_its_cursor_finds_a_question_where_it_became_text_and_only_there() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo", deadline_seconds=1_000)
        sent = ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi")))
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        await world.clock.advance(0)
        batch = await world.poll(bo, after=0)
        assert names(batch) == [sent.message_id, asked.question_id]
        await world.poll(bo, after=batch.cursor)
        assert names(await world.poll(bo, after=0)) == [sent.message_id, asked.question_id]
        assert names(await world.poll(bo, after=batch.items[0].sequence)) == [asked.question_id]


@run
async def test_a_question_has_one_place_until_its_end_and_none_after() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        member = world.hub._views.directory.member("bo")
        assert (list(member.mailbox.native), list(member.open), len(member.mailbox.mail)) == (
            [asked.question_id],
            [asked.question_id],
            0,
        )
        ok(await world.hub.dismiss(bo, asked.question_id, questions.Dismissal.CANCELLED))
        assert (list(member.mailbox.native), len(member.mailbox.mail)) == ([], 1)
        assert world.hub._views.directory.member("ana").asked_open == 1
        ok(await world.answer(bo, asked.question_id))
        assert (dict(member.open), world.hub._views.directory.member("ana").asked_open) == ({}, 0)
        assert names(await world.poll(bo, after=0)) == []


@run
async def test_counters_and_times_are_those_of_what_happened() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        first = await world.ask(ana, "bo")
        await world.clock.advance(0.15)
        await attend(world, bo)
        await world.clock.advance(0.25)
        ok(await world.hub.native_reply(bo, NativeReply(question_id=first.question_id, action="accept", content=SHIP)))
        second = await world.ask(bo, "ana", deadline_seconds=5)
        await world.clock.advance(6)
        ok(await world.hub.send(ana, SendRequest(to=("bo",), body="hi")))
        measures = world.hub.measures()
        assert dict(measures.asked) == {("elicitation", "new"): 2}
        assert dict(measures.ended) == {("elicitation", "answered"): 1, ("elicitation", "expired"): 1}
        assert +measures.open == {}
        assert dict(measures.offered) == {("elicitation", "native"): 1}
        assert (measures.delivery_ms["elicitation"].count, measures.delivery_ms["elicitation"].total) == (1, 150.0)
        assert (measures.answer_ms["elicitation"].count, measures.answer_ms["elicitation"].total) == (1, 400.0)
        assert (measures.messages, measures.fan_out.count, measures.agents_present) == (1, 1, 2)
        assert dict(world.hub._views.programme.talk) == {("ana", "bo"): 2, ("bo", "ana"): 1}
        assert world.hub._views.directory.member("bo").accepted == 1
        assert second.status == "open"


@run
async def test_the_news_of_an_end_goes_to_the_asker_unless_it_waits_for_it() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        ends = {}
        for how in ("answer", "decline", "expire", "withdraw"):
            ends[how] = await world.ask(ana, "bo", deadline_seconds=10)
        ok(await world.answer(bo, ends["answer"].question_id))
        ok(await world.hub.answer(bo, AnswerRequest(question_id=ends["decline"].question_id, action="decline")))
        ok(await world.hub.withdraw(ana, ends["withdraw"].question_id))
        await world.clock.advance(11)
        batch = await world.poll(ana, after=0)
        contents = {item.id: (item.kind, item.content) for item in batch.items}
        assert contents == {
            ends["answer"].question_id: ("answer", '{"verdict":"ship"}'),
            ends["decline"].question_id: ("answer", "declined"),
            ends["expire"].question_id: ("answer", "expired"),
            ends["withdraw"].question_id: ("answer", "withdrawn"),
        }


@run
async def test_an_asker_that_waits_for_the_end_finds_no_news_of_it_in_its_mailbox() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        mailbox = world.hub._views.directory.member("ana").mailbox
        waiting = await started(world.hub.question(ana, asked.question_id, 25), world)
        found: list[int] = []
        world.hub._projector.listeners.append(lambda _: found.append(len(mailbox.mail)))
        ok(await world.answer(bo, asked.question_id))
        assert ok(await waiting).status == "answered"
        assert found == [0]


@run
async def test_an_asker_that_has_read_the_end_finds_no_news_of_it_in_its_mailbox() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked, other = await world.ask(ana, "bo"), await world.ask(ana, "bo")
        for question in (asked, other):
            ok(await world.answer(bo, question.question_id))
        ok(await world.hub.question(bo, asked.question_id))  # the addressee's reading counts for nothing
        ok(await world.hub.question(ana, asked.question_id))
        assert names(await world.poll(ana, after=0)) == [other.question_id]


@run
async def test_an_asker_that_gave_up_waiting_finds_the_news_in_its_mailbox() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        waiting = await started(world.hub.question(ana, asked.question_id, 25), world)
        await world.clock.advance(26)
        assert ok(await waiting).status == "open"
        ok(await world.answer(bo, asked.question_id))
        assert names(await world.poll(ana, after=0)) == [asked.question_id]


@run
async def test_an_operator_that_reads_the_end_takes_the_news_from_nobody() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        ok(await world.answer(bo, asked.question_id))
        assert ok(await world.hub.question(ROOT, asked.question_id)).status == "answered"
        assert names(await world.poll(ana, after=0)) == [asked.question_id]


@run
async def test_a_reader_that_goes_back_finds_the_ends_of_its_own_questions_only() -> None:
    async with World() as world:
        ana, bo, cy = await world.join("ana"), await world.join("bo"), await world.join("cy")
        mine, other = await world.ask(ana, "bo"), await world.ask(cy, "bo")
        for question in (other, mine):
            ok(await world.answer(bo, question.question_id))
        batch = await world.poll(ana, after=0)
        await world.poll(ana, after=batch.cursor)
        assert names(await world.poll(ana, after=0)) == [mine.question_id]


@run
async def test_a_question_that_has_its_end_keeps_no_appointments() -> None:
    async with World() as world:
        ana, bo = await fleet(world)

        def waiting() -> int:
            timers = world.hub._c.timers
            return len(timers) - sum(timer.callback is None for _, _, timer in timers._heap)

        before = waiting()
        asked = await world.ask(ana, "bo")
        await attend(world, bo)
        # Its deadline, the patience with the dialog, when another may take it, when all offers of late are recorded.
        assert waiting() == before + 4
        ok(await world.answer(bo, asked.question_id))
        assert waiting() == before + 1
        await world.clock.advance(OFFER_SECONDS)
        assert waiting() == before


@run
async def test_what_was_begun_on_polling_is_left_alone_by_a_kill() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        await world.rollout(1.0)
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        await world.clock.advance(0)
        assert world.hub.measures().requeued == 0
        assert not world.hub._views.questions[asked.question_id].state.as_text


@run
async def test_ended_questions_leave_memory_oldest_first_and_open_ones_never() -> None:
    async with World(limits=Limits(ended_questions_kept=2)) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = [(await world.ask(ana, "bo")).question_id for _ in range(5)]
        for question_id in asked[1:]:
            ok(await world.answer(bo, question_id))
        kept = [asked[0], *asked[3:]]
        assert list(world.hub._views.questions) == kept
        streams = [name for name in world.hub._streams._slots if name.startswith("question/")]
        assert streams == [f"question/{question_id}" for question_id in kept]


def test_a_record_out_of_its_place_is_a_fault() -> None:
    views = Views()
    projector = Projector(Streams(MemoryLog(), 10), views)
    record = Recorded(
        shard=SPACE, sequence=Sequence(1), stream=StreamName("question/q_1"), version=2, at=Instant(1), actor="a",
        cause="", event=questions.Expired(),
    )  # fmt: skip
    with pytest.raises(AssertionError, match="does not follow"):
        projector.apply([record])
    with pytest.raises(KeyError):
        projector.apply([msgspec.structs.replace(record, stream=StreamName("nothing/1"))])


@run
async def test_listeners_hear_of_a_record_when_the_views_have_it() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        heard: list[bool] = []
        world.hub._projector.listeners.append(
            lambda record: heard.append(record.stream.partition("/")[2] in world.hub._views.questions)
        )
        await world.ask(ana, "bo")
        assert heard == [True]
