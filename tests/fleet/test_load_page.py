"""What a report looks like: tables and a page that needs nothing from anywhere; and lanes compared in pairs."""

import asyncio
import io
import random
import re
from xml.etree import ElementTree as ET

import msgspec
import pytest

from crossfade.fleet.load.account import Times
from crossfade.fleet.load.compare import Compared, LanesReport, compare, interval
from crossfade.fleet.load.markdown import lanes_markdown
from crossfade.fleet.load.page import lanes_page, load_page
from crossfade.fleet.load.plots import plot
from crossfade.fleet.load.profile import Carrier, Phase, Profile, ProfileError
from crossfade.fleet.load.report import LoadReport, Sample, SecondRow, Storm
from crossfade.fleet.load.screen import show, show_lanes
from crossfade.fleet.load.slope import Slope
from crossfade.fleet.model import ASSISTANT
from crossfade.fleet.reconcile import Fault

TIMES = Times(n=100, p50=1.0, p95=2.0, p99=3.0, p999=4.0, max=5.0)
NONE = Times(n=0, p50=None, p95=None, p99=None, p999=None, max=None)
REPORT = LoadReport(
    questions=100, answered=100, lost=0, doubled=0, questions_per_second=10.0, delivery_ms=TIMES, answer_ms=TIMES,
    client_cpu=0.2, hub_cpu=0.4, hub_rss_mib=120.0, scenario="baseline", agents=1_000, attached=1_000,
    attach_seconds=0.5, share=0.0, carrier="attend", model="attentive", offered_per_second=10.0, seconds=10.0,
    client_cpu_busiest=0.1, hub_waited=0.01, hub_idle_cpu=0.01, hub_kib_per_agent=28.0, hub_rss_peak_mib=130.0,
    hub_rss_after_mib=119.0, requests=300, bytes_in=10_000, bytes_out=20_000, delivered=100, requests_per_delivery=3.0,
    bytes_per_delivery=300.0, hub_cpu_ms_per_delivery=1.0, empty_polls=5, connections=1_010, repeated_requests=0,
    kinds={"ask": 100}, channels={"poll": 100}, repeats=0, unfinished=0, unacknowledged=0, lateness_ms=TIMES,
    waiting_ms=TIMES, busy_ms=NONE, lanes=(), phases=(), targets_met=True,
    samples=(Sample(1.0, 1_000, 3, 0.4, 0.2, 119.0), Sample(2.0, 1_000, 2, 0.5, 0.2, 120.0)),
    rows=(SecondRow(0, 10, 9, 1.0, 3.0), SecondRow(1, 10, 11, 1.0, None)),
    curve=((0.5, 1.0), (0.99, 3.0)),
)  # fmt: skip


def altered(**changes: object) -> LoadReport:
    return msgspec.structs.replace(REPORT, **changes)


# --- soundness --------------------------------------------------------------------------------------


def test_a_clean_run_is_sound() -> None:
    assert REPORT.sound


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": 1},
        {"doubled": 1},
        {"unfinished": 1},
        {"unacknowledged": 1},
        {"faults": {"HTTP 500": 1}},
        {"reason": "interrupted"},
        {"questions": 0},
        {"leaks": True},
    ],
)
def test_whatever_went_wrong_makes_it_unsound(changes: dict[str, object]) -> None:
    assert not altered(**changes).sound


def test_json_has_the_promised_fields_and_the_series_only_where_wanted() -> None:
    plain = REPORT.fields()
    promised = ["questions", "answered", "lost", "doubled", "questions_per_second", "delivery_ms", "answer_ms"]
    assert list(plain)[:10] == [*promised, "client_cpu", "hub_cpu", "hub_rss_mib"]
    assert list(plain["answer_ms"]) == ["n", "p50", "p95", "p99", "p999", "max"]  # type: ignore[call-overload]
    assert "samples" not in plain
    assert len(REPORT.fields(series=True)["rows"]) == 2  # type: ignore[arg-type]


# --- the page ---------------------------------------------------------------------------------------


def svgs(page: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]  # noqa: S314


def test_the_page_needs_nothing_from_anywhere_and_has_its_plots() -> None:
    page = load_page([REPORT])
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    drawn = svgs(page)
    assert len(drawn) == 6
    for one in drawn:
        assert one.get("aria-label")
        places = [line.get("points", "") for line in one.iter("polyline")]
        assert places
        assert all("nan" not in text and "inf" not in text for text in places)


def test_what_comes_from_outside_is_escaped() -> None:
    page = load_page([altered(faults={"<script>alert(1)</script>": 1}, reason="<b>dead</b>")])
    assert "<script>" not in page
    assert "&lt;b&gt;dead" in page


def test_a_run_without_anything_measured_still_makes_a_page_and_tables() -> None:
    empty = altered(
        questions=0, answer_ms=NONE, delivery_ms=NONE, lateness_ms=NONE, samples=(), rows=(), curve=(), hub_cpu=None,
        hub_rss_mib=None, hub_waited=None, hub_kib_per_agent=None, reason="the hub ended by itself, exit code 1",
        requests_per_delivery=None, bytes_per_delivery=None, hub_cpu_ms_per_delivery=None,
    )  # fmt: skip
    assert "not measured" in load_page([empty])
    screen = io.StringIO()
    show(screen, [empty])
    assert "cut short: the hub ended by itself" in screen.getvalue()


def test_steps_get_a_row_each_and_their_curves() -> None:
    page = load_page([altered(agents=100), altered(agents=1_000)])
    assert "<td>100</td>" in page
    assert "<td>1,000</td>" in page
    assert page.count('<table class="dense">') == 1, "sixteen columns do not fit beside each other otherwise"
    assert '<table class="dense">' not in load_page([altered(agents=100)])
    assert len(svgs(page)) == 9


def test_the_tables_name_faults_warnings_storm_and_leak() -> None:
    screen = io.StringIO()
    leak = Slope(per_hour=12.0, low=3.0, high=21.0, n=60, grows=True)
    told = altered(
        wrong=(Fault("q_1", "no end at its asker"),),
        lost=1,
        warnings=("a load process used 97% of a core",),
        storm=Storm(agents=1_000, reattach_ms=TIMES),
        leak=leak,
        repeats=2,
        journals="somewhere",
    )
    show(screen, [told])
    for text in ("q_1: no end at its asker", "97% of a core", "1,000 agents", "grows", "journals: somewhere"):
        assert text in screen.getvalue()


def test_a_plot_of_one_point_or_a_level_line_is_drawn() -> None:
    for points in ([(1.0, 5.0)], [(1.0, 0.0), (2.0, 0.0)], [(0.0, 1e-9), (1.0, 1e9)]):
        assert svgs(plot("x", [("a", points)], x_unit="s", y_unit="ms"))
    assert svgs(plot("x", [("a", [(0.0, 0.0), (1.0, 0.5), (2.0, 900.0)])], x_unit="s", y_unit="ms", log=True))
    assert "not measured" in plot("x", [("a", [(0.0, 0.0)])], x_unit="s", y_unit="ms", log=True)


def texts(drawn: ET.Element) -> list[str]:
    return [each.text or "" for each in drawn.iter("text")]


def test_a_logarithmic_axis_has_ticks_to_read_values_by() -> None:
    (narrow,) = svgs(plot("x", [("a", [(0.0, 4.6), (1.0, 74.1)])], x_unit="s", y_unit="ms", log=True))
    assert {"5", "10", "20", "50"} <= set(texts(narrow))
    (wide,) = svgs(plot("x", [("a", [(0.0, 0.5), (1.0, 90_000.0)])], x_unit="s", y_unit="ms", log=True))
    assert {"1", "10", "100", "1,000", "10,000"} <= set(texts(wide))
    assert "20" not in texts(wide)


@pytest.mark.parametrize("unit", ["s", "agents", "% of answers", "questions/s offered"])
def test_a_tick_is_not_written_over_the_unit(unit: str) -> None:
    (drawn,) = svgs(plot("x", [("a", [(0.0, 1.0), (100.0, 2.0)])], x_unit=unit, y_unit="ms"))
    below = [each for each in drawn.iter("text") if each.get("y") == "212"]
    last = max(float(each.get("x", "0")) for each in below if each.text != unit)
    assert last + 10 < 628 - 6.2 * len(unit)


def test_without_a_unit_the_last_tick_stays() -> None:
    (drawn,) = svgs(plot("x", [("a", [(0.0, 1.0), (100.0, 2.0)])], x_unit="", y_unit=""))
    assert "100" in texts(drawn)


def test_a_large_number_at_an_axis_is_written_in_full() -> None:
    drawn = plot("Cost", [("median", [(100_000.0, 1.0), (1_000_000.0, 0.5)])], x_unit="", y_unit="")
    assert {">200,000<", ">1,000,000<"} <= set(re.findall(r">[\d.,e+]+<", drawn))


def test_a_point_alone_can_be_seen() -> None:
    (drawn,) = svgs(plot("x", [("a", [(60.0, 24.0)])], x_unit="agents", y_unit="ms"))
    assert len(list(drawn.iter("circle"))) == 1


def test_runs_that_differ_by_their_rate_alone_are_drawn_over_the_rate() -> None:
    page = load_page([altered(offered_per_second=20.0), altered(offered_per_second=60.0)])
    places = {each.get("cx") for each in svgs(page)[0].iter("circle")}
    assert len(places) == 2
    assert "over questions/s offered" in page
    assert "over agents" in load_page([altered(agents=100), altered(agents=1_000)])


def test_a_long_series_keeps_its_peaks() -> None:
    points = [(float(number), 1.0) for number in range(10_000)]
    points[5_003] = (5_003.0, 77.0)
    (drawn,) = svgs(plot("x", [("a", points)], x_unit="s", y_unit="ms"))
    (line,) = drawn.iter("polyline")
    heights = [float(place.partition(",")[2]) for place in line.get("points", "").split()]
    assert len(heights) < 2_000
    assert min(heights) < 40 < max(heights)


# --- lanes ------------------------------------------------------------------------------------------

PROFILE = Profile(agents=10, phases=(Phase("steady", 1, 10),))


async def cheaper(profile: Profile, label: str) -> LoadReport:
    """Elicitation at half the CPU, a little less each round; requests the same."""
    factor = 0.5 + 0.01 * profile.seed if profile.share else 1.0
    return altered(hub_cpu_ms_per_delivery=2.0 * factor, share=profile.share)


def test_lanes_are_compared_in_pairs_on_the_same_schedule_each_round_beginning_with_the_other() -> None:
    order: list[tuple[float, int]] = []

    async def run_one(profile: Profile, label: str) -> LoadReport:
        order.append((profile.share, profile.seed))
        return await cheaper(profile, label)

    report = asyncio.run(compare(PROFILE, 3, run_one))
    assert order == [(0.0, 1), (1.0, 1), (1.0, 2), (0.0, 2), (0.0, 3), (1.0, 3)]
    cpu = measured(report)["hub_cpu_ms"]
    assert (cpu.polling, cpu.rounds) == (2.0, 3)
    assert (cpu.ratio, cpu.ratio_low, cpu.ratio_high, cpu.confidence) == (0.52, 0.51, 0.53, 0.75)
    assert cpu.difference == "too few rounds"
    assert measured(report)["requests"].ratio == 1.0
    assert report.sound
    assert "0.520" in lanes_page(report)
    screen = io.StringIO()
    show_lanes(screen, report)
    assert "0.510 to 0.530" in screen.getvalue()


def measured(report: LanesReport) -> dict[str, Compared]:
    return {one.measure: one for one in report.compared}


async def otherwise(profile: Profile, label: str) -> LoadReport:
    """On elicitation half the requests, more bytes, now more, now less of the hub's time; few deliveries while busy."""
    swing = 1.0 + 0.1 * (-1) ** profile.seed
    if not profile.share:
        return altered(busy_ms=TIMES)
    twice = msgspec.structs.replace(TIMES, n=19, p50=2.0)
    return altered(
        requests_per_delivery=1.5, bytes_per_delivery=400.0, hub_cpu_ms_per_delivery=swing, empty_polls=0, busy_ms=twice
    )


def test_a_difference_is_told_only_where_the_interval_leaves_out_that_there_is_none() -> None:
    report = asyncio.run(compare(PROFILE, 6, otherwise))
    told = {name: one.difference for name, one in measured(report).items()}
    assert (told["requests"], told["bytes"], told["hub_cpu_ms"]) == ("less", "more", "none shown")
    assert told["delivery_waiting_p50_ms"] == "none shown", "about the same is a result"
    assert told["delivery_busy_p50_ms"] == "too few rounds", "nineteen deliveries have no quantiles"
    assert measured(report)["empty_polls"].ratio == 0.0
    assert measured(report)["requests"].confidence == 0.9688
    assert report.agent == PROFILE.model
    text = lanes_markdown(report)
    assert "| requests | 3.000 | 1.500 | 0.500 | 0.500 to 0.500 | 96.9% | less | 6 |" in text
    assert "works 0 s between two waits" in text


@pytest.mark.parametrize(("count", "place", "held"), [(1, 1, 0.0), (5, 1, 0.9375), (6, 1, 0.9688), (9, 2, 0.9609)])
def test_the_interval_of_a_median_presumes_nothing_and_says_how_often_it_holds(
    count: int, place: int, held: float
) -> None:
    low, high, confidence = interval([float(number) for number in range(count, 0, -1)])
    assert (low, high, round(confidence, 4)) == (place, count + 1 - place, held)


def test_an_interval_holds_the_median_as_often_as_it_says() -> None:
    dice, hits = random.Random(1), 0
    for _ in range(4_000):
        low, high, _ = interval([dice.lognormvariate(0.0, 1.0) for _ in range(6)])
        hits += low <= 1.0 <= high
    assert 0.96 <= hits / 4_000 <= 0.98


def test_a_carrier_on_which_agents_hear_while_they_work_is_not_compared_with_one_on_which_they_do_not() -> None:
    busy = msgspec.structs.replace(PROFILE, model=ASSISTANT, carrier=Carrier.STREAM)
    with pytest.raises(ProfileError, match="hears while it works"):
        asyncio.run(compare(busy, 6, cheaper))


def test_a_run_that_is_cut_short_ends_the_comparison_and_its_pair_does_not_count() -> None:
    async def run_one(profile: Profile, label: str) -> LoadReport:
        return altered(reason="interrupted" if profile.share and profile.seed == 2 else "")

    report = asyncio.run(compare(PROFILE, 5, run_one))
    assert (report.rounds, report.reason, report.sound) == (1, "interrupted", False)


@pytest.mark.parametrize("rounds", [0, -1, 101])
def test_a_number_of_rounds_that_cannot_be_meant_is_refused(rounds: int) -> None:
    with pytest.raises(ProfileError, match="--rounds"):
        asyncio.run(compare(PROFILE, rounds, cheaper))
