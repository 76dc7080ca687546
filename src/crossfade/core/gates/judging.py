"""Counts to a verdict, with one code for a hub that watches itself and for anybody's file.

Rules
-----
1. No data never passes: nothing measured, a gap, a clock that went back, counts that cannot be are ``errored``.
2. Counts come in the order of time; those of one instant in any order.
3. The same counts give the same ruling, whenever and however often they are judged in between.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, assert_never

import msgspec

from crossfade.core.gates import said
from crossfade.core.gates.comparison import PROVES_BETTER, PROVES_WORSE, Comparison, comparison
from crossfade.core.gates.promotion import Promotion, ends_at, promotion
from crossfade.core.gates.sample_ratio import SampleRatio, sample_ratio
from crossfade.core.gates.specs import Count, Exposure, Kind, Ruling, Spec, SpecSlip, Verdict, slips
from crossfade.core.gates.trigger import Trigger, trigger
from crossfade.core.values import SECOND, Instant

EVIDENCE_MAX: Final = 1e300
GAP_SECONDS: Final = 3600.0
GAP_SPACINGS: Final = 10
SPACINGS_MAX: Final = 1_000
"""Different distances of instants that are told apart."""
Fold = Promotion | Trigger | Comparison | SampleRatio


class Seen(msgspec.Struct, kw_only=True):
    """What was seen of the clock: distances, the longest silence, and what cannot be."""

    first: Instant | None = None
    last: Count | None = None
    spacings: dict[int, int] = msgspec.field(default_factory=dict)
    """How often each distance of two instants occurred, nanoseconds."""
    gap: tuple[Count, Count] | None = None
    """Ends of the longest silence."""
    last_of: dict[str, Count] = msgspec.field(default_factory=dict)
    """By exposure."""
    wrong: str = ""

    def take(self, count: Count) -> None:
        """Note one count."""
        if not 0 <= count.bad <= count.n:
            self.wrong = self.wrong or f"{said.place(count)}: {count.bad} bad of {count.n} cannot be"
        if self.last is None:
            self.first = count.at
        elif count.at != self.last.at:
            self._step(self.last, count)
        self.last = count
        self.last_of[count.exposure.value] = count

    def _step(self, last: Count, count: Count) -> None:
        distance = count.at - last.at
        if distance < 0:
            self.wrong = self.wrong or f"the clock goes back from {said.place(last)} to {said.place(count)}"
        if distance in self.spacings or len(self.spacings) < SPACINGS_MAX:
            self.spacings[distance] = self.spacings.get(distance, 0) + 1
        if self.gap is None or distance > self.gap[1].at - self.gap[0].at:
            self.gap = (last, count)

    @property
    def spacing_seconds(self) -> float:
        """The most frequent distance of two instants; 0 if there is one instant only."""
        best = max(self.spacings, key=lambda distance: (self.spacings[distance], -distance), default=0)
        return best / SECOND

    @property
    def seconds(self) -> float:
        """From the first count to the end of the last."""
        return 0.0 if self.last is None or self.first is None else (
            (self.last.at - self.first) / SECOND + self.spacing_seconds
        )  # fmt: skip


class Judging(msgspec.Struct, kw_only=True):
    """One gate being watched: the fold of counts, and a verdict at any time.

    msgspec writes and reads it, so that it can be kept in a snapshot.
    """

    spec: Spec
    seen: Seen = msgspec.field(default_factory=Seen)
    fold: Fold

    def take(self, count: Count) -> None:
        """The next count."""
        self.seen.take(count)
        if not self.seen.wrong:
            self.fold.take(count)

    def ruling(self, now: Instant | None = None) -> Ruling:
        """The verdict; ``now`` tells a hub that watches itself whether its measurements are stale.

        What was counted so far of the last instant is taken as all of it.
        """
        if missing := self._not_measured(now):
            return errored(self.spec, "not_measured", missing)
        assert self.seen.last is not None, "an empty series is not measured"
        end = ends_at(self.seen.last.at, self.seen.spacing_seconds)
        match self.fold:
            case Promotion() as fold:
                fold.close(end)
                return _of_promotion(fold, self.seen)
            case Trigger() as fold:
                fold.close()
                return _of_trigger(fold, self.seen)
            case Comparison() as fold:
                fold.close(end)
                return _of_comparison(fold, self.seen)
            case SampleRatio() as fold:
                fold.close()
                return _of_sample_ratio(fold, self.seen)
            case _:
                assert_never(self.fold)

    def _not_measured(self, now: Instant | None) -> str:
        """Why there is no verdict; empty if there can be one."""
        seen, limit = self.seen, self.gap_seconds
        if seen.wrong:
            return seen.wrong
        if seen.last is None:
            return "there are no counts at all"
        if seen.gap is not None and seen.gap[1].at - seen.gap[0].at > limit * SECOND:
            told = said.time((seen.gap[1].at - seen.gap[0].at) / SECOND)
            return f"nothing was measured for {told} between {said.place(seen.gap[0])} and {said.place(seen.gap[1])}"
        ends = {**({"now": now} if now is not None else {}), "the last count": seen.last.at}
        for exposure in _exposures(self.spec):
            last = seen.last_of.get(exposure.value)
            if last is None:
                return f"there are no counts of exposure {exposure.value}"
            for name, end in ends.items():
                if end - last.at > limit * SECOND:
                    told = said.time((end - last.at) / SECOND)
                    return f"the last count of exposure {exposure.value}, {said.place(last)}, is {told} before {name}"
        return ""

    @property
    def gap_seconds(self) -> float:
        """The longest silence that is still measured."""
        return self.spec.max_gap_seconds or max(GAP_SECONDS, GAP_SPACINGS * self.seen.spacing_seconds)


def judging(spec: Spec, *, exposed: int = 0) -> Judging | Ruling:
    """The gate, ready to watch, or what is wrong with its spec.

    ``exposed``: clusters that are known to be exposed, whether or not they are seen in the counts yet.
    """
    wrong = [*slips(spec), *instants_wrong(spec)]
    if wrong:
        return errored(spec, "spec", "; ".join(f"{slip.path}: {slip.message}" for slip in wrong))
    match spec.kind:
        case Kind.PROMOTION:
            return Judging(spec=spec, fold=promotion(spec))
        case Kind.TRIGGER:
            return Judging(spec=spec, fold=trigger(spec, exposed))
        case Kind.AB:
            return Judging(spec=spec, fold=comparison(spec))
        case Kind.SAMPLE_RATIO:
            return Judging(spec=spec, fold=sample_ratio(spec, list(phases(spec))))
        case _:
            assert_never(spec.kind)


def judge(spec: Spec, counts: Iterable[Count], *, exposed: int = 0, now: Instant | None = None) -> Ruling:
    """The verdict of a gate on counts in the order of time."""
    watch = judging(spec, exposed=exposed)
    if isinstance(watch, Ruling):
        return watch
    for count in counts:
        watch.take(count)
    return watch.ruling(now)


def errored(spec: Spec, reason: str, why: str) -> Ruling:
    """A gate that cannot say anything, and must not let anything pass."""
    told = said.errored(why)
    return Ruling(name=spec.name, kind=spec.kind, verdict=Verdict.ERRORED, reason=reason, explanation=told)


def phases(spec: Spec) -> Iterator[tuple[Instant, float]]:
    """The expected shares of a spec as (since, share); one share holds from the beginning of time."""
    if isinstance(spec.expected_share, tuple):
        yield from ((instant_of(phase.at), phase.share) for phase in spec.expected_share)
    elif spec.expected_share is not None:
        yield Instant(-(1 << 62)), spec.expected_share


def instant_of(text: str) -> Instant:
    """ISO 8601 as an instant; without an offset it is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return Instant((since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000)


def instants_wrong(spec: Spec) -> Iterator[SpecSlip]:
    """What is wrong with the instants of phases."""
    last: Instant | None = None
    for index, phase in enumerate(spec.expected_share if isinstance(spec.expected_share, tuple) else ()):
        path = f"expected_share.{index}.at"
        try:
            at = instant_of(phase.at)
        except (ValueError, OverflowError):
            yield SpecSlip(path, f"{phase.at!r} is no instant", "write it like 2026-11-30T08:00:00Z")
            continue
        if last is not None and at <= last:
            yield SpecSlip(path, f"{phase.at} is not after the phase before it", "list phases in the order of time")
        last = at


def _exposures(spec: Spec) -> tuple[Exposure, ...]:
    """Whose counts there have to be."""
    match spec.kind:
        case Kind.AB:
            return (Exposure.NEW, Exposure.OLD)
        case Kind.SAMPLE_RATIO:
            return ()
        case _:
            return (spec.exposure,)


def _capped(log: float) -> float:
    return math.exp(log) if log < math.log(EVIDENCE_MAX) else EVIDENCE_MAX


def _of_promotion(fold: Promotion, seen: Seen) -> Ruling:
    spec, told = fold.spec, fold.evidence()
    wanted = -math.log(spec.alpha)
    passed, failed = told.below >= wanted, told.above >= wanted
    few = len(fold.clusters) < spec.min_clusters
    verdict = Verdict.FAILED if failed else Verdict.PASSED if passed and not few else Verdict.INCONCLUSIVE
    reason = {Verdict.FAILED: "proven_worse", Verdict.PASSED: "proven"}.get(
        verdict, "no_traffic" if not fold.n else "too_few_clusters" if passed else "not_enough"
    )
    log = told.above if failed else told.below
    needed = told.needed(wanted) if reason == "not_enough" else None
    result = Ruling(
        name=spec.name, kind=spec.kind, verdict=verdict, reason=reason, evidence=_capped(log), log_evidence=log,
        threshold=_capped(wanted), needed=needed, eta_seconds=_eta(needed, fold.n, seen), n=fold.n, bad=fold.bad,
        rate=fold.bad / fold.n if fold.n else None, interval=told.interval, clusters=len(fold.clusters),
        blocks=fold.blocks,
    )  # fmt: skip
    return _told(result, said.promotion(spec, result), said.promotion_guarantee(spec))


def _of_trigger(fold: Trigger, seen: Seen) -> Ruling:
    spec, fired = fold.spec, fold.fired_at is not None
    log = fold.peak if fired else fold.detector.log_m()
    quiet = Verdict.PASSED if fold.n and not fold.holds else Verdict.INCONCLUSIVE
    few = len(fold.clusters) < spec.min_clusters
    verdict = (Verdict.INCONCLUSIVE if few else Verdict.FAILED) if fired else quiet
    reason = ("too_few_clusters" if few else "fired") if fired else (
        fold.holds or ("quiet" if fold.n else "no_traffic")
    )  # fmt: skip
    result = Ruling(
        name=spec.name, kind=spec.kind, verdict=verdict, reason=reason, evidence=_capped(log), log_evidence=log,
        threshold=_capped(fold.level), n=fold.n, bad=fold.bad, rate=fold.bad / fold.n if fold.n else None,
        clusters=len(fold.clusters), blocks=fold.steps, named=fold.named, at=fold.fired_at,
    )  # fmt: skip
    return _told(result, said.trigger(spec, result, fold.breadth), said.trigger_guarantee(spec, seen.spacing_seconds))


def _of_comparison(fold: Comparison, seen: Seen) -> Ruling:
    spec, wanted = fold.spec, -math.log(fold.spec.alpha)
    whole = {"better": fold.log_e(PROVES_BETTER), "worse": fold.log_e(PROVES_WORSE)}
    better = fold.log_e(PROVES_BETTER, clip=True)
    worse = fold.log_e(PROVES_WORSE, clip=True)
    narrow = {"old": whole["better"] >= wanted > better, "new": whole["worse"] >= wanted > worse}
    few = min(len(side) for side in fold.clusters.values()) < spec.min_clusters
    verdict, reason = Verdict.INCONCLUSIVE, "not_enough" if all(fold.n) else "no_traffic"
    if few and max(better, worse) >= wanted:
        reason = "too_few_clusters"
    elif worse >= wanted:
        verdict, reason = Verdict.FAILED, "proven_worse"
    elif better >= wanted:
        verdict, reason = Verdict.PASSED, "proven"
    elif any(narrow.values()):
        reason = "narrow"
    side = next((side for side, alone in narrow.items() if alone and reason == "narrow"), "")
    log, n = worse if verdict is Verdict.FAILED else better, sum(fold.n)
    needed = fold.needed(wanted) if reason == "not_enough" else None
    result = Ruling(
        name=spec.name, kind=spec.kind, verdict=verdict, reason=reason, evidence=_capped(log), log_evidence=log,
        threshold=_capped(wanted), needed=needed, eta_seconds=_eta(needed, n, seen), n=fold.n[0], bad=fold.bad[0],
        rate=fold.bad[0] / fold.n[0] if fold.n[0] else None, interval=fold.interval(),
        clusters=len(fold.clusters["new"] | fold.clusters["old"]), blocks=fold.blocks,
        named=fold.loudest(side) if side else (),
    )  # fmt: skip
    return _told(result, said.comparison(spec, result, fold.n, fold.bad), said.comparison_guarantee(spec))


def _of_sample_ratio(fold: SampleRatio, seen: Seen) -> Ruling:
    spec, phase = fold.spec, fold.worst
    if phase is None:
        return errored(spec, "not_measured", "no cluster was seen in a phase that leaves anything to chance")
    fired, latest = phase.evidence >= fold.level, fold.latest
    needed = None if fired else fold.needed()
    verdict = Verdict.FAILED if fired else Verdict.INCONCLUSIVE if needed else Verdict.PASSED
    shown = phase if fired else latest
    on_new, units = shown.counted
    result = Ruling(
        name=spec.name, kind=spec.kind, verdict=verdict,
        reason={Verdict.FAILED: "fired", Verdict.PASSED: "quiet"}.get(verdict, "too_few_units"),
        evidence=_capped(shown.evidence), log_evidence=shown.evidence, threshold=_capped(fold.level), needed=needed,
        n=units, rate=on_new / units if units else None, interval=fold.interval(shown),
        clusters=len(shown.sides), blocks=sum(bool(one.sides) for one in fold.phases),
    )  # fmt: skip
    return _told(result, said.sample_ratio(result, shown), said.sample_ratio_guarantee(spec, fold.tested))


def _eta(needed: int | None, n: int, seen: Seen) -> float | None:
    return None if needed is None or not n else needed / n * seen.seconds


def _told(result: Ruling, explanation: str, guarantee: str) -> Ruling:
    return msgspec.structs.replace(result, explanation=explanation, guarantee=guarantee)
