"""Reading a file: YAML's traps, places, did-you-mean, sizes, and the digest."""

import os
from datetime import date, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.runsheets import Runsheet
from crossfade.runsheets import Loaded, Place, Problem, digest_of, load, parse, scalars, shipped_names
from crossfade.runsheets.loader import SIZE_BYTES_MAX
from crossfade.runsheets.nodes import DEPTH_MAX, NODES_MAX
from tests.kit.runsheets import shipped

HEAD = "runsheet: 1\nname: small\ncalendar: {start: 2027-01-11}\n"


def problems(found: Loaded | list[Problem]) -> list[Problem]:
    assert isinstance(found, list)
    return found


def loaded(found: Loaded | list[Problem]) -> Loaded:
    assert isinstance(found, Loaded)
    return found


def read(more: str = "") -> Any:
    found = parse((HEAD + more).encode(), "a.yaml")
    assert isinstance(found, Loaded), [str(problem) for problem in found]
    return found


def said(text: str) -> list[str]:
    found = parse(text.encode(), "a.yaml")
    assert isinstance(found, list)
    return [str(problem) for problem in found]


# --- values stay what they look like ------------------------------------------------------------------


def test_a_time_of_day_stays_one_and_is_not_a_number_of_seconds() -> None:
    shift = read("operations: {shifts: [{id: a, start: 12:30, end: 00:00}]}\n").runsheet.operations.shifts[0]
    assert (shift.start, shift.end) == (time(12, 30), time(0, 0))


def test_no_stays_a_word_where_a_text_belongs() -> None:
    assert read("owner: no\nversion: 9.10\ntitle: 0x10\n").runsheet.owner == "no"
    assert read("version: 9.10\n").runsheet.version == "9.10"
    assert read("owner: ~\n").runsheet.owner == "~"


@pytest.mark.parametrize(("word", "value"), [("true", True), ("yes", True), ("false", False), ("no", False)])
def test_four_words_say_yes_or_no(word: str, value: bool) -> None:
    assert read(f"rollback: {{budget: PT1M, automatic: {word}}}\n").runsheet.rollback.automatic is value


@pytest.mark.parametrize("word", ["on", "True", "YES", "1", "y", "maybe"])
def test_no_other_word_does(word: str) -> None:
    (only,) = said(HEAD + f"rollback: {{budget: PT1M, automatic: {word}}}\n")
    assert only == f"a.yaml:4:37 rollback.automatic: {word!r} is neither yes nor no; write true or false"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("P7D", timedelta(days=7)),
        ("PT20M", timedelta(minutes=20)),
        ("P1W", timedelta(7)),
        ("P1DT2H", timedelta(1, 7200)),
    ],
)
def test_durations_are_iso_8601(text: str, span: timedelta) -> None:
    assert scalars.duration(text) == span


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        *(("20m", "did you mean PT20M?"), ("7d", "did you mean P7D?"), ("1h30m", "did you mean PT1H30M?")),
        *((other, "write it") for other in ("P1M", "P", "PT", "20", "-PT5M", "")),
    ],
)
def test_other_durations_are_refused_and_corrected(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        scalars.duration(text)
    assert caught.value.args[1].startswith(hint)


@pytest.mark.parametrize(
    ("text", "value"), [("0.1%", 0.001), ("99.95%", 0.9995), ("5%", 0.05), ("100%", 1.0), ("-1", -1.0)]
)
def test_a_percentage_is_the_number_it_means(text: str, value: float) -> None:
    assert scalars.number(text) == value


@pytest.mark.parametrize(
    "text", ["nan", "inf", ".inf", "1e999", "0x10", "010", "1_000", "1,000", "12:30", " 1", "1 ", "", "+1", "%", "1%%"]
)
def test_what_only_looks_like_a_number_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        scalars.number(text)


@pytest.mark.parametrize("text", ["1.0", "1e3", "5%", "9007199254740993", "0b1", "1_0"])
def test_what_is_not_whole_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        scalars.integer(text)


@pytest.mark.parametrize("text", ["24:00", "7:30", "12:60", "12:30:00", "noon"])
def test_other_times_of_day_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time of day"):
        scalars.clock_time(text)


@pytest.mark.parametrize("text", ["2027-02-29", "27-01-01", "2027-1-1", "20270101", "1999-01-01"])
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a date"):
        scalars.calendar_day(text)


@given(st.text(max_size=20))
def test_any_text_is_a_value_or_a_mistake_in_two_lines(text: str) -> None:
    for reader in (scalars.boolean, scalars.integer, scalars.number, scalars.duration, scalars.clock_time):
        try:
            reader(text)
        except ValueError as fault:
            what, hint = fault.args
            assert what
            assert hint


# --- what YAML offers and a runsheet refuses ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\n", "a.yaml:1:4: anchor &x"),
        ("a: {b: *x}\n", "a.yaml:1:8: alias *x"),
        ("a: !!python/object:os.system x\n", "a.yaml:1:4: tag tag:yaml.org,2002:python/object:os.system"),
        ("a: !local 1\n", "a.yaml:1:4: tag !local"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2:1: a second document begins"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3:1: the key 'a' stands here twice, first in line 1"),
        ("x: {a: 1, a: 1}\n", "a.yaml:1:11: the key 'a' stands here twice, first in line 1"),
        ("? [a]\n: b\n", "a.yaml:1:3: a key has to be plain text"),
        ("", "a.yaml:1:1: the file is empty"),
        ("# nothing\n", "a.yaml:1:1: the file is empty"),
        ("a: b: c\n", "a.yaml:1:5: mapping values are not allowed here"),
        ("a: [1\n", "a.yaml:2:1: while parsing a flow sequence expected ',' or ']'"),
        ("a:\n\t- 1\n", "a.yaml:2:1: while scanning for the next token found character"),
        ("a: \x01\n", "a.yaml:1:4: the character U+0001 is not allowed"),
        ("[" * (DEPTH_MAX + 1), f"a.yaml:1:{DEPTH_MAX + 1}: nested deeper than {DEPTH_MAX} levels"),
        ("a: [" + "1," * NODES_MAX + "]", f"more than {NODES_MAX} values"),
        ("- 1\n", "a.yaml:1:1: a list stands where a section belongs"),
        ("hello\n", "a.yaml:1:1: 'hello' stands where a section belongs"),
        (HEAD + "phases: [canary]\n", "'canary' stands where a section belongs; write it like {id: …}"),
    ],
)
def test_a_trap_is_refused_at_its_place(text: str, problem: str) -> None:
    (only,) = said(text)
    assert problem in only


def test_bytes_that_are_no_text_are_refused() -> None:
    (only,) = problems(parse(b"name: \xff\n", "a.yaml"))
    assert only.code == "file.encoding"


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(source: bytes) -> None:
    found = parse(source)
    assert isinstance(found, Loaded) or found


@given(st.text(alphabet="ab:-[]{},&*!|>'\"#?% \n", max_size=60))
def test_no_punctuation_makes_the_reader_fail(text: str) -> None:
    assert parse((HEAD + text).encode())


# --- files --------------------------------------------------------------------------------------------


def test_a_file_of_ten_megabytes_is_refused_without_being_read(tmp_path, monkeypatch) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(10 << 20)
    monkeypatch.setattr("pathlib.Path.open", lambda *_: pytest.fail("it was opened"))
    (only,) = problems(load(str(path)))
    assert (only.code, only.message) == ("file.too_large", f"larger than {SIZE_BYTES_MAX} bytes")


def test_what_is_no_file_is_refused(tmp_path) -> None:
    assert [problem.code for problem in problems(load(str(tmp_path)))] == ["file.unreadable"]
    (only,) = problems(load("elicitation-v3"))
    assert "shipped: elicitation-v1, elicitation-v2" in str(only)


def test_a_shipped_runsheet_is_found_by_name_with_or_without_ending() -> None:
    assert shipped_names() == ("elicitation-v1", "elicitation-v2")
    assert loaded(load("elicitation-v2")).digest == loaded(load("elicitation-v2.yaml")).digest


def test_a_file_wins_over_a_shipped_runsheet_of_the_same_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elicitation-v2").write_text(HEAD, "utf-8")
    assert loaded(load("elicitation-v2")).runsheet.name == "small"


def test_a_name_does_not_lead_out_of_the_folder_of_shipped_runsheets() -> None:
    assert [problem.code for problem in problems(load("../shipped/elicitation-v1"))] == ["file.unreadable"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_problem(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(HEAD, "utf-8")
    path.chmod(0)
    assert [problem.code for problem in problems(load(str(path)))] == ["file.unreadable"]


# --- types and places ---------------------------------------------------------------------------------


def test_every_mistake_is_told_with_its_place_and_a_suggestion() -> None:
    text = (
        "runsheet: 1\nname: [a]\ncalender: 3\ncalendar: {start: monday, last_weak: 3}\n"
        "roles: {devop: {members: [a]}}\nphases:\n  - id: a\n    steps: [{id: s, kind: chek}]\n    first_week: 5%\n"
        "    share: 5\nload_test: {agents_max: 15_000}\n"
    )
    assert said(text) == [
        "a.yaml:2:7 name: a list stands where one value belongs",
        "a.yaml:3:1 calender: no such field; did you mean calendar?",
        "a.yaml:4:19 calendar.start: 'monday' is not a date; write it like 2026-11-30",
        "a.yaml:4:27 calendar.last_weak: no such field; did you mean last_week?",
        "a.yaml:5:9 roles.devop: 'devop' is not one of the choices; did you mean devops?",
        "a.yaml:7:5 phases.0.title: missing; add title:",
        "a.yaml:7:5 phases.0.last_week: missing; add last_week:",
        "a.yaml:8:27 phases.0.steps.0.kind: 'chek' is not one of the choices; did you mean check?",
        "a.yaml:9:17 phases.0.first_week: '5%' is not a whole number; write it in digits, like 12 or 0.5",
        "a.yaml:10:12 phases.0.share: 5 is more than 1; did you mean 5%?",
        "a.yaml:11:25 load_test.agents_max: '15_000' is not a whole number; did you mean 15000?",
    ]


def test_another_format_is_refused() -> None:
    (only,) = said(HEAD.replace("runsheet: 1", "runsheet: 2"))
    assert only == "a.yaml:1:11 runsheet: format 2 is not known here; this version reads 1"


def test_an_empty_section_is_not_planned_and_an_empty_mapping_is_a_section() -> None:
    assert read("security:\n").runsheet.security is None
    assert read("phases:\nslos:\nowner:\n").digest == read().digest
    assert read("security: {}\n").runsheet.security is not None
    assert said(HEAD + "rollback: {}\n") == ["a.yaml:4:1 rollback.budget: missing; add budget:"]


def test_a_required_value_that_is_empty_is_empty_text() -> None:
    assert read().runsheet.name == "small"
    found = parse(HEAD.replace("small", "").encode())
    assert isinstance(found, Loaded)
    assert found.runsheet.name == ""


def test_places_are_those_of_values_and_sections() -> None:
    found = read("rollback:\n  budget: PT20M\n  steps:\n    - {id: a, budget: PT5M}\n")
    assert found.place("rollback") == Place(4, 1)
    assert found.place("rollback.budget") == Place(5, 11)
    assert found.place("rollback.steps.0.budget") == Place(7, 23)
    assert found.place("rollback.steps.0.verify") == Place(7, 7)
    assert found.place("capacity.headroom") == Place(1, 1)


def test_every_path_of_v2_has_the_place_where_its_text_stands() -> None:
    found = shipped("elicitation-v2")
    lines = found.source.decode().split("\n")
    for path, place in found.places.items():
        leaf = path.rpartition(".")[2]
        assert not path or leaf.isdigit() or leaf in lines[place.line - 1], path
    budget = found.place("rollback.budget")
    assert lines[budget.line - 1][budget.column - 1 :] == "PT20M"


# --- digest -------------------------------------------------------------------------------------------


def test_layout_and_comments_do_not_change_the_digest_and_a_value_does() -> None:
    one = read("owner: ann\nslos: {a: {metric: error_rate, kind: goal, max: 0.1%}}\n")
    two = parse(
        b"# hello\nname: 'small'\nrunsheet: 1\nslos:\n  a:\n    max: 0.001\n    kind: goal\n    metric: error_rate\n"
        b'owner: "ann"\ncalendar:\n  start: 2027-01-11\n'
    )
    assert one.digest == loaded(two).digest
    assert one.digest != read("owner: bob\nslos: {a: {metric: error_rate, kind: goal, max: 0.1%}}\n").digest
    assert len(one.digest) == 64


def test_a_value_that_is_the_default_is_as_if_it_were_not_there() -> None:
    assert read("operations: {handoff: ''}\n").digest == read("operations: {}\n").digest
    assert read("operations: {}\n").digest != read().digest


def test_digests_of_the_shipped_runsheets_differ() -> None:
    one, two = (shipped(name) for name in shipped_names())
    assert one.digest != two.digest
    assert two.digest == digest_of(two.runsheet)
    assert isinstance(two.runsheet, Runsheet)
    assert two.runsheet.calendar.start == date(2027, 1, 11)
