"""Checks of a phase: what was measured since the share changed last, judged for the gates of a runsheet.

A threshold is judged by the same instrument as a gate of a plan (core/instruments.py), on the hours that are over. What
is not measured here stays ``not_measured`` and never passes.
"""

from collections.abc import Iterator
from typing import Final

from crossfade.core.gates import Exposure
from crossfade.core.instruments import Instrument, beside, comparison_instrument, gate_instrument
from crossfade.core.measurements import Slice, slice_of
from crossfade.core.plans import COMPARED, STREAMS
from crossfade.core.question_events import Exposure as Side
from crossfade.core.run_events import Verdict
from crossfade.core.runsheets import Slo
from crossfade.core.stage_events import Said
from crossfade.core.values import SECOND, Instant
from crossfade.engine.context import Context
from crossfade.engine.facts import Facts
from crossfade.engine.lane_checks import MEASURED, lanes_measured
from crossfade.engine.run_ports import NOT_MEASURED, CheckCall, Finding
from crossfade.engine.views.measurements import HOUR, Window

ALPHA: Final = 0.01
"""Error probability of a threshold of a runsheet, which names none; as a plan's if it names none."""
MARGIN: Final = 0.25
BREADTH: Final = 3
HOUR_SECONDS: Final = HOUR / SECOND
NAMES: Final = frozenset({"ab.compared", "conversations.reconciled", "coordination.measured", *MEASURED})
Numbers = dict[str, float | str]
EARLY: Final = Finding(
    verdict=Verdict.INCONCLUSIVE,
    reason="not_enough",
    numbers={"explanation": "the first hour since the share changed is not over"},
)


class PhaseChecks:
    """Judges what is in the views; keeps what it said until another hour is over."""

    def __init__(self, context: Context, facts: Facts) -> None:
        self._c = context
        self._facts = facts
        self._said: dict[tuple[str, str], tuple[object, Finding]] = {}

    def knows(self, name: str) -> bool:
        """Whether a check of this name is made here."""
        return name.startswith("slo.") or name in NAMES

    def judge(self, name: str, call: CheckCall) -> Finding:
        """What the check says now."""
        match name:
            case "conversations.reconciled":
                return self._reconciled()
            case "coordination.measured":
                return self._coordinated()
            case "ab.compared":
                return self._kept(name, call)
            case "efficiency.measured" | "improvement.measured":
                return lanes_measured(name, self._c.views.runs[call.run_id].state)
            case _:
                return self._slo(name, call)

    def _slo(self, name: str, call: CheckCall) -> Finding:
        slo = self._slos(call).get(name.removeprefix("slo."))
        limit = None if slo is None else slo.min if slo.max is None else slo.max
        if slo is None or limit is None:
            return NOT_MEASURED
        if slo.metric in STREAMS:
            return self._kept(name, call)
        match slo.metric:
            case "availability":
                return self._available(limit)
            case "data_loss":
                return _finding(self._facts.loss())
            case "security_incidents":
                return _finding(self._facts.incidents(self._since(call)))
            case _:
                return NOT_MEASURED

    def _slos(self, call: CheckCall) -> dict[str, Slo]:
        return self._c.views.runs[call.run_id].state.sheet.slos

    def _since(self, call: CheckCall) -> Instant:
        return self._c.views.runs[call.run_id].state.created_at

    def _kept(self, name: str, call: CheckCall) -> Finding:
        """Judged anew once an hour, and when the share has changed."""
        stage, kept = self._c.views.measurements.kept.stage, self._said.get((call.run_id, name))
        if stage is None:
            return NOT_MEASURED
        if stage.until_at // HOUR == stage.from_at // HOUR:
            return EARLY
        mark = (stage.from_at, stage.until_at // HOUR, self._slos(call))
        if kept is None or kept[0] != mark:
            kept = self._said[call.run_id, name] = (mark, self._judged(name, call))
        return kept[1]

    def _judged(self, name: str, call: CheckCall) -> Finding:
        try:
            if name == "ab.compared":
                return self._compared(self._slos(call))
            slo = self._slos(call)[name.removeprefix("slo.")]
            return _finding(self._proven(name, slo))
        except ValueError as error:
            return Finding(verdict=Verdict.ERRORED, reason="bad_limit", numbers={"explanation": str(error)})

    # --- from counts --------------------------------------------------------------------------------------

    def _proven(self, name: str, slo: Slo) -> Said:
        limit = slo.min if slo.max is None else slo.max
        assert limit is not None, "a threshold has a limit"
        exposure = Exposure.NEW if self._c.views.programme.rollout.share > 0 else Exposure.OLD
        made = gate_instrument(
            name, slo.metric, limit, alpha=ALPHA, block_seconds=HOUR_SECONDS, exposure=exposure
        )  # fmt: skip
        return self._fed(made).said()

    def _fed(self, instrument: Instrument) -> Instrument:
        """The instrument with every hour that is over."""
        for hour, slices in self._hours():
            instrument.take([(one, Exposure(one.exposure.value)) for one in slices], Instant(hour * HOUR))
        return instrument

    def _hours(self) -> Iterator[tuple[int, list[Slice]]]:
        kept = self._c.views.measurements.kept
        assert kept.stage is not None, "asked only while there is one"
        first, last = kept.stage.from_at // HOUR, kept.stage.until_at // HOUR
        for hour in range(first, last):
            cells = kept.cells.hours.get(hour, {})
            yield (
                hour,
                [
                    slice_of(cluster, Side(exposure), numbers)
                    for exposure, clusters in cells.items()
                    for cluster, numbers in clusters.items()
                ],
            )

    def _compared(self, slos: dict[str, Slo]) -> Finding:
        """The lanes against each other at the limits of the thresholds; each has to be proven not worse."""
        told: list[Said] = []
        for metric in COMPARED:
            slo = next((one for one in slos.values() if one.metric == metric), None)
            if slo is None or slo.max is None:
                continue
            made = comparison_instrument(
                metric, slo.max, alpha=ALPHA, margin=MARGIN, breadth=BREADTH, block_seconds=HOUR_SECONDS
            )
            told.append(beside(self._fed(made).said(), self._proven(f"slo.{metric}", slo)))
        if not told:
            return NOT_MEASURED
        worst = min(told, key=lambda said: ("failed", "errored", "inconclusive", "passed").index(said.verdict))
        numbers = {key: value for said in told for key, value in _numbers(said, f"{said.metric}_").items()}
        return Finding(verdict=Verdict(worst.verdict), reason=_reason(worst), numbers=numbers)

    # --- exactly ------------------------------------------------------------------------------------------

    def _available(self, least: float) -> Finding:
        stage = self._c.views.measurements.kept.stage
        ratio = None if stage is None else stage.availability
        if stage is None or ratio is None:
            return NOT_MEASURED
        gone = stage.down_seconds + stage.missing_seconds
        told = f"the hub served {ratio:.4%} of {stage.seconds:,.0f} s, at least {least:.4%} is asked for"
        numbers: Numbers = {"availability": ratio, "min": least, "down_seconds": gone, "explanation": told}
        if ratio >= least:
            return Finding(verdict=Verdict.PASSED, numbers=numbers)
        return Finding(verdict=Verdict.FAILED, reason="availability", numbers=numbers)

    def _reconciled(self) -> Finding:
        """Every question that was ever asked is open or has its end, and none is overdue."""
        measures, loss = self._c.views.measures, self._facts.loss()
        asked, ended = sum(measures.asked.values()), sum(measures.ended.values())
        still = sum(measures.open.values())
        numbers: Numbers = {
            "asked": asked, "ended": ended, "open": still, "unaccounted": asked - ended - still,
            "messages": measures.messages, "lost": loss.bad, "explanation": loss.explanation,
        }  # fmt: skip
        if asked == ended + still and not loss.bad:
            return Finding(verdict=Verdict.PASSED, numbers=numbers)
        return Finding(verdict=Verdict.FAILED, reason="not reconciled", numbers=numbers)

    def _coordinated(self) -> Finding:
        """The figures of agents working together, for the exposures that there are at this share."""
        stage, share = self._c.views.measurements.kept.stage, self._c.views.programme.rollout.share
        if stage is None:
            return NOT_MEASURED
        wanted = ("new",) if share == 1 else ("old",) if share == 0 else ("new", "old")
        numbers = {key: value for one in wanted for key, value in _figures(stage, one).items()}
        absent = [one for one in wanted if not stage.delivery.get(one) or not stage.answer.get(one)]
        if absent:
            why = f"no answered questions of exposure {', '.join(absent)}"
            numbers["explanation"] = why
            return Finding(verdict=Verdict.INCONCLUSIVE, reason="no traffic", numbers=numbers)
        return Finding(verdict=Verdict.PASSED, numbers=numbers)


def _figures(stage: Window, exposure: str) -> Numbers:
    polls, empty, items = (stage.polls.get(exposure) or [0, 0, 0])[:3]
    return {
        f"{exposure}_deliveries": sum((stage.delivery.get(exposure) or {}).values()),
        f"{exposure}_answers": sum((stage.answer.get(exposure) or {}).values()),
        f"{exposure}_polls": polls, f"{exposure}_empty_polls": empty,
        f"{exposure}_polls_per_item": polls / items if items else 0.0,
    }  # fmt: skip


def _finding(said: Said) -> Finding:
    return Finding(verdict=Verdict(said.verdict), reason=_reason(said), numbers=_numbers(said))


def _reason(said: Said) -> str:
    return "" if said.verdict == "passed" else said.reason


def _numbers(said: Said, prefix: str = "") -> Numbers:
    given = {
        "n": said.n, "bad": said.bad, "limit": said.limit, "log_evidence": said.log_evidence,
        "log_threshold": said.log_threshold, "clusters": said.clusters, "needed": said.needed,
        "eta_seconds": said.eta_seconds, "explanation": said.explanation,
    }  # fmt: skip
    return {f"{prefix}{name}": value for name, value in given.items() if value is not None}
