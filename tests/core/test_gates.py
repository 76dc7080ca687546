"""Gates: what each kind says of what happens to a service, and what nobody can make them say."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core.gates import Count, Exposure, Gates, Judging, Kind, Spec, contradictions, judge, judging, slips
from crossfade.core.gates.comparison import PROVES_BETTER, PROVES_WORSE, SIZES, comparison
from crossfade.core.values import SECOND, Instant
from tests.kit.gates import always, names, seconds_of, together, traffic

pytestmark = pytest.mark.requirement("P17")

PROMOTION = Spec(name="errors", kind=Kind.PROMOTION, max_rate=0.01, block_seconds=600)
COUNTED = msgspec.structs.replace(PROMOTION, block_seconds=0)
TRIGGER = Spec(name="errors", kind=Kind.TRIGGER, max_rate=0.05)
AB = Spec(name="errors", kind=Kind.AB, block_seconds=600)
SPLIT = Spec(name="split", kind=Kind.SAMPLE_RATIO, expected_share=0.25)


def sides(new, old, **more):
    """New and old side in the same minutes."""
    return together(
        traffic(names(8), new, **more),
        traffic(names(12, "old"), old, exposure=Exposure.OLD, seed=2, **more),
    )


def watching(spec):
    watch = judging(spec)
    assert isinstance(watch, Judging)
    return watch


def between(told):
    """Its interval; both ends are known."""
    low, high = told.interval
    return low, high


def verdict(spec, counts, **more):
    result = judge(spec, counts, **more)
    return result.verdict.value, result.reason


# --- promotion ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [PROMOTION, COUNTED])
def test_a_healthy_service_is_proven_and_a_sick_one_is_proven_sick(spec):
    good = judge(spec, traffic(names(20), always(0.001), steps=600))
    assert (good.verdict, good.reason, good.needed) == ("passed", "proven", None)
    assert between(good)[1] < 0.01
    assert good.threshold
    assert good.evidence >= good.threshold
    bad = judge(spec, traffic(names(20), always(0.03), steps=600))
    assert (bad.verdict, bad.reason) == ("failed", "proven_worse")
    assert between(bad)[0] > 0.01
    assert "Do not go on" in bad.explanation


@pytest.mark.parametrize("spec", [PROMOTION, COUNTED])
def test_a_service_exactly_at_the_gate_is_held_and_never_proven(spec):
    assert verdict(spec, traffic(names(20), always(0.01), steps=600)) == ("inconclusive", "not_enough")


def test_too_little_holds_and_says_how_much_more():
    held = judge(COUNTED, traffic(names(5), always(0.0), size=10, steps=6))
    assert (held.verdict, held.reason) == ("inconclusive", "not_enough")
    assert f"{held.needed:,} more observations" in held.explanation
    assert held.needed
    assert held.eta_seconds == pytest.approx(held.needed / 300 * 360)


def test_what_is_needed_is_right_at_the_same_rate():
    """100 observations a minute without an error: the verdict comes with the minute that was foretold."""
    held = judge(COUNTED, traffic(["a"], always(0.0), size=100, steps=3))
    assert held.needed
    whole = 300 + held.needed
    assert judge(COUNTED, traffic(["a"], always(0.0), size=1, steps=whole, seconds=1)).verdict == "passed"
    assert judge(COUNTED, traffic(["a"], always(0.0), size=1, steps=whole - 1, seconds=1)).verdict == "inconclusive"


def test_at_a_rate_that_is_not_below_nothing_more_is_promised():
    held = judge(COUNTED, traffic(["a"], always(0.012), size=100, steps=10, seed=3))
    assert held.verdict == "inconclusive"
    assert held.needed is None
    assert "never" in held.explanation


def test_only_new_observations_prove_anything():
    mixed = traffic(names(9, "mixed"), always(0.0), steps=600, exposure=Exposure.MIXED)
    old = traffic(names(9, "old"), always(0.0), steps=600, exposure=Exposure.OLD)
    few = traffic(names(1), always(0.0), steps=600, size=1)
    assert judge(PROMOTION, together(mixed, old, few)).n == 600
    assert verdict(PROMOTION, together(mixed, old)) == ("errored", "not_measured")


def test_a_block_counts_when_it_is_over_and_a_look_in_its_middle_changes_nothing():
    counts = traffic(names(20), always(0.002), steps=600)
    watched, left_alone = watching(PROMOTION), watching(PROMOTION)
    for index, count in enumerate(counts):
        watched.take(count)
        left_alone.take(count)
        if index % 20 == 19:
            watched.ruling()
    assert watched.ruling() == left_alone.ruling() == judge(PROMOTION, counts)
    half = judge(PROMOTION, counts[: 20 * 15])
    assert half.blocks == 1
    assert half.log_evidence == judge(PROMOTION, counts[: 20 * 10]).log_evidence


def test_bursts_in_one_cluster_and_block_are_one_unit_however_many_errors():
    def burst(size):
        return lambda cluster, at: size if cluster == "new-00" and at < 600 else 0.0

    small, large = (judge(PROMOTION, traffic(names(20), burst(size), steps=600)) for size in (0.2, 1.0))
    assert small.verdict == large.verdict == "passed"
    assert judge(COUNTED, traffic(names(20), burst(1.0), steps=30)).verdict == "failed"


def test_fewer_clusters_than_asked_for_prove_nothing():
    spec = msgspec.structs.replace(PROMOTION, min_clusters=30)
    assert verdict(spec, traffic(names(20), always(0.001), steps=600)) == ("inconclusive", "too_few_clusters")


# --- trigger ------------------------------------------------------------------------------------------


def broken_at(begin, rate, clusters=None, before=0.0005):
    return lambda cluster, at: rate if at >= begin and (clusters is None or cluster in clusters) else before


def test_a_healthy_service_is_quiet_and_a_broken_one_fires_within_a_minute_and_a_half():
    """25 messages a second among 25 clusters, a look every ten seconds, broken at hour 3."""
    healthy = traffic(names(25), always(0.0005), size=10, steps=1080, seconds=10)
    assert verdict(TRIGGER, healthy) == ("passed", "quiet")
    for rate, within in ((0.1, 90), (0.5, 20)):
        sick = traffic(names(25), always(rate), size=10, steps=60, seconds=10, begin=1080)
        fired = judge(TRIGGER, [*healthy, *sick])
        assert (fired.verdict, fired.reason) == ("failed", "fired")
        assert 0 < seconds_of(fired.at) - 10_800 + 10 <= within
        assert "Go back" in fired.explanation


def test_the_level_is_for_all_looks_of_all_triggers_with_ten_to_spare():
    told = judge(TRIGGER, traffic(names(3), always(0.0), steps=9))
    assert told.threshold == pytest.approx(10 * (84 * 1440) * 9 / 0.01)
    often = msgspec.structs.replace(TRIGGER, check_seconds=10, triggers=1, horizon_seconds=1000, alpha=0.1)
    assert judge(often, traffic(names(3), always(0.0), steps=9)).threshold == pytest.approx(10 * 100 / 0.1)


def test_once_fired_it_stays_fired():
    sick = traffic(names(25), broken_at(600, 0.5), steps=15)
    well = traffic(names(25), always(0.0), steps=300, begin=15)
    assert judge(TRIGGER, [*sick, *well]).at == judge(TRIGGER, sick).at is not None


@pytest.mark.parametrize("size", [50, 1000])
@pytest.mark.parametrize("many", [1, 2])
def test_one_or_two_noisy_clusters_never_fire_it_and_are_named(size, many):
    """Also in a loop of retries that is twenty times all their traffic, from the first minute on."""
    noisy = names(many)
    counts = traffic(
        names(12), broken_at(0, 0.9, noisy), size=lambda cluster, _: size if cluster in noisy else 50, steps=400
    )
    held = judge(TRIGGER, counts)
    assert (held.verdict, held.reason) == ("inconclusive", "narrow")
    assert held.named == tuple(noisy)
    assert all(name in held.explanation for name in noisy)


def test_three_hurt_clusters_are_a_breakage():
    assert verdict(TRIGGER, traffic(names(12), broken_at(600, 0.9, names(3)), steps=60)) == ("failed", "fired")


@pytest.mark.parametrize("exposed", [1, 2])
def test_with_fewer_clusters_exposed_all_of_them_have_to_be_hurt(exposed):
    assert verdict(TRIGGER, traffic(names(exposed), broken_at(600, 0.5), steps=60)) == ("failed", "fired")
    if exposed == 2:
        assert verdict(TRIGGER, traffic(names(2), broken_at(600, 0.5, ["new-01"]), steps=60))[1] == "narrow"
    alone = traffic(names(exposed), broken_at(600, 0.5), steps=60)
    assert judge(TRIGGER, alone, exposed=20).verdict == "inconclusive"


def test_a_noisy_cluster_does_not_hide_a_breakage_that_comes_later():
    rate = lambda cluster, at: 0.9 if cluster == "new-00" else 0.2 if at >= 36_000 else 0.0005  # noqa: E731
    size = lambda cluster, _: 1000 if cluster == "new-00" else 50  # noqa: E731
    fired = judge(TRIGGER, traffic(names(12), rate, size=size, steps=660))
    assert fired.verdict == "failed"
    assert 36_000 <= seconds_of(fired.at) <= 36_120


def test_a_flood_of_successes_of_one_cluster_does_not_hide_a_breakage_of_the_others():
    size = lambda cluster, _: 100_000 if cluster == "new-00" else 50  # noqa: E731
    rate = lambda cluster, at: 0.0 if cluster == "new-00" else 0.3 if at >= 36_000 else 0.0005  # noqa: E731
    fired = judge(TRIGGER, traffic(names(12), rate, size=size, steps=660))
    assert fired.verdict == "failed"
    assert seconds_of(fired.at) <= 36_180


def test_a_cluster_that_was_noisy_counts_again_when_it_has_been_quiet():
    noisy = traffic(names(12), broken_at(600, 0.9, names(1)), steps=30)
    quiet = traffic(names(12), always(0.0005), steps=90, begin=30)
    assert verdict(TRIGGER, noisy) == ("inconclusive", "narrow")
    assert verdict(TRIGGER, [*noisy, *quiet]) == ("passed", "quiet")


def test_what_hurts_both_sides_does_not_blame_the_new_one():
    shared = sides(broken_at(6000, 0.3), broken_at(6000, 0.3), steps=130)
    held = judge(TRIGGER, shared)
    assert (held.verdict, held.reason) == ("inconclusive", "shared")
    assert "not to blame" in held.explanation
    worse = sides(broken_at(6000, 0.6), broken_at(6000, 0.08), steps=130)
    assert verdict(TRIGGER, worse) == ("failed", "fired")
    alone = sides(broken_at(6000, 0.3), always(0.0005), steps=130)
    assert verdict(TRIGGER, alone) == ("failed", "fired")


def test_mixed_traffic_can_have_a_guard_of_its_own():
    spec = msgspec.structs.replace(TRIGGER, exposure=Exposure.MIXED)
    counts = traffic(names(12), broken_at(600, 0.3), steps=60, exposure=Exposure.MIXED)
    assert verdict(spec, together(counts, traffic(names(12), always(0.0), steps=60, seed=4)))[0] == "failed"
    assert verdict(TRIGGER, together(counts, traffic(names(12), always(0.0), steps=60, seed=4)))[0] == "passed"


def test_sparse_traffic_is_not_lost_to_the_cap():
    """One message of one cluster in each step, in turn: half of them bad."""
    counts = [
        count
        for step in range(200)
        for count in traffic([f"new-{step % 25:02}"], always(0.5), size=1, steps=1, seed=step, begin=step)
    ]
    assert judge(TRIGGER, counts).verdict == "failed"


# --- A/B ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_seconds", [0, 600])
def test_equal_sides_pass_with_a_margin_and_a_worse_one_fails(block_seconds):
    spec = msgspec.structs.replace(AB, block_seconds=block_seconds, margin=0.5)
    equal = judge(spec, sides(always(0.01), always(0.01), steps=1500))
    assert (equal.verdict, equal.reason) == ("passed", "proven")
    low, high = between(equal)
    assert low < 1.0 < high <= 1.5
    assert verdict(spec, sides(always(0.04), always(0.01), steps=1500)) == ("failed", "proven_worse")
    assert verdict(spec, sides(always(0.01), always(0.01), steps=5)) == ("inconclusive", "not_enough")


@pytest.mark.parametrize("margin", [0.0, 0.25, 3.0])
@pytest.mark.parametrize(("bursts", "size"), [(1, 1), (1, 30), (6, 1), (6, 3), (9, 40), (3, 5000)])
def test_no_part_of_the_evidence_has_a_mean_above_one_however_many_bursts_a_unit_holds(bursts, size, margin):
    """All bursts of a side in one unit; every way in which they can fall on two sides, exactly.

    Parts for bursts smaller than these rest on the two sides having them equally often, as they do here.
    """
    share = (1 + margin) / (2 + margin)
    means = {proves: [0.0] * len(SIZES) * len(proves) for proves in (PROVES_BETTER, PROVES_WORSE)}
    for on_new in range(bursts + 1):
        fold = comparison(msgspec.structs.replace(AB, margin=margin))
        for side, many in ((Exposure.NEW, on_new), (Exposure.OLD, bursts - on_new)):
            fold.take(Count(Instant(0), "c", side, 10**6, many * size))
        fold.close(Instant(3600 * SECOND))
        chance = math.comb(bursts, on_new) * share**on_new * (1 - share) ** (bursts - on_new)
        for proves, sums in means.items():
            for index, part in enumerate(fold.parts(proves)):
                sums[index] += chance * math.exp(part)
    assert max(max(sums) for sums in means.values()) <= 1.0 + 1e-12
    assert bursts > 1 or max(max(sums) for sums in means.values()) > 1.0 - 1e-12, "and nothing is given away"


@pytest.mark.parametrize("block_seconds", [0, 600])
def test_an_outage_of_both_sides_blames_nobody(block_seconds):
    spec = msgspec.structs.replace(AB, block_seconds=block_seconds)

    def hurt(_cluster, at):
        return 0.3 if 6000 <= at < 9000 else 0.002

    assert judge(spec, sides(hurt, hurt, steps=300)).verdict != "failed"


def test_one_noisy_cluster_neither_condemns_the_new_side_nor_flatters_it():
    for noisy in ("new-00", "old-00"):

        def rate(cluster, _at, noisy=noisy):
            return 0.5 if cluster == noisy else 0.002

        result = judge(AB, sides(rate, rate, steps=600))
        assert (result.verdict, result.reason) == ("inconclusive", "narrow")
        assert noisy in result.named


def test_an_instant_with_one_side_only_says_nothing():
    new = traffic(names(8), always(0.3), steps=100)
    old = traffic(names(8, "old"), always(0.0), steps=100, begin=100, exposure=Exposure.OLD)
    spec = msgspec.structs.replace(AB, max_gap_seconds=1e6)
    assert verdict(spec, together(new, old)) == ("inconclusive", "no_traffic")


# --- sample ratio -------------------------------------------------------------------------------------


def split(on_new, of, begin=0, every=1):
    """One cluster a minute, the first on the new side first in turn."""
    return [
        Count(one.at, f"c{begin + step}", Exposure.NEW if on_new(step) else Exposure.OLD, 5, 0)
        for step in range(0, of, every)
        for one in traffic(["x"], always(0.0), steps=1, begin=begin + step)
    ]


def test_a_split_as_meant_is_quiet_and_another_one_fires():
    assert verdict(SPLIT, split(lambda step: step % 4 == 0, 400)) == ("passed", "quiet")
    fired = judge(SPLIT, split(lambda step: step % 2 == 0, 400))
    assert (fired.verdict, fired.reason) == ("failed", "fired")
    assert "Trust no comparison" in fired.explanation


def test_too_few_clusters_for_any_evidence_hold():
    held = judge(SPLIT, split(lambda step: step % 4 == 0, 3))
    assert (held.verdict, held.reason) == ("inconclusive", "too_few_units")
    assert held.needed
    at_all = judge(SPLIT, split(lambda _: True, 3 + held.needed))
    assert at_all.verdict == "failed"


def test_a_ramp_is_judged_phase_by_phase():
    """5 % and then 50 %, each as meant: against one share it would fire."""
    counts = [*split(lambda step: step % 20 == 0, 400), *split(lambda step: step % 2 == 0, 400, begin=400)]
    phases = msgspec.convert(
        [{"at": "2026-01-05", "share": 0.05}, {"at": "2026-01-05T06:40:00Z", "share": 0.5}], type=list
    )
    spec = msgspec.convert({"name": "split", "kind": "sample-ratio", "expected_share": phases}, type=Spec)
    assert verdict(spec, counts) == ("passed", "quiet")
    assert verdict(msgspec.structs.replace(SPLIT, expected_share=0.5), counts) == ("failed", "fired")


def test_clusters_on_both_sides_make_observations_the_unit():
    new = traffic(names(5), always(0.0), steps=60, size=20)
    old = traffic(names(5), always(0.0), steps=60, size=60, exposure=Exposure.OLD)
    told = judge(SPLIT, together(new, old))
    assert (told.verdict, told.n) == ("passed", 60 * 5 * 80)
    assert "both sides" in told.explanation
    even = traffic(names(5), always(0.0), steps=60, size=20, exposure=Exposure.OLD)
    assert judge(SPLIT, together(new, even)).verdict == "failed"


def test_mixed_traffic_is_on_no_side():
    counts = [msgspec.structs.replace(one, exposure=Exposure.MIXED) for one in split(lambda _: True, 100)]
    assert verdict(SPLIT, counts) == ("errored", "not_measured")


# --- what is not measured never passes ----------------------------------------------------------------


@pytest.mark.parametrize("spec", [PROMOTION, COUNTED, TRIGGER, AB, SPLIT])
def test_no_data_and_no_traffic_never_pass(spec):
    assert verdict(spec, []) == ("errored", "not_measured")
    nothing = together(
        traffic(names(9), always(0.0), size=0, steps=9),
        traffic(names(9, "o"), always(0.0), size=0, steps=9, exposure=Exposure.OLD),
    )
    assert judge(spec, nothing).verdict in ("inconclusive", "errored")


@pytest.mark.parametrize("spec", [PROMOTION, TRIGGER, AB, SPLIT])
def test_a_gap_is_not_measured_and_names_both_ends(spec):
    counts = [msgspec.structs.replace(one, line=index + 2) for index, one in enumerate(
        sides(always(0.0), always(0.0), steps=300))]  # fmt: skip
    gap = [one for one in counts if not 6000 <= seconds_of(one.at) < 12_000]
    result = judge(spec, gap)
    assert (result.verdict, result.reason) == ("errored", "not_measured")
    before = max(one.line for one in gap if seconds_of(one.at) < 6000)
    after = min(one.line for one in gap if seconds_of(one.at) >= 12_000)
    assert f"between line {before} and line {after}" in result.explanation
    assert judge(msgspec.structs.replace(spec, max_gap_seconds=10_000), gap).verdict != "errored"


def test_a_side_that_went_silent_is_stale_though_the_other_goes_on():
    new = traffic(names(20), always(0.001), steps=300)
    old = traffic(names(20, "old"), always(0.001), steps=600, exposure=Exposure.OLD)
    for spec in (PROMOTION, TRIGGER, AB):
        assert verdict(spec, together(new, old)) == ("errored", "not_measured")
    assert judge(PROMOTION, new).verdict != "errored"
    late = new[-1].at + 2 * 3600 * SECOND
    assert verdict(PROMOTION, new) != ("errored", "not_measured") == verdict(PROMOTION, new, now=late)


def test_a_clock_that_goes_back_and_counts_that_cannot_be_are_not_measured():
    counts = traffic(names(2), always(0.0), steps=9)
    assert "goes back" in judge(PROMOTION, [*counts, counts[0]]).explanation
    impossible = msgspec.structs.replace(counts[-1], n=5, bad=6)
    assert "6 bad of 5" in judge(PROMOTION, [*counts[:-1], impossible]).explanation


def test_hourly_counts_have_no_gaps_of_an_hour():
    counts = traffic(names(9), always(0.0), steps=30, seconds=3600, size=2000)
    assert judge(msgspec.structs.replace(PROMOTION, block_seconds=3600), counts).verdict != "errored"


ROWS = st.lists(
    st.tuples(
        st.integers(0, 200), st.sampled_from("abc"), st.sampled_from(list(Exposure)), st.integers(0, 10**12),
        st.sampled_from([0.0, 1e-6, 0.3, 1.0]),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=60)
@given(ROWS, st.sampled_from([PROMOTION, COUNTED, TRIGGER, AB, SPLIT]))
def test_whatever_is_counted_has_a_ruling_that_can_be_written_down(rows, spec):
    counts = [Count(at * 60 * SECOND, name, side, n, int(n * part)) for at, name, side, n, part in sorted(rows)]
    told = judge(spec, counts)
    assert told.explanation
    assert 0.0 <= told.evidence <= 1e300
    assert msgspec.json.decode(msgspec.json.encode(told), type=type(told)) == told
    if told.verdict in ("passed", "failed"):
        assert told.guarantee
        assert told.n


def test_an_ab_pairs_what_lies_in_the_same_minute():
    new = traffic(names(8), always(0.1), steps=400)
    old = [msgspec.structs.replace(one, at=one.at + 31 * SECOND) for one in
           traffic(names(8, "old"), always(0.01), steps=400, exposure=Exposure.OLD)]  # fmt: skip
    assert verdict(AB, together(new, old)) == ("failed", "proven_worse")


# --- specs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path"),
    [({"margin": 0.1}, "margin"), ({"max_rate": None}, "max_rate"), ({"max_rate": 0.0}, "max_rate"),
     ({"alpha": 0.0}, "alpha"), ({"alpha": 0.6}, "alpha"), ({"metric": "nonsense"}, "metric"), ({"name": " "}, "name"),
     ({"expected_share": 0.5}, "expected_share"), ({"triggers": 3}, "triggers"),
     ({"block_seconds": 0.5}, "block_seconds"),
     ({"max_gap_seconds": 0.0}, "max_gap_seconds"), ({"kind": Kind.SAMPLE_RATIO, "max_rate": None}, "expected_share")],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_is_refused_and_never_judged(change, path):
    spec = msgspec.structs.replace(PROMOTION, **change)
    assert path in [slip.path for slip in slips(spec)]
    assert verdict(spec, traffic(names(9), always(0.0), steps=600)) == ("errored", "spec")


def test_two_thresholds_for_one_metric_contradict_each_other():
    first = msgspec.structs.replace(PROMOTION, metric="error_rate")
    other = msgspec.structs.replace(first, name="other", max_rate=0.02)
    low = msgspec.structs.replace(TRIGGER, name="t", metric="error_rate", max_rate=0.005)
    fine = msgspec.structs.replace(low, max_rate=0.05)
    assert [(index, slip.path) for index, slip in contradictions([first, other])] == [(1, "max_rate")]
    assert [(index, slip.path) for index, slip in contradictions([first, low])] == [(1, "max_rate")]
    assert [(index, slip.path) for index, slip in contradictions([first, first])] == [(1, "name")]
    assert list(contradictions([first, fine])) == []
    assert Gates(gates=(first, fine)).gates == (first, fine)


@pytest.mark.parametrize("spec", [PROMOTION, TRIGGER, AB, SPLIT])
def test_a_gate_that_is_watched_can_be_kept_and_taken_up_again(spec):
    counts = list(sides(always(0.01), always(0.01), steps=100))
    watch = watching(spec)
    for count in counts[:700]:
        watch.take(count)
    again = msgspec.json.decode(msgspec.json.encode(watch), type=Judging)
    for count in counts[700:]:
        watch.take(count)
        again.take(count)
    assert again.ruling() == watch.ruling() == judge(spec, counts)


@pytest.mark.parametrize("spec", [PROMOTION, TRIGGER, AB, SPLIT])
def test_every_verdict_prints_what_it_guarantees(spec):
    told = judge(spec, sides(always(0.01), always(0.01), steps=100))
    assert "at most 1 %" in told.guarantee
    assert told.threshold is not None
