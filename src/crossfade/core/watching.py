"""Watching: the fold of measurement blocks into what every gate and trigger of a plan says.

Each block is taken once, in the order of the log, so the same log gives the same verdicts, whenever it is folded.

Rules
-----
1. Triggers take every block from the day the plan was accepted, whatever the plan holds for.
2. Gates and comparisons take a stage's blocks from when its share is in force, and begin anew with each stage.
3. Every block is an instant for every instrument: one without traffic is a count of 0, which proves nothing and still
   says that somebody looked.
4. A fault of the fold is kept as a word; from then on nothing is judged, and the plan holds.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from crossfade.core.gates import Exposure
from crossfade.core.gates.sample_ratio import Phase
from crossfade.core.instruments import (
    Instrument,
    beside,
    comparisons_of,
    fold_of_ratio,
    fold_of_trigger,
    gates_of,
    ratio_of,
    triggers_of,
)
from crossfade.core.measurement_events import BlockRecorded
from crossfade.core.plans import INVARIANTS, STREAMS, Plan
from crossfade.core.stage_events import Cause, Said
from crossfade.core.stage_next import Reading, Worry
from crossfade.core.values import SECOND, Instant

FAULTS: Final = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a fold can fail with; nothing of it may reach those who write to the log."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A watch that was put away."""

    number: int
    baked_from: Instant
    until_at: Instant
    baked_seconds: float
    down_seconds: float
    checks: int
    compared: bool
    fault: str
    instruments: dict[str, bytes]


class Watch:
    """Every instrument of one plan."""

    def __init__(self, number: int, plan: Plan) -> None:
        self.number = number
        self.plan = plan
        self.baked_from = Instant(0)
        """Begin of the stage's evidence; 0 while there is none."""
        self.until_at = Instant(0)
        self.baked_seconds = 0.0
        self.down_seconds = 0.0
        """Of the time since ``baked_from``, what the hub was down or not there."""
        self.checks = 0
        self.compared = False
        """There is a polling lane to compare with at this stage."""
        self.fault = ""
        self.triggers: list[Instrument] = []
        self.gates: list[Instrument] = []
        self.comparisons: list[Instrument] = []
        self.ratio: Instrument | None = None
        self.sound = True
        """This release can judge the plan."""
        try:
            self.triggers, self.ratio = list(triggers_of(plan)), ratio_of(plan)
            self._begin_gates()
        except FAULTS as fault:  # a release that cannot judge a pinned plan holds it, and serves on
            self.sound = False
            self._fail(fault)

    # --- what happens -------------------------------------------------------------------------------------

    def begin_bake(self, at: Instant, threshold: float, exposed: int) -> None:
        """The share of a stage is in force: ``threshold`` of the clusters, of which ``exposed`` are known."""
        self.baked_from, self.baked_seconds, self.down_seconds = at, 0.0, 0.0
        self.compared = threshold < 1.0
        if not self.sound:
            return
        self._begin_gates()
        for trigger in self.triggers:
            fold_of_trigger(trigger).exposed = exposed
        if self.ratio is not None:
            fold_of_ratio(self.ratio).phases.append(Phase(since=at, share=threshold))

    def take(self, block: BlockRecorded) -> None:
        """One block; a fault ends all judging until the plan ends, and is said."""
        if self.fault:
            return
        try:
            self._take(block)
        except FAULTS as fault:
            self._fail(fault)

    def _fail(self, fault: Exception) -> None:
        self.fault = f"{type(fault).__name__}: {fault}"[:200]

    def _begin_gates(self) -> None:
        self.gates, self.comparisons = list(gates_of(self.plan)), list(comparisons_of(self.plan))

    def _take(self, block: BlockRecorded) -> None:
        counts = [(one, Exposure(one.exposure.value)) for one in block.slices]
        for trigger in self.triggers:
            trigger.take(counts, block.from_at)
            trigger.judging.ruling()
        self.checks += 1
        if self.baked_from and block.from_at >= self.baked_from:
            missing = block.from_at - max(self.until_at, self.baked_from)
            length = (block.until_at - block.from_at) / SECOND
            self.down_seconds += block.down_seconds + max(0, missing) / SECOND
            self.baked_seconds += max(0.0, length - block.down_seconds)
            for instrument in (*self.gates, *self.comparisons, *([self.ratio] if self.ratio else [])):
                instrument.take(counts, block.from_at)
        self.until_at = block.until_at

    def relieve(self, cause: Cause, at: Instant) -> None:
        """Somebody has looked: what they looked at begins anew."""
        if not self.sound:
            return
        match cause:
            case Cause.INVESTIGATE | Cause.SHARED | Cause.NARROW:
                self._quieten(cause)
            case Cause.SAMPLE_RATIO if self.ratio is not None:
                last = fold_of_ratio(self.ratio).phases[-1:]
                self.ratio = ratio_of(self.plan)
                assert self.ratio is not None, "the plan has one"
                fold_of_ratio(self.ratio).phases += [Phase(since=at, share=one.share) for one in last]
            case Cause.GATES | Cause.ERRORED:
                self.fault = ""
                self.baked_from, self.baked_seconds, self.down_seconds = at, 0.0, 0.0
                self._begin_gates()
            case _:
                pass

    def _quieten(self, cause: Cause) -> None:
        """New detectors for those that hold for this cause; the others remember."""
        anew = {one.name: one for one in triggers_of(self.plan)}
        holding = {worry.said.name for worry in _worries([one.said() for one in self.triggers], None, cause)}
        for place, one in enumerate(self.triggers):
            if one.name in holding:
                fold_of_trigger(anew[one.name]).exposed = fold_of_trigger(one).exposed
                self.triggers[place] = anew[one.name]

    # --- what is read ---------------------------------------------------------------------------------------

    def reading(self, facts: Sequence[Said] = (), *, fresh: bool = False) -> Reading:
        """What everything says; ``facts`` are the metrics that are known exactly, by the name of the metric."""
        known = {fact.metric: fact for fact in facts}
        told = [one.said() for one in self.triggers]
        exact = [*self._exact_triggers(known)]
        fired = next((one for one in (*exact, *told) if one.verdict == "failed" and _goes_back(one)), None)
        proofs = (*self._proofs(known, fresh=fresh),) if self.baked_from and self.sound else ()
        ratio = self.ratio.said(fresh=fresh) if self.ratio is not None and self._divided() else None
        others = (*exact, *told, *([ratio] if ratio is not None else []))
        return Reading(
            from_at=self.baked_from, until_at=self.until_at, baked_seconds=self.baked_seconds, fired=fired,
            worries=tuple(_worries(told, ratio)), proofs=proofs, others=others, fault=self.fault,
        )  # fmt: skip

    def _divided(self) -> bool:
        return self.ratio is not None and bool(fold_of_ratio(self.ratio).phases)

    def _exact_triggers(self, known: dict[str, Said]) -> Iterator[Said]:
        for name, trigger in self.plan.triggers.items():
            fact = known.get(trigger.metric)
            if trigger.metric in INVARIANTS and fact is not None and trigger.roll_back is not None:
                yield msgspec.structs.replace(fact, name=f"trigger.{name}", limit=trigger.roll_back)

    def _proofs(self, known: dict[str, Said], *, fresh: bool) -> Iterator[Said]:
        by_metric: dict[str, Said] = {}
        made = {one.name: one for one in self.gates}
        for name, gate in self.plan.gates.items():
            key, limit = f"gate.{name}", gate.min if gate.max is None else gate.max
            if gate.metric in STREAMS:
                said = by_metric[gate.metric] = made[key].said(fresh=fresh)
                yield said
            elif gate.metric == "availability":
                yield self._available(key, limit or 0.0)
            else:
                yield _of_fact(key, gate.metric, limit, known.get(gate.metric))
        if self.compared:
            for one in self.comparisons:
                yield beside(one.said(fresh=fresh), by_metric.get(one.metric))

    def _available(self, name: str, least: float) -> Said:
        whole = self.baked_seconds + self.down_seconds
        if whole <= 0:
            return Said(
                name=name, kind="exact", verdict="errored", reason="not_measured", metric="availability", limit=least
            )
        ratio = 1.0 - self.down_seconds / whole
        told = (
            f"the hub served {ratio:.4%} of {whole:,.0f} s ({self.down_seconds:,.1f} s down); at least {least:.4%} is"
            " asked for"
        )
        left = max(0.0, self.down_seconds / (1.0 - least) - whole) if least < 1.0 else None
        return Said(
            name=name, kind="exact", verdict="passed" if ratio >= least else "failed",
            reason="kept" if ratio >= least else "down", metric="availability", limit=least, n=int(whole),
            bad=int(self.down_seconds), eta_seconds=None if ratio >= least else left, explanation=told,
        )  # fmt: skip

    # --- put away and taken up ----------------------------------------------------------------------------

    def _all(self) -> list[Instrument]:
        return [*self.triggers, *self.gates, *self.comparisons, *([self.ratio] if self.ratio else [])]

    def dump(self) -> Saved:
        """Everything, for a snapshot."""
        return Saved(
            number=self.number, baked_from=self.baked_from, until_at=self.until_at, baked_seconds=self.baked_seconds,
            down_seconds=self.down_seconds, checks=self.checks, compared=self.compared, fault=self.fault,
            instruments={one.name: one.dump() for one in self._all()},
        )  # fmt: skip

    def fill(self, saved: Saved) -> None:
        """Take over what was put away of the same plan."""
        self.baked_from, self.until_at, self.baked_seconds = saved.baked_from, saved.until_at, saved.baked_seconds
        self.down_seconds, self.checks, self.compared = saved.down_seconds, saved.checks, saved.compared
        self.fault = saved.fault
        for one in self._all():
            one.fill(saved.instruments[one.name])


# --- from verdicts to what they mean for the plan -----------------------------------------------------------


def _goes_back(said: Said) -> bool:
    return not said.name.endswith(".investigate")


def _worries(told: Sequence[Said], ratio: Said | None, only: Cause | None = None) -> Iterator[Worry]:
    """What somebody has to look at; with ``only``, for that cause alone."""
    yield from (worry for worry in _all_worries(told, ratio) if only in (None, worry.cause))


def _all_worries(told: Sequence[Said], ratio: Said | None) -> Iterator[Worry]:
    for said in told:
        if said.reason in ("shared", "narrow"):
            yield Worry(cause=Cause(said.reason), said=said)
        elif said.verdict == "failed" and not _goes_back(said):
            yield Worry(cause=Cause.INVESTIGATE, said=said)
    if ratio is not None and ratio.verdict == "failed":
        yield Worry(cause=Cause.SAMPLE_RATIO, said=ratio)


def _of_fact(name: str, metric: str, limit: float | None, fact: Said | None) -> Said:
    if fact is None:
        why = f"nobody measures {metric} here"
        return Said(
            name=name,
            kind="exact",
            verdict="errored",
            reason="not_measured",
            metric=metric,
            limit=limit,
            explanation=why,
        )
    return msgspec.structs.replace(fact, name=name, limit=limit)
