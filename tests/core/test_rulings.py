"""Word for word what gates say of small made-up series, so that every number and every sentence has been looked at.

The series have no chance in them. ``python -m tests.core.test_rulings`` writes tables/rulings.txt anew; what changed
there is to be read line by line before it is kept. That the numbers are right is the business of test_vectors and of
test_evalues, which compute them another way.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec
import pytest

from crossfade.core.gates import Count, Exposure, Kind, Ruling, Spec
from crossfade.core.gates.judging import judge
from crossfade.core.gates.specs import SharePhase
from crossfade.core.values import SECOND, Instant
from tests.kit.gates import START
from tests.kit.tables import TABLES

NEW, OLD, MIXED = Exposure.NEW, Exposure.OLD, Exposure.MIXED
FILE = TABLES / "rulings.txt"
Bad = Callable[[int, int], int]
"""Step and cluster to bad events."""


def never(_step: int, _cluster: int) -> int:
    return 0


def series(
    bad: Bad | int = never, *, exposure: Exposure = NEW, clusters: int = 4, steps: int = 12, n: int = 1_000,
    seconds: int = 600, begin: int = 0,
) -> list[Count]:  # fmt: skip
    return [
        Count(
            Instant((START + step * seconds) * SECOND), f"{exposure.value}-{cluster}", exposure, n,
            bad if isinstance(bad, int) else bad(step, cluster),
        )
        for step in range(begin, begin + steps)
        for cluster in range(clusters)
    ]  # fmt: skip


def joined(*parts: Iterable[Count]) -> list[Count]:
    return sorted((count for part in parts for count in part), key=lambda count: count.at)


def numbered(counts: Iterable[Count]) -> list[Count]:
    return [msgspec.structs.replace(count, line=line) for line, count in enumerate(counts, start=2)]


def one(cluster: int, bad: int, since: int = 0, until: int = 10**6) -> Bad:
    """Bad events of one cluster alone, for a while."""
    return lambda step, number: bad if number == cluster and since <= step < until else 0


PROMOTION = Spec(name="errors", kind=Kind.PROMOTION, metric="error_rate", max_rate=0.01)
TRIGGER = Spec(name="alarm", kind=Kind.TRIGGER, max_rate=0.01, check_seconds=600)
AB = Spec(name="beside", kind=Kind.AB)
SPLIT = Spec(name="split", kind=Kind.SAMPLE_RATIO, expected_share=0.25, alpha=0.001)


def but(spec: Spec, **change: object) -> Spec:
    return msgspec.structs.replace(spec, **change)  # type: ignore[arg-type]


def divided(new: int, old: int, *, steps: int = 1, n: int = 10, begin: int = 0) -> list[Count]:
    return joined(
        series(clusters=new, steps=steps, n=n, begin=begin),
        series(clusters=old, steps=steps, n=n, begin=begin, exposure=OLD),
    )


def both_sides(new: Bad | int, old: Bad | int, **more: int) -> list[Count]:
    return joined(series(new, **more), series(old, exposure=OLD, **more))  # type: ignore[arg-type]


def swapped(count: Count) -> Count:
    return msgspec.structs.replace(count, exposure=OLD if count.exposure is NEW else NEW)


LATER = Instant((START + 3 * 3_600) * SECOND)
CASES: dict[str, tuple[Spec, list[Count], Instant | None]] = {
    # --- promotion
    "promotion, proven": (PROMOTION, series(steps=600), None),
    "promotion, blocks of ten minutes": (but(PROMOTION, block_seconds=600), series(1, steps=600), None),
    "promotion, independent": (but(PROMOTION, block_seconds=0, metric=""), series(2), None),
    "promotion, independent, worse": (but(PROMOTION, block_seconds=0), series(20, exposure=NEW), None),
    "promotion, one large cluster is worse": (
        PROMOTION, joined(series(5, clusters=3, steps=300), series(600, clusters=1, steps=300, n=20_000)), None,
    ),
    "promotion, of the old side": (but(PROMOTION, exposure=OLD), both_sides(500, 2, steps=48), None),
    "promotion, not yet": (PROMOTION, series(4, steps=40), None),
    "promotion, never": (PROMOTION, series(10, steps=40), None),
    "promotion, at the limit, independent": (but(PROMOTION, block_seconds=0), series(10), None),
    "promotion, first block": (PROMOTION, series(1, steps=3), None),
    "promotion, first block just over": (PROMOTION, series(1, steps=6), None),
    "promotion, no traffic": (PROMOTION, series(n=0), None),
    "promotion, too few clusters": (but(PROMOTION, min_clusters=5, block_seconds=0), series(steps=3), None),
    "promotion, just enough clusters": (but(PROMOTION, min_clusters=4, block_seconds=0), series(steps=3), None),
    "promotion, one more will do": (
        but(PROMOTION, block_seconds=0, max_rate=0.5), series(n=1, clusters=1, steps=8), None,
    ),
    "promotion, clusters of every size": (
        but(PROMOTION, block_seconds=1_200, max_rate=0.05),
        joined(*(series(k, clusters=1, n=10**k, steps=50) for k in range(1, 6))), None,
    ),
    "promotion, sparse": (but(PROMOTION, block_seconds=0), series(n=1, clusters=1, steps=3), None),
    # --- what is not measured
    "nothing": (PROMOTION, [], None),
    "another side only": (PROMOTION, series(exposure=MIXED), None),
    "more bad than all": (PROMOTION, numbered(series(1_001)), None),
    "fewer than none": (PROMOTION, series(-1), None),
    "the clock goes back": (PROMOTION, [*series(begin=1, steps=1), *series(steps=1)], None),
    "the clock goes back, in a file": (PROMOTION, numbered([*series(begin=1, steps=1), *series(steps=1)]), None),
    "a gap": (PROMOTION, joined(series(steps=2), series(begin=24, steps=2)), None),
    "a gap that is allowed": (
        but(PROMOTION, max_gap_seconds=13_200), joined(series(steps=2), series(begin=23, steps=2)), None,
    ),
    "ten hours without a count, in hourly counts": (
        PROMOTION, joined(series(steps=8, seconds=3_600), series(begin=17, steps=2, seconds=3_600)), None,
    ),
    "a side that ends": (AB, joined(series(steps=30), series(exposure=OLD, steps=2)), None),
    "a side that is missing": (AB, series(), None),
    "stale": (PROMOTION, series(steps=6), LATER),
    "not stale yet": (but(PROMOTION, max_gap_seconds=7_800), series(steps=6), LATER),
    "a spec that makes no sense": (but(PROMOTION, alpha=0, max_rate=1.0), [], None),
    "a spec without what it needs": (but(PROMOTION, max_rate=None, margin=0.5, metric="luck", name=" "), [], None),
    "phases that go back": (
        but(SPLIT, expected_share=(
            SharePhase(at="2026-01-05T00:00:00Z", share=0.25), SharePhase(at="2026-01-05T01:00:00+01:00", share=0.5),
        )), [], None,
    ),
    # --- trigger
    "trigger, quiet": (TRIGGER, series(8, steps=60), None),
    "trigger, fires": (TRIGGER, series(lambda step, _: 50 if step >= 40 else 5, steps=60), None),
    "trigger, fires on many": (TRIGGER, series(lambda _, k: 40 + k, clusters=14, steps=9), None),
    "trigger, fires slowly": (TRIGGER, series(14, steps=60), None),
    "trigger, looks without being told how often": (
        but(TRIGGER, check_seconds=None, triggers=1, horizon_seconds=86_400), series(14, steps=60), None,
    ),
    "trigger, narrow": (TRIGGER, series(one(2, 300), steps=20), None),
    "trigger, two noisy ones": (TRIGGER, series(lambda _, k: 300 if k in (1, 3) else 2, steps=20), None),
    "trigger, one that is quiet again": (TRIGGER, series(one(2, 300, until=3), steps=30), None),
    "trigger, one that is not quiet for long enough": (TRIGGER, series(one(2, 300, until=3), steps=9), None),
    "trigger, noisy, then all": (
        TRIGGER, series(lambda step, k: 300 if k == 2 else 60 if step >= 10 else 3, steps=40), None,
    ),
    "trigger, one of two": (but(TRIGGER, breadth=2), series(one(0, 100), clusters=2), None),
    "trigger, one cluster exposed": (TRIGGER, series(100, clusters=1), None),
    "trigger, one floods": (
        TRIGGER, joined(series(0, clusters=1, n=1_000_000), series(lambda *_: 60, clusters=3, begin=0)[3:]), None,
    ),
    "trigger, shared": (TRIGGER, both_sides(100, 100), None),
    "trigger, shared, but the new side is worse": (TRIGGER, both_sides(300, 30), None),
    "trigger, one of the old side is noisy": (TRIGGER, both_sides(100, one(1, 900)), None),
    "trigger, two of the old side are noisy": (
        TRIGGER, both_sides(100, lambda _, k: 900 if k < 2 else 0), None,
    ),
    "trigger, shared with the one cluster of the old side": (
        TRIGGER, joined(series(100), series(100, exposure=OLD, clusters=1)), None,
    ),
    "trigger, of six, the noisy ones one after the other": (
        TRIGGER, series(lambda step, k: 300 if k < 1 + step // 4 else 3, clusters=6, steps=16), None,
    ),
    "trigger, two of three exposed are noisy": (
        TRIGGER, series(lambda step, k: 200 if k < 2 and step >= 3 else 2, clusters=3), None,
    ),
    "trigger, three noisy ones of thirty": (
        TRIGGER, series(lambda _, k: 300 if k < 3 else 2, clusters=30, steps=9), None,
    ),
    "trigger, noisy at different times": (
        TRIGGER, series(lambda step, k: 300 if step // 6 == k else 3, clusters=5, steps=40), None,
    ),
    "trigger, no traffic": (TRIGGER, series(n=0), None),
    "trigger, too few clusters": (but(TRIGGER, min_clusters=5, metric="error_rate"), series(100), None),
    "trigger, of mixed conversations": (but(TRIGGER, exposure=MIXED), series(100, exposure=MIXED), None),
    # --- A/B
    "beside, better": (AB, both_sides(10, 40, steps=300), None),
    "beside, better, independent": (but(AB, block_seconds=0), both_sides(10, 40), None),
    "beside, worse": (AB, both_sides(40, 10, steps=300), None),
    "beside, worse, independent, no margin": (but(AB, block_seconds=0, margin=0.0), both_sides(20, 10), None),
    "beside, alike": (AB, both_sides(10, 10, steps=60), None),
    "beside, alike, independent": (but(AB, block_seconds=0), both_sides(10, 10), None),
    "beside, nearly": (but(AB, block_seconds=0, margin=1.0), both_sides(12, 10, steps=4), None),
    "beside, narrow, new": (but(AB, block_seconds=600), both_sides(one(1, 400), 2, steps=60), None),
    "beside, narrow, old": (but(AB, block_seconds=600), both_sides(2, one(1, 400), steps=60), None),
    "beside, not yet, one of the old side is louder": (
        but(AB, block_seconds=600), both_sides(2, lambda _, k: 20 if k == 1 else 4, steps=6), None,
    ),
    "beside, not yet, one of the new side is louder": (
        but(AB, block_seconds=600), both_sides(lambda _, k: 20 if k == 1 else 4, 2, steps=6), None,
    ),
    "beside, unlike traffic": (
        but(AB, block_seconds=0, margin=0.1),
        joined(series(9, n=3_000, clusters=2), series(8, exposure=OLD, n=500, clusters=7)), None,
    ),
    "beside, bursts of every size": (
        but(AB, block_seconds=1_200),
        both_sides(lambda step, k: 4 ** (step % 5) // (k + 1), lambda step, k: 3 ** (step % 5) + k, steps=60), None,
    ),
    "beside, no instant in common": (AB, joined(series(steps=1), series(steps=1, begin=1, exposure=OLD)), None),
    "beside, no traffic": (AB, both_sides(0, 0, n=0), None),
    "beside, no bad ones": (AB, both_sides(0, 0), None),
    "beside, too few clusters": (but(AB, block_seconds=0, min_clusters=5), both_sides(10, 40), None),
    "beside, mixed ones say nothing": (
        but(AB, block_seconds=0), joined(both_sides(10, 40), series(900, exposure=MIXED)), None,
    ),
    # --- sample ratio
    "split, as meant": (SPLIT, divided(250, 750), None),
    "split, too many": (SPLIT, divided(400, 600), None),
    "split, too few": (SPLIT, divided(120, 880), None),
    "split, too few to tell": (SPLIT, divided(2, 5), None),
    "split, everybody on both sides": (SPLIT, [
        *divided(60, 20), *map(swapped, divided(60, 20, begin=1)), *divided(60, 20, begin=2, n=1_000),
    ], None),
    "split, some on both sides": (SPLIT, [*divided(25, 75), *map(swapped, divided(3, 5, begin=1))], None),
    "split, phases": (
        but(SPLIT, expected_share=(
            SharePhase(at="2026-01-05T00:00:00", share=0.05), SharePhase(at="2026-01-05T02:00:00+01:00", share=0.5),
            SharePhase(at="2026-01-05T02:00:00Z", share=1.0),
        )), joined(divided(5, 95, steps=2), divided(90, 10, begin=7, steps=2), divided(5, 0, begin=13)), None,
    ),
    "split, only the first phase is off": (
        but(SPLIT, expected_share=(
            SharePhase(at="2026-01-05T00:00:00Z", share=0.5), SharePhase(at="2026-01-05T01:00:00Z", share=0.25),
        )), joined(divided(90, 10, steps=2), divided(25, 75, begin=7)), None,
    ),
    "split, only the second phase is off": (
        but(SPLIT, expected_share=(
            SharePhase(at="2026-01-05T00:00:00Z", share=0.5), SharePhase(at="2026-01-05T01:00:00Z", share=0.25),
        )), joined(divided(50, 50, steps=2), divided(75, 25, begin=7)), None,
    ),
    "split, in the second phase too few": (
        but(SPLIT, expected_share=(
            SharePhase(at="2026-01-05T00:00:00Z", share=0.05), SharePhase(at="2026-01-05T01:00:00Z", share=0.01),
        )), joined(divided(5, 95, steps=2), divided(1, 2, begin=7)), None,
    ),
    "split, one of two clusters on both sides": (
        SPLIT, [*divided(1, 1), *series(exposure=OLD, clusters=1, steps=1, begin=1, n=3)], None,
    ),
    "split, as meant but once": (
        SPLIT, joined(*(divided(40 if step == 1 else 1, 3, steps=1, begin=step) for step in range(4))), None,
    ),
    "split, nobody": (SPLIT, divided(4, 4, n=0), None),
}  # fmt: skip


def told(ruling: Ruling) -> Iterator[str]:
    """A ruling as text, numbers to nine digits: the last ones differ between machines."""
    for name in ruling.__struct_fields__:
        value = getattr(ruling, name)
        if value not in (None, "", ()):
            yield f"{name}: {written(value)}"


def written(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(written(one) for one in value)
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def told_of(name: str) -> str:
    spec, counts, now = CASES[name]
    return "\n".join([f"## {name}", *told(judge(spec, counts, now=now))])


def kept() -> dict[str, str]:
    parts = FILE.read_text("utf-8").split("\n\n") if FILE.exists() else []
    return {part.partition("\n")[0].removeprefix("## "): part.strip() for part in parts if part.startswith("## ")}


KEPT = kept()


@pytest.mark.parametrize("name", CASES)
def test_a_gate_says_word_for_word_what_it_said(name: str) -> None:
    assert told_of(name) == KEPT[name]


def test_every_ruling_that_is_kept_is_of_a_case() -> None:
    assert list(KEPT) == list(CASES)


def test_every_reason_of_every_kind_is_among_the_cases() -> None:
    reasons = {"proven", "proven_worse", "no_traffic", "too_few_clusters", "not_enough", "fired", "quiet", "narrow"}
    found = {judge(spec, counts, now=now).reason for spec, counts, now in CASES.values()}
    assert found == reasons | {"shared", "too_few_units", "not_measured", "spec"}


if __name__ == "__main__":
    intro = "# What gates say of the series of tests/core/test_rulings.py, which writes this file.\n"
    FILE.write_text("\n\n".join([intro.strip(), *map(told_of, CASES)]) + "\n", "utf-8")
