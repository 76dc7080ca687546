"""Two lanes over one log: any pair of ends, across a switch, the kill switch in the middle."""

import msgspec
import pytest

from crossfade.core.values import Caller, Channel
from crossfade.engine.limits import Limits
from crossfade.engine.ports import Result, Tx, UnavailableError
from crossfade.engine.requests import Batch, NativeReply, ReceiveRequest
from crossfade.logs.memory import MemoryLog
from tests.kit.faulty import FaultyLog
from tests.kit.hub import ROOT, SHIP, World, ok, refused, run, started


async def attend(world: World, caller: Caller, wait_seconds: float = 0.0) -> Batch:
    """One ``attend`` of a client that can elicit."""
    world.hub.touch(caller, native=True)
    request = ReceiveRequest(channel=Channel.NATIVE, native=True, wait_seconds=wait_seconds)
    batch = ok(await world.hub.receive(caller, request))
    await world.clock.advance(0)
    return batch


async def fleet(world: World, share: float = 1.0) -> tuple[Caller, Caller]:
    """Two agents with clients that can elicit, at this share."""
    ana, bo = await world.join("ana", native=True), await world.join("bo", native=True)
    if share:
        await world.rollout(share)
    return ana, bo


@pytest.mark.requirement("P25")
@run
async def test_on_the_elicitation_lane_a_question_is_elicited_in_the_open_call() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        waiting = await started(attend(world, bo, 25), world)
        asked = await world.ask(ana, "bo")
        assert asked.exposure == "new"
        [question] = (await waiting).questions
        assert question.question_id == asked.question_id
        reply = NativeReply(question_id=asked.question_id, action="accept", content=SHIP)
        assert ok(await world.hub.native_reply(bo, reply)).status == "answered"
        assert ok(await world.hub.question(ana, asked.question_id)).channels == ("native",)


@pytest.mark.requirement("P24")
@run
async def test_on_the_polling_lane_the_same_call_brings_it_as_text() -> None:
    async with World() as world:
        ana, bo = await fleet(world, 0)
        asked = await world.ask(ana, "bo")
        batch = await attend(world, bo)
        assert (batch.questions, batch.lane) == ((), "polling")
        assert [item.id for item in batch.items] == [asked.question_id]


@pytest.mark.requirement("P25")
@run
async def test_a_client_that_cannot_elicit_gets_text_on_either_lane() -> None:
    async with World() as world:
        ana, _ = await fleet(world)
        plain = await world.join("plain")
        asked = await world.ask(ana, "plain")
        assert asked.lane == "elicitation"
        batch = await world.poll(plain)
        assert [item.id for item in batch.items] == [asked.question_id]
        ok(await world.answer(plain, asked.question_id))


@pytest.mark.requirement("P9", "P10")
@run
async def test_a_question_asked_before_the_switch_keeps_its_form_and_gets_its_one_answer() -> None:
    async with World() as world:
        ana, bo = await fleet(world, 0)
        before = await world.ask(ana, "bo")
        await world.rollout(1.0)
        after = await world.ask(ana, "bo")
        assert (before.lane, after.lane) == ("polling", "elicitation")
        batch = await attend(world, bo)
        assert [item.id for item in batch.items] == [before.question_id]
        assert [question.question_id for question in batch.questions] == [after.question_id]
        ok(await world.answer(bo, before.question_id))
        ok(await world.hub.native_reply(bo, NativeReply(question_id=after.question_id, action="accept", content=SHIP)))


@pytest.mark.requirement("P14")
@run
async def test_the_kill_switch_offers_open_questions_again_as_text_once() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert (await attend(world, bo)).questions  # taken natively, not answered yet
        read = await world.poll(bo, after=None)
        assert read.items == ()
        view = ok(await world.hub.rollout_kill(ROOT, "drill"))
        assert (view.status, view.share, view.held) == ("polling", 0.0, True)
        await world.clock.advance(0)
        batch = await world.poll(bo, after=None)
        assert [item.id for item in batch.items] == [asked.question_id]
        assert (await attend(world, bo)).questions == ()
        # The dialog that was open when the switch was thrown may still bring the answer.
        ok(await world.hub.native_reply(bo, NativeReply(question_id=asked.question_id, action="accept", content=SHIP)))
        assert refused(await world.answer(bo, asked.question_id)) == "question.closed"


@pytest.mark.requirement("P14")
@run
async def test_a_crash_between_the_kill_and_the_offering_again_is_made_good_at_the_start() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        world.hub._projector.listeners.clear()  # the reactor dies right after the kill is recorded
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        assert (await world.poll(bo)).items == ()
        again = await world.restart()
        await again.clock.advance(0)
        batch = await again.poll(bo)
        assert [item.id for item in batch.items] == [asked.question_id]
        await again.hub.stop()


class StuckLog(MemoryLog):
    """A log whose disk is gone for a while."""

    stuck = False

    async def append(self, shard: int, txs: list[Tx]) -> list[Result]:  # type: ignore[override]
        if self.stuck:
            raise UnavailableError("no disk")
        return await super().append(shard, txs)  # type: ignore[arg-type]


@pytest.mark.requirement("P14")
@run
async def test_the_kill_switch_works_while_the_log_does_not() -> None:
    log = StuckLog()
    async with World(log) as world:
        ana, _ = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert asked.lane == "elicitation"
        log.stuck = True
        view = ok(await world.hub.rollout_kill(ROOT, "disk is gone"))
        assert (view.status, view.share, view.agents_on_elicitation) == ("polling", 0.0, 0)
        await world.clock.advance(3)
        assert world.hub.rollout().epoch == 0  # not recorded yet
        log.stuck = False
        await world.clock.advance(3)
        assert (world.hub.rollout().epoch, world.hub.rollout().held) == (1, True)


@pytest.mark.requirement("P14")
@run
async def test_the_kill_file_holds_the_share_at_zero_until_it_is_gone() -> None:
    async with World() as world:
        await fleet(world)
        world.hub.kill_file(True, "kill file")
        await world.clock.advance(0)
        assert world.hub.rollout().share == 0.0
        ok(await world.hub.rollout_resume(ROOT, "over"))
        assert refused(await world.hub.rollout_set(ROOT, 0.5, "again")) == "rollout.killed_by_file"
        world.hub.kill_file(False)
        ok(await world.hub.rollout_set(ROOT, 1.0, "again"))


@run
async def test_going_forward_again_brings_the_same_agents_first() -> None:
    async with World() as world:
        for number in range(60):
            await world.join(f"agent-{number}", label=f"team-{number % 20}")
        await world.rollout(0.25)
        first = {view.name for view in await world.hub.agents(ROOT, limit=100) if view.lane == "elicitation"}
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        ok(await world.hub.rollout_resume(ROOT, "over"))
        await world.rollout(0.25)
        again = {view.name for view in await world.hub.agents(ROOT, limit=100) if view.lane == "elicitation"}
        assert first == again
        assert len(first) == 15
        await world.rollout(0.5)
        more = {view.name for view in await world.hub.agents(ROOT, limit=100) if view.lane == "elicitation"}
        assert first < more


@run
async def test_a_reply_keeps_the_lane_of_its_conversation_until_a_kill_unpins_it() -> None:
    async with World() as world:
        ana, bo = await fleet(world, 0)
        first = await world.ask(ana, "bo")
        await world.rollout(1.0)
        reply = await world.ask(bo, "ana", reply_to=first.question_id)
        assert (reply.lane, reply.conversation) == ("polling", first.question_id)
        fresh = await world.ask(bo, "ana")
        assert fresh.lane == "elicitation"
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        assert (await world.ask(ana, "bo", reply_to=fresh.question_id)).lane == "polling"


@pytest.mark.requirement("P25")
@run
async def test_a_decline_within_a_blink_by_a_persons_client_goes_to_the_next_channel() -> None:
    async with World() as world:
        ana, _ = await fleet(world)
        person = await world.join("pat", native=True, faces_person=True)
        asked = await world.ask(ana, "pat")
        assert (await attend(world, person)).questions
        await world.clock.advance(0.3)
        decline = NativeReply(question_id=asked.question_id, action="decline")
        view = ok(await world.hub.native_reply(person, decline))
        assert (view.status, view.dismissals) == ("open", ("client_auto_decline",))
        assert [item.id for item in (await world.poll(person)).items] == [asked.question_id]


@run
async def test_a_decline_after_a_blink_or_by_a_program_is_a_decision() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        person = await world.join("pat", native=True, faces_person=True)
        for caller, delay in ((person, 2.0), (bo, 0.0)):
            asked = await world.ask(ana, caller.name)
            assert (await attend(world, caller)).questions
            await world.clock.advance(delay)
            view = ok(
                await world.hub.native_reply(caller, NativeReply(question_id=asked.question_id, action="decline"))
            )
            assert view.status == "declined"


@run
async def test_once_a_client_has_accepted_its_quick_declines_are_decisions() -> None:
    async with World() as world:
        ana, _ = await fleet(world)
        person = await world.join("pat", native=True, faces_person=True)
        first = await world.ask(ana, "pat")
        await attend(world, person)
        ok(
            await world.hub.native_reply(
                person, NativeReply(question_id=first.question_id, action="accept", content=SHIP)
            )
        )
        second = await world.ask(ana, "pat")
        await attend(world, person)
        reply = NativeReply(question_id=second.question_id, action="decline")
        assert ok(await world.hub.native_reply(person, reply)).status == "declined"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (NativeReply(question_id="", action="cancel"), "cancelled"),
        (NativeReply(question_id="", action="accept", content=msgspec.Raw(b'{"verdict":"maybe"}')), "invalid_content"),
        (NativeReply(question_id="", action="accept"), "invalid_content"),
    ],
)
def test_a_dismissal_leaves_the_question_open_and_offers_it_as_text(reply: NativeReply, reason: str) -> None:
    @run
    async def body() -> None:
        async with World() as world:
            ana, bo = await fleet(world)
            asked = await world.ask(ana, "bo")
            assert (await attend(world, bo)).questions
            mine = msgspec.structs.replace(reply, question_id=asked.question_id)
            view = ok(await world.hub.native_reply(bo, mine))
            assert (view.status, view.dismissals) == ("open", (reason,))
            assert [item.id for item in (await world.poll(bo)).items] == [asked.question_id]
            ok(await world.answer(bo, asked.question_id))

    body()


@run
async def test_a_client_that_takes_a_question_and_is_silent_gets_it_as_text_as_well() -> None:
    async with World(limits=Limits(native_patience_seconds=60)) as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert (await attend(world, bo)).questions
        await world.clock.advance(59)
        assert (await world.poll(bo)).items == ()
        await world.clock.advance(2)
        assert [item.id for item in (await world.poll(bo)).items] == [asked.question_id]


@run
async def test_a_carrier_that_disconnects_hands_its_question_to_the_next() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert (await attend(world, bo)).questions
        assert (await attend(world, bo)).questions == ()  # one carrier has it
        world.hub.release(bo, [asked.question_id])
        assert [question.question_id for question in (await attend(world, bo)).questions] == [asked.question_id]


@run
async def test_the_same_native_reply_twice_is_one_answer() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        await attend(world, bo)
        reply = NativeReply(question_id=asked.question_id, action="accept", content=SHIP)
        for _ in range(2):
            assert ok(await world.hub.native_reply(bo, reply)).status == "answered"
        other = msgspec.structs.replace(reply, content=msgspec.Raw(b'{"verdict":"hold"}'))
        assert refused(await world.hub.native_reply(bo, other)) == "question.closed"


@pytest.mark.requirement("P12")
@run
async def test_removal_refuses_polling_and_the_kill_switch_brings_it_back_within_the_window() -> None:
    async with World(limits=Limits(undo_seconds=100)) as world:
        await fleet(world)
        assert refused(await world.hub.rollout_remove(ROOT)) == "rollout.not_deprecated"
        ok(await world.hub.rollout_deprecate(ROOT, 10, "polling ends soon"))
        assert world.hub.polling_removed() is None
        assert world.hub.deprecation() is not None
        await world.clock.advance(11)
        ok(await world.hub.rollout_remove(ROOT))
        assert refused(world.hub.polling_removed()) == "polling.removed"
        assert ok(await world.hub.rollout_kill(ROOT, "somebody still polls")).status == "deprecated"
        assert world.hub.polling_removed() is None
        ok(await world.hub.rollout_resume(ROOT, "they moved"))
        ok(await world.hub.rollout_remove(ROOT))
        await world.clock.advance(101)
        assert refused(await world.hub.rollout_kill(ROOT, "late")) == "rollout.undo_window_over"
        assert refused(world.hub.polling_removed()) == "polling.removed"


@pytest.mark.requirement("P10", "P11")
@run
async def test_killing_a_deprecated_rollout_restores_full_polling() -> None:
    async with World() as world:
        _, bo = await fleet(world)
        ok(await world.hub.rollout_deprecate(ROOT, 1000, "polling ends soon"))
        assert (await world.poll(bo)).notice == "polling ends soon"
        assert ok(await world.hub.rollout_kill(ROOT, "too early")).status == "polling"
        assert world.hub.deprecation() is None
        assert (await world.poll(bo)).notice == ""


@run
async def test_only_an_operator_moves_the_rollout() -> None:
    async with World() as world:
        ana, _ = await fleet(world)
        for work in (
            world.hub.rollout_set(ana, 0.0, "x"),
            world.hub.rollout_kill(ana, "x"),
            world.hub.rollout_remove(ana),
            world.hub.rollout_start(ana, "x"),
        ):
            assert refused(await work) == "auth.scope"


@pytest.mark.requirement("P14")
@run
async def test_the_kill_switch_can_be_thrown_again_and_before_anything_began() -> None:
    async with World() as world:
        assert ok(await world.hub.rollout_kill(ROOT, "nothing began")).status == "polling"
        await fleet(world, 0)
        ok(await world.hub.rollout_start(ROOT, "test"))
        assert ok(await world.hub.rollout_kill(ROOT, "before the first share")).held
        assert refused(await world.hub.rollout_set(ROOT, 1.0, "too soon")) == "rollout.held"
        assert ok(await world.hub.rollout_kill(ROOT, "again")).held
        ok(await world.hub.rollout_resume(ROOT, "over"))
        ok(await world.hub.rollout_set(ROOT, 1.0, "now"))
        assert world.hub.rollout().share == 1.0


@run
async def test_a_question_that_a_failing_disk_kept_on_the_lane_is_offered_as_text_later() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        log.faults.extend(("fine", "unavailable"))  # the kill is stored, what follows from it is not
        ok(await world.hub.rollout_kill(ROOT, "drill"))
        await world.clock.advance(2)
        assert [item.id for item in (await world.poll(bo, native=True)).items] == [asked.question_id]


@run
async def test_a_client_that_died_in_the_dialog_is_asked_again_soon_after_it_is_back() -> None:
    async with World() as world:
        ana, bo = await fleet(world)
        asked = await world.ask(ana, "bo")
        assert (await attend(world, bo)).questions
        waiting = await started(attend(world, bo, 25), world)
        await world.clock.advance(4)
        assert not waiting.done()
        await world.clock.advance(2)
        assert [question.question_id for question in (await waiting).questions] == [asked.question_id]


@run
async def test_offers_of_late_are_recorded_each_in_its_time() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        asked = [await world.ask(ana, "bo")]
        await world.poll(bo)
        await world.clock.advance(0.1)
        asked.append(await world.ask(ana, "bo"))
        await world.poll(bo, after=0)

        def recorded() -> list[bool]:
            return [bool(world.hub._views.questions[one.question_id].state.offered) for one in asked]

        await world.clock.advance(0.149)
        assert recorded() == [False, False]
        await world.clock.advance(0.002)
        assert recorded() == [True, False]
        await world.clock.advance(0.1)
        assert recorded() == [True, True]
