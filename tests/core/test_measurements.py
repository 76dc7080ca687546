"""Measurements: when blocks are taken, which contradict themselves, and what a gate reads of them."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core import baselines, histograms, measurements
from crossfade.core.baselines import Measured, Wanted
from crossfade.core.decider import Refusal
from crossfade.core.measurements import (
    EDGES_MS,
    Begin,
    BlockRecorded,
    End,
    Exposure,
    Reason,
    Record,
    Slice,
    added,
    max_rate_of,
    numbers,
    slice_of,
    stream_of,
)
from crossfade.core.run_events import Verdict
from crossfade.core.values import SECOND, Instant
from tests.kit.machines import Machine, documented
from tests.kit.tables import ids, rows

NOW = Instant(1_000 * SECOND)


def block(since: float = 1_000, until: float = 1_010, *slices: Slice, down: float = 0.0) -> BlockRecorded:
    return BlockRecorded(
        from_at=Instant(int(since * SECOND)), until_at=Instant(int(until * SECOND)), slices=slices, down_seconds=down
    )


def part(**counts: object) -> Slice:
    return msgspec.convert({"cluster": "a", "exposure": "new", **counts}, type=_Named).slice()


class _Named(msgspec.Struct):
    """A slice by the names of its fields."""

    cluster: str
    exposure: Exposure
    over: tuple[int, ...] = (0,) * len(EDGES_MS)
    timed: int = 0
    requests: int = 0
    faults: int = 0
    delivered: int = 0
    undelivered: int = 0
    asked: int = 0

    def slice(self) -> Slice:
        return Slice(**msgspec.structs.asdict(self))


COMMANDS = {
    "baseline": Begin(reason=Reason.BASELINE, seconds=100),
    "baseline of 0 s": Begin(reason=Reason.BASELINE),
    "baseline of 2 years": Begin(reason=Reason.BASELINE, seconds=2 * 366 * 86_400),
    "rollout": Begin(reason=Reason.ROLLOUT),
    "rollout, blocks of 0 s": Begin(reason=Reason.ROLLOUT, check_seconds=0),
    "rollout, blocks of 2 h": Begin(reason=Reason.ROLLOUT, check_seconds=7_200),
    "rollout, blocks of nan s": Begin(reason=Reason.ROLLOUT, check_seconds=math.nan),
    "block": Record(block=block()),
    "block that overlaps": Record(block=block(999, 1_010)),
    "block after a hole": Record(block=block(1_100, 1_110)),
    "block that ends early": Record(block=block(1_020, 1_019)),
    "block, bad counts": Record(block=block(1_010, 1_020, part(requests=1, faults=2))),
    "end of baseline": End(reason=Reason.BASELINE, why="w"),
    "end of rollout": End(reason=Reason.ROLLOUT, why="w"),
}
GIVEN = {
    "nothing": ([], NOW),
    "baseline": (["baseline"], NOW),
    "rollout": (["rollout"], NOW),
    "both": (["baseline", "rollout"], NOW),
    "a block taken": (["rollout", "block"], NOW),
    "over": (["rollout", "block", "end of rollout"], NOW),
}
MACHINE = Machine(
    measurements.DECIDER,
    COMMANDS,
    GIVEN,
    lambda state: f"{state.status} {'+'.join(state.reasons) or '-'} until {state.until_at // SECOND}",
    NOW,
)
TABLE = rows("measurements")


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_that_the_table_says(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def test_every_transition_is_reached_and_every_refusal_is_documented() -> None:
    assert MACHINE.transitions() == set(measurements.NEXT)
    assert MACHINE.refusals() == documented(measurements.decide)


def test_an_impossible_history_raises() -> None:
    for event in (block(), measurements.Ended(reason=Reason.ROLLOUT), measurements.Left(reason=Reason.ROLLOUT)):
        with pytest.raises(KeyError):
            measurements.evolve(measurements.State(), event)


def test_time_matters_to_a_baseline_alone() -> None:
    assert measurements.deadline(MACHINE.after("baseline")) == NOW + 100 * SECOND
    assert measurements.deadline(MACHINE.after("baseline", "rollout")) == NOW + 100 * SECOND
    assert measurements.deadline(MACHINE.after("rollout")) is None
    assert measurements.deadline(MACHINE.after("baseline", "rollout", "end of baseline")) is None


BAD = {
    "more faults than requests in the slice a, new": part(requests=1, faults=2),
    "more late deliveries than deliveries in the slice a, new": part(timed=1, over=(2, 0, 0, 0, 0, 0)),
    "more late deliveries than deliveries in the slice a, new ": part(timed=3, over=(1, 2, 0, 0, 0, 0)),
    "more late deliveries than deliveries in the slice a, new  ": part(timed=3, over=(0, 0, 0, 0, 0, -1)),
    "2 edges in the slice a, new, 6 are counted": part(timed=3, over=(1, 0)),
    "a count below 0 in the slice a, new": part(undelivered=-1),
}


@pytest.mark.parametrize(("said", "bad"), BAD.items())
def test_counts_that_contradict_themselves_are_refused_and_named(said: str, bad: Slice) -> None:
    outcome = measurements.decide(MACHINE.after("rollout"), Record(block=block(1_000, 1_010, bad)), NOW)
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.message) == ("measurement.bad_counts", f"Impossible counts: {said.strip()}.")


@pytest.mark.parametrize("down", [-1.0, 12.0, math.nan, math.inf])
def test_a_block_cannot_be_down_for_longer_than_it_is(down: float) -> None:
    outcome = measurements.decide(MACHINE.after("rollout"), Record(block=block(down=down)), NOW)
    assert isinstance(outcome, Refusal)
    assert "down" in outcome.message


def test_a_cluster_is_there_once_for_each_exposure() -> None:
    old = msgspec.structs.replace(part(), exposure=Exposure.OLD)
    assert measurements.why_bad(block(0, 1, part(), old)) == ""
    assert "twice" in measurements.why_bad(block(0, 1, part(), part()))
    many = [msgspec.structs.replace(part(), cluster=str(number)) for number in range(measurements.SLICES_MAX + 1)]
    assert "at most" in measurements.why_bad(block(0, 1, *many))


COUNTED = st.lists(st.integers(0, 10**9), min_size=len(numbers(part())), max_size=len(numbers(part())))


@given(st.lists(COUNTED, max_size=5))
def test_slices_add_up_place_by_place_and_come_back_from_the_disk(counts: list[list[int]]) -> None:
    slices = [slice_of("a", Exposure.NEW, row) for row in counts]
    total = added(slices, "a", Exposure.NEW)
    assert list(numbers(total)) == [sum(column) for column in zip(*counts, strict=True)] or not counts
    for one in (*slices, total):
        assert msgspec.json.decode(msgspec.json.encode(one), type=Slice) == one


def test_the_edges_are_those_of_the_histograms() -> None:
    assert EDGES_MS == histograms.EXACT_MS


@pytest.mark.parametrize("place", range(len(EDGES_MS)))
def test_a_latency_is_counted_at_its_limit_whatever_the_quantile(place: int) -> None:
    one = part(timed=100, over=(60, 50, 40, 30, 20, 10))
    for metric, rate in (("latency_p50_ms", 0.5), ("latency_p95_ms", 0.05), ("latency_p99_ms", 0.01)):
        assert stream_of(metric, EDGES_MS[place])(one) == (100, 60 - 10 * place)
        assert max_rate_of(metric, EDGES_MS[place]) == rate
    assert max_rate_of("latency_p999_ms", 1_000) == 0.001


def test_errors_and_deliveries_are_counted_with_what_they_are_a_part_of() -> None:
    one = part(requests=1_000, faults=3, delivered=90, undelivered=10, timed=95)
    assert stream_of("error_rate", 0.001)(one) == (1_000, 3)
    assert stream_of("delivery_rate", 0.999)(one) == (100, 10)
    assert max_rate_of("error_rate", 0.001) == 0.001
    assert max_rate_of("delivery_rate", 0.999) == pytest.approx(0.001)


@pytest.mark.parametrize("limit", [0.0, 49.0, 250.0, 5_000.0, math.nan, math.inf, -50.0])
def test_a_limit_that_is_no_edge_is_refused_with_the_edges(limit: float) -> None:
    with pytest.raises(ValueError, match="50, 100, 200, 300, 500, 1000 ms"):
        stream_of("latency_p99_ms", limit)


@pytest.mark.parametrize("metric", ["availability", "data_loss", "latency_p42_ms", ""])
def test_what_is_no_stream_of_counts_has_none(metric: str) -> None:
    with pytest.raises(KeyError):
        stream_of(metric, 50)
    with pytest.raises(KeyError):
        max_rate_of(metric, 50)


# --- baselines ------------------------------------------------------------------------------------------------


def measured(hours: float, *missing: tuple[float, float], samples: int = 100, ended: bool = True) -> Measured:
    stretches = tuple((Instant(int(a * SECOND)), Instant(int(b * SECOND))) for a, b in missing)
    return Measured(
        from_at=Instant(0), until_at=Instant(int(hours * 3_600) * SECOND), missing=stretches,
        missing_seconds=sum(b - a for a, b in missing), samples=samples, ended=ended,
    )  # fmt: skip


WANTED = Wanted(seconds=24 * 3_600, samples_min=100)
JUDGED = {
    "whole": (measured(24), "passed", ""),
    "whole, still going on": (measured(24, ended=False), "passed", ""),
    "a gap of a minute": (measured(24, (100, 160)), "passed", ""),
    "a gap of more": (measured(24, (100, 160.5)), "errored", "not_measured"),
    "a gap, still going on": (measured(2, (100, 161), ended=False), "errored", "not_measured"),
    "many short gaps": (measured(24, *((600 * n, 600 * n + 59) for n in range(15))), "errored", "not_measured"),
    "too short": (measured(23.9), "errored", "not_measured"),
    "too short, still going on": (measured(18, ended=False), "inconclusive", "not enough yet"),
    "too few samples": (measured(24, samples=99), "errored", "not_measured"),
    "too few samples, still going on": (measured(24, samples=99, ended=False), "inconclusive", "not enough yet"),
    "no samples": (measured(24, samples=0), "errored", "not_measured"),
}


@pytest.mark.requirement("P4")
@pytest.mark.parametrize(("reached", "verdict", "reason"), JUDGED.values(), ids=JUDGED)
def test_a_baseline_that_can_never_pass_is_errored_and_one_that_is_going_on_inconclusive(
    reached: Measured, verdict: str, reason: str
) -> None:
    found = baselines.judge(WANTED, reached)
    assert (found.verdict, found.reason) == (verdict, reason), found.explanation
    assert found.seconds_left == (6 * 3_600 if reached.until_at == 18 * 3_600 * SECOND else 0)


def test_without_a_sample_a_baseline_never_passes_even_if_none_were_wanted() -> None:
    assert baselines.judge(Wanted(seconds=1), measured(24, samples=0)).verdict is Verdict.ERRORED


@pytest.mark.requirement("P4")
def test_gaps_are_named_with_both_ends() -> None:
    found = baselines.judge(WANTED, measured(24, (100, 220), (300, 330), (7_000, 7_300)))
    assert [(a // SECOND, b // SECOND) for a, b in found.gaps] == [(100, 220), (7_000, 7_300)]
    assert found.explanation == "2 gap(s) longer than 60 s, the longest of 300 s"


def test_a_season_has_rates_by_the_hour_and_none_where_nothing_was_measured() -> None:
    counts, seconds = [0] * 168, [0.0] * 168
    counts[9], seconds[9] = 30, 1_800.0  # Monday 09:00, half an hour
    counts[24 + 9], seconds[24 + 9] = 120, 3_600.0
    seconds[24 + 3] = 3_600.0
    season = baselines.season(counts, seconds)
    assert season.by_hour[9] == 100.0
    assert (season.by_hour[3], season.by_hour[10]) == (0.0, None)
    assert season.by_day[:3] == (60.0, 60.0, None)
    assert (season.peak_hour, season.trough_hour) == (9, 3)
    assert baselines.season([0] * 168, [0.0] * 168).peak_hour is None
