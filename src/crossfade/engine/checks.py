"""Checks: what the hub can measure about itself, for gates and steps. Each looks and changes nothing.

A name that is not here is not measured, which never passes. What a check has no data for is inconclusive.
The catalogue of names, implemented or not, is core/catalogue.py.
"""

from collections.abc import Callable, Mapping
from typing import Final

from crossfade.core import questions, runsheets
from crossfade.core.baselines import Wanted
from crossfade.core.records import decode
from crossfade.core.run_events import Verdict
from crossfade.core.values import SECOND, SPACE, Channel, Instant, Lane, Sequence
from crossfade.engine.capacity_checks import capacity_planned
from crossfade.engine.context import Context
from crossfade.engine.measuring_views import baseline_view
from crossfade.engine.migration import Migration
from crossfade.engine.phase_checks import PhaseChecks
from crossfade.engine.run_ports import NOT_MEASURED, Check, CheckCall, Finding

LATE_SECONDS: Final = 5.0
"""An expiry may be this late before a question counts as lost."""
TOLERANCE: Final = 0.005
"""Most difference between the share that was asked for and the one in force, beyond one cluster."""
SILENT_SECONDS: Final = 86_400.0
SCAN_RECORDS: Final = 5_000
PASSED: Final = Verdict.PASSED


class Checks:
    """By name. Some keep what they have read, so that looking again costs only what is new."""

    def __init__(
        self, context: Context, migration: Migration, ready: Callable[[], bool], more: Mapping[str, Check]
    ) -> None:
        """``more``: checks that adapters bring, e.g. of the log's chain."""
        self._c = context
        self._migration = migration
        self._ready = ready
        self.phase: PhaseChecks | None = None
        """What was measured since the share changed last."""
        self.stored_plan: Callable[[], bytes] = bytes
        """Reads the plan of capacity that is kept where this process was started; empty if there is none."""
        self._baseline = Baseline(context)
        self._silence = Silence(context)
        self._checks: dict[str, Check] = {
            "baseline.complete": self._baseline_complete,
            "capacity.planned": self._capacity_planned,
            "hub.ready": self._hub_ready,
            "polling.silent": self._polling_silent,
            "questions.none_lost": self._none_lost,
            "rollout.not_held": self._not_held,
            "share.achieved": self._share_achieved,
            "signoff.approved": self._signoffs_hold,
            **more,
        }

    async def judge(self, name: str, call: CheckCall) -> Finding:
        """What the check of this name says now; errored with ``not_measured`` if there is none."""
        check = self._checks.get(name)
        if check is None and self.phase is not None and self.phase.knows(name):
            return self.phase.judge(name, call)
        return NOT_MEASURED if check is None else await check(call)

    async def _hub_ready(self, call: CheckCall) -> Finding:
        return _finding("hub not ready", ok=self._ready())

    async def _none_lost(self, call: CheckCall) -> Finding:
        limit = self._c.clock.now() - int(LATE_SECONDS * SECOND)
        still = [entry for entry in self._c.views.questions.values() if entry.open]
        lost = sum(entry.state.deadline < limit for entry in still)
        return _finding("questions lost", ok=lost == 0, open=len(still), lost=lost)

    async def _not_held(self, call: CheckCall) -> Finding:
        view = self._migration.view()
        return _finding("rollout held", ok=not view.held, held_reason=view.held_reason)

    async def _share_achieved(self, call: CheckCall) -> Finding:
        view, state = self._migration.view(), self._c.views.programme.rollout
        weight = sum(state.weights.values())
        step = max(state.weights.values(), default=0) / weight if weight else 0.0
        ok = abs(view.achieved - view.share) <= max(TOLERANCE, step)
        return _finding("share differs", ok=ok, share=view.share, achieved=view.achieved, largest_cluster=step)

    async def _signoffs_hold(self, call: CheckCall) -> Finding:
        run = self._c.views.runs[call.run_id].state
        ids = [progress.asked["signoff"] for progress in run.progress.values() if "signoff" in progress.asked]
        entries = self._c.views.signoffs.entries
        gone = [name for name in ids if name not in entries or entries[name].state.status != "approved"]
        return _finding("sign-off gone", ok=not gone, signoffs=len(ids), gone=", ".join(gone))

    async def _capacity_planned(self, call: CheckCall) -> Finding:
        return capacity_planned(self._c.views.runs[call.run_id].state, self.stored_plan())

    async def _baseline_complete(self, call: CheckCall) -> Finding:
        wanted = self._c.views.runs[call.run_id].state.sheet.baseline
        if wanted is None:
            return Finding(verdict=Verdict.ERRORED, reason="no_baseline_planned")
        if self._c.views.measurements.kept.baseline is not None:
            return self._measured(wanted)
        return await self._baseline.judge(wanted.days * 86_400, wanted.gap_seconds_max, wanted.samples_min)

    def _measured(self, wanted: runsheets.Baseline) -> Finding:
        """What the newest baseline comes to, against what the runsheet wants."""
        asked = Wanted(
            seconds=wanted.days * 86_400, gap_seconds_max=wanted.gap_seconds_max, samples_min=wanted.samples_min
        )
        view = baseline_view(self._c.views.measurements.kept.baseline, asked)
        numbers: dict[str, float | str] = {"explanation": view.explanation, "seconds_left": view.seconds_left}
        numbers |= {f"gap_{place}": f"{gap.from_at} to {gap.until_at}" for place, gap in enumerate(view.gaps[:3], 1)}
        return Finding(verdict=Verdict(view.verdict), reason=view.reason, numbers=numbers)

    async def _polling_silent(self, call: CheckCall) -> Finding:
        try:
            seconds = float(call.args.get("seconds") or SILENT_SECONDS)
        except ValueError:
            return Finding(verdict=Verdict.ERRORED, reason="bad_args")
        return self._silence.judge(seconds)


class Silence:
    """How long nobody has called ``wait_for_messages``.

    Polls are not in the log, so after a start of the hub the silence is counted from there.
    """

    def __init__(self, context: Context) -> None:
        self._c = context
        self._polls = -1
        self._since = context.clock.now()

    def judge(self, seconds: float) -> Finding:
        """Passed after so many seconds without a poll, as far as this has looked."""
        now = self._c.clock.now()
        polls = sum(count for (channel, _), count in self._c.views.measures.waits.items() if channel == Channel.POLL)
        if polls != self._polls:
            first, self._polls, self._since = self._polls < 0, polls, now
            if not first:
                return Finding(verdict=Verdict.FAILED, reason="still polling", numbers={"polls": polls})
        quiet = (now - self._since) / SECOND
        numbers: dict[str, float | str] = {"quiet_seconds": quiet, "wanted_seconds": seconds}
        if quiet >= seconds:
            return Finding(verdict=PASSED, numbers=numbers)
        return Finding(verdict=Verdict.INCONCLUSIVE, reason="not silent long enough", numbers=numbers)


class Baseline:
    """What the log says about the polling lane: from when to when, the longest gap, how many questions and polls."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._after = Sequence(0)
        self._first: Instant | None = None
        self._last = Instant(0)
        self._gap = 0
        self._samples = 0

    async def judge(self, seconds: float, gap_seconds_max: float, samples_min: int) -> Finding:
        """Passed if the newest unbroken stretch is as long, and holds as many samples, as planned."""
        await self._read(int(gap_seconds_max * SECOND))
        if self._first is None:
            return Finding(verdict=Verdict.INCONCLUSIVE, reason="no records of the polling lane")
        # The lane is quiet now: what is missing at the end is a gap as well.
        tail = (self._c.clock.now() - self._last) / SECOND
        covered = (self._last - self._first) / SECOND
        numbers: dict[str, float | str] = {
            "covered_seconds": covered, "wanted_seconds": seconds, "samples": self._samples,
            "longest_gap_seconds": self._gap / SECOND, "since_last_seconds": tail,
        }  # fmt: skip
        if covered < seconds or self._samples < samples_min:
            return Finding(verdict=Verdict.INCONCLUSIVE, reason="not enough yet", numbers=numbers)
        return Finding(verdict=PASSED, numbers=numbers)

    async def _read(self, gap_max: int) -> None:
        """Fold what is new in the log; a gap begins the stretch anew."""
        while rows := await self._c.log.read(SPACE, self._after, SCAN_RECORDS):
            self._after = rows[-1].sequence
            for row in rows:
                if _of_polling(row.type, row.payload):
                    self._seen(row.at, gap_max)

    def _seen(self, at: Instant, gap_max: int) -> None:
        if self._first is None or at - self._last > gap_max:
            self._first, self._samples, self._gap = at, 0, 0
        else:
            self._gap = max(self._gap, at - self._last)
        self._last = at
        self._samples += 1


def _of_polling(name: str, payload: bytes) -> bool:
    """The record says that the polling lane was used."""
    if name not in ("question.asked/1", "question.offered/1"):
        return False
    event = decode(name, payload)
    if isinstance(event, questions.Offered):
        return event.channel is Channel.POLL
    return isinstance(event, questions.Asked) and event.lane is Lane.POLLING


def _finding(reason: str, *, ok: bool, **numbers: float | str) -> Finding:
    return Finding(verdict=PASSED if ok else Verdict.FAILED, reason="" if ok else reason, numbers=dict(numbers))
