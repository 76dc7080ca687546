"""The story of a gate: what happened, when, to whom, on what evidence, and what was done. For who was asleep.

Words only, from records of the log; nothing is decided here.
"""

from collections.abc import Iterator, Sequence
from math import exp

from crossfade.core import stages
from crossfade.core.records import Recorded
from crossfade.core.stage_events import (
    Aborted,
    Accepted,
    BakeBegun,
    Finished,
    Held,
    Overdue,
    Promoted,
    Resumed,
    Returned,
    RolledBack,
    Said,
    StageEntered,
)
from crossfade.core.stage_next import Reading, soon
from crossfade.core.values import SECOND
from crossfade.engine.views.instants import iso

WHAT = {
    "promotion": "It has to be proven before the next stage; lack of evidence holds.",
    "trigger": "It is watched all the time, also while the plan holds.",
    "ab": "It compares conversations wholly on the elicitation lane with those wholly on the polling lane.",
    "sample-ratio": "It checks that clusters are divided as the threshold says; else no comparison holds.",
    "exact": "It is counted exactly; there is no statistics in it.",
}


def story_of(said: Said, state: stages.State, records: Sequence[Recorded], reading: Reading) -> tuple[str, ...]:
    """Lines to be read from top to bottom."""
    return tuple(_lines(said, state, records, reading))


def _lines(said: Said, state: stages.State, records: Sequence[Recorded], reading: Reading) -> Iterator[str]:
    back = state.back
    if back is not None and back.said.name == said.name:
        yield from _went_back(back, state, records)
    else:
        yield f"{said.name} is {_verdict(said)}. {said.explanation}".rstrip()
    yield from _numbers(said)
    if said.kind in WHAT:
        yield WHAT[said.kind]
    if said.guarantee:
        yield f"Guarantee: {said.guarantee}"
    yield from _now(state, reading)
    yield "What the plan did:"
    yield from (f"  {iso(one.at)}  {told}" for one in records if (told := _told(one, state)))


def _verdict(said: Said) -> str:
    if said.kind != "trigger":
        return said.verdict
    return {"passed": "quiet", "failed": "fired"}.get(said.verdict, f"{said.verdict} ({said.reason})")


def _went_back(back: RolledBack, state: stages.State, records: Sequence[Recorded]) -> Iterator[str]:
    said = back.said
    yield (
        f"Rolled back at {iso(back.at)} from {back.share:.6g} of the fleet (stage {back.stage + 1} of"
        f" {len(state.plan.stages)}) to 0, because {said.name} fired."
    )
    yield said.explanation
    if said.named:
        yield f"Clusters that showed it most: {', '.join(said.named)}."
    returned = next((one for one in records if isinstance(one.event, Returned)), None)
    if returned is not None:
        took = (returned.at - back.until_at) / SECOND
        yield (
            f"Everybody was on the polling lane again at {iso(returned.at)}, {took:.1f} s after the measurement that"
            " decided it. Open questions are offered again on polling; none is lost."
        )
    yield "The rollout is held, so that nobody goes on by habit: settle the cause, then `crossfade rollout resume`."


def _numbers(said: Said) -> Iterator[str]:
    parts = [f"{said.bad:,} bad of {said.n:,} observations"] if said.n else []
    if said.clusters:
        parts.append(f"{said.clusters:,} clusters")
    if said.log_evidence is not None and said.log_threshold is not None:
        parts.append(f"E = {_power(said.log_evidence)}, decides at {_power(said.log_threshold)}")
    if said.needed is not None:
        parts.append(f"needs about {said.needed:,} more{soon(said.eta_seconds).replace(';', ',')}")
    if parts:
        yield f"Numbers: {'; '.join(parts)}."


def _power(log: float) -> str:
    return f"{exp(log):.3g}" if log < 600 else f"e^{log:.0f}"


def _now(state: stages.State, reading: Reading) -> Iterator[str]:
    if state.hold is not None:
        yield f"The plan holds since {iso(state.hold.since)}: {state.hold.reason}."
        owner = f"Owner: {state.hold.owner}. " if state.hold.owner else ""
        yield f"{owner}Deadline {iso(state.hold.deadline)}.{' It is overdue.' if state.hold.overdue else ''}"
    elif state.live:
        place = f"stage {state.stage + 1} of {len(state.plan.stages)}"
        yield f"The plan is {state.status} at {place}, share {state.share:.6g}."
    if reading.until_at:
        yield f"Measured until {iso(reading.until_at)}."


def _told(record: Recorded, state: stages.State) -> str:
    """One record of the plan in one line; empty if it is not worth one."""
    match record.event:
        case StageEntered(stage=stage, share=share):
            return f"stage {stage + 1} of {len(state.plan.stages)}: share {share:.6g}"
        case BakeBegun():
            return "the share is in force; from here on it is measured"
        case Held(cause=cause, reason=reason):
            return f"HOLD ({cause}): {reason}"
        case Resumed(reason=reason):
            return f"goes on: {reason}"
        case Overdue():
            return "the hold is overdue"
        case Promoted(stage=stage, said=said):
            return f"stage {stage + 1} proven: {', '.join(one.name for one in said)}"
        case RolledBack(said=said, share=share):
            return f"ROLLED BACK from {share:.6g}: {said.name}"
        case Returned():
            return "share 0 is in force"
        case Aborted(reason=reason):
            return f"ended: {reason}"
        case Finished():
            return "the plan is finished"
        case Accepted():
            return f"accepted by {record.actor}, {len(state.plan.stages)} stages"
        case _:
            return ""
