"""Reviews: v1 and v2 come out as the specialists said, and every value that v2 changed is what made the difference."""

import msgspec
import pytest

from crossfade.core.review import Outcome, Severity, devops, performance, review, security
from crossfade.core.runsheets import Role, Runsheet
from tests.kit.runsheets import GONE, changed, shipped, tree

pytestmark = pytest.mark.requirement("P1", "P2")

V1, V2 = shipped("elicitation-v1").runsheet, shipped("elicitation-v2").runsheet
RULES = (*devops.RULES, *security.RULES, *performance.RULES)


def codes(runsheet: Runsheet) -> set[str]:
    """Codes of all findings that are no controls."""
    told = review(runsheet).roles.values()
    return {finding.code for role in told for finding in role.findings if finding.severity is not Severity.MINOR}


def outcomes(runsheet: Runsheet) -> list[str]:
    told = review(runsheet)
    return [*(told.roles[role].outcome.value for role in Role), told.overall]


# --- the two that ship --------------------------------------------------------------------------------


def test_v1_comes_out_as_the_specialists_said() -> None:
    assert outcomes(V1) == ["conditional", "emergency_stop", "conditional", "not_ready"]


@pytest.mark.parametrize(
    ("role", "severity", "expected"),
    [
        ("devops", "major", ["rollback_timing", "capacity_planning", "deployment_automation", "operations_24_7"]),
        ("security", "critical", ["authentication_checkpoints", "testing_coverage", "threat_detection",
                                  "rollback_vulnerabilities", "data_protection"]),
        ("performance", "major", ["baseline_short", "load_test_scale", "latency_target", "coordination_metrics",
                                  "improvement_claim"]),
    ],
)  # fmt: skip
def test_v1_has_exactly_the_findings_of_the_source(role: str, severity: str, expected: list[str]) -> None:
    findings = review(V1).roles[Role(role)].findings
    assert [finding.code for finding in findings] == [f"{role}.{code}" for code in expected]
    assert {finding.severity for finding in findings} == {severity}


@pytest.mark.parametrize(
    ("code", "line"),
    [("devops.rollback_timing", "budget: PT5M"), ("performance.baseline_short", "days: 1"),
     ("performance.load_test_scale", "agents_max: 1000"), ("performance.latency_target", "max: 500"),
     ("performance.improvement_claim", "high: 100"), ("devops.deployment_automation", 'automation: ""'),
     ("security.authentication_checkpoints", "authentication_checkpoints: []"),
     ("security.rollback_vulnerabilities", "rollback_keeps_controls: false")],
)  # fmt: skip
def test_a_finding_names_the_line_that_causes_it(code: str, line: str) -> None:
    loaded = shipped("elicitation-v1")
    told = review(V1).roles[Role(code.partition(".")[0])].findings
    (finding,) = (one for one in told if one.code == code)
    assert line in loaded.source.decode().splitlines()[loaded.place(finding.path).line - 1]


def test_v2_is_approved_with_controls_by_security_and_ready() -> None:
    assert outcomes(V2) == ["approved", "approved_with_controls", "approved", "production_ready"]
    told = review(V2).roles
    assert told[Role.DEVOPS].findings == told[Role.PERFORMANCE].findings == ()
    controls = told[Role.SECURITY].controls
    assert [control.code.rpartition(".")[2] for control in controls] == ["two_lanes", "old_lane_open", "irreversible"]
    assert [finding.code for finding in told[Role.SECURITY].findings] == [control.code for control in controls]
    assert all(control.probe for control in controls)


def test_controls_come_from_values() -> None:
    at_once = changed(V2, *((f"phases.{phase}.steps", []) for phase in ("canary", "progressive", "full", "removal")),
                      *((f"phases.{phase}.share", 0) for phase in ("canary", "progressive")))  # fmt: skip
    assert _control_codes(at_once) <= {"security.control.old_lane_open"}
    kept = changed(V2, ("phases.removal.steps.remove.irreversible", False))
    assert "security.control.irreversible" not in _control_codes(kept)


def _control_codes(runsheet: Runsheet) -> set[str]:
    return {rule.code for rule in security.CONTROLS if list(rule.causes(runsheet))}


# --- names, titles and versions count for nothing -----------------------------------------------------


def _renamed(runsheet: Runsheet, told: Runsheet) -> Runsheet:
    texts = ("name", "version", "title", "owner", "notes")
    return msgspec.structs.replace(runsheet, **{name: getattr(told, name) for name in texts})


def test_v1_under_the_name_of_v2_fails_as_before_and_v2_under_that_of_v1_passes() -> None:
    assert review(_renamed(V1, V2)) == review(V1)
    assert review(_renamed(V2, V1)) == review(V2)


# --- any one value of v2 turned back brings its finding back ------------------------------------------

ROLLBACK, CAPACITY, AUTOMATION, OPERATIONS = (
    f"devops.{code}" for code in ("rollback_timing", "capacity_planning", "deployment_automation", "operations_24_7")
)
LOGIN, TESTING, THREATS, BACK, DATA = (
    f"security.{code}"
    for code in ("authentication_checkpoints", "testing_coverage", "threat_detection", "rollback_vulnerabilities",
                 "data_protection")
)  # fmt: skip
BASELINE, LOAD, LATENCY, TOGETHER, CLAIM = (
    f"performance.{code}"
    for code in ("baseline_short", "load_test_scale", "latency_target", "coordination_metrics", "improvement_claim")
)

MATCHING = {
    "calendar": BASELINE,
    "phases": LOGIN,
    "phases.preparation.first_week": BASELINE,
    "baseline": BASELINE,
    "capacity": CAPACITY,
    "auto_scaling": CAPACITY,
    "load_test.coordination_metrics": TOGETHER,
    "load_test": LOAD,
    "improvement": CLAIM,
    "slos": LATENCY,
    "slos.agents": LOAD,
    "slos.delivery": TOGETHER,
    "slos.efficiency": CAPACITY,
    "security": LOGIN,
    "security.tests": TESTING,
    "security.scanning": TESTING,
    "security.siem": THREATS,
    "security.threat_detection": THREATS,
    "security.rollback": BACK,
    "security.data_protection": DATA,
    "security.compliance": DATA,
    "rollback": ROLLBACK,
    "rollback.restores_event_store": BACK,
    "operations": OPERATIONS,
    "operations.automation": AUTOMATION,
    "incident_response": OPERATIONS,
    "training": OPERATIONS,
    "risk_windows": OPERATIONS,
}
"""Start of a path to the finding that it answers; the longest match counts."""
GATES = {
    "authentication": LOGIN, "entry_signoffs": LOGIN, "scanned": TESTING, "security-validations": TESTING,
    "scans": TESTING, "capacity": CAPACITY, "scaling": CAPACITY, "automation": AUTOMATION, "incidents": OPERATIONS,
    "handoff": OPERATIONS, "staffed": OPERATIONS, "team": OPERATIONS, "entry": OPERATIONS, "baseline": BASELINE,
    "targets": LOAD, "rollback": ROLLBACK, "compared": CLAIM,
}  # fmt: skip
"""Gates and lists in phases and windows, by their last word."""
PEOPLE = {"roles", "freezes"}
"""Who holds a role, and when nothing is promoted, depend on the place and not on the plan."""
TEXT = {"name", "version", "title", "owner", "notes", "about", "message", "focus", "timezone", "steps", "start"}
"""Words and dates, and the steps themselves."""


def matching(path: str) -> str:
    last = path.removesuffix(".check").rpartition(".")[2]
    if path.startswith(("phases.", "risk_windows.")) and last in GATES:
        return GATES[last]
    return MATCHING[max((start for start in MATCHING if path.startswith(start)), key=len)]


def turned_back() -> list[tuple[str, object]]:
    """Every number and section of v2 that v1 does not have so, with v1's value."""
    return [*_differences(tree(V2), tree(V1), "")]


def _differences(new, old, path):
    for name in _names(new):
        inner = f"{path}.{name}" if path else name
        ours, theirs = _at(new, name), _at(old, name)
        if ours == theirs or name in TEXT | PEOPLE:
            continue
        if possible(inner, theirs):
            yield inner, theirs
        if name != "entry_signoffs" and (_names(ours) or isinstance(ours, dict)):
            yield from _differences(ours, {} if theirs is GONE else theirs, inner)


def _names(node) -> list[str]:
    if isinstance(node, dict):
        return list(node)
    return [item["id"] for item in node if isinstance(item, dict) and "id" in item] if isinstance(node, list) else []


def _at(node, name):
    if isinstance(node, dict):
        return node.get(name, GONE)
    return next((item for item in node if item["id"] == name), GONE) if isinstance(node, list) else GONE


def possible(path: str, value: object) -> bool:
    """It can be turned back alone; a number that its section cannot be without goes with the section."""
    try:
        changed(V2, (path, value))
    except msgspec.ValidationError:
        return False
    return True


TURNED = turned_back()


def test_v2_itself_has_no_finding() -> None:
    assert codes(V2) == set()


@pytest.mark.parametrize(("path", "value"), TURNED, ids=[path for path, _ in TURNED])
def test_one_value_of_v2_turned_back_to_v1_brings_its_finding_back(path: str, value: object) -> None:
    assert matching(path) in codes(changed(V2, (path, value)))


def test_every_difference_that_matters_is_turned_back() -> None:
    assert {matching(path) for path, _ in TURNED} == codes(V1)
    assert len(TURNED) > 100


# --- every rule sees its planted fault ----------------------------------------------------------------

GATELESS = ("phases.canary.exit", [])
PLANTED = [
    ("devops.rollback_timing", [("rollback.budget", "PT14M")]),
    ("devops.rollback_timing", [("rollback.budget", "PT25M")]),
    ("devops.rollback_timing", [("rollback.steps.log.budget", "PT4M")]),
    ("devops.rollback_timing", [("rollback.steps", [])]),
    ("devops.rollback_timing", [("rollback.steps.log.verify", "")]),
    ("devops.rollback_timing", [("rollback.automatic", False)]),
    ("devops.rollback_timing", [("rollback.rehearsed_before", "removal")]),
    ("devops.rollback_timing", [("rollback", GONE)]),
    ("devops.capacity_planning", [("capacity.shares", [0.05, 0.25, 0.5, 1])]),
    ("devops.capacity_planning", [("capacity.headroom", 0.05)]),
    ("devops.capacity_planning", [("auto_scaling.replicas_max", 2)]),
    ("devops.capacity_planning", [("auto_scaling.utilisation", 0.99)]),
    ("devops.capacity_planning", [("auto_scaling.validated_at", [0.25, 0.5])]),
    ("devops.capacity_planning", [("phases.progressive.exit.scaling", GONE)]),
    ("devops.deployment_automation", [("operations.automation", "")]),
    ("devops.operations_24_7", [("operations.shifts.amer", GONE)]),
    ("devops.operations_24_7", [("operations.shifts.amer.end", "23:30:00")]),
    ("devops.operations_24_7", [("operations.shifts.amer.members", [])]),
    ("devops.operations_24_7", [("operations.handoff", "")]),
    ("devops.operations_24_7", [("operations.escalation", ["a", "a"])]),
    ("devops.operations_24_7", [("incident_response.respond_within.SEV2", "PT16M")]),
    ("devops.operations_24_7", [("incident_response.respond_within.SEV4", GONE)]),
    ("devops.operations_24_7", [("incident_response.postmortem_within", "P3D")]),
    ("devops.operations_24_7", [("training.drills", [])]),
    ("devops.operations_24_7", [("training.score_min", 0)]),
    ("devops.operations_24_7", [("training.before", "full")]),
    ("devops.operations_24_7", [("risk_windows.quarter", GONE)]),
    ("devops.operations_24_7", [("risk_windows.quarter.day", 3)]),
    ("devops.operations_24_7", [("phases.removal.steps.remove.day", 2)]),
    ("devops.ungated_phase", [GATELESS]),
    ("devops.irreversible_unsigned", [("phases.removal.entry_signoffs", [])]),
    ("devops.irreversible_ungated", [("phases.removal.entry.silent", GONE)]),
    ("devops.irreversible_ungated", [("phases.removal.entry", []), ("target", {"kind": "command"})]),
    ("devops.irreversible_ungated", [("phases.removal.exit", [{"id": "p99", "slo": "p99"}])]),
    ("devops.operations_24_7", [("phases.full.entry.handoff", GONE)]),
    ("devops.operations_24_7", [("phases.canary.entry.staffed", GONE)]),
    ("devops.rollback_timing", [("phases.canary.exit.rollback", GONE)]),
    ("devops.capacity_planning", [("slos.efficiency", GONE)]),
    ("security.authentication_checkpoints", [("phases.full.entry_signoffs", [{"roles": ["devops"]}])]),
    ("performance.minimum_requirements", [("slos.errors.roll_back", 0.06)]),
    ("performance.latency_target", [("slos.p99.investigate", GONE)]),
    ("performance.coordination_metrics", [("slos.delivery.min", 0.99)]),
    ("performance.ungated_metric", [("phases.canary.exit.availability", GONE)]),
    ("devops.data_loss", [("slos.loss.max", 1)]),
    ("devops.data_loss", [("slos.loss", GONE)]),
    ("devops.data_loss", [("slos.loss.kind", "goal")]),
    ("devops.target", [("target", {"kind": "command", "set_share": "x", "verify": "x", "roll_back": "x"})]),
    ("devops.target", [(f"phases.{phase}.steps", []) for phase in ("canary", "progressive", "full")]
     + [(f"phases.{phase}.share", 0) for phase in ("canary", "progressive", "full", "deprecation", "removal")]),
    ("security.authentication_checkpoints", [("security.authentication_checkpoints", ["preparation", "canary"])]),
    ("security.authentication_checkpoints", [("phases.deprecation.exit.authentication", GONE)]),
    ("security.testing_coverage", [("security.tests", ["authentication", "authorisation", "injection", "replay"])]),
    ("security.testing_coverage", [("security.scanning.every", "P2D")]),
    ("security.testing_coverage", [("security.scanning.kinds", [])]),
    ("security.testing_coverage", [("risk_windows.removal.scans", [])]),
    ("security.testing_coverage", [("phases.full.exit.scanned", GONE)]),
    ("security.threat_detection", [("security.threat_detection", ["downgrade", "share_tampering"])]),
    ("security.threat_detection", [("security.siem", "")]),
    ("security.rollback_vulnerabilities", [("security.rollback_validated", False)]),
    ("security.rollback_vulnerabilities", [("rollback.restores_event_store", False)]),
    ("security.data_protection", [("security.data_protection", ["encryption_in_transit", "retention"])]),
    ("security.data_protection", [("security.compliance", ["GDPR"])]),
    ("security.incidents_tolerated", [("slos.security.max", 1)]),
    ("security.incidents_tolerated", [("slos.security", GONE)]),
    ("performance.baseline_short", [("baseline.days", 6.9)]),
    ("performance.baseline_short", [("baseline.gap_seconds_max", 3600)]),
    ("performance.baseline_short", [("phases.canary.entry.baseline", GONE)]),
    ("performance.baseline_short", [("phases.canary.entry.baseline", GONE),
                                    ("phases.full.exit.+", {"id": "late", "check": "baseline.complete"})]),
    ("performance.load_test_scale", [("load_test.agents_max", 9999)]),
    ("performance.load_test_scale", [("slos.agents.min", 20000)]),
    ("performance.load_test_scale", [("load_test.endurance_hours", 1)]),
    ("performance.load_test_scale", [("load_test.scenarios", [])]),
    ("performance.latency_target", [("slos.p99.max", 301)]),
    ("performance.latency_target", [("slos.p99.kind", "goal")]),
    ("performance.latency_target", [("slos.p95.max", 201)]),
    ("performance.latency_target", [("slos.again", {"metric": "latency_p99_ms", "kind": "minimum", "max": 5000})]),
    ("performance.coordination_metrics", [("load_test.coordination_metrics", ["error_rate", "x", "wake_up_ms"])]),
    ("performance.improvement_claim", [("improvement.high", 21)]),
    ("performance.improvement_claim", [("improvement.low", 0)]),
    ("performance.improvement_claim", [("improvement.measured", False)]),
    ("performance.minimum_requirements", [("slos.errors.max", 0.002)]),
    ("performance.minimum_requirements", [("slos.availability.min", 0.999)]),
    ("performance.minimum_requirements", [("slos.availability", GONE)]),
    ("performance.ungated_metric", [("phases.progressive.exit.p99", GONE)]),
    ("performance.ungated_metric", [("phases.full.exit.errors", GONE)]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes"), PLANTED)
def test_a_rule_sees_its_planted_fault(code: str, changes: list[tuple[str, object]]) -> None:
    assert code in codes(changed(V2, *changes))


def test_every_rule_has_a_planted_fault() -> None:
    assert {code for code, _ in PLANTED} == {rule.code for rule in RULES}


def test_no_claim_of_an_improvement_is_fine() -> None:
    assert codes(changed(V2, ("improvement", GONE))) == set()


def test_outcomes_follow_from_severities() -> None:
    assert {rule.severity for rule in security.RULES} == {Severity.CRITICAL}
    assert review(changed(V2, ("operations.automation", ""))).roles[Role.DEVOPS].outcome is Outcome.CONDITIONAL
    stopped = review(changed(V2, ("security.siem", "")))
    assert (stopped.roles[Role.SECURITY].outcome, stopped.overall) == (Outcome.EMERGENCY_STOP, "not_ready")
    assert stopped.roles[Role.SECURITY].controls == ()
