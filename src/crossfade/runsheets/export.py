"""A runsheet as canonical JSON, or as Markdown for people who read."""

from collections.abc import Iterator

import msgspec
import rfc8785

from crossfade.core.review.facts import share_text, time_text
from crossfade.core.runsheets import Phase, Runsheet
from crossfade.runsheets.plan import asked, rows


def as_json(runsheet: Runsheet) -> bytes:
    """The canonical JSON (RFC 8785) that the digest is taken of."""
    return rfc8785.dumps(msgspec.to_builtins(runsheet, str_keys=True))


def as_markdown(runsheet: Runsheet, digest: str) -> str:
    """A page: thresholds, phases with gates and steps, risk windows, rollback."""
    return "\n".join(_page(runsheet, digest)) + "\n"


def _page(runsheet: Runsheet, digest: str) -> Iterator[str]:
    yield f"# {runsheet.title or runsheet.name}"
    yield ""
    about = [runsheet.name, runsheet.version and f"version {runsheet.version}", runsheet.owner, f"digest `{digest}`"]
    yield ", ".join(part for part in about if part)
    yield from _thresholds(runsheet)
    for phase in runsheet.phases:
        yield from _phase(runsheet, phase)
    if runsheet.risk_windows:
        yield from ("", "## Risk windows", "", "| week | day | what | staffed |", "|---:|---:|---|---|")
        for window in runsheet.risk_windows:
            staffed = "yes" if window.staffed else "no"
            yield f"| {window.week} | {window.day} | {_cell(window.title or window.id)} | {staffed} |"
    if runsheet.rollback is not None:
        yield from ("", f"## Rollback within {time_text(runsheet.rollback.budget)}", "")
        for number, step in enumerate(runsheet.rollback.steps, start=1):
            yield f"{number}. {step.title or step.id}: {time_text(step.budget)}"
    if runsheet.notes:
        yield from ("", "## Notes", "", *(f"* {note}" for note in runsheet.notes))


def _thresholds(runsheet: Runsheet) -> Iterator[str]:
    yield from ("", "## Thresholds", "", "| id | metric | kind | threshold | investigate | roll back |")
    yield "|---|---|---|---|---|---|"
    for name, slo in runsheet.slos.items():
        bound = f"at most {slo.max:g}" if slo.max is not None else "" if slo.min is None else f"at least {slo.min:g}"
        beyond = ["" if value is None else f"{value:g}" for value in (slo.investigate, slo.roll_back)]
        yield f"| {name} | {slo.metric} | {slo.kind} | {bound} | {beyond[0]} | {beyond[1]} |"


def _phase(runsheet: Runsheet, phase: Phase) -> Iterator[str]:
    yield from ("", f"## {phase.title}: weeks {phase.first_week} to {phase.last_week}, {share_text(phase.share)}", "")
    for gate in phase.entry:
        yield f"* before it begins: {asked(gate)}"
    for signoff in phase.entry_signoffs:
        yield f"* signed before it begins: {', '.join(signoff.roles)}"
    yield from ("", "| date | step | what | share |", "|---|---|---|---|")
    steps = {step.id for step in phase.steps}
    for row in rows(runsheet):
        if row["phase"] == phase.id and row["id"] in steps and row["budget"]:
            yield f"| {row['date']} | {row['id']} | {_cell(str(row['what']))} | {row['share']} |"
    yield ""
    for gate in phase.exit:
        yield f"* before it ends: {asked(gate)}"
    for signoff in phase.exit_signoffs:
        yield f"* signed before it ends: {', '.join(signoff.roles)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
