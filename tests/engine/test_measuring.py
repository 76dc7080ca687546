"""What is measured: exact counts, only the hub's own faults, nothing lost while it lives and gaps when it did not."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from crossfade.core.measurements import EDGES_MS, Exposure, Reason
from crossfade.core.records import Recorded
from crossfade.core.rollouts import Killed
from crossfade.core.values import PROGRAMME, SECOND, Channel, Instant, Lane
from crossfade.engine import saving
from crossfade.engine.ports import UnavailableError
from crossfade.engine.projector import Projector, Views
from crossfade.engine.requests import AnswerRequest, AskRequest, SendRequest
from crossfade.engine.streams import Streams
from crossfade.engine.views.measurements import hour_of_week
from tests.kit.faulty import FaultyLog
from tests.kit.hub import ROOT, YES_NO, World, ok, refused, run, started
from tests.kit.measuring import (
    Reader,
    blocks,
    counted,
    records,
    recount,
    total,
    wait_in_vain,
    with_late_courier,
)
from tests.kit.views import snapshot

pytestmark = pytest.mark.requirement("P22")
ALL_OVER = len(EDGES_MS)


async def measured(world: World, seconds: float = 86_400.0) -> None:
    """Begin a baseline."""
    ok(await world.hub.baselines.start(ROOT, seconds))


async def everybody_new(world: World) -> None:
    """Put everybody on the elicitation lane."""
    ok(await world.hub.rollout_start(ROOT, "test", salt="salt"))
    ok(await world.hub.rollout_set(ROOT, 1.0, "test"))


# --- when anything is recorded at all -----------------------------------------------------------------------------


@run
async def test_a_hub_that_measures_nothing_writes_nothing() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        question = await world.ask(ana, "bo")
        await world.poll(bo)
        ok(await world.answer(bo, question.question_id))
        await world.clock.advance(100)
        assert all("measurement" not in record.stream for record in await records(world.log, PROGRAMME))


@run
async def test_a_rollout_is_measured_from_its_start_and_an_idle_hub_records_that_somebody_looked() -> None:
    async with World() as world:
        ok(await world.hub.rollout_start(ROOT, "test", salt="salt"))
        await world.clock.advance(95)
        found = await blocks(world.log)
        assert [(block.until_at - block.from_at) / SECOND for block in found] == [30, 30, 30]
        assert [block.slices for block in found] == [(), (), ()]
        assert world.hub.baselines.measurements().reasons == (Reason.ROLLOUT,)


@run
async def test_blocks_follow_each_other_without_a_hole_and_traffic_has_short_ones() -> None:
    async with World() as world:
        ana = await world.join("ana")
        await world.join("bo")
        await measured(world)
        await world.clock.advance(25)
        await world.ask(ana, "bo")
        await world.clock.advance(20)
        found = await blocks(world.log)
        assert [(b.until_at - b.from_at) / SECOND for b in found] == [20, 10]
        assert [sum(one.asked for one in b.slices) for b in found] == [0, 1]
        assert [b.from_at for b in found[1:]] == [b.until_at for b in found[:-1]]


@run
async def test_a_rollout_that_a_crash_left_unmeasured_is_measured_from_the_next_start() -> None:
    world = World()
    await world.hub.start()
    world.hub.measuring._live = False  # as if it had died right after the record
    ok(await world.hub.rollout_start(ROOT, "test", salt="salt"))
    await world.hub._c.background.stop()
    assert all("measurement" not in record.stream for record in await records(world.log, PROGRAMME))
    async with World(world.log, world.clock, seed=2) as again:
        await again.clock.advance(0)
        assert again.hub.baselines.measurements().reasons == (Reason.ROLLOUT,)


# --- exact --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("P16")
@pytest.mark.parametrize("seed", range(8))
def test_the_counts_are_those_of_a_recount_of_the_log(seed: int) -> None:
    asyncio.run(asyncio.wait_for(_exact(random.Random(seed)), 240))


async def _exact(dice: random.Random) -> None:
    world = World()
    courier = with_late_courier(world)
    async with world:
        callers = [await world.join(f"agent-{n}", label=f"team-{n % 5}") for n in range(15)]
        readers = {str(caller.name): await Reader(world, caller).open() for caller in callers}
        await measured(world)
        ok(await world.hub.rollout_start(ROOT, "test", salt="salt"))
        courier.late = lambda: dice.choice((0.0, 0.0, 0.05, 0.050000001, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.999))
        open_questions: list[tuple[str, str]] = []
        for turn in range(300):
            if turn == 60:
                ok(await world.hub.rollout_set(ROOT, 0.5, "test"))
            await world.clock.advance(dice.choice((0.0, 0.0, 0.3, 2.0)))
            asker, to = dice.sample(callers, 2)
            if dice.random() < 0.6:
                deadline = dice.choice((5.0, 600.0))
                request = AskRequest(to=to.name, message="?", schema=YES_NO, deadline_seconds=deadline)
                view = ok(await world.hub.ask(asker, request))
                open_questions.append((view.question_id, to.name))
            elif open_questions:
                question_id, name = open_questions.pop(dice.randrange(len(open_questions)))
                if question_id in readers[name].questions:
                    action = "accept" if dice.random() < 0.8 else "decline"
                    content = msgspec.Raw(b'{"verdict":"ship"}')
                    answer = AnswerRequest(question_id=question_id, action=action, content=content)
                    await world.hub.answer(readers[name].caller, answer)
                else:
                    open_questions.append((question_id, name))
        await world.clock.advance(700)
    clusters = {caller.name: f"team-{n % 5}" for n, caller in enumerate(callers)}
    expected = await recount(world.log, clusters.__getitem__)
    assert {exposure for _, exposure in expected} == set(Exposure)
    for (cluster, exposure), counts in expected.items():
        assert counted(await total(world.log, exposure, cluster)) == +counts, (cluster, exposure)


@pytest.mark.requirement("P16")
@run
async def test_a_delivery_at_an_edge_is_not_over_it_and_a_nanosecond_more_is() -> None:
    world = World()
    courier = with_late_courier(world)
    async with world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await Reader(world, bo).open()
        await everybody_new(world)
        for edge in EDGES_MS[:-1]:
            for more in (0, 1e-9):
                courier.late = lambda edge=edge, more=more: edge / 1_000 + more  # type: ignore[misc]
                await world.ask(ana, "bo")
                await world.clock.advance(2)
        await world.clock.advance(10)
        found = await total(world.log, Exposure.NEW)
        assert (found.timed, found.over) == (10, (9, 7, 5, 3, 1, 0))


# --- only what the hub does wrong ---------------------------------------------------------------------------------


@pytest.mark.requirement("P17")
@run
async def test_a_decline_a_dismissal_a_refusal_and_an_absent_addressee_are_no_errors() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await measured(world)
        declined = await world.ask(ana, "bo")
        await world.poll(bo)
        answer = AnswerRequest(question_id=declined.question_id, action="decline", reason="no")
        request = world.hub.measuring.request
        ok(await request("bo", world.hub.answer(bo, answer)))
        assert refused(await request("bo", world.hub.answer(bo, answer))) == "question.closed"
        assert refused(await request("ana", world.hub.ask(ana, AskRequest(to="nobody", message="?")))) != ""
        await world.ask(ana, "bo", deadline_seconds=100)  # nobody is there to be shown it
        await world.clock.advance(200)
        found = await total(world.log, Exposure.OLD)
        assert (found.requests, found.faults) == (3, 0)
        assert (found.declined, found.expired_unseen) == (1, 1)
        assert (found.delivered, found.undelivered) == (1, 0)
        assert (found.timed, found.over) == (1, (0,) * ALL_OVER)


@run
async def test_what_the_hub_fails_in_a_mixed_conversation_counts_there_and_for_no_lane() -> None:
    async with World() as world:
        people = [await world.join(f"agent-{number}", label=f"team-{number}") for number in range(8)]
        ok(await world.hub.rollout_start(ROOT, "test", salt="salt"))
        ok(await world.hub.rollout_set(ROOT, 0.5, "test"))
        by_lane = {world.hub._c.lane_of(world.hub._c.views.directory.member(one.name)): one for one in people}
        ana, bo = by_lane[Lane.ELICITATION], by_lane[Lane.POLLING]
        stranger = next(one for one in people if one not in (ana, bo))
        asked = (await world.ask(ana, bo.name)).question_id
        before = [await total(world.log, exposure) for exposure in (Exposure.NEW, Exposure.OLD)]
        world.hub.measuring.served(bo.name, "unexpected", asked)
        await world.hub.measuring.request(ana.name, world.hub.question(ana, asked), asked)
        world.hub.measuring.served(stranger.name, "", asked)
        await world.clock.advance(20)
        mixed = await total(world.log, Exposure.MIXED)
        assert (mixed.asked, mixed.requests, mixed.faults) == (1, 2, 1)
        after = [await total(world.log, exposure) for exposure in (Exposure.NEW, Exposure.OLD)]
        assert sum(one.requests for one in after) - sum(one.requests for one in before) == 1, "the stranger's"


@run
async def test_neither_absence_nor_thinking_counts_as_latency() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await measured(world)
        await world.ask(ana, "bo")
        await world.clock.advance(300)  # bo is away
        await world.poll(bo)
        wait = await wait_in_vain(world, bo, 30)
        await world.clock.advance(20)
        await world.ask(ana, "bo")
        await world.clock.advance(40)  # bo was woken at once, and thinks
        assert wait.done()
        await world.ask(ana, "bo")
        await world.clock.advance(40)
        await world.poll(bo)
        await world.clock.advance(30)
        found = await total(world.log, Exposure.OLD)
        assert (found.timed, found.over) == (3, (0,) * ALL_OVER)


@run
async def test_a_carrier_that_waited_in_vain_counts_even_if_it_left_before_the_question_was_shown() -> None:
    world = World()
    courier = with_late_courier(world)
    async with world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await everybody_new(world)
        courier.late = lambda: None
        wait = await wait_in_vain(world, bo, 0.4)
        await world.ask(ana, "bo")
        cancelled = wait.cancel()
        await world.clock.advance(0.25)
        assert cancelled
        again = await wait_in_vain(world, bo, 5)
        await world.clock.advance(20)
        assert again.done()
        found = await total(world.log, Exposure.NEW)
        assert (found.timed, found.over) == (1, (0,) * ALL_OVER)  # the first left at once, the second was shown it

        wait = await wait_in_vain(world, bo, 60)
        await world.ask(ana, "bo")
        await world.clock.advance(0.4)
        wait.cancel()  # it had waited 0.4 s for nothing
        await world.clock.advance(100)
        await world.poll(bo)
        await world.clock.advance(30)
        found = await total(world.log, Exposure.NEW)
        assert (found.timed, found.over) == (2, (1, 1, 1, 1, 0, 0))


@pytest.mark.requirement("P17")
@run
async def test_a_log_that_fails_is_a_fault_with_its_cause_and_the_time_is_down() -> None:
    log = FaultyLog()
    world = World(log)
    async with world:
        ana = await world.join("ana")
        await world.join("bo")
        await measured(world)
        await world.clock.advance(35)
        log.always = "unavailable"
        for _ in range(3):
            work = world.hub.ask(ana, AskRequest(to="bo", message="?", schema=YES_NO))
            with pytest.raises(UnavailableError):
                await world.hub.measuring.request("ana", work)
        await world.clock.advance(42)
        before = await blocks(log)
        log.always = "fine"
        await world.ask(ana, "bo")
        await world.clock.advance(25)
        found = await total(log, Exposure.OLD)
        assert (found.requests, found.faults) == (3, 3)
        later = (await blocks(log))[len(before) :]
        assert 40 <= sum(block.down_seconds for block in later) <= 50
        causes = [part.causes for block in later for part in block.coordination if part.causes]
        assert causes == [{"log_unavailable": 3}]
        view = world.hub.baselines.view()
        assert view.measured is not None
        assert view.measured.missing_seconds == 0
        assert view.measured.availability is not None
        assert view.measured.availability < 0.7


@run
async def test_a_block_that_the_log_may_have_stored_is_there_once(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana = await world.join("ana")
        await world.join("bo")
        await measured(world)
        await world.ask(ana, "bo")
        log.faults.append("stored")
        await world.clock.advance(10.5)
        assert world.hub.measuring._unstored
        await world.ask(ana, "bo")
        await world.clock.advance(20)
        found = await blocks(log)
        assert "measurements.refused" not in caplog.text
        assert (await total(log, Exposure.OLD)).asked == 2
        assert [b.from_at for b in found[1:]] == [b.until_at for b in found[:-1]]


@run
async def test_an_unexpected_fault_is_counted_and_a_client_that_left_is_not() -> None:
    async with World() as world:
        await world.join("ana")
        await measured(world)

        async def breaks() -> None:
            raise RuntimeError("planted")

        with pytest.raises(RuntimeError):
            await world.hub.measuring.request("ana", breaks())
        left = asyncio.ensure_future(world.hub.measuring.request("ana", asyncio.sleep(1_000)))
        await world.clock.advance(0)
        left.cancel()
        await world.clock.advance(20)
        found = await total(world.log, Exposure.OLD)
        assert (found.requests, found.faults) == (1, 1)


# --- stalls and slow disks ----------------------------------------------------------------------------------------


@pytest.mark.requirement("P8")
@run
async def test_a_total_stall_of_the_elicitation_lane_shows_in_the_next_block_and_nothing_is_lost() -> None:
    world = World()
    courier = with_late_courier(world)
    async with world:
        ana, bo = await world.join("ana"), await world.join("bo")
        reader = await Reader(world, bo).open()
        await everybody_new(world)
        await world.clock.advance(10.5)
        courier.late = lambda: None
        for _ in range(4):
            await world.ask(ana, "bo")
        begun = len(await blocks(world.log))
        await world.clock.advance(11)
        [*_, block] = (await blocks(world.log))[begun:]
        [stalled] = [one for one in block.slices if one.exposure is Exposure.NEW]
        assert (stalled.timed, stalled.over) == (4, (4,) * ALL_OVER)
        assert courier.lost == 4
        assert len(reader.questions) == 4, "a lost wake is found at the end of the block"
        courier.late = lambda: 0.0
        await world.clock.advance(100)
        found = await total(world.log, Exposure.NEW)
        assert (found.asked, found.timed, found.delivered, found.undelivered) == (4, 4, 4, 0), "each is judged once"


@run
async def test_a_question_that_is_never_shown_to_a_ready_addressee_is_undelivered() -> None:
    world = World()
    courier = with_late_courier(world)
    async with world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await Reader(world, bo).open()
        await everybody_new(world)
        courier.late = lambda: None
        await world.ask(ana, "bo", deadline_seconds=5)
        await world.ask(ana, "bo", deadline_seconds=0.5)  # too short for anybody to blame the hub
        await world.clock.advance(30)
        found = await total(world.log, Exposure.NEW)
        assert (found.expired_unseen, found.undelivered, found.delivered) == (2, 1, 0)
        assert (found.timed, found.over) == (1, (1,) * ALL_OVER)


@pytest.mark.requirement("P9")
@run
async def test_a_slow_disk_counts_on_both_lanes_alike() -> None:
    log = FaultyLog()
    async with World(log) as world:
        callers = [await world.join(f"agent-{n}", label=f"team-{n}") for n in range(8)]
        for caller in callers:
            await Reader(world, caller).open()
        await world.rollout(0.5)
        await world.clock.advance(10.5)
        log.open.clear()
        lanes = {caller.name: world.hub.agent(caller.name).lane for caller in callers}  # type: ignore[union-attr]
        pairs = [(a, b) for a in callers for b in callers if a is not b and lanes[a.name] == lanes[b.name]]
        asking = [await started(world.ask(a, b.name), world) for a, b in pairs]
        await world.clock.advance(0.4)
        log.open.set()
        await world.clock.advance(20)
        assert all(one.done() for one in asking)
        old, new = await total(log, Exposure.OLD), await total(log, Exposure.NEW)
        for found in (old, new):
            assert found.timed > 0
            assert found.over == (found.timed,) * 4 + (0, 0)
        assert old.timed + new.timed == len(pairs)


# --- gaps ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("P4")
@run
async def test_a_kill_takes_at_most_a_block_and_the_time_without_a_hub_is_missing_and_named() -> None:
    world = World()
    await world.hub.start()
    ana = await world.join("ana")
    await world.join("bo")
    await measured(world)
    for _ in range(6):
        await world.ask(ana, "bo")
        await world.clock.advance(10)
    until = (await blocks(world.log))[-1].until_at
    await world.clock.advance(5)
    await world.hub._c.background.stop()  # as a kill does: nothing more is written
    await world.clock.advance(300)
    async with World(world.log, world.clock, seed=2) as again:
        again.callers = world.callers
        started_at = again.clock.now()
        await again.ask(ana, "bo")
        await again.clock.advance(20)
        view = again.hub.baselines.view()
        assert (view.status, view.verdict, view.reason) == ("measuring", "errored", "not_measured")
        [gap] = again.hub._views.measurements.kept.baseline.window.missing  # type: ignore[union-attr]
        assert gap == (until, started_at)
        assert view.gaps[0].seconds == (started_at - until) / SECOND == 305
        assert (await total(world.log, Exposure.OLD)).asked == 7
        assert view.measured is not None
        assert view.measured.availability == pytest.approx(1 - 305 / view.measured.seconds)


@run
async def test_an_orderly_stop_loses_no_count() -> None:
    world = World()
    async with world:
        ana = await world.join("ana")
        await world.join("bo")
        await measured(world)
        await world.ask(ana, "bo")
        await world.clock.advance(1)
    assert (await total(world.log, Exposure.OLD)).asked == 1


@run
async def test_a_machine_that_slept_was_not_there() -> None:
    async with World() as world:
        await measured(world)
        await world.clock.advance(40)
        world.clock._now = Instant(world.clock._now + 600 * SECOND)  # nobody was woken meanwhile
        await world.clock.advance(40)
        view = world.hub.baselines.view()
        assert view.verdict == "errored"
        assert 580 <= view.gaps[0].seconds <= 600


@pytest.mark.requirement("P4")
@run
async def test_a_baseline_ends_by_itself_or_when_anything_moves() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await measured(world, 60)
        await world.ask(ana, "bo")
        await world.poll(bo)
        await world.clock.advance(75)
        view = world.hub.baselines.view()
        assert (view.status, view.why_ended, view.verdict) == ("ended", "complete", "passed"), view.explanation
        count = len(await blocks(world.log))
        await world.clock.advance(100)
        assert len(await blocks(world.log)) == count, "nothing is measured any more"

        await measured(world, 600)
        assert refused(await world.hub.baselines.start(ROOT, 600)) == "measurement.on"
        await world.rollout(0.5)
        await world.clock.advance(1)
        view = world.hub.baselines.view()
        assert (view.status, view.why_ended, view.verdict) == ("ended", "the rollout began to move", "errored")
        assert refused(await world.hub.baselines.start(ROOT, 600)) == "baseline.lane_in_use"
        assert refused(await world.hub.baselines.stop(ROOT)) == "measurement.off"
        assert refused(await world.hub.baselines.stop(ana)) == "auth.scope"


# --- coordination -------------------------------------------------------------------------------------------------


@run
async def test_polls_empty_polls_late_answers_registrations_and_fan_out_are_counted() -> None:
    async with World() as world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await measured(world)
        cy = await world.join("cy")
        await world.poll(bo)
        ok(await world.hub.send(ana, SendRequest(to=("bo", "cy"), body="hi")))
        await world.poll(bo)
        await world.poll(cy, channel=Channel.INBOX)
        question = await world.ask(ana, "bo", deadline_seconds=5)
        await world.poll(bo)
        await world.clock.advance(6)
        assert refused(await world.answer(bo, question.question_id)) == "question.closed"
        answered = await world.ask(ana, "cy")
        await world.poll(cy)
        await world.clock.advance(2)
        ok(await world.answer(cy, answered.question_id))
        await world.clock.advance(20)
        view = world.hub.baselines.view().measured
        assert view is not None
        old = view.exposures["old"]
        assert (old.polls, old.empty_polls, old.items, old.polls_per_item) == (5, 1, 4, 1.25)
        assert (view.late_answers, view.recipients, view.registration.count) == (1, {2: 1}, 1)
        assert (old.wake_levels, old.answer.count, old.expired_seen) == ({"poll": 2}, 1, 1)
        assert old.answer.p50_ms == pytest.approx(2_000, rel=0.02)


@run
async def test_requests_count_for_the_lane_that_their_caller_is_on() -> None:
    async with World() as world:
        await world.join("ana", label="team-1")
        await everybody_new(world)
        await world.clock.advance(1)
        for _ in range(3):
            world.hub.measuring.served("ana")
        world.hub.measuring.served("nobody")

        def at_once(record: Recorded) -> None:
            if isinstance(record.event, Killed):
                world.hub.measuring.served("ana", "unexpected")

        world.hub._projector.listeners.append(at_once)
        ok(await world.hub.rollout_kill(ROOT, "test"))
        await world.clock.advance(20)
        new, old = await total(world.log, Exposure.NEW, "team-1"), await total(world.log, Exposure.OLD, "team-1")
        assert (new.requests, new.faults, old.requests, old.faults) == (3, 0, 1, 1)


@run
async def test_very_many_clusters_are_joined_in_a_block_and_no_count_is_lost() -> None:
    async with World() as world:
        for number in range(600):
            await world.join(f"agent-{number}")
        await measured(world)
        for number in range(600):
            world.hub.measuring.served(f"agent-{number}", "unexpected" if number % 100 == 0 else "")
        await world.clock.advance(10)
        [block] = await blocks(world.log)
        assert len(block.slices) <= 128
        found = await total(world.log, Exposure.OLD)
        assert (found.requests, found.faults) == (600, 6)


# --- replay, snapshots --------------------------------------------------------------------------------------------


@pytest.mark.requirement("P26")
@run
async def test_a_replay_and_a_snapshot_give_the_same_view() -> None:
    world = World()
    async with world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await measured(world, 100)
        for _ in range(12):
            await world.ask(ana, "bo")
            await world.clock.advance(9)
            await world.poll(bo)
        await world.rollout(0.5)
        await world.ask(ana, "bo")
        await world.clock.advance(4_000)
    live = world.hub._views.measurements
    views = Views()
    streams = Streams(world.log, 10)
    Projector(streams, views).apply([*await records(world.log, PROGRAMME)])
    assert views.measurements.kept == live.kept
    assert views.measurements.recent == live.recent
    saved = msgspec.msgpack.decode(saving.dump(streams, views, {}, world.clock.now()), type=saving.Saved)
    filled = Views()
    saving.fill(saved, Streams(world.log, 10), filled)
    assert filled.measurements.kept == live.kept
    assert filled.measurements.recent == live.recent
    assert snapshot(filled)["measurements"] == snapshot(views)["measurements"]


@pytest.mark.requirement("P4")
@run
async def test_seven_days_on_a_simulated_clock_show_their_days() -> None:
    world = World(limits=msgspec.structs.replace(World().limits, check_seconds=30.0))
    async with world:
        ana, bo = await world.join("ana"), await world.join("bo")
        await measured(world, 7 * 86_400)
        for hour in range(7 * 24):
            of_day = (world.clock.now() // (3_600 * SECOND)) % 24
            for _ in range(12 if 9 <= of_day < 17 else 1):
                question = await world.ask(ana, "bo")
                await world.poll(bo)
                ok(await world.answer(bo, question.question_id))
            assert world.hub.baselines.view().verdict == "inconclusive", hour
            await world.clock.advance(3_600)
        await world.clock.advance(60)
        view = world.hub.baselines.view()
        assert (view.status, view.verdict, view.gaps) == ("ended", "passed", ()), view.explanation
        assert view.season is not None
        busy = {hour for hour, rate in enumerate(view.season.by_hour) if rate is not None and rate > 6}
        assert busy == set(range(9, 17))
        assert view.season.peak_hour in busy
        assert view.season.trough_hour not in busy
        assert view.season.peak_to_trough == pytest.approx(12, rel=0.1)
        assert None not in view.season.by_hour
        assert view.measured is not None
        assert view.measured.exposures["old"].timed == 7 * (8 * 12 + 16)


@pytest.mark.parametrize("days", [0, 1, 4, 20_780, 20_786])
def test_the_hours_of_the_week_begin_on_monday(days: int) -> None:
    at = datetime(1970, 1, 1, 13, 59, 59, tzinfo=UTC) + timedelta(days=days)
    assert hour_of_week(Instant(int(at.timestamp()) * SECOND)) == at.weekday() * 24 + 13
