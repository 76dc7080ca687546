"""A question from asked to its one end, on the hub."""

import asyncio

import msgspec
import pytest

from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND, SPACE, Channel, Instant, stream_of
from crossfade.engine.limits import Limits
from crossfade.engine.ports import UnavailableError
from crossfade.engine.requests import AnswerRequest, AskRequest, SendRequest
from tests.kit.faulty import FaultyLog
from tests.kit.hub import SHIP, YES_NO, World, ok, refused, run, started


@run
async def test_a_question_is_answered_once_and_the_asker_reads_it() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        assert (asked.status, asked.delivery) == ("open", "queued")
        answered = ok(await world.answer(bo, asked.question_id))
        assert bytes(answered.content) == bytes(SHIP)
        read = ok(await world.hub.question(ana, asked.question_id))
        assert (read.status, read.delivery, read.ended_by) == ("answered", "answered", "bo")


@run
async def test_of_two_answers_at_once_the_first_in_the_log_stands() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        hold = msgspec.Raw(b'{"verdict":"hold"}')
        first, second = await asyncio.gather(
            world.answer(bo, asked.question_id), world.answer(bo, asked.question_id, hold)
        )
        assert not isinstance(first, Refusal)
        assert refused(second) == "question.closed"
        assert bytes(ok(await world.hub.question(ana, asked.question_id)).content) == bytes(SHIP)


@run
async def test_the_same_key_gives_the_first_result_even_after_the_end() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        first = await world.ask(ana, "bo", key="k1")
        again = await world.ask(ana, "bo", key="k1")
        assert again.question_id == first.question_id
        ok(await world.answer(bo, first.question_id, key="a1"))
        repeated = ok(await world.answer(bo, first.question_id, key="a1"))
        assert repeated.status == "answered"
        assert refused(await world.answer(bo, first.question_id, key="a2")) == "question.closed"
        assert (await world.ask(ana, "bo", key="k1")).status == "answered"


@run
async def test_a_key_used_for_another_question_is_refused() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        await world.ask(ana, "bo", key="k1")
        other = AskRequest(to="bo", message="Another?", schema=YES_NO, key="k1")
        assert refused(await world.hub.ask(ana, other)) == "key.reused"


@run
async def test_two_callers_never_share_a_key() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await world.join("cy")
        one = await world.ask(ana, "cy", key="same")
        two = await world.ask(bo, "cy", key="same")
        assert one.question_id != two.question_id


@run
async def test_a_wait_for_the_end_wakes_at_the_answer() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        waiting = await started(world.hub.question(ana, asked.question_id, 25), world)
        assert not waiting.done()
        ok(await world.answer(bo, asked.question_id))
        assert ok(await waiting).status == "answered"
        assert (await world.poll(ana)).items == ()  # it was read, so the mailbox does not repeat it


@run
async def test_a_wait_without_an_answer_ends_with_the_open_question() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        waiting = await started(world.hub.question(ana, asked.question_id, 25), world)
        await world.clock.advance(24.9)
        assert not waiting.done()
        await world.clock.advance(0.2)
        assert ok(await waiting).status == "open"


@run
async def test_a_question_expires_at_its_deadline_and_cannot_be_answered_after() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo", deadline_seconds=10)
        await world.clock.advance(9.9)
        assert ok(await world.hub.question(ana, asked.question_id)).status == "open"
        await world.clock.advance(0.2)
        assert ok(await world.hub.question(ana, asked.question_id)).status == "expired"
        assert refused(await world.answer(bo, asked.question_id)) == "question.closed"


@run
async def test_ten_thousand_deadlines_in_one_second_all_expire() -> None:
    async with World(limits=Limits(commands_per_second_max=1e6, open_questions_per_agent_max=10_000)) as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        await asyncio.gather(*(world.ask(ana, "bo", deadline_seconds=5) for _ in range(10_000)))
        await world.clock.advance(5)
        await world.clock.advance(1)
        while world.hub.pending_commits:
            await world.clock.advance(0)
        assert world.hub.measures().ended["polling", "expired"] == 10_000


@run
async def test_only_the_addressee_answers_and_only_the_asker_withdraws() -> None:
    async with World() as world:
        ana, bo, cy = await world.join("ana"), await world.join("bo"), await world.join("cy")
        asked = await world.ask(ana, "bo")
        assert refused(await world.answer(cy, asked.question_id)) == "question.not_addressee"
        assert refused(await world.answer(ana, asked.question_id)) == "question.not_addressee"
        assert refused(await world.hub.withdraw(bo, asked.question_id)) == "question.not_asker"
        assert refused(await world.hub.question(cy, asked.question_id)) == "question.unknown"
        assert ok(await world.hub.withdraw(ana, asked.question_id, reason="done")).status == "withdrawn"


@run
async def test_an_answer_of_the_wrong_shape_is_refused_and_the_question_stays_open() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        for wrong in (b"{}", b'{"verdict":"maybe"}', b'{"verdict":"ship","extra":1}', b"[]", b'"ship"', b"nonsense"):
            assert refused(await world.answer(bo, asked.question_id, msgspec.Raw(wrong))).startswith("answer.")
        assert ok(await world.hub.question(ana, asked.question_id)).status == "open"


@run
async def test_an_unknown_recipient_is_refused_with_the_nearest_name() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("reviewer")
        refusal = await world.hub.ask(ana, AskRequest(to="reviwer", message="?", schema=YES_NO))
        assert refused(refusal) == "recipient.unknown"
        assert isinstance(refusal, Refusal)
        assert "reviewer" in refusal.hint


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"message": "  "}, "question.empty"),
        ({"message": "x" * 70_000}, "limit.size"),
        ({"deadline_seconds": 0.0}, "question.deadline_past"),
        ({"deadline_seconds": -5.0}, "question.deadline_past"),
        ({"deadline_seconds": 1e12}, "question.deadline_far"),
        ({"deadline_seconds": float("nan")}, "question.deadline_far"),
        ({"to": "ana"}, "question.to_self"),
        ({"schema": None}, "shape.missing"),
        ({"choices": ("a", "b")}, "shape.missing"),
        ({"schema": msgspec.Raw(b'{"type":"object","properties":{}}')}, "shape.no_fields"),
        ({"schema": msgspec.Raw(b"{nonsense")}, "shape.not_json"),
        ({"reply_to": "q_nothing"}, "reply.unknown"),
        ({"reply_to": "m_nothing"}, "reply.unknown"),
    ],
)
def test_a_bad_question_is_refused(change: dict[str, object], code: str) -> None:
    @run
    async def body() -> None:
        async with World() as world:
            ana, _ = await world.join("ana"), await world.join("bo")
            request = AskRequest(**{"to": "bo", "message": "Ship?", "schema": YES_NO, **change})  # type: ignore[arg-type]
            assert refused(await world.hub.ask(ana, request)) == code

    body()


@run
async def test_a_reply_chain_that_does_not_end_is_stopped() -> None:
    async with World(limits=Limits(hops_max=5)) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        last = ok(await world.hub.send(ana, SendRequest(to=("bo",), body="thanks"))).message_id
        for turn in range(5):
            sender, to = (bo, "ana") if turn % 2 == 0 else (ana, "bo")
            last = ok(await world.hub.send(sender, SendRequest(to=(to,), body="thanks", reply_to=last))).message_id
        assert refused(await world.hub.send(bo, SendRequest(to=("ana",), body="thanks", reply_to=last))) == "limit.hops"


@run
async def test_too_many_commands_are_refused_and_allowed_again_later() -> None:
    async with World(limits=Limits(commands_per_second_max=5)) as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        for _ in range(10):
            await world.ask(ana, "bo")
        assert refused(await world.hub.ask(ana, AskRequest(to="bo", message="?", schema=YES_NO))) == "limit.rate"
        await world.clock.advance(1)
        await world.ask(ana, "bo")


@run
async def test_replying_to_a_question_in_words_answers_it() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        assert refused(await world.hub.send(bo, SendRequest(to=(), body="maybe", reply_to=asked.question_id)))
        sent = ok(await world.hub.send(bo, SendRequest(to=(), body="ship", reply_to=asked.question_id)))
        assert sent.delivery == {"ana": "answered"}
        assert ok(await world.hub.question(ana, asked.question_id)).status == "answered"


@run
async def test_seen_is_recorded_once_and_shown_to_the_asker() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        for _ in range(3):
            await world.hub.seen(bo, asked.question_id, Channel.CONSOLE)
            await world.clock.advance(0)
        read = ok(await world.hub.question(ana, asked.question_id))
        assert (read.delivery, read.channels) == ("seen", ("console",))


@run
async def test_an_ended_question_that_left_memory_is_read_from_the_log() -> None:
    async with World(limits=Limits(ended_questions_kept=2)) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        first = await world.ask(ana, "bo", key="k")
        ok(await world.answer(bo, first.question_id, key="a"))
        for _ in range(5):
            ok(await world.answer(bo, (await world.ask(ana, "bo")).question_id))
        read = ok(await world.hub.question(ana, first.question_id))
        assert (read.status, bytes(read.content)) == ("answered", bytes(SHIP))
        assert refused(await world.answer(bo, first.question_id)) == "question.closed"
        assert ok(await world.answer(bo, first.question_id, key="a")).status == "answered"


@run
async def test_declining_needs_no_content_and_tells_the_reason() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        request = AnswerRequest(question_id=asked.question_id, action="decline", reason="not mine")
        assert ok(await world.hub.answer(bo, request)).status == "declined"
        assert ok(await world.hub.question(ana, asked.question_id)).reason == "not mine"


@run
async def test_a_key_used_for_another_answer_is_refused_and_answers_nothing() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        first, second = await world.ask(ana, "bo"), await world.ask(ana, "bo")
        ok(await world.answer(bo, first.question_id, key="same"))
        assert refused(await world.answer(bo, second.question_id, key="same")) == "key.reused"
        assert ok(await world.hub.question(ana, second.question_id)).status == "open"


@run
async def test_who_comes_too_late_is_told_so_only_when_the_log_has_the_expiry() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo", deadline_seconds=10)
        world.clock._now = Instant(world.clock.now() + 10 * SECOND)  # the deadline, before any timer has run
        assert refused(await world.answer(bo, asked.question_id)) == "question.closed"
        assert ok(await world.hub.question(ana, asked.question_id)).status == "expired"


@run
async def test_who_comes_too_late_while_the_disk_fails_is_told_to_come_back() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo", deadline_seconds=10)
        log.always = "unavailable"
        world.clock._now = Instant(world.clock.now() + 10 * SECOND)
        with pytest.raises(UnavailableError):
            await world.answer(bo, asked.question_id)
        assert ok(await world.hub.question(ana, asked.question_id)).status == "open"
        log.always = "fine"
        await world.clock.advance(2)
        assert ok(await world.hub.question(ana, asked.question_id)).status == "expired"


@run
async def test_an_answer_given_at_once_tells_where_it_was_shown_without_a_record_of_its_own() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        await world.poll(bo, after=0)
        assert ok(await world.hub.question(ana, asked.question_id)).delivery == "offered"
        ok(await world.answer(bo, asked.question_id))
        await world.clock.advance(5)
        rows = await world.log.read_stream(SPACE, stream_of("question", asked.question_id))
        assert [row.type for row in rows] == ["question.asked/1", "question.answered/1"]
        again = await world.restart()
        assert ok(await again.hub.question(ana, asked.question_id)).channels == ("poll",)
        assert again.hub.measures().offered["polling", "poll"] == 1
        await again.hub.stop()


@run
async def test_the_same_key_with_another_answer_is_refused() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = await world.ask(ana, "bo")
        ok(await world.answer(bo, asked.question_id, key="k"))
        same = msgspec.Raw(b'{ "verdict": "ship" }')
        assert ok(await world.answer(bo, asked.question_id, same, key="k")).status == "answered"
        hold = msgspec.Raw(b'{"verdict":"hold"}')
        assert refused(await world.answer(bo, asked.question_id, hold, key="k")) == "key.reused"
