"""A check is evidence only if it fails when its subject is broken on purpose."""

import pytest

from crossfade.core.run_events import Verdict
from crossfade.core.values import SECOND, Instant
from crossfade.engine.checks import Checks
from crossfade.engine.ports import UnavailableError
from crossfade.engine.requests import AskRequest
from crossfade.engine.run_ports import CheckCall
from tests.kit.faulty import FaultyLog
from tests.kit.hub import ROOT, YES_NO, World, ok, run


async def verdict(world: World, name: str) -> Verdict:
    """What the check says of this hub now."""
    hub = world.hub
    checks = Checks(hub._c, hub._migration, lambda: hub.ready, {})
    return (await checks.judge(name, CheckCall(run_id="", args={}))).verdict


@run
async def test_a_check_that_nobody_wrote_never_passes() -> None:
    async with World() as world:
        assert await verdict(world, "certificate.is_nice") is Verdict.ERRORED


@run
async def test_a_question_that_outlived_its_deadline_is_found() -> None:
    async with World() as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        await world.ask(ana, "bo", deadline_seconds=10)
        assert await verdict(world, "questions.none_lost") is Verdict.PASSED
        world.clock._now = Instant(world.clock.now() + 60 * SECOND)  # and no timer has run
        assert await verdict(world, "questions.none_lost") is Verdict.FAILED


@run
async def test_a_held_rollout_is_found() -> None:
    async with World() as world:
        ok(await world.hub.rollout_start(ROOT, "test"))
        assert await verdict(world, "rollout.not_held") is Verdict.PASSED
        ok(await world.hub.rollout_hold(ROOT, "drill"))
        assert await verdict(world, "rollout.not_held") is Verdict.FAILED


@run
async def test_a_hub_whose_disk_failed_is_found() -> None:
    log = FaultyLog()
    async with World(log) as world:
        ana, _ = await world.join("ana"), await world.join("bo")
        assert await verdict(world, "hub.ready") is Verdict.PASSED
        log.always = "unavailable"
        with pytest.raises(UnavailableError):
            await world.hub.ask(ana, AskRequest(to="bo", message="Now?", schema=YES_NO))
        assert await verdict(world, "hub.ready") is Verdict.FAILED
        log.always = "fine"
