"""Runsheets that are neither v1 nor v2: what the review and the linter say about each."""

from pathlib import Path

import pytest

from crossfade.core.review import Severity, devops, performance, review, security
from crossfade.core.runsheets import Role
from crossfade.runsheets import Loaded, load
from crossfade.runsheets.gantt import gantt
from crossfade.runsheets.lint import lint
from crossfade.runsheets.plan import rows
from tests.kit.runsheets import shipped

SAMPLES = Path(__file__).parent / "samples"
ALL = frozenset(rule.code for rule in (*devops.RULES, *security.RULES, *performance.RULES))
STOPPED = ("conditional", "emergency_stop", "conditional", "not_ready")

EXPECTED = {
    "minimal": (STOPPED, ALL - {"devops.target", "devops.irreversible_unsigned", "devops.irreversible_ungated",
                                "performance.improvement_claim", "performance.ungated_metric"}),
    "empty-sections": (STOPPED, ALL - {"devops.ungated_phase", "devops.irreversible_unsigned",
                                       "devops.irreversible_ungated", "performance.improvement_claim",
                                       "performance.ungated_metric"}),
    "absurd": (STOPPED, ALL - {"devops.target", "performance.ungated_metric"}),
    "db-migration": (("conditional", "approved_with_controls", "approved", "not_ready"), {"devops.operations_24_7"}),
    "db-migration-ready": (("approved", "approved_with_controls", "approved", "production_ready"), set()),
}  # fmt: skip


def sample(name: str) -> Loaded:
    found = load(str(SAMPLES / f"{name}.yaml"))
    assert isinstance(found, Loaded), [str(problem) for problem in found]
    return found


@pytest.mark.requirement("P1", "P2")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_comes_out_as_expected(name: str) -> None:
    result = review(sample(name).runsheet)
    outcomes, codes = EXPECTED[name]
    assert (*(result.roles[role].outcome.value for role in Role), result.overall) == outcomes
    told = [finding for role in result.roles.values() for finding in role.findings]
    assert {finding.code for finding in told if finding.severity is not Severity.MINOR} == codes


@pytest.mark.requirement("P1", "P2")
def test_v1_under_another_name_and_number_fails_with_the_same_findings() -> None:
    renamed = sample("renamed").runsheet
    assert (renamed.name, renamed.version) == ("production-ready", "9.9")
    assert review(renamed) == review(shipped("elicitation-v1").runsheet)


def test_every_sample_is_tried() -> None:
    assert {path.stem for path in SAMPLES.glob("*.yaml")} == {*EXPECTED, "renamed"}


@pytest.mark.parametrize("name", sorted({*EXPECTED, "renamed"}))
def test_whatever_can_be_read_can_be_linted_planned_and_drawn(name: str) -> None:
    found = sample(name)
    problems = lint(found)
    assert bool([problem for problem in problems if problem.severity == "error"]) == (name != "db-migration-ready")
    lines = found.source.decode().count("\n") + 1
    assert all(1 <= problem.line <= lines for problem in problems)
    assert isinstance(rows(found.runsheet), list)
    assert gantt(found.runsheet).startswith("<svg")


@pytest.mark.parametrize("name", sorted({*EXPECTED, "renamed"}))
def test_every_finding_has_a_line_a_message_and_advice(name: str) -> None:
    found = sample(name)
    for told in review(found.runsheet).roles.values():
        for finding in told.findings:
            assert found.place(finding.path).line >= 1
            assert finding.message
            assert finding.hint
