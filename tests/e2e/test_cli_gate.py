"""``crossfade gate evaluate`` and ``simulate`` as anybody runs them: verdicts, exit codes, and what is refused."""

import json
import random
from pathlib import Path

import pytest

from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded

pytestmark = pytest.mark.requirement("P17")

SPECS = {
    "promotion": "name: errors\nkind: promotion\nmetric: error_rate\nmax_rate: 3%\nblock_seconds: 600\n",
    "trigger": "name: errors back\nkind: trigger\nmax_rate: 5%\n",
    "ab": "name: no worse\nkind: ab\nmargin: 0.5\nblock_seconds: 600\n",
    "sample-ratio": "name: split\nkind: sample-ratio\nexpected_share: 50%\n",
}
FIELDS = {
    *("name", "kind", "verdict", "reason", "evidence", "log_evidence", "needed", "eta_seconds", "n", "bad", "rate"),
    *("interval", "clusters", "blocks", "guarantee", "explanation"),
}


@pytest.fixture
def gate(tmp_path, monkeypatch, capsys):
    """Judge rows by a kind of gate: exit code, document, errors."""
    monkeypatch.chdir(tmp_path)

    def run(kind, rows, *more, spec=None):
        (tmp_path / "gate.yaml").write_text(spec or SPECS[kind], "utf-8")
        (tmp_path / "counts.csv").write_text("\n".join(("at,cluster,exposure,n,bad", *rows)) + "\n", "utf-8")
        code = guarded(["gate", "evaluate", "--spec", "gate.yaml", "--counts", "counts.csv", *more])
        said = capsys.readouterr()
        return code, json.loads(said.out) if "--json" in more else said.out, said.err

    return run


def rows(new, old, minutes=300, clusters=20):
    dice = random.Random(5)
    for minute in range(minutes):
        for cluster in range(clusters):
            side, rate = ("new", new) if cluster % 2 else ("old", old)
            bad = sum(dice.random() < rate for _ in range(40))
            yield f"2026-01-05T{minute // 60:02}:{minute % 60:02}:00Z,c{cluster},{side},40,{bad}"


def test_the_example_that_ships_passes(capsys):
    examples = Path(__file__).parents[2] / "examples"
    code = guarded(
        ["gate", "evaluate", "--spec", str(examples / "gate.yaml"), "--counts", str(examples / "counts.csv")]
    )
    assert (code, "proven" in capsys.readouterr().out) == (Exit.OK, True)


@pytest.mark.parametrize("kind", SPECS)
def test_each_verdict_has_its_exit_code(gate, kind):
    more = {} if kind != "sample-ratio" else {"clusters": 80}
    good = list(rows(0.001, 0.001, minutes=900 if kind == "ab" else 300, **more))
    code, told, _ = gate(kind, good, "--json")
    assert (code, told["verdict"]) == (Exit.OK, "passed")
    assert set(told) >= FIELDS
    assert told["guarantee"]
    worse = list(rows(0.3, 0.001)) if kind != "sample-ratio" else [row.replace("old", "new") for row in good]
    code, told, _ = gate(kind, worse, "--json")
    assert (code, told["verdict"]) == (Exit.FAILED, "failed")
    code, told, _ = gate(kind, good[:3] if kind != "trigger" else [row[:-4] + "0,0" for row in good], "--json")
    assert (code, told["verdict"]) == (Exit.INCONCLUSIVE, "inconclusive")


def test_people_get_a_short_table_and_an_error_in_two_lines(gate):
    code, told, error = gate("promotion", rows(0.001, 0.001))
    assert code == Exit.OK
    assert "verdict\tpassed" in told
    assert error == ""
    code, told, error = gate("promotion", ["2026-01-05T00:00:00Z,a,new,5,9"])
    assert code == Exit.ERRORED
    assert "verdict\terrored" in told
    assert error.startswith("error: counts.csv:2:30 bad: 9 bad of 5 cannot be\ntry: ")


@pytest.mark.parametrize(
    ("spec", "counts", "reason", "place"),
    [
        (SPECS["promotion"] + "margin: 1\n", None, "spec", "gate.yaml:6:9 margin"),
        (SPECS["promotion"].replace("error_rate", "eror_rate"), None, "spec", "gate.yaml:3:9 metric"),
        (None, ["2026-01-05T00:00:00Z,a,new,5,9"], "counts", "counts.csv:2:30 bad"),
        (None, [], "not_measured", "no counts"),
        (None, ["2026-01-05T00:00:00Z,a,old,5,0"], "not_measured", "no counts of exposure new"),
        (None, ["2026-01-05T00:00Z,a,new,5,0", "2026-01-05T00:01Z,a,new,5,0", "2026-01-05T09:00Z,a,new,5,0"],
         "not_measured", "between line 3 and line 4"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_errored_with_its_place_and_never_passes(gate, spec, counts, reason, place):
    code, told, _ = gate("promotion", rows(0.0, 0.0) if counts is None else counts, "--json", spec=spec)
    assert (code, told["verdict"], told["reason"]) == (Exit.ERRORED, "errored", reason)
    assert place in told["explanation"]


def test_one_gate_of_several_is_named(gate):
    several = "gates:\n- {name: a, kind: promotion, max_rate: 1%}\n- {name: b, kind: trigger, max_rate: 5%}\n"
    assert gate("x", rows(0.0, 0.0), "--gate", "b", "--json", spec=several)[1]["name"] == "b"
    code, _, error = gate("x", rows(0.0, 0.0), spec=several)
    assert code == Exit.USAGE
    assert "name one with --gate: a, b" in error
    assert gate("x", rows(0.0, 0.0), "--gate", "c", spec=several)[0] == Exit.USAGE


@pytest.mark.parametrize("kind", SPECS)
def test_a_gate_is_tried_before_it_is_needed(kind, tmp_path, capsys):
    spec = tmp_path / "gate.yaml"
    spec.write_text(SPECS[kind], "utf-8")
    words = ["gate", "simulate", "--spec", str(spec), "--runs", "3", "--days", "0.1", "--clusters", "40", "--json"]
    assert guarded(words) == Exit.OK
    first = capsys.readouterr().out
    assert guarded(words) == Exit.OK
    assert capsys.readouterr().out == first
    told = json.loads(first)["items"]
    assert len(told) >= 2
    assert all(one["passed"] + one["failed"] + one["inconclusive"] == pytest.approx(1.0) for one in told)
    if kind == "trigger":
        by_name = {one["scenario"]: one for one in told}
        assert by_name["all clusters at ten times the threshold"]["failed"] == 1.0
        assert by_name["at the rate given"]["passed"] == 1.0
        assert by_name["both sides at ten times the threshold"]["failed"] == 0.0


def test_a_simulation_that_would_take_for_ever_is_refused(tmp_path, capsys):
    spec = tmp_path / "gate.yaml"
    spec.write_text(SPECS["trigger"], "utf-8")
    assert guarded(["gate", "simulate", "--spec", str(spec), "--days", "400"]) == Exit.USAGE
    assert "at most 20,000,000" in capsys.readouterr().err
    assert guarded(["gate", "simulate", "--spec", str(spec), "--rate", "2"]) == Exit.USAGE


@pytest.mark.parametrize("form", [("--json",), ()])
def test_words_that_are_no_text_are_refused_and_not_a_traceback(capsys, form):
    assert guarded(["gate", "evaluate", "--spec", "gate.yaml", "--counts", "no\udcff.csv", *form]) == Exit.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert "word 6 is not UTF-8" in said.err
    assert "try" in said.err


def test_counts_that_are_no_text_at_all_are_errored_and_not_a_traceback(gate, tmp_path, capsys):
    gate("trigger", [])
    (tmp_path / "counts.csv").write_bytes(b"\xff\xfe\x80,n\n1,2\n")
    assert guarded(["gate", "evaluate", "--spec", "gate.yaml", "--counts", "counts.csv", "--json"]) == Exit.ERRORED
    assert "no column" in json.loads(capsys.readouterr().out)["explanation"]
