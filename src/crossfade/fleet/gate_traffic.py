"""Made-up traffic for gates: what a gate would have said, how often, and after how long, before it is needed.

It judges with the code that judges a rollout. The traffic is a model: observations spread evenly over clusters, bursts
of bad events inside one cluster with geometric sizes, beginning by chance. Real traffic is worse in its own ways; what
this shows at best is which gate cannot be certified at a given traffic.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from crossfade.core.gates import Count, Exposure, Judging, Kind, Spec, Verdict, judging
from crossfade.core.gates.comparison import PROVES_BETTER, PROVES_WORSE, Comparison
from crossfade.core.gates.promotion import Promotion
from crossfade.core.gates.trigger import Trigger
from crossfade.core.values import SECOND, Instant
from crossfade.fleet.dice import Dice

DAY: Final = 86_400
COUNTS_MAX: Final = 20_000_000
"""Counts of all runs together; a million take about ten seconds."""
LOOKS: Final = 1.1
"""Looks at a promotion or an A/B follow each other in this ratio of time: about seventy in a fortnight."""
SHORT_SECONDS: Final = 60.0
LONG_SECONDS: Final = 3600.0
Rate = Callable[[Exposure, int, float], float]
"""Side, number of the cluster, part of the time that is over (0 to 1), to the rate of bad events."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Whose traffic it is."""

    rate: float
    """Of bad events while all is well."""
    clusters: int
    """On each side."""
    per_second: float
    """Observations of each side, all clusters together."""
    burst: float
    """Mean number of bad events in a burst; 1: none."""
    days: float
    runs: int
    seed: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate says in one scenario."""

    scenario: str
    passed: float
    failed: float
    inconclusive: float
    median_hours: float | None
    """Until the verdict, of those runs that come to one; None if fewer than half do."""
    late_hours: float | None
    """The same for 95 of 100 runs."""


def scenarios(spec: Spec, traffic: Traffic) -> dict[str, Rate]:
    """What is tried for a gate, by name."""
    rate, line, ratio = traffic.rate, spec.max_rate or 0.0, 1.0 + spec.margin_or_default
    match spec.kind:
        case Kind.PROMOTION:
            return {"at the rate given": _flat(rate), "exactly at the threshold": _flat(line),
                    "at twice the threshold": _flat(min(1.0, 2 * line))}  # fmt: skip
        case Kind.TRIGGER:
            return {
                "at the rate given": _flat(rate),
                "exactly at the threshold": _flat(line),
                "all clusters at twice the threshold": _later(rate, min(1.0, 2 * line)),
                "all clusters at ten times the threshold": _later(rate, min(1.0, 10 * line)),
                "one cluster all bad": _later(rate, 1.0, clusters=1),
                "both sides at ten times the threshold": _later(rate, min(1.0, 10 * line), both=True),
            }
        case Kind.AB:
            return {
                "both sides equal": _sides(rate, 1.0),
                f"new {ratio:g} times as bad": _sides(rate, ratio),
                f"new {3 * ratio:g} times as bad": _sides(rate, 3 * ratio),
                "an outage of both sides": _outage(rate),
            }
        case Kind.SAMPLE_RATIO:
            return {"divided as meant": _flat(1.0), "a fifth too few": _flat(0.8)}


def simulate(spec: Spec, traffic: Traffic, only: str = "") -> Iterator[Outcome]:
    """Every scenario in turn, or only those whose name has ``only`` in it; the spec makes sense (``slips``)."""
    chosen = {name: rate for name, rate in scenarios(spec, traffic).items() if only in name}
    for number, (name, rate) in enumerate(chosen.items()):
        verdicts: list[tuple[Verdict, float]] = []
        for run in range(traffic.runs):
            dice = Dice((traffic.seed << 32) + (number << 24) + run)
            verdicts.append(_run(spec, traffic, rate, dice))
        yield _outcome(name, verdicts)


def counts_of(spec: Spec, traffic: Traffic) -> int:
    """How many counts all scenarios take."""
    if spec.kind is Kind.SAMPLE_RATIO:
        return 2 * traffic.runs * traffic.clusters
    steps = traffic.days * DAY / spacing(spec)
    return round(len(scenarios(spec, traffic)) * traffic.runs * steps * traffic.clusters * len(_exposures(spec)))


def spacing(spec: Spec) -> float:
    """Seconds between two counts of a cluster."""
    if spec.kind is Kind.TRIGGER:
        return spec.check_seconds or SHORT_SECONDS
    return spec.block_seconds or LONG_SECONDS


def counts(spec: Spec, traffic: Traffic, rate: Rate, dice: Dice) -> Iterator[Count]:
    """One run's counts in the order of time."""
    if spec.kind is Kind.SAMPLE_RATIO:
        yield from _assigned(spec, traffic, rate, dice)
        return
    seconds = spacing(spec)
    steps, carried = max(1, round(traffic.days * DAY / seconds)), dict[tuple[Exposure, int], int]()
    mean = traffic.per_second * seconds / traffic.clusters
    for step in range(steps):
        for side in _exposures(spec):
            for cluster in range(traffic.clusters):
                n, key = poisson(dice, mean), (side, cluster)
                arrived = carried.pop(key, 0) + _bad(dice, n * rate(side, cluster, step / steps), traffic.burst)
                bad = min(n, arrived)
                if arrived > bad:
                    carried[key] = arrived - bad
                yield Count(Instant(round(step * seconds * SECOND)), f"cluster-{cluster}-{side.value}", side, n, bad)


def poisson(dice: Dice, mean: float) -> int:
    """A Poisson number; beyond a mean of 50 by the normal distribution, which nothing here can tell from it."""
    if mean > 50.0:
        turn = math.sqrt(-2.0 * math.log(1.0 - dice.fraction())) * math.cos(2.0 * math.pi * dice.fraction())
        return max(0, round(mean + math.sqrt(mean) * turn))
    many, left, chance = 0, dice.fraction(), math.exp(-mean)
    while left >= chance and many < 1_000:
        left -= chance
        many += 1
        chance *= mean / many
    return many


def _bad(dice: Dice, mean: float, burst: float) -> int:
    """Bad events in bursts, ``mean`` on average."""
    bursts = poisson(dice, mean / burst)
    if burst <= 1.0:
        return bursts
    return sum(1 + int(dice.gap(1.0) / -math.log1p(-1.0 / burst)) for _ in range(bursts))


def _assigned(spec: Spec, traffic: Traffic, rate: Rate, dice: Dice) -> Iterator[Count]:
    """Clusters that come one after the other, each on the side that chance gives it."""
    share = spec.expected_share if isinstance(spec.expected_share, float) else 0.5
    for cluster in range(traffic.clusters):
        new = dice.fraction() < share * rate(Exposure.NEW, cluster, 0.0)
        yield Count(Instant(cluster * 60 * SECOND), f"cluster-{cluster}", Exposure.NEW if new else Exposure.OLD, 1, 0)


def _exposures(spec: Spec) -> tuple[Exposure, ...]:
    return (spec.exposure,) if spec.kind is Kind.PROMOTION else (Exposure.NEW, Exposure.OLD)


def _run(spec: Spec, traffic: Traffic, rate: Rate, dice: Dice) -> tuple[Verdict, float]:
    """The first verdict that somebody who looks often sees, and the hours until then."""
    watch = judging(spec, exposed=traffic.clusters)
    assert isinstance(watch, Judging), "the spec was checked"
    looks = isinstance(watch.fold, Promotion | Comparison)
    due = Instant(0)
    for count in counts(spec, traffic, rate, dice):
        if looks and count.at >= due and watch.seen.last is not None:
            due = Instant(round(max(count.at * LOOKS, count.at + spacing(spec) * SECOND)))
            verdict = _look(watch, count.at)
            if verdict is not None:
                return verdict, count.at / SECOND / 3600
        watch.take(count)
    told = watch.ruling()
    at = told.at if isinstance(watch.fold, Trigger) and told.at is not None else watch.seen.last and watch.seen.last.at
    since = traffic.days * DAY / 2 if told.verdict is Verdict.FAILED and isinstance(watch.fold, Trigger) else 0.0
    return told.verdict, max(0.0, (at or 0) / SECOND - since) / 3600


def _look(watch: Judging, now: Instant) -> Verdict | None:
    """The verdict without its words and interval; None while it is open."""
    wanted = -math.log(watch.spec.alpha)
    watch.fold.close(now) if isinstance(watch.fold, Promotion | Comparison) else None
    match watch.fold:
        case Promotion() as fold:
            below, above = fold.both()
        case Comparison() as fold:
            below = fold.log_e(PROVES_BETTER, clip=True)
            above = fold.log_e(PROVES_WORSE, clip=True)
        case _:
            return None
    return Verdict.FAILED if above >= wanted else Verdict.PASSED if below >= wanted else None


def _outcome(name: str, verdicts: list[tuple[Verdict, float]]) -> Outcome:
    runs = len(verdicts)
    part = {verdict: sum(told is verdict for told, _ in verdicts) / runs for verdict in Verdict}
    decided = sorted(hours for told, hours in verdicts if told in (Verdict.PASSED, Verdict.FAILED))
    return Outcome(
        scenario=name, passed=part[Verdict.PASSED], failed=part[Verdict.FAILED],
        inconclusive=part[Verdict.INCONCLUSIVE] + part[Verdict.ERRORED],
        median_hours=_rank(decided, runs, 0.5), late_hours=_rank(decided, runs, 0.95),
    )  # fmt: skip


def _rank(hours: list[float], runs: int, part: float) -> float | None:
    place = math.ceil(part * runs)
    return hours[place - 1] if place <= len(hours) else None


def _flat(rate: float) -> Rate:
    return lambda _side, _cluster, _over: rate


def _sides(rate: float, ratio: float) -> Rate:
    return lambda side, _cluster, _over: min(1.0, rate * ratio) if side is Exposure.NEW else rate


def _later(before: float, after: float, *, clusters: int = 1 << 30, both: bool = False) -> Rate:
    """From the middle on, some clusters of the new side, or of both, at another rate."""
    return lambda side, cluster, over: (
        after if over >= 0.5 and cluster < clusters and (both or side is not Exposure.OLD) else before
    )


def _outage(rate: float) -> Rate:
    """A hundredth of the time both sides are at 20 %."""
    return lambda _side, _cluster, over: 0.2 if 0.5 <= over < 0.51 else rate
