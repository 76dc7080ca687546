"""Plan, picture, difference, graph, export, schema and template of a runsheet."""

import hashlib
import json
import re
import subprocess
import sys
from datetime import date, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest

from crossfade.runsheets import Loaded, parse
from crossfade.runsheets.diff import differences
from crossfade.runsheets.export import as_json, as_markdown
from crossfade.runsheets.gantt import gantt
from crossfade.runsheets.graph import dot, words
from crossfade.runsheets.lint import lint
from crossfade.runsheets.nodes import Listing, Mapping, Text, compose
from crossfade.runsheets.plan import FIELDS, rows
from crossfade.runsheets.schema import schema
from crossfade.runsheets.starting import starting
from tests.kit.runsheets import changed, shipped
from tests.kit.tree import ROOT

V1, V2 = shipped("elicitation-v1"), shipped("elicitation-v2")
SVG = "{http://www.w3.org/2000/svg}"


def picture(svg: str) -> Any:
    return ET.fromstring(svg)  # noqa: S314 - we drew it ourselves


# --- plan ---------------------------------------------------------------------------------------------


def test_the_plan_has_every_step_on_its_date_and_none_in_a_week_0() -> None:
    table = rows(V2.runsheet)
    assert all(tuple(row) == FIELDS for row in table)
    steps = {step.id for phase in V2.runsheet.phases for step in phase.steps}
    assert steps <= {row["id"] for row in table}
    assert 0 not in {row["week"] for row in table}
    assert [row["date"] for row in table] == sorted(str(row["date"]) for row in table)


@pytest.mark.parametrize(
    ("step", "day"),
    [("capacity-plan", date(2027, 1, 11)), ("baseline-start", date(2027, 1, 18)), ("share-5", date(2027, 2, 2)),
     ("share-25", date(2027, 2, 16)), ("share-100", date(2027, 3, 8)), ("remove", date(2027, 4, 5))],
)  # fmt: skip
def test_weeks_and_days_become_dates(step: str, day: date) -> None:
    (row,) = (row for row in rows(V2.runsheet) if row["id"] == step)
    assert row["date"] == day.isoformat()
    assert day - V2.runsheet.calendar.start >= timedelta()


# --- picture ------------------------------------------------------------------------------------------


def test_the_picture_says_what_it_shows_without_a_program_in_it() -> None:
    root = picture(gantt(V2.runsheet))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title about"
    assert root.find(f"{SVG}title").text == f"Plan of {V2.runsheet.title}"
    about = root.find(f"{SVG}desc").text
    assert all(phase.title in about for phase in V2.runsheet.phases)
    assert all(window.title in about for window in V2.runsheet.risk_windows)
    assert not list(root.iter(f"{SVG}script"))
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text


def test_the_picture_has_a_mark_for_each_phase_window_freeze_sign_off_and_bake() -> None:
    root = picture(gantt(V2.runsheet))
    tips = [title.text for title in root.iter(f"{SVG}title")]
    assert sum(tip.startswith("sign-off by") for tip in tips) == 5
    assert sum(tip.startswith("bake:") for tip in tips) == 3
    assert sum(tip.startswith("freeze ") for tip in tips) == 1
    assert sum("cannot be undone" in tip for tip in tips) == 1
    assert {window.title for window in V2.runsheet.risk_windows} <= {tip.partition(": ")[2] for tip in tips}
    hatched = [rect for rect in root.iter(f"{SVG}rect") if rect.get("fill") == "url(#hatch)"]
    assert len(hatched) == len(V2.runsheet.risk_windows) + 1


def test_nothing_in_the_picture_lies_outside_of_it() -> None:
    root = picture(gantt(V2.runsheet))
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x", 0)) <= float(rect.get("x", 0)) + float(rect.get("width")) <= width
        assert 0 <= float(rect.get("y", 0)) + float(rect.get("height")) <= height


def test_markup_in_a_runsheet_is_text_in_the_picture() -> None:
    evil = '</text><script>alert("1")</script>'
    drawn = gantt(
        changed(V2.runsheet, ("title", evil), ("phases.canary.title", evil), ("risk_windows.quarter.title", evil))
    )
    root = picture(drawn)
    assert not list(root.iter(f"{SVG}script"))
    assert evil in [node.text for node in root.iter(f"{SVG}text")]


# --- difference, graph, export ------------------------------------------------------------------------


def test_a_runsheet_does_not_differ_from_itself() -> None:
    assert differences(V2.runsheet, V2.runsheet) == []


def test_one_changed_value_is_one_row() -> None:
    assert differences(V2.runsheet, changed(V2.runsheet, ("slos.p99.max", 250))) == [
        {"path": "slos.p99.max", "change": "changed", "before": 300.0, "after": 250.0}
    ]


def test_a_step_put_in_between_changes_no_other() -> None:
    steps = [{"id": "extra", "kind": "check", "run": "siem.connected"}]
    plain = json.loads(as_json(V2.runsheet))
    more = changed(V2.runsheet, ("phases.canary.steps", [*steps, *plain["phases"][1]["steps"]]))
    assert {str(row["path"]).rpartition(".")[0] for row in differences(V2.runsheet, more)} == {
        "phases.canary.steps.extra"
    }


def test_the_difference_of_the_shipped_versions_names_what_the_reviews_name() -> None:
    paths = {row["path"] for row in differences(V1.runsheet, V2.runsheet)}
    assert {"rollback.budget", "baseline.days", "load_test.agents_max", "slos.p99.max", "improvement.high"} <= paths


def test_the_graph_has_every_phase_gate_and_sign_off() -> None:
    told, drawn = "\n".join(words(V2.runsheet)), dot(V2.runsheet)
    for phase in V2.runsheet.phases:
        assert f"[{phase.title}]" in told
        assert f'"in {phase.id}" -> "phase {phase.id}" -> "out {phase.id}"' in drawn
        assert all(f"gate {gate.id}:" in told for gate in (*phase.entry, *phase.exit))
    assert told.count("sign-off") == 5
    assert drawn.count("{") == drawn.count("}") == 1


def test_quotes_do_not_end_a_name_in_the_graph() -> None:
    drawn = dot(changed(V2.runsheet, ("phases.canary.title", 'a" [shape=none]; x ["b')))
    assert r"a\" [shape=none]; x [\"b" in drawn


def test_the_exported_json_is_what_the_digest_is_taken_of() -> None:
    assert hashlib.sha256(as_json(V2.runsheet)).hexdigest() == V2.digest
    again = parse(as_json(V2.runsheet))
    assert isinstance(again, list) or again.digest == V2.digest


def test_the_page_names_every_phase_and_the_digest() -> None:
    page = as_markdown(V2.runsheet, V2.digest)
    assert V2.digest in page
    assert all(f"## {phase.title}" in page for phase in V2.runsheet.phases)
    assert page.count("| 2027-") == sum(len(phase.steps) for phase in V2.runsheet.phases)


# --- schema -------------------------------------------------------------------------------------------


def as_editor(node: object) -> Any:
    """What an editor's YAML 1.2 reader makes of a tree: numbers, yes and no, and text."""
    match node:
        case Mapping(entries=entries):
            return {entry.key.text: as_editor(entry.value) for entry in entries}
        case Listing(items=items):
            return [as_editor(item) for item in items]
        case Text(text=text, plain=True):
            return _resolved(text)
        case Text(text=text):
            return text
        case _:
            raise AssertionError(node)


def _resolved(text: str) -> object:
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"-?[0-9]+\.[0-9]+", text):
        return float(text)
    return {"true": True, "false": False, "null": None, "~": None, "": None}.get(text, text)


SAMPLES = sorted((ROOT / "tests/runsheets/samples").glob("*.yaml"))
SHIPPED = sorted((ROOT / "src/crossfade/runsheets/shipped").glob("*.yaml"))


@pytest.mark.parametrize("path", [*SHIPPED, *SAMPLES], ids=lambda path: path.stem)
def test_the_schema_accepts_what_the_reader_accepts(path) -> None:
    validator = jsonschema_rs.validator_for(schema())
    text = path.read_text("utf-8")
    assert isinstance(parse(text.encode()), Loaded)
    sections = {"improvement", "baseline", "capacity", "auto_scaling", "load_test", "rollback"}
    plain = {
        name: value for name, value in as_editor(compose(text)).items() if name not in sections or value is not None
    }
    assert [error.message for error in validator.iter_errors(plain)] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [("budget: PT20M", "budget: 20m"), ("budget: PT20M", "budgt: PT20M"), ("kind: hub", "kind: cluster"),
     ("start: 00:00", "start: 24:00"), ("max: 300", "max: fast"), ("share: 5%", "share: 5"),
     ("automatic: true", "automatic: on"),
     ("first_week: -1", "first_week: x"), ("week: 3", "week: 999"), ("roles: [devops]", "roles: [developer]")],
)  # fmt: skip
def test_the_schema_and_the_reader_refuse_the_same(before: str, after: str) -> None:
    text = (V2 if before in V2.source.decode() else V1).source.decode()
    assert before in text
    broken = text.replace(before, after)
    assert isinstance(parse(broken.encode()), list)
    assert not jsonschema_rs.validator_for(schema()).is_valid(as_editor(compose(broken)))


def test_the_published_pages_schema_and_picture_are_what_the_source_says() -> None:
    done = subprocess.run(
        [sys.executable, "tools/runsheet_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


# --- a beginning --------------------------------------------------------------------------------------


def test_the_runsheet_to_start_from_lints_clean() -> None:
    found = parse(starting("mine", "2027-01-11", "mine.yaml").encode())
    assert isinstance(found, Loaded), found
    assert lint(found) == []
