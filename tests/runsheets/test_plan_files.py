"""Plan files: read strictly, every mistake with line and column, every default written out."""

import re
from pathlib import Path

import pytest

from crossfade.core.plans import GATES, TRIGGERS, Plan
from crossfade.runsheets import Problem
from crossfade.runsheets.plan_files import PlanFile, load_plan, parse_plan

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "examples/plan.yaml").read_text("utf-8")
SMALL = """\
plan: 1
name: small
stages:
  - {share: 5%, bake_seconds: 60}
  - {share: 100%}
"""


def plan_of(text: str) -> Plan:
    found = parse_plan(text.encode())
    assert isinstance(found, PlanFile), found
    return found.plan


def wrong(text: str) -> list[Problem]:
    found = parse_plan(text.encode())
    assert isinstance(found, list), "accepted"
    return found


def test_the_shipped_example_is_what_a_plan_without_gates_and_triggers_gets() -> None:
    plan = plan_of(EXAMPLE)
    assert (plan.gates, plan.triggers) == (GATES, TRIGGERS)
    assert [stage.share for stage in plan.stages] == [0.05, 0.25, 0.5, 0.75, 1.0]
    assert [stage.bake_seconds for stage in plan.stages] == [604_800, 259_200, 259_200, 259_200, 1_209_600]


def test_a_plan_is_pinned_with_every_default_written_out() -> None:
    found = parse_plan(SMALL.encode())
    assert isinstance(found, PlanFile)
    assert found.plan.gates == GATES
    assert found.plan.stages[1].bake_seconds == 86_400
    for part in (b'"alpha":0.01', b'"breadth":3', b'"latency_p999_ms"', b'"roll_back":0.05', b'"check_seconds":10'):
        assert part in found.canonical


def test_a_plan_that_forgets_mixed_conversations_has_them_watched_at_its_own_levels() -> None:
    own = "triggers:\n  e: {metric: error_rate, roll_back: 4%}\n  mixed_e: {metric: delivery_rate, roll_back: 90%}\n"
    written = plan_of(SMALL + own).triggers
    assert {name: (one.metric, one.exposure, one.roll_back) for name, one in written.items()} == {
        "e": ("error_rate", "new", 0.04),
        "mixed_e": ("delivery_rate", "new", 0.9),
        "mixed_e_": ("error_rate", "mixed", 0.04),
    }


def test_the_digest_is_of_the_values_and_not_of_the_layout() -> None:
    first, second = parse_plan(SMALL.encode()), parse_plan(SMALL.replace("5%", "0.05").encode() + b"# a comment\n")
    other = parse_plan(SMALL.replace("5%", "6%").encode())
    assert isinstance(first, PlanFile)
    assert isinstance(second, PlanFile)
    assert isinstance(other, PlanFile)
    assert first.digest == second.digest != other.digest


def test_what_was_pinned_reads_back_as_itself() -> None:
    found = parse_plan(EXAMPLE.encode())
    assert isinstance(found, PlanFile)
    again = parse_plan(found.canonical)
    assert isinstance(again, PlanFile)
    assert (again.plan, again.digest) == (found.plan, found.digest)


PLANTED = [
    ("format_unknown", "\nplan: 1", "\nplan: 2", 3, 7),
    ("bad_name", "name: autumn", "name: ''", 4, 7),
    ("bad_stages", EXAMPLE[EXAMPLE.index("stages:") : EXAMPLE.index("bake_seconds: 259200")], "stages: []\n", 7, 1),
    ("shares_not_rising", "share: 25%", "share: 5%", 9, 13),
    ("shares_not_rising", "share: 5%", "share: 0%", 8, 13),
    ("bad_alpha", "alpha: 1%", "alpha: 0", 18, 8),
    ("bad_alpha", "{alpha: 0.1%}", "{alpha: 90%}", 47, 23),
    ("programme_too_short", "7257600", "3600", 17, 20),
    ("unknown_metric", "latency_p50_ms, max", "latency_p51_ms, max", 25, 17),
    ("unknown_metric", "metric: error_rate, inv", "metric: availability, inv", 37, 20),
    ("unknown_metric", "[error_rate, ", "[error, ", 46, 16),
    ("threshold_side", "max: 50}", "min: 50}", 25, 3),
    ("no_edge", "max: 300", "max: 250", 27, 38),
    ("no_edge", "investigate: 500", "investigate: 600", 38, 46),
    ("bad_limit", "max: 0.1%", "max: 0", 29, 37),
    ("bad_limit", "metric: data_loss, max: 0", "metric: data_loss, max: 1", 32, 34),
    ("metric_twice", "metric: latency_p95_ms", "metric: latency_p50_ms", 26, 17),
    ("trigger_of_nothing", "{metric: data_loss, roll_back: 0}", "{metric: data_loss}", 40, 3),
    ("thresholds_contradict", "investigate: 1%", "investigate: 0.01%", 37, 45),
    ("thresholds_contradict", "roll_back: 5%", "roll_back: 0.5%", 37, 60),
    ("thresholds_contradict", "roll_back: 95%", "roll_back: 99.5%", 39, 66),
    ("exposure_of_all", "data_loss, roll_back", "data_loss, exposure: mixed, roll_back", 40, 39),
    ("metric_twice", "latency_p99_ms, exposure", "error_rate, exposure", 44, 23),
    ("not_gated", "  p99: {metric: latency_p99_ms, max: 300}\n", "", 45, 28),
]


@pytest.mark.parametrize(("code", "before", "after", "line", "column"), PLANTED)
def test_a_rule_sees_its_fault_and_says_where(code: str, before: str, after: str, line: int, column: int) -> None:
    assert before in EXAMPLE
    found = [problem for problem in wrong(EXAMPLE.replace(before, after, 1)) if problem.code == f"plan.{code}"]
    assert [(problem.line, problem.column) for problem in found] == [(line, column)], found
    assert found[0].message


def test_every_code_has_a_planted_fault() -> None:
    source = (ROOT / "src/crossfade/runsheets/plan_files.py").read_text("utf-8")
    written = set(re.findall(r'(?:Slip|unknown)\(\s*"([a-z_]+)"', source))
    assert written == {code for code, *_ in PLANTED}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("alpha: NaN\n", "6:8 alpha: 'NaN' is not a number"),
        ("alpha: .inf\n", "6:8 alpha: '.inf' is not a number"),
        ("alhpa: 1%\n", "6:1 alhpa: no such field; did you mean alpha?"),
        ("breadth: 0\n", "6:10 breadth: 0 is less than 1"),
        ("gates: {p99: {max: 300}}\n", "6:9 gates.p99.metric: missing"),
        ("gates: {p99: {metric: latency_p99_ms, max: 300, max: 500}}\n", "6:49: the key 'max' stands here twice"),
        ("owner: *x\n", "6:8: alias *x"),
    ],
)
def test_bad_input_is_refused_with_its_line_and_column(text: str, place: str) -> None:
    assert any(str(problem).startswith(f"plan.yaml:{place}") for problem in wrong(SMALL + text)), wrong(SMALL + text)


def test_a_contradiction_between_gate_and_trigger_names_both_numbers() -> None:
    text = EXAMPLE.replace("roll_back: 1000", "roll_back: 200", 1).replace("investigate: 500, ", "", 1)
    [problem] = wrong(text.replace("  mixed_p99: {metric: latency_p99_ms, exposure: mixed, investigate: 500, ", "  #"))
    assert str(problem) == (
        "plan.yaml:38:44 triggers.p99.roll_back: roll_back 200 is below the gate limit 300 of latency_p99_ms; "
        "gate, investigate, roll_back: from mild to grave"
    )


def test_a_file_that_is_not_there_says_what_to_start_from(tmp_path: Path) -> None:
    found = load_plan(str(tmp_path / "none.yaml"))
    assert isinstance(found, list)
    assert "examples/plan.yaml" in found[0].hint
