"""Measured points: every fourth is left out, what is no steady state is refused, and the file is read strictly."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from crossfade.core.capacity import Point, Rung
from crossfade.fleet.capacity import campaign
from crossfade.fleet.capacity.campaign import GRID, GRID_QUICK, CampaignError, Wish, measure
from crossfade.fleet.capacity.points import Machine, Measurements, PointsError, load, save
from crossfade.fleet.capacity.probe import Reading
from crossfade.fleet.load.profile import Profile, ProfileError
from crossfade.fleet.load.run import Watch

WISH = Wish(agents=100, questions_per_second=50.0, seconds=10.0)
LOOKS = 10


def reading(second: float, profile: Profile) -> Reading:
    return Reading(
        at_ns=int(second * 1e9),
        cpu_ns=int((second * profile.rate / 1_000 + (second > 0)) * 1e9),  # a second of it to begin with
        write_calls=int(second * profile.rate * 4),
        written_bytes=int(second * profile.rate * 4_096),
        memory_mib=50.0 + profile.agents / 100,
        connections=profile.agents + 7,
    )


def report(**more: object) -> SimpleNamespace:
    given = {"reason": "", "sound": True, "hub_waited": 0.0, "lost": 0, "doubled": 0, "warnings": [], "questions": 500}
    return SimpleNamespace(**{**given, "offered_per_second": 50.0, "questions_per_second": 50.0, **more})


class Hub:
    """Plays every point: the campaign's readings and clock come from here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **said: object) -> None:
        self.profiles: list[Profile] = []
        self.said = said
        self.waits: list[float] = []
        """How long the hub had to wait in the next runs."""
        self._second = 0.0
        monkeypatch.setattr(campaign, "look", lambda *_: reading(self._second, self.profiles[-1]))
        monkeypatch.setattr(campaign, "monotonic_ns", lambda: int(self._second * 1e9))

    async def point(self, profile: Profile, label: str, watch: Watch) -> SimpleNamespace:
        self.profiles.append(profile)
        assert label.startswith("point ")
        for look in range(LOOKS):
            self._second = profile.seconds * look / LOOKS
            gauge = SimpleNamespace(
                target=SimpleNamespace(pid=1, port=2), answered=int(profile.rate * self._second * 0.96)
            )
            watch("questions", look / LOOKS, gauge)  # type: ignore[arg-type]
        return report(**{**self.said, **({"hub_waited": self.waits.pop(0)} if self.waits else {})})

    async def rungs(self, in_flight: tuple[int, ...], seconds: float) -> list[Rung]:
        assert seconds == WISH.seconds / 2
        return [Rung(in_flight=count, questions_per_second=100.0 * count) for count in in_flight]

    def measured(self, wish: Wish = WISH) -> Measurements:
        return asyncio.run(measure(wish, self.point, self.rungs))  # type: ignore[arg-type]


def test_every_fourth_point_is_left_out_and_lies_within_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    found = hub.measured()
    assert (len(found.points), len(found.held_out), len(hub.profiles)) == (12, 4, 16)
    for name in ("agents", "questions_per_second", "elicitation_share"):
        learnt = [getattr(point, name) for point in found.points]
        assert all(min(learnt) < getattr(point, name) < max(learnt) for point in found.held_out), name


def test_a_quick_campaign_has_fewer_points_and_the_same_extremes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Hub(monkeypatch).measured(msgspec.structs.replace(WISH, quick=True))
    assert (len(found.points), len(found.held_out)) == (9, 3)
    for place in range(3):
        whole, quick = ({point[place] for point in grid} for grid in (GRID, GRID_QUICK))
        assert (min(whole), max(whole)) == (min(quick), max(quick))


def test_figures_are_of_the_stretch_after_the_warm_up_and_the_rate_is_what_was_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = Hub(monkeypatch).measured().points[1]
    assert point.agents == 100
    assert point.questions_per_second == pytest.approx(10 * 0.96, rel=0.02)
    assert point.cores == pytest.approx(0.01)
    assert point.log_writes_per_second == pytest.approx(40)
    assert point.log_mib_per_second == pytest.approx(10 * 4_096 / 1_048_576, rel=0.01)
    assert (point.memory_mib, point.connections) == (51.0, 107)


def test_a_point_of_few_questions_is_held_longer_but_not_in_a_quick_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    hub.measured()
    held = {(profile.rate / WISH.questions_per_second, profile.seconds) for profile in hub.profiles}
    assert {seconds for share, seconds in held if share <= 0.4} == {2 * WISH.seconds}
    assert {seconds for share, seconds in held if share > 0.4} == {WISH.seconds}
    quick = Hub(monkeypatch)
    quick.measured(msgspec.structs.replace(WISH, quick=True))
    assert {profile.seconds for profile in quick.profiles} == {WISH.seconds}


def test_a_disturbed_point_is_taken_again_and_the_quietest_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    hub.waits = [0.5, 0.3, 0.4, 0.5, 0.1]
    hub.measured()
    first, second = hub.profiles[0], hub.profiles[3]
    assert [profile == first for profile in hub.profiles[:4]] == [True, True, True, False], "three runs at most"
    assert [profile == second for profile in hub.profiles[3:6]] == [True, True, False], "quiet enough ends it"


def test_a_point_that_stays_disturbed_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    hub.waits = [0.5, 0.31, 0.4, 0.3, 0.3, 0.3]
    found = hub.measured()
    assert (len(found.points), len(found.held_out)) == (11, 4)
    assert "left out, because the hub had to wait for 31%" in found.warnings[0]


def test_of_several_runs_the_one_with_the_least_wait_is_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, warnings=["crowded"])
    runs = iter([(0.5, 10), (0.3, 20), (0.4, 30)])
    taken = campaign.Keeper.point

    def point(keeper: campaign.Keeper, said: object) -> Point:
        found = next(runs, None)
        whole = taken(keeper, said)  # type: ignore[arg-type]
        assert whole is not None
        return whole if found is None else msgspec.structs.replace(whole, connections=found[1])

    monkeypatch.setattr(campaign.Keeper, "point", point)
    hub.waits = [0.29, 0.2, 0.25]
    assert hub.measured().points[0].connections == 20


def test_a_quick_campaign_takes_each_point_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, hub_waited=0.9)
    hub.measured(msgspec.structs.replace(WISH, quick=True))
    assert len(hub.profiles) == len(GRID_QUICK)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"sound": False, "lost": 2}, "2 lost, 0 doubled"),
        ({"reason": "the hub ended by itself"}, "ended by itself"),
    ],
)
def test_nothing_is_made_of_a_point_that_is_not_sound(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, object], match: str
) -> None:
    hub = Hub(monkeypatch, **said)
    with pytest.raises(CampaignError, match=match):
        hub.measured()
    assert len(hub.profiles) == 1


def test_a_hub_that_cannot_be_read_ends_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    monkeypatch.setattr(campaign, "look", lambda *_: None)
    with pytest.raises(CampaignError, match="needs Linux"):
        hub.measured()


def test_a_run_that_was_not_read_twice_is_made_again_even_in_a_quick_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, unread = Hub(monkeypatch), [True, True, False, True]
    taken = campaign.Keeper.point

    def point(keeper: campaign.Keeper, said: object) -> Point | None:
        return None if unread and unread.pop(0) else taken(keeper, said)  # type: ignore[arg-type]

    monkeypatch.setattr(campaign.Keeper, "point", point)
    found = hub.measured(msgspec.structs.replace(WISH, quick=True))
    assert len(found.points) + len(found.held_out) == len(GRID_QUICK)
    assert len(hub.profiles) == len(GRID_QUICK) + 3
    assert hub.profiles[0] == hub.profiles[2]


def test_a_hub_that_did_not_keep_up_is_a_warning_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Hub(monkeypatch, questions_per_second=30.0).measured()
    assert "point 1 of 16" in found.warnings[0]
    assert "answered 30 of 50 a second" in found.warnings[0]


@pytest.mark.parametrize(
    "change", [{"agents": 5}, {"questions_per_second": float("nan")}, {"questions_per_second": 0.0}]
)
def test_a_wish_that_cannot_be_measured_is_refused_before_the_first_point(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, float]
) -> None:
    hub = Hub(monkeypatch)
    with pytest.raises(ProfileError):
        hub.measured(msgspec.structs.replace(WISH, **change))
    assert hub.profiles == []


# --- the file -----------------------------------------------------------------------------------------

POINT = Point(
    agents=10, questions_per_second=5.0, elicitation_share=0.0, cores=0.1, memory_mib=60.0,
    log_writes_per_second=20.0, log_mib_per_second=0.1, connections=12.0,
)  # fmt: skip
WHOLE = Measurements(
    capacity=1, version="1", machine=Machine(processors=2, model="m", memory_mib=1, system="s", python="3"),
    seconds=2.0, agent_model="attentive", points=(POINT,), held_out=(POINT,),
    rungs=(Rung(in_flight=1, questions_per_second=100.0),),
)  # fmt: skip


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save(tmp_path / "points.json", WHOLE)
    assert load(tmp_path / "points.json") == WHOLE


@pytest.mark.parametrize(
    ("old", "put", "match"),
    [
        ('"capacity": 1', '"capacity": 2', "capacity"),
        ('"seconds": 2.0', '"seconds": 2.0, "more": 1', "more"),
        ('"agents": 10', '"agents": 0', r"points\[0\]\.agents is 0, not above 0"),
        ('"agents": 10', '"agents": "ten"', "agents"),
        ('"cores": 0.1', '"cores": -0.1', r"points\[0\]\.cores is -0.1"),
        ('"cores": 0.1', '"cores": NaN', "not a file of measured points"),
        ('"cores": 0.1,', "", "cores"),
        ('"elicitation_share": 0.0', '"elicitation_share": 1.5', "elicitation_share is 1.5, not 0 to 1"),
        ('"in_flight": 1', '"in_flight": 0', r"rungs\[0\]"),
        ("{", "", "not a file of measured points"),
    ],
)
def test_a_damaged_file_is_refused_and_the_place_named(tmp_path: Path, old: str, put: str, match: str) -> None:
    path = tmp_path / "points.json"
    save(path, WHOLE)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, put, 1), "utf-8")
    with pytest.raises(PointsError, match=match) as caught:
        load(path)
    assert "capacity measure" in caught.value.hint


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PointsError, match="does not exist"):
        load(tmp_path / "none.json")
    with pytest.raises(PointsError, match="directory"):
        load(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PointsError, match="not a file of measured points"):
        load(tmp_path / "bytes.json")
