"""Gates on a live hub: real sockets, a real disk, a real fleet, and a real fault in one of the hub's ports."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crossfade.core.measurement_events import BlockRecorded
from crossfade.core.question_events import Exposure
from crossfade.core.stage_events import Returned, Status
from crossfade.core.values import SECOND
from tests.kit.live_gates import PLAN, LiveFleet, SlowLog, StallingCourier, Watched, crossfade, hurt_hub, run

BEYOND_A_SECOND = -1
"""Place of the edge at 1,000 ms."""
AFTERWARDS = 100
"""Questions that are answered after all that is to be seen was seen."""


class Scene(msgspec.Struct):
    """A plan at a quarter of a live fleet."""

    url: str
    token: str
    seen: Watched
    courier: StallingCourier
    disk: SlowLog
    fleet: LiveFleet

    async def told(self, *words: str) -> str:
        """What a command says."""
        return await crossfade(self.url, self.token, *words)


@asynccontextmanager
async def at_a_quarter(folder: Path, *, agents: int, rate: float) -> AsyncIterator[Scene]:
    """The plan has come to 25 % by itself, and two blocks of it are measured."""
    courier = StallingCourier()
    (folder / "plan.yaml").write_text(PLAN, "utf-8")
    async with hurt_hub(folder / "hub", courier) as (url, token, seen, disk):
        fleet = LiveFleet(url, token, agents=agents, rate=rate)
        try:
            await fleet.asking()
            await crossfade(url, token, "rollout", "start", "--plan", str(folder / "plan.yaml"))
            await seen.until(lambda: seen.baked(stage=1, blocks=2))
            assert seen.hub.rollout().share == 0.25
            yield Scene(url, token, seen, courier, disk, fleet)
        finally:
            await fleet.gone()


async def whole(fleet: LiveFleet) -> None:
    """It goes on; nothing was lost or doubled, by the agents' own journals, and both lanes were used."""
    await fleet.answers(more=AFTERWARDS)
    report = await fleet.report()
    assert (report.lost, report.doubled, report.unfinished, report.faults) == (0, 0, 0, {}), report.wrong
    assert (report.unacknowledged, report.reason) == (0, "interrupted"), "it was told that it is enough, and no more"
    assert report.answered == report.questions > 0
    assert {"native", "poll"} <= set(report.channels)


async def rolled_back(it: Scene, every: int = 1) -> dict[str, Any]:
    """Stall the delivery to the elicitation lane for good, and see everybody taken back; the figures of it."""
    stalled_at = it.seen.hub._c.clock.now()
    it.courier.stalled, it.courier.every = True, every
    await it.seen.until(lambda: bool(it.seen.of(Returned)))
    it.courier.go_on()
    back, returned = it.seen.back, it.seen.of(Returned)[0]
    assert back is not None
    new, old = (it.seen.counted(exposure, stalled_at - SECOND) for exposure in (Exposure.NEW, Exposure.OLD))
    return {
        "back": back,
        "stall_to_share_0_seconds": (returned.at - stalled_at) / SECOND,
        "block_to_share_0_seconds": (returned.at - back.until_at) / SECOND,
        "of_which_the_machine_was_busy": it.seen.kept_from_it(back.until_at, returned.at),
        "measured_on_elicitation": new.timed,
        "late_on_elicitation": new.over[BEYOND_A_SECOND] / max(1, new.timed),
        "late_on_polling": old.over[BEYOND_A_SECOND] / max(1, old.timed),
    }


def within_a_second(found: dict[str, Any]) -> None:
    """Not counting what others took of the processors: the loop's wait is known, the log's thread had one like it."""
    assert found["block_to_share_0_seconds"] <= 1.0 + 2 * found["of_which_the_machine_was_busy"], found


def say(found: dict[str, Any]) -> None:
    """The figures, for whoever runs this with ``-s``."""
    sys.stdout.write(f"\n{ {name: round(value, 3) for name, value in found.items() if name != 'back'} }\n")


@pytest.mark.slow
@pytest.mark.requirement("P9", "P14")
@pytest.mark.parametrize("every", [1, 8])
def test_a_stalled_delivery_worker_at_a_quarter_of_500_agents_takes_everybody_back_and_loses_nothing(
    tmp_path: Path, every: int
) -> None:
    async def scenario() -> None:
        async with at_a_quarter(tmp_path, agents=500, rate=40.0) as it:
            found = await rolled_back(it, every)
            back = found["back"]
            assert found["late_on_elicitation"] >= 0.05, found
            assert (back.said.name, back.share, back.stage) == ("trigger.p99", 0.25, 1)
            assert len(back.said.named) >= 3, "it is no single noisy cluster"
            within_a_second(found)
            blocks = [record.event for record in it.seen.of(BlockRecorded)]
            deciding = next(place for place, one in enumerate(blocks) if one.until_at == back.until_at)  # type: ignore[attr-defined]
            assert it.seen.share_at_block[deciding - 1 : deciding + 1] == [0.25, 0.0], "in the turn that recorded it"
            assert it.seen.hub.rollout().agents_on_elicitation == 0
            for_who_slept(await it.told("gate", "explain", "trigger.p99"), back.said.named)
            await whole(it.fleet)
            say(found)

    run(scenario())


def for_who_slept(story: str, named: tuple[str, ...]) -> None:
    """What, when, whom, on what evidence, beyond which threshold, what was done, and what to do now."""
    for part in (
        "Rolled back at 20", "from 0.25 of the fleet (stage 2 of 2) to 0, because trigger.p99 fired.",
        "deliveries slower than 1000 ms, of which 1 % may be", f"Clusters that showed it most: {', '.join(named)}.",
        "Everybody was on the polling lane again at 20", "s after the measurement that decided it",
        "Open questions are offered again on polling; none is lost.", "crossfade rollout resume",
        "bad of", "observations", "E = ", "decides at", "Guarantee: ",
        "accepted by operator, 2 stages", "stage 1 of 2: share 0.1", "stage 2 of 2: share 0.25",
        "ROLLED BACK from 0.25: trigger.p99", "share 0 is in force",
    ):  # fmt: skip
        assert part in story, story


@pytest.mark.slow
@pytest.mark.requirement("P8", "P9")
def test_a_slow_disk_that_hurts_both_lanes_alike_holds_and_does_not_blame_the_new_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with at_a_quarter(tmp_path, agents=160, rate=30.0) as it:
            slow_at = it.seen.hub._c.clock.now()
            it.disk.seconds = 1.2
            await it.seen.until(lambda: "shared" in it.seen.held_for or it.seen.back is not None)
            await it.seen.until(lambda: len(it.seen.of(BlockRecorded)) >= settled)
            new, old = (it.seen.counted(exposure, slow_at) for exposure in (Exposure.NEW, Exposure.OLD))
            assert new.over[BEYOND_A_SECOND] > new.timed / 2, "the lane on trial is beyond its limit by far"
            assert old.over[BEYOND_A_SECOND] > old.timed / 2
            assert it.seen.back is None
            assert it.seen.held_for[-1] == "shared"
            state = it.seen.hub._c.views.plan.state
            assert (state.status, it.seen.hub.rollout().share) == (Status.BAKING, 0.25)
            story = await it.told("gate", "explain", "trigger.p99")
            for part in ("trigger.p99 is inconclusive (shared).", "HOLD (shared)", "stage 2 of 2: share 0.25", "E = ",
                "old side is hurt alike: the release is not to blame and going back would not help",
            ):  # fmt: skip
                assert part in story, story
            assert "ROLLED BACK" not in story
            it.disk.seconds = 0.0
            await whole(it.fleet)

    settled = 12
    run(scenario())


class Dead:
    """What was measured, for whoever wants to read it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("the measurements cannot be read")


@pytest.mark.slow
@pytest.mark.requirement("P14")
def test_the_trigger_takes_everybody_back_within_a_second_while_nobody_can_read_a_measurement(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with at_a_quarter(tmp_path, agents=160, rate=30.0) as it:
            view = it.seen.hub._c.views.measurements
            view.fold = lambda *_: None  # type: ignore[method-assign]
            view.share_changed = lambda *_: None  # type: ignore[method-assign]
            view.recent = Dead()  # type: ignore[assignment]
            view.kept.whole = view.kept.stage = view.kept.hours = view.kept.cells = Dead()  # type: ignore[assignment]
            with pytest.raises(RuntimeError, match="cannot be read"):
                it.seen.hub.baselines.measurements()
            found = await rolled_back(it)
            assert found["back"].said.name == "trigger.p99"
            within_a_second(found)
            assert it.seen.hub.rollout().share == 0.0
            await whole(it.fleet)
            say(found)

    run(scenario())
