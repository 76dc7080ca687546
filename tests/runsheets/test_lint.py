"""Lint: every rule sees its planted fault, at its place, and says nothing about what is in order."""

import re
from pathlib import Path

import pytest

from crossfade.core.review.facts import shares_in_use
from crossfade.runsheets import Loaded, load, parse
from crossfade.runsheets.lint import lint
from tests.kit.runsheets import GONE, as_loaded, changed, shipped
from tests.kit.tree import ROOT

V2 = shipped("elicitation-v2").runsheet
CANARY = "phases.canary.steps.share-5"
COMMAND = {"id": "try", "kind": "command", "run": "true", "verify": "true", "undo": "true"}
SHORT_PLAN = "plan: 1\nname: short\nstages: [{share: 100%, bake_seconds: 604800}]\n"
BY_COMMAND = {"kind": "command", "set_share": "x", "roll_back": "x", "verify": "x", "counts": "csv:x"}
AT_THE_END = {"id": "audit", "start": "2027-03-20", "end": "2027-03-21"}
"""Of the phase, days after its last step."""


def planned(plan: str = SHORT_PLAN, **more: str) -> dict[str, object]:
    """A step that lets a plan drive."""
    return {
        "id": "drive", "kind": "hub", "run": "rollout.plan", "share": 1.0, "budget": "P8D",
        "args": {"plan": plan, **more},
    }  # fmt: skip


def codes(*changes: tuple[str, object]) -> set[str]:
    return {problem.code.removeprefix("lint.") for problem in lint(as_loaded(changed(V2, *changes)))}


PLANTED = [
    ("start_not_monday", "error", [("calendar.start", "2027-01-12")]),
    ("timezone_unknown", "error", [("calendar.timezone", "Europe/Atlantis")]),
    ("timezone_unknown", "error", [("calendar.timezone", "../../etc/passwd")]),
    ("weeks_reversed", "error", [("calendar.first_week", 12), ("calendar.last_week", 1)]),
    ("weeks_reversed", "error", [("phases.canary.first_week", 5)]),
    ("week_zero", "error", [("calendar.first_week", 0)]),
    ("week_zero", "error", [("phases.preparation.first_week", 0)]),
    ("week_zero", "error", [("phases.preparation.steps.baseline-start.week", 0)]),
    ("week_zero", "error", [("risk_windows.quarter.week", 0)]),
    ("weeks_beyond", "error", [("phases.removal.last_week", 13)]),
    ("weeks_overlap", "error", [("phases.progressive.first_week", 4)]),
    ("weeks_gap", "error", [("phases.progressive.first_week", 6)]),
    ("weeks_gap", "error", [("phases.canary.last_week", 3)]),
    ("weeks_unused", "error", [("calendar.last_week", 14)]),
    ("weeks_unused", "error", [("phases.preparation.first_week", 1)]),
    ("step_beyond", "error", [(f"{CANARY}.week", 5)]),
    ("step_order", "error", [("phases.progressive.steps.share-50.week", 5)]),
    ("bake_too_long", "error", [("phases.canary.bake", "P14D")]),
    ("window_beyond", "error", [("risk_windows.removal.week", 13)]),
    ("window_empty", "error", [("risk_windows.removal.days", 0)]),
    ("window_unstaffed", "error", [("risk_windows.first-share.staffed", False)]),
    ("window_unstaffed", "error", [("operations", GONE)]),
    ("freeze_reversed", "error", [("freezes.quarter-end.end", "2027-03-01")]),
    ("ramp_in_freeze", "error", [("freezes.quarter-end", {"id": "f", "start": "2027-02-23", "end": "2027-02-23"})]),
    ("ramp_in_freeze", "error", [("freezes.quarter-end.start", "2027-03-08")]),
    ("shifts_gap", "error", [("operations.shifts.amer.end", "23:59:00")]),
    ("shifts_gap", "error", [("operations.shifts.emea", GONE)]),
    ("shifts_overlap", "warning", [("operations.shifts.amer.end", "00:30:00")]),
    ("unknown_metric", "error", [("slos.p99.metric", "latency_p98_ms")]),
    ("metric_twice", "error", [("slos.more", {"metric": "error_rate", "kind": "minimum", "max": 0.01})]),
    ("threshold_side", "error", [("slos.p95.max", GONE)]),
    ("threshold_side", "error", [("slos.availability.max", 1)]),
    ("threshold_side", "error", [("slos.delivery", {"metric": "delivery_rate", "kind": "goal", "max": 0.9})]),
    ("thresholds_contradict", "error", [("slos.p99.investigate", 200)]),
    ("thresholds_contradict", "error", [("slos.p99.roll_back", 400)]),
    ("thresholds_contradict", "error", [("slos.availability.investigate", 0.9999)]),
    ("rollback_over_budget", "error", [("rollback.budget", "PT19M")]),
    ("unknown_phase", "error", [("rollback.rehearsed_before", "canaries")]),
    ("unknown_phase", "error", [("training.before", "canaries")]),
    ("unknown_phase", "error", [("security.authentication_checkpoints", ["prep"])]),
    ("unknown_severity", "error", [("incident_response.respond_within.SEV5", "PT5M")]),
    ("duplicate_id", "error", [("phases.canary.id", "preparation")]),
    ("duplicate_id", "error", [("phases.canary.steps.share-5.id", "go")]),
    ("duplicate_id", "error", [("phases.canary.exit.p99.id", "errors")]),
    ("duplicate_id", "error", [("risk_windows.quarter.id", "removal")]),
    ("duplicate_id", "error", [("freezes.+", {"id": "quarter-end", "start": "2027-03-29", "end": "2027-03-30"})]),
    ("duplicate_id", "error", [("operations.shifts.apac.id", "emea")]),
    ("duplicate_id", "error", [("rollback.steps.share.id", "drain")]),
    ("role_unheld", "error", [("roles.security.members", [])]),
    ("role_unheld", "error", [("roles.security", GONE)]),
    ("quorum_impossible", "error", [("roles.devops.quorum", 3)]),
    ("quorum_impossible", "error", [("roles.devops.quorum", 0)]),
    ("quorum_impossible", "error", [("roles.devops", {"members": ["a", "a"], "quorum": 2})]),
    ("quorum_impossible", "error", [("phases.canary.steps.go.quorum", 7)]),
    ("signoff_of_nobody", "error", [("phases.canary.entry_signoffs", [{"roles": []}])]),
    ("unknown_role", "error", [("phases.canary.steps.go.to", ["role:devop"])]),
    ("phase_without_gate", "error", [("phases.deprecation.exit", [])]),
    ("gate_of_nothing", "error", [("phases.canary.exit.p99.slo", "")]),
    ("gate_of_nothing", "error", [("phases.canary.exit.p99.check", "load.tested")]),
    ("unknown_slo", "error", [("phases.canary.exit.p99.slo", "p98")]),
    ("target_incomplete", "error", [("target", {"kind": "command", "verify": "x", "counts": "csv:x"})]),
    ("target_incomplete", "warning", [("target", {"kind": "http", "set_share": "x", "roll_back": "x"})]),
    ("no_phases", "error", [("phases", [])]),
    ("nothing_moves", "warning", [(f"phases.{phase}.steps", []) for phase in ("canary", "progressive", "full")]
     + [(f"phases.{phase}.share", 0) for phase in ("canary", "progressive", "full", "deprecation", "removal")]),
    ("step_incomplete", "error", [(f"{CANARY}.share", GONE)]),
    ("step_incomplete", "error", [("phases.preparation.steps.baseline-week.wait", GONE)]),
    ("step_incomplete", "error", [("phases.canary.steps.go.message", "")]),
    ("step_incomplete", "error", [("phases.canary.steps.open.run", "")]),
    ("step_ignores", "error", [(f"{CANARY}.run", "true")]),
    ("step_ignores", "error", [("phases.canary.steps.open.share", 0.5)]),
    ("unknown_call", "error", [("phases.canary.steps.open.run", "rollout.begin")]),
    ("unknown_check", "warning", [("phases.canary.exit.rollback.check", "rollback.read")]),
    ("unknown_check", "warning", [("phases.preparation.steps.benchmark.run", "load.test")]),
    ("plan_wrong", "error", [("phases.full.steps.+", planned(plan=SHORT_PLAN.replace("plan: 1", "plan: 2")))]),
    ("plan_wrong", "error", [("phases.full.steps.+", planned(plan=""))]),
    ("plan_differs", "error", [("phases.full.steps.+", planned(digest="0" * 64))]),
    ("plan_ends_elsewhere", "error", [("phases.full.steps.+", {**planned(), "share": 0.5})]),
    ("plan_ends_elsewhere", "error", [("phases.full.steps.+", planned(plan=SHORT_PLAN.replace("100%", "90%")))]),
    ("plan_over_budget", "error", [("phases.full.steps.+", {**planned(), "budget": "P1D"})]),
    ("plan_elsewhere", "error", [("phases.full.steps.+", planned()), ("target", BY_COMMAND)]),
    ("ramp_in_freeze", "error", [("phases.full.steps.+", planned()), ("freezes.+", AT_THE_END)]),
    ("share_falls", "error", [("phases.progressive.steps.share-50.share", 0.2)]),
    ("share_falls", "error", [("phases.deprecation.share", 0.5)]),
    ("share_unreached", "error", [("phases.canary.share", 0.1)]),
    ("irreversible_unsigned", "error", [("phases.removal.entry_signoffs", [])]),
    ("irreversible_unmarked", "error", [("phases.removal.steps.remove.irreversible", False)]),
    ("no_undo", "warning", [("phases.removal.steps.+", COMMAND | {"undo": ""})]),
    ("no_verify", "warning", [("phases.removal.steps.+", COMMAND | {"verify": ""})]),
    ("id_not_plain", "error", [("phases.canary.steps.go.id", "Go!")]),
    ("id_not_plain", "error", [("name", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "severity", "changes"), PLANTED)
def test_a_rule_sees_its_planted_fault(code: str, severity: str, changes: list[tuple[str, object]]) -> None:
    found = [problem for problem in lint(as_loaded(changed(V2, *changes))) if problem.code == f"lint.{code}"]
    assert {problem.severity for problem in found} == {severity}


def test_every_code_has_a_planted_fault() -> None:
    files = set(Path(ROOT / "src/crossfade/runsheets").glob("*.py")) - {ROOT / "src/crossfade/runsheets/plan_files.py"}
    sources = "".join(path.read_text("utf-8") for path in files)
    written = set(re.findall(r'(?:Slip|unknown)\(\s*"([a-z_]+)"', sources)) | {"no_undo", "no_verify"}
    assert written == {code for code, _, _ in PLANTED}


def test_v2_is_clean() -> None:
    assert lint(shipped("elicitation-v2")) == []


def test_v1_is_left_alone_at_night() -> None:
    found = lint(shipped("elicitation-v1"))
    assert {problem.code for problem in found} == {"lint.shifts_gap", "lint.window_unstaffed"}


def test_a_step_that_says_how_to_undo_it_is_in_order() -> None:
    assert codes(("phases.removal.steps.+", COMMAND)) == set()


def test_a_step_that_lets_a_plan_drive_is_in_order() -> None:
    assert codes(("phases.full.steps.+", planned())) == set()


def test_the_shipped_runsheet_whose_ramp_is_a_plan_is_in_order_and_ends_where_its_plan_does() -> None:
    loaded = load(str(ROOT / "examples/ramp-by-plan.yaml"))
    assert isinstance(loaded, Loaded), loaded
    assert lint(loaded) == []
    [step] = [step for phase in loaded.runsheet.phases for step in phase.steps if step.by_plan]
    assert shares_in_use(loaded.runsheet) == (1.0,)
    assert step.args["plan"].startswith("plan: 1\n")


def test_a_freeze_that_begins_the_day_after_a_ramp_is_in_order() -> None:
    assert "ramp_in_freeze" not in codes(
        ("freezes.quarter-end.start", "2027-03-09"), ("freezes.quarter-end.end", "2027-03-10")
    )


def test_problems_come_with_places_in_the_order_of_the_file() -> None:
    source = shipped("elicitation-v2").source.decode()
    broken = source.replace("start: 2027-01-11", "start: 2027-01-12").replace("budget: PT20M", "budget: PT12M")
    loaded = parse(broken.encode(), "mine.yaml")
    assert isinstance(loaded, Loaded)
    first, second = lint(loaded)
    assert str(first) == "mine.yaml:15:10 calendar.start: 2027-01-12 is a Tuesday; the Monday before is 2027-01-11"
    assert second.path == "rollback.steps.4.budget"
    assert "id: log" in broken.splitlines()[second.line - 1]
    assert broken.splitlines()[second.line - 1][second.column - 1 :].startswith("PT3M")


def test_a_slip_of_the_pen_gets_a_suggestion() -> None:
    (problem,) = lint(as_loaded(changed(V2, ("phases.canary.exit.p99.slo", "p98"))))
    assert problem.hint.startswith("did you mean p9")
