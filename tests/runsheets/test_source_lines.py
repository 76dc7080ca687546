"""Each line of the executive summary has its place in one of the runsheets that ship, with the value it says.

A row: the section of the summary and the line; the file; the place; what stands there. A place is a dotted path in
which an item of a list is called by its id. What stands there is the value itself, or a test of it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from crossfade.core.review import review
from crossfade.core.runsheets import Role, weeks_between
from tests.kit.runsheets import GONE, changed, shipped, tree

pytestmark = pytest.mark.requirement("P1", "P3")

MINUTES = timedelta(minutes=1)


def check(name: str) -> Callable[[Any], bool]:
    return lambda node: node["check"] == name


def step(run: str) -> Callable[[Any], bool]:
    return lambda node: node["run"] == run


def share(wanted: float) -> Callable[[Any], bool]:
    return lambda node: node["kind"] == "share" and node["share"] == wanted


def has(*wanted: str) -> Callable[[Any], bool]:
    return lambda node: set(wanted) <= set(node)


def bound(**wanted: object) -> Callable[[Any], bool]:
    return lambda node: {name: node.get(name) for name in wanted} == wanted


def window(week: int, day: int) -> Callable[[Any], bool]:
    return bound(week=week, day=day)


def weeks(first: int, last: int) -> Callable[[Any], bool]:
    return bound(first_week=first, last_week=last)


def sums(limit: timedelta) -> Callable[[Any], bool]:
    def told(node: Any) -> bool:
        spent = sum((msgspec.convert(part["budget"], timedelta) for part in node), timedelta())
        return 15 * MINUTES <= spent <= limit

    return told


def some(node: object) -> bool:
    return bool(node)


LINES = [
    # Overview and versions
    ("Overview", "12-week migration runsheets", "v2", "phases.removal.last_week", 12),
    ("Overview", "from wait_for_messages to MCP Elicitation", "v2", "title", lambda t: t.endswith("MCP Elicitation")),
    ("Version 1.0", "Version 1.0", "v1", "version", "1.0"),
    ("Version 1.0", "Unrealistic 5-minute rollback timing", "v1", "rollback.budget", "PT300S"),
    ("Version 1.0", "Insufficient security validation", "v1", "security.authentication_checkpoints", GONE),
    ("Version 1.0", "Inadequate performance baseline (1 day)", "v1", "baseline.days", 1),
    ("Version 1.0", "Missing infrastructure capacity planning", "v1", "capacity", GONE),
    ("Version 2.0", "Version 2.0", "v2", "version", "2.0"),
    ("Version 2.0", "Realistic 15-20 minute rollback procedures", "v2", "rollback.budget", "PT1200S"),
    ("Version 2.0", "Extended 7-day baseline collection", "v2", "baseline.days", 7),
    ("Version 2.0", "Comprehensive security validation framework", "v2", "security", some),
    ("Version 2.0", "Load testing up to 15,000 agents", "v2", "load_test.agents_max", 15000),
    ("Version 2.0", "Formal incident response framework", "v2", "incident_response", some),
    ("Version 2.0", "Auto-scaling configuration", "v2", "auto_scaling", bound(replicas_min=2, replicas_max=12)),
    # Specialist reviews
    ("DevOps", "Reviewer: devops-engineer", "v1", "roles.devops.members", has("devops-engineer")),
    ("DevOps", "Good operational structure", "v1", "phases", lambda phases: all(phase["exit"] for phase in phases)),
    ("DevOps", "Rollback timing unrealistic (should be 15-20 min)", "v2", "rollback.steps", sums(20 * MINUTES)),
    ("DevOps", "Missing infrastructure capacity planning", "v2", "capacity.measured", True),
    ("DevOps", "Needs deployment automation", "v1", "operations.automation", GONE),
    ("DevOps", "Needs deployment automation", "v2", "operations.automation", some),
    ("DevOps", "Requires 24/7 operations planning", "v1", "operations.shifts", lambda shifts: len(shifts) == 1),
    ("DevOps", "Certificate: operational readiness",
     "v2", "phases.canary.entry_signoffs", lambda s: has("devops")(s[0]["roles"])),
    ("Security", "Reviewer: security-architect", "v1", "roles.security.members", has("security-architect")),
    ("Security", "Missing authentication validation checkpoints", "v1", "security.authentication_checkpoints", GONE),
    ("Security", "Inadequate security testing coverage", "v1", "security.tests", ["authentication"]),
    ("Security", "No migration-specific threat detection", "v1", "security.threat_detection", GONE),
    ("Security", "Rollback could reintroduce vulnerabilities", "v1", "security.rollback_keeps_controls", GONE),
    ("Security", "Missing data protection framework", "v1", "security.data_protection", GONE),
    ("Security", "Certificate: migration security analysis",
     "v2", "phases.canary.entry_signoffs", lambda s: has("security")(s[0]["roles"])),
    ("Performance", "Reviewer: performance-engineer", "v1", "roles.performance.members", has("performance-engineer")),
    ("Performance", "Baseline period too short (needs 7+ days)", "v2", "baseline.days", lambda days: days >= 7),
    ("Performance", "Load testing caps at 1,000 agents", "v1", "load_test.agents_max", 1000),
    ("Performance", "P99 latency target too high (500ms)", "v1", "slos.p99.max", 500),
    ("Performance", "Missing agent-specific coordination metrics", "v1", "load_test.coordination_metrics", GONE),
    ("Performance", "Missing agent-specific coordination metrics",
     "v2", "load_test.coordination_metrics", has("ask_to_answer_ms")),
    ("Performance", "Unrealistic 100x claim", "v1", "improvement", bound(low=100, high=100)),
    ("Performance", "Certificate: embedded in review feedback",
     "v2", "phases.canary.entry_signoffs", lambda s: has("performance")(s[0]["roles"])),
    # Critical enhancements
    ("Preparation", "Before: 2 weeks preparation", "v1", "phases.preparation", weeks(1, 2)),
    ("Preparation", "After: 3 weeks (1 pre-migration + 2)", "v2", "phases.preparation", weeks(-1, 2)),
    ("Preparation", "Added comprehensive infrastructure planning",
     "v2", "phases.preparation.exit.capacity", check("capacity.planned")),
    ("Preparation", "Extended baseline from 1 day", "v1", "phases.preparation.steps.baseline.wait", "P1D"),
    ("Preparation", "to 7 days", "v2", "phases.preparation.steps.baseline-week.wait", "P7D"),
    ("Security framework", "Continuous security scanning", "v2", "security.scanning.every", "PT21600S"),
    ("Security framework", "SIEM integration", "v2", "security.siem", some),
    ("Security framework", "Authentication validation at each phase", "v2", "security.authentication_checkpoints",
     ["preparation", "canary", "progressive", "full", "deprecation", "removal"]),
    ("Security framework", "Security-aware rollback procedures", "v2", "security.rollback_keeps_controls", True),
    ("Security framework", "Compliance monitoring (GDPR, SOC2)", "v2", "security.compliance", ["GDPR", "SOC2"]),
    ("Targets", "original p99_latency 500", "v1", "slos.p99", bound(metric="latency_p99_ms", max=500)),
    ("Targets", "original improvement 100x", "v1", "improvement.high", 100),
    ("Targets", "p50_latency 50", "v2", "slos.p50", bound(metric="latency_p50_ms", max=50)),
    ("Targets", "p95_latency 200", "v2", "slos.p95", bound(metric="latency_p95_ms", max=200)),
    ("Targets", "p99_latency 300", "v2", "slos.p99", bound(metric="latency_p99_ms", max=300)),
    ("Targets", "p99.9_latency 1000", "v2", "slos.p999", bound(metric="latency_p999_ms", max=1000)),
    ("Targets", "improvement 10-20x", "v2", "improvement", bound(low=10, high=20, measured=True)),
    ("Rollback", "Realistic timing: 15-20 minutes", "v2", "rollback.steps", sums(20 * MINUTES)),
    ("Rollback", "Automated rollback script", "v2", "rollback.automatic", True),
    ("Rollback", "Event store consistency restoration", "v2", "rollback.restores_event_store", True),
    ("Rollback", "Event store consistency restoration", "v2", "rollback.steps.log.verify", "event_store.consistent"),
    ("Rollback", "Security validation post-rollback", "v2", "security.rollback_validated", True),
    ("Rollback", "Security validation post-rollback",
     "v2", "rollback.steps.security.verify", "security.authentication"),
    ("Rollback", "Incident report generation", "v2", "rollback.incident_report", True),
    ("24/7", "apac 00:00 - 08:00 UTC", "v2", "operations.shifts.apac", bound(start="00:00:00", end="08:00:00")),
    ("24/7", "emea 08:00 - 16:00 UTC", "v2", "operations.shifts.emea", bound(start="08:00:00", end="16:00:00")),
    ("24/7", "amer 16:00 - 00:00 UTC", "v2", "operations.shifts.amer", bound(start="16:00:00", end="00:00:00")),
    ("24/7", "handoff_procedures: documented",
     "v2", "operations.handoff", lambda told: told in {"documented", "acknowledged"}),
    ("24/7", "escalation_chain: defined", "v2", "operations.escalation", lambda chain: len(chain) >= 2),
    # Timeline
    ("Phase 1", "Preparation (Weeks -1 to 2)", "v2", "phases.preparation", weeks(-1, 2)),
    ("Phase 1", "Infrastructure capacity planning",
     "v2", "phases.preparation.steps.capacity-plan", step("capacity.planned")),
    ("Phase 1", "7-day baseline collection", "v2", "phases.preparation.steps.baseline", step("baseline.complete")),
    ("Phase 1", "Security validation",
     "v2", "phases.preparation.steps.security-validation", step("security.validated")),
    ("Phase 1", "Performance benchmarking", "v2", "phases.preparation.steps.benchmark", step("load.tested")),
    ("Phase 2", "Canary (Weeks 3-4)", "v2", "phases.canary", weeks(3, 4)),
    ("Phase 2", "5% deployment", "v2", "phases.canary.steps.share-5", share(0.05)),
    ("Phase 2", "Intensive monitoring", "v2", "phases.canary.steps.coordination-5", step("coordination.measured")),
    ("Phase 2", "Intensive monitoring", "v2", "phases.canary.focus", has("intensive monitoring")),
    ("Phase 2", "Security focus", "v2", "phases.canary.focus", has("security")),
    ("Phase 2", "Security focus", "v2", "phases.canary.steps.scan-5", step("security.scanned")),
    ("Phase 3", "Progressive Rollout (Weeks 5-7)", "v2", "phases.progressive", weeks(5, 7)),
    ("Phase 3", "25%", "v2", "phases.progressive.steps.share-25", share(0.25)),
    ("Phase 3", "50%", "v2", "phases.progressive.steps.share-50", share(0.5)),
    ("Phase 3", "75%", "v2", "phases.progressive.steps.share-75", share(0.75)),
    ("Phase 3", "A/B testing", "v2", "phases.progressive.exit.compared", check("ab.compared")),
    ("Phase 3", "Auto-scaling validation", "v2", "phases.progressive.exit.scaling", check("autoscaling.validated")),
    ("Phase 3", "Auto-scaling validation", "v2", "auto_scaling.validated_at", [0.25, 0.5, 0.75]),
    ("Phase 4", "Full Deployment (Weeks 8-9)", "v2", "phases.full", weeks(8, 9)),
    ("Phase 4", "100%", "v2", "phases.full.steps.share-100", share(1.0)),
    ("Phase 4", "with legacy support", "v2", "phases.full.focus", has("legacy support")),
    ("Phase 4", "Stabilization focus", "v2", "phases.full.steps.stabilise", step("coordination.measured")),
    ("Phase 4", "Stabilization focus", "v2", "phases.full.bake", "P10D"),
    ("Phase 5", "Deprecation (Weeks 10-11)", "v2", "phases.deprecation", weeks(10, 11)),
    ("Phase 5", "Formal deprecation notices", "v2", "phases.deprecation.steps.announce", step("rollout.deprecate")),
    ("Phase 5", "Migration support", "v2", "phases.deprecation.steps.support", lambda told: told["kind"] == "ask"),
    ("Phase 6", "Removal (Week 12)", "v2", "phases.removal", weeks(12, 12)),
    ("Phase 6", "Complete removal of wait_for_messages", "v2", "phases.removal.steps.remove", step("rollout.remove")),
    ("Phase 6", "Final validation", "v2", "phases.removal.steps.validate", step("removal.validated")),
    # Risk
    ("High risk", "Week 3 Day 2: first production activation (5%)", "v2", "risk_windows.first-share", window(3, 2)),
    ("High risk", "Week 3 Day 2", "v2", "phases.canary.steps.share-5", window(3, 2)),
    ("High risk", "Week 5 Day 2: scale to 25%", "v2", "risk_windows.quarter", window(5, 2)),
    ("High risk", "Week 5 Day 2", "v2", "phases.progressive.steps.share-25", window(5, 2)),
    ("High risk", "Week 8 Day 1: full 100% deployment", "v2", "risk_windows.everybody", window(8, 1)),
    ("High risk", "Week 8 Day 1", "v2", "phases.full.steps.share-100", window(8, 1)),
    ("High risk", "Week 12 Day 1: legacy system removal", "v2", "risk_windows.removal", window(12, 1)),
    ("High risk", "Week 12 Day 1", "v2", "phases.removal.steps.remove", window(12, 1)),
    ("Mitigation", "Automated rollback procedures", "v2", "rollback.automatic", True),
    ("Mitigation", "24/7 monitoring in high-risk periods",
     "v2", "risk_windows", lambda w: all(one["staffed"] for one in w)),
    ("Mitigation", "Incident response team on standby",
     "v2", "risk_windows", lambda w: all(one["incident_team"] for one in w)),
    ("Mitigation", "Comprehensive pre-deployment validation",
     "v2", "phases.canary.entry", lambda gates: len(gates) >= 5),
    ("Mitigation", "Security scanning at each phase", "v2", "phases",
     lambda phases: all(any(gate.get("check") == "security.scanned" for gate in phase["exit"]) for phase in phases)),
    # Success metrics
    ("Minimum", "Error rate: < 0.1%", "v2", "slos.errors", bound(metric="error_rate", kind="minimum", max=0.001)),
    ("Minimum", "P99 latency: < 300ms", "v2", "slos.p99", bound(kind="minimum", max=300)),
    ("Minimum", "Security incidents: 0",
     "v2", "slos.security", bound(metric="security_incidents", kind="minimum", max=0)),
    ("Minimum", "Data loss: 0", "v2", "slos.loss", bound(metric="data_loss", kind="minimum", max=0)),
    ("Minimum", "Availability: > 99.95%", "v2", "slos.availability", bound(kind="minimum", min=0.9995)),
    ("Goals", "P50 latency: < 50ms", "v2", "slos.p50", bound(kind="goal", max=50)),
    ("Goals", "Concurrent agents: 10,000+",
     "v2", "slos.agents", bound(metric="concurrent_agents", kind="goal", min=10000)),
    ("Goals", "Message delivery: > 99.9%",
     "v2", "slos.delivery", bound(metric="delivery_rate", kind="goal", min=0.999)),
    ("Goals", "Resource efficiency: 80% improvement",
     "v2", "slos.efficiency", bound(metric="resource_efficiency", min=0.8)),
    # Recommendations
    ("Immediate", "Complete infrastructure capacity planning (Week -1)",
     "v2", "phases.preparation.steps.capacity-plan", window(-1, 1)),
    ("Immediate", "Deploy security scanning infrastructure",
     "v2", "phases.preparation.steps.scanning", step("scanning.running")),
    ("Immediate", "Set up 24/7 operations team",
     "v2", "phases.preparation.steps.operations-team", step("operations.staffed")),
    ("Immediate", "Create automated deployment scripts",
     "v2", "phases.preparation.steps.deployment-scripts", step("deployment.automated")),
    ("Immediate", "Establish incident response procedures",
     "v2", "phases.preparation.steps.incident-procedures", step("incident.procedures")),
    ("Before production", "Complete 7-day baseline collection",
     "v2", "phases.canary.entry.baseline", check("baseline.complete")),
    ("Before production", "Pass all security validations",
     "v2", "phases.canary.entry.security-validations", check("security.validated")),
    ("Before production", "Achieve performance targets in testing",
     "v2", "phases.canary.entry.targets", check("performance.targets_met")),
    ("Before production", "Validate rollback procedures",
     "v2", "phases.canary.entry.rollback", check("rollback.rehearsed")),
    ("Before production", "Train operations team", "v2", "phases.canary.entry.team", check("operations.trained")),
    # Conclusion
    ("Conclusion", "aggressive but achievable",
     "v2", "notes", lambda notes: any("aggressive" in note for note in notes)),
    ("Success factors", "Extended preparation and baseline collection", "v2", "phases.preparation", weeks(-1, 2)),
    ("Success factors", "Comprehensive security validation at each phase", "v2", "phases",
     lambda phases: all(any(g.get("check") == "security.authentication" for g in p["exit"]) for p in phases)),
    ("Success factors", "Realistic performance targets and testing",
     "v2", "load_test", bound(agents_max=15000, leak_detection=True)),
    ("Success factors", "Robust rollback procedures (15-20 minutes)", "v2", "rollback.rehearsed_before", "canary"),
    ("Success factors", "24/7 operations support during migration",
     "v2", "operations.shifts", lambda shifts: len(shifts) == 3),
    ("Signature", "Prepared by: System Implementation Team", "v2", "owner", "system-implementation-team"),
    ("Signature", "Date: 2025-08-31", "v2", "notes", lambda notes: any("2025-08-31" in note for note in notes)),
    ("Signature", "Next step: begin week -1 preparation", "v2", "calendar.first_week", lambda week: week in {-1, GONE}),
    ("Signature", "Next step: begin week -1 preparation",
     "v2", "notes", lambda notes: any("week -1" in note for note in notes)),
    # What the mission adds in numbers
    ("Incidents", "SEV1 5 min", "v2", "incident_response.respond_within.SEV1", "PT300S"),
    ("Incidents", "SEV2 15 min", "v2", "incident_response.respond_within.SEV2", "PT900S"),
    ("Incidents", "SEV3 1 h", "v2", "incident_response.respond_within.SEV3", "PT3600S"),
    ("Incidents", "SEV4 4 h", "v2", "incident_response.respond_within.SEV4", "PT14400S"),
    ("Incidents", "post-mortem within 48 h", "v2", "incident_response.postmortem_within", "P2D"),
]  # fmt: skip
FILES = {"v1": "elicitation-v1", "v2": "elicitation-v2"}


def at(plain: object, path: str) -> object:
    """What stands at a place; GONE if nothing does. A value that equals its default counts as not there."""
    node = plain
    for name in path.split("."):
        if isinstance(node, dict):
            node = node.get(name, GONE)
        else:
            node = next((item for item in node if item["id"] == name), GONE) if isinstance(node, list) else GONE
    return node


def holds(version: str, path: str, expected: object, plain: object | None = None) -> bool:
    found = at(tree(shipped(FILES[version]).runsheet) if plain is None else plain, path)
    if callable(expected):
        return (found is not GONE or "first_week" in path) and bool(expected(found))
    return found == expected if expected is not GONE else found is GONE


@pytest.mark.parametrize(
    ("section", "line", "version", "path", "expected"), LINES, ids=[f"{row[0]}: {row[1]} ({row[3]})" for row in LINES]
)
def test_a_line_of_the_summary_has_its_place(
    section: str, line: str, version: str, path: str, expected: object
) -> None:
    assert holds(version, path, expected), f"{section}: {line}"


def _removable() -> list[tuple[str, object]]:
    """Rows of v2 whose place can be taken away with what remains still being a runsheet."""
    found = []
    for _, _, version, path, expected in LINES:
        if version != "v2" or expected is GONE:
            continue
        try:
            changed(shipped("elicitation-v2").runsheet, (path, GONE))
        except msgspec.ValidationError:
            continue
        found.append((path, expected))
    return found


@pytest.mark.parametrize(("path", "expected"), _removable())
def test_a_line_without_its_place_is_missed(path: str, expected: object) -> None:
    without = tree(changed(shipped("elicitation-v2").runsheet, (path, GONE)))
    assert path == "calendar.first_week" or not holds("v2", path, expected, without)


def test_the_preparation_takes_two_weeks_before_and_three_after() -> None:
    lengths = [
        weeks_between(phase.first_week, phase.last_week)
        for phase in (shipped(name).runsheet.phases[0] for name in FILES.values())
    ]
    assert lengths == [2, 3]


@pytest.mark.requirement("P2", "P23")
@pytest.mark.parametrize(
    ("component", "one", "two"),
    [
        (Role.DEVOPS, "conditional", "approved"),
        (Role.SECURITY, "emergency_stop", "approved_with_controls"),
        (Role.PERFORMANCE, "conditional", "approved"),
        ("overall", "not_ready", "production_ready"),
    ],
)
def test_the_approval_status_is_what_the_reviews_say(component: str, one: str, two: str) -> None:
    results = [review(shipped(name).runsheet) for name in FILES.values()]
    said = [told.overall if component == "overall" else told.roles[Role(component)].outcome for told in results]
    assert said == [one, two]
