"""What a review says about one thing that is wrong, and that it says nothing at the last value that is right.

Each case is version 2 of the shipped plan with one value changed. The table says which finding that brings, where it
points and what people read; ``-`` is a plan without a finding. ``python -m tests.core.retake`` writes it anew.
"""

import json
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from crossfade.core.review import Severity, facts, review, security
from crossfade.core.runsheets import Gate, Phase, Role, Runsheet, Step
from tests.kit.runsheets import GONE, changed, shipped
from tests.kit.tables import rows
from tests.runsheets.test_review import PLANTED, V1, V2

TABLE = rows("findings")
Change = tuple[str, object]
RAMP = ("canary", "progressive", "full")
NOTHING_MOVES: list[Change] = [
    *((f"phases.{phase}.steps", []) for phase in RAMP),
    *((f"phases.{phase}.share", 0) for phase in (*RAMP, "deprecation", "removal")),
]
AT_ONCE: list[Change] = [("phases.canary.steps", []), ("phases.canary.share", 0)]
OTHER_TARGET = dict.fromkeys(("set_share", "verify", "roll_back", "counts"), "x")
RIGHT: list[list[Change]] = [
    [],
    [("rollback.budget", "PT20M")],
    [("rollback.budget", "PT15M"), ("rollback.steps.log.budget", "PT1M"), ("rollback.steps.security.budget", "PT2M")],
    [("rollback.rehearsed_before", "preparation")],
    [("capacity.headroom", 0.2)],
    [("capacity.headroom", 0.999)],
    [("auto_scaling.utilisation", 0.2)],
    [("auto_scaling.utilisation", 0.85)],
    [("auto_scaling.replicas_min", 11)],
    [("slos.efficiency.min", 0.01)],
    [("operations.escalation", ["a", "b", "a"])],
    [("operations.shifts.apac.end", "09:00:00")],
    [("operations.shifts", [{"id": "all", "start": "08:00:00", "end": "08:00:00", "members": ["a"]}])],
    [("incident_response.respond_within.SEV1", "PT1S")],
    [("training.before", "preparation")],
    [("training.score_min", 1)],
    [("training.score_min", 0.01)],
    [("risk_windows.quarter.days", 2)],
    [("risk_windows.quarter.days", 2), ("risk_windows.quarter.day", 1)],
    [("security.scanning.every", "P1D")],
    [("target", {"kind": "command", **OTHER_TARGET})],
    [("baseline.gap_seconds_max", 300)],
    [("baseline.samples_min", 1)],
    [("load_test.agents_max", 10000)],
    [("load_test.endurance_hours", 8)],
    [("load_test.scenarios", ["a", "b", "c"])],
    [("load_test.coordination_metrics", ["registration_ms", "wake_up_ms", "fan_out_ms"])],
    [("slos.p99.investigate", 400), ("slos.p99.roll_back", 900)],
    [("slos.p50.max", 1)],
    [("slos.p50.kind", "minimum")],
    [("improvement.low", 1)],
    [("improvement.low", 20)],
    [("improvement", GONE), ("phases.progressive.exit.compared", GONE)],
    [("phases.progressive.exit.compared.check", "improvement.measured")],
    [("slos.errors.max", 0.0005)],
    [("slos.availability.min", 0.9999)],
]
"""The last values that are right."""
WRONG: list[list[Change]] = [
    [("rollback.budget", "PT20M1S")],
    [("rollback.budget", "PT14M59S")],
    [("rollback.steps.log.do", "")],
    [("rollback.incident_report", False)],
    [("rollback.rehearsed_before", "nowhere")],
    [("rollback.rehearsed_before", "progressive")],
    [("phases.canary.entry.rollback", GONE)],
    [("phases.canary.exit.rollback", GONE), ("phases.progressive.exit.rollback", GONE)],
    [("capacity", GONE)],
    [("capacity.shares", [])],
    [("capacity.headroom", 0.19)],
    [("capacity.headroom", 1)],
    [("capacity.measured", False)],
    [("slos.efficiency.min", 0)],
    [("auto_scaling", GONE)],
    [("auto_scaling.replicas_min", 0)],
    [("auto_scaling.replicas_min", 12)],
    [("auto_scaling.utilisation", 0.19)],
    [("auto_scaling.utilisation", 0.86)],
    [("auto_scaling.validated_at", [])],
    [("operations", GONE)],
    [("operations.shifts", [])],
    [("operations.shifts.amer.end", "23:00:00"), ("operations.shifts.emea.members", [])],
    [("operations.escalation", ["a"])],
    [("phases.canary.entry.handoff", GONE), ("phases.removal.entry.handoff", GONE)],
    [("incident_response", GONE)],
    [("incident_response.respond_within", {})],
    [("incident_response.postmortem_within", GONE)],
    [("incident_response.postmortem_within", "PT48H1S")],
    [("phases.preparation.exit.incidents", GONE)],
    [("training", GONE)],
    [("training.before", "nowhere")],
    [("training.before", "progressive")],
    [("phases.canary.entry.team", GONE)],
    [("risk_windows.quarter.staffed", False), ("risk_windows.removal.staffed", False)],
    [("risk_windows.first-share.incident_team", False)],
    [("risk_windows.quarter.day", 1)],
    [("risk_windows", [])],
    [("phases.canary.exit", []), ("phases.progressive.exit", [])],
    [("phases.removal.entry", [])],
    [("phases.removal.exit", [])],
    [("slos.loss", {"metric": "data_loss", "kind": "minimum", "min": 0})],
    [("target", {"kind": "command", "set_share": "x"})],
    [("phases", [])],
    [("security.authentication_checkpoints", [])],
    [("security.authentication_checkpoints", GONE)],
    [("security", GONE)],
    [("phases.canary.exit.authentication.check", "other"), ("phases.full.exit.authentication", GONE)],
    [("phases.canary.entry_signoffs", []), ("phases.removal.entry_signoffs", [{"roles": ["devops"]}])],
    [("security.tests", [])],
    [("security.scanning", GONE)],
    [("security.scanning.every", "PT0S")],
    [("security.scanning.every", "P1DT1S")],
    [("risk_windows.quarter.scans", []), ("risk_windows.removal.scans", [])],
    [("phases.canary.entry.security-validations", GONE)],
    [("security.threat_detection", [])],
    [("security.rollback_keeps_controls", False)],
    [("security.data_protection", [])],
    [("security.compliance", [])],
    [("slos.security.kind", "goal")],
    [("slos.security", {"metric": "security_incidents", "kind": "minimum", "min": 0})],
    [("baseline", GONE)],
    [("baseline.days", 6)],
    [("baseline.gap_seconds_max", 0)],
    [("baseline.gap_seconds_max", 301)],
    [("baseline.samples_min", 0)],
    [("baseline.hourly_profile", False)],
    [("calendar.first_week", 1), ("phases.preparation.first_week", 1)],
    [("load_test", GONE)],
    [("load_test.endurance_hours", 7.9)],
    [("load_test.leak_detection", False)],
    [("load_test.scenarios", ["a", "b", "b"])],
    [("load_test.coordination_metrics", ["registration_ms", "wake_up_ms"])],
    [("slos.agents.min", 9999)],
    [("slos.agents", GONE)],
    [("phases.canary.entry.targets", GONE)],
    [("slos.p99", {"metric": "latency_p99_ms", "kind": "minimum", "investigate": 500, "roll_back": 1000})],
    [("slos.p99.max", 0)],
    [("slos.p99.investigate", 501)],
    [("slos.p99.roll_back", 1001)],
    [("slos.p99.roll_back", GONE)],
    [("slos.p50.max", 51)],
    [("slos.p999.max", 1001)],
    [("slos.p95", GONE)],
    [("slos.p999", GONE)],
    [("slos.delivery", GONE)],
    [("improvement.low", 0.9)],
    [("improvement.low", 21), ("improvement.high", 21)],
    [("improvement.low", 11), ("improvement.high", 10)],
    [("phases.progressive.exit.compared", GONE)],
    [("slos.errors.max", 0.0011)],
    [("slos.errors.kind", "goal")],
    [("slos.errors.investigate", 0.011)],
    [("slos.errors.investigate", GONE)],
    [("slos.errors.roll_back", 0.051)],
    [("slos.errors", GONE)],
    [("slos.availability.kind", "goal")],
    [("slos.availability", {"metric": "availability", "kind": "minimum", "max": 1})],
    [("phases.canary.exit.errors", GONE), ("phases.canary.exit.loss", GONE)],
]
CASES = [*RIGHT, *WRONG, *(changes for _, changes in PLANTED)]


def shown(changes: list[Change]) -> str:
    """The changes as people would write them."""
    if changes == NOTHING_MOVES:
        return "nothing moves"
    texts = [f"{path}: {'gone' if value is GONE else json.dumps(value)}" for path, value in changes]
    return "; ".join(texts) or "nothing"


def findings(runsheet: Runsheet) -> Iterator[tuple[str, str, str]]:
    """Code, place and sentence of all findings that are no controls."""
    for role in review(runsheet).roles.values():
        for finding in role.findings:
            if finding.severity is not Severity.MINOR:
                yield finding.code, finding.path, finding.message


def said(changes: list[Change]) -> list[tuple[str, ...]]:
    """The rows of the table for one case."""
    found = list(findings(changed(V2, *changes))) or [("-", "-", "-")]
    return [(shown(changes), *finding) for finding in found]


CONTROLS: dict[str, list[Change]] = {
    "controls of version 2": [],
    "controls without a canary": AT_ONCE,
    "controls with nothing after the full phase": [("phases.removal.steps", []), ("phases.deprecation.steps", [])],
    "controls where removal can be undone": [("phases.removal.steps.remove.irreversible", False)],
    "controls where nothing moves": NOTHING_MOVES,
}


def controls(name: str) -> list[tuple[str, ...]]:
    """What security demands of a plan, whether or not it is otherwise in order."""
    runsheet = changed(V2, *CONTROLS[name])
    causes = [(rule, list(rule.causes(runsheet))) for rule in security.CONTROLS]
    return [(name, rule.code, cause.path, cause.said) for rule, found in causes for cause in found]


def test_every_case_is_in_the_table() -> None:
    cases = [*(shown(changes) for changes in CASES), *CONTROLS, "version 1"]
    assert len(cases) == len(set(cases))
    assert {row["change"] for row in TABLE} <= set(cases)


@pytest.mark.parametrize("changes", CASES, ids=shown)
def test_a_review_says_what_the_table_says(changes: list[Change]) -> None:
    expected = [tuple(row.values())[:4] for row in TABLE if row["change"] == shown(changes)]
    assert said(changes) == expected
    assert (expected == [(shown(changes), "-", "-", "-")]) == (changes in RIGHT)


@pytest.mark.parametrize("name", CONTROLS)
def test_security_demands_what_the_table_says(name: str) -> None:
    assert controls(name) == [tuple(row.values())[:4] for row in TABLE if row["change"] == name]


def test_version_1_is_told_what_the_table_says() -> None:
    expected = [tuple(row.values())[1:4] for row in TABLE if row["change"] == "version 1"]
    assert list(findings(V1)) == expected


# --- the facts behind it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0 seconds"),
        (timedelta(seconds=1), "1 seconds"),
        (timedelta(seconds=59.5), "59.5 seconds"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(seconds=61), "1.01667 minutes"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=23), "23 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_a_duration_is_told_in_its_greatest_unit(span: timedelta, text: str) -> None:
    assert facts.time_text(span) == text


def stepped(*shares: float | None, end: float = 0.0, name: str = "p") -> Phase:
    steps = tuple(Step(id=f"s{place}", kind="share", share=share) for place, share in enumerate(shares))
    return Phase(id=name, title=name, first_week=1, last_week=1, share=end, steps=steps)


def test_the_shares_of_a_phase_are_those_of_its_steps_else_the_one_it_ends_with() -> None:
    assert facts.shares_of(stepped(0.25, 0.5, end=0.75)) == (0.25, 0.5)
    assert facts.shares_of(stepped(None, end=0.75)) == (0.75,)
    assert facts.shares_of(stepped(0.0, end=0.75)) == (0.0,)
    assert facts.shares_of(stepped()) == ()
    command = Phase(id="p", title="P", first_week=1, last_week=1, steps=(Step(id="x", kind="command", share=0.5),))
    assert facts.shares_of(command) == ()


def with_phases(*phases: Phase) -> Runsheet:
    return msgspec.structs.replace(shipped("elicitation-v2").runsheet, phases=phases)


def test_a_phase_moves_if_it_goes_above_all_before_it() -> None:
    still = (stepped(), stepped(0.0))
    plan = with_phases(*still, stepped(0.25), stepped(end=0.25), stepped(0.1, 0.5), stepped(0.4), stepped(end=1))
    assert [index for index, _ in facts.moving(plan)] == [2, 4, 6]
    assert facts.first_moving(plan) == 2
    assert facts.shares_in_use(plan) == (0.1, 0.25, 0.4, 0.5, 1)
    assert facts.first_moving(with_phases(stepped(0.0))) is None


def test_what_must_pass_before_the_first_share_ends_with_the_entry_of_its_phase() -> None:
    gates = iter([Gate(id=name, check="x") for name in "abcdefgh"])
    phases = [
        msgspec.structs.replace(phase, entry=(next(gates),), exit=(next(gates),))
        for phase in (stepped(), stepped(), stepped(0.25), stepped(0.5))
    ]
    assert [gate.id for gate in facts.gates_before_first_share(with_phases(*phases))] == list("abcde")
    assert [gate.id for gate in facts.gates_before_first_share(with_phases(*phases[:2]))] == []
    assert [gate.id for gate in facts.gates_of(with_phases(*phases))] == list("abcdefgh")
    assert facts.days_before_first_share(with_phases(*phases[:2])) == 0


def test_a_control_says_where_why_and_what_has_to_hold_and_stands_among_the_findings() -> None:
    told = review(V2).roles[Role.SECURITY]
    lasting = told.controls[1]
    assert (lasting.code, lasting.path, lasting.probe) == (
        "security.control.old_lane_open", "phases.3.share", "scanning.running"
    )  # fmt: skip
    assert lasting.message == (
        "residual risk of the old lane: phase full keeps the old lane open at 100 %; "
        "phase deprecation keeps the old lane open at 100 %"
    )
    for control, finding in zip(told.controls, told.findings, strict=True):
        assert (finding.code, finding.path, finding.message) == (control.code, control.path, control.message)
        assert finding.hint == f"keep {control.probe} passing; when it fails the approval is suspended"
