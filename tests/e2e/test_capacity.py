"""``crossfade capacity`` as a person types it: one quick measurement on real hubs, and plans from it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded
from crossfade.core.capacity import CONNECTIONS_MAX, RESOURCES, Model, learn
from crossfade.fleet.capacity.points import load, save
from tests.core.test_capacity import RUNGS, points
from tests.fleet.test_capacity import WHOLE
from tests.kit.tree import ROOT

LIMIT_SECONDS = 900
EXAMPLE = ROOT / "examples/capacity-plan"
RUN = ["runsheet", "run", "runsheet.yaml", "--once", "--data", "data", "--json", "--force-unready", "an example"]
Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of points as made up by the tests of the core: exact, without noise."""
    path = tmp_path_factory.mktemp("capacity") / "points.json"
    learnt = points()
    save(path, msgspec.structs.replace(WHOLE, points=tuple(learnt), held_out=tuple(learnt[:3]), rungs=tuple(RUNGS)))
    return path


def plan(capfd: pytest.CaptureFixture[str], *words: str) -> Said:
    capfd.readouterr()
    code = guarded(["capacity", "plan", *words])
    said = capfd.readouterr()
    return code, said.out, said.err


def told_of(model: Model) -> dict[str, object]:
    alone, contention, coherency = model.ceiling.coefficients
    most = model.ceiling.peak.questions_per_second
    return {
        "questions_per_second_max": {
            end: pytest.approx(getattr(most, end), rel=0.01) for end in ("low", "value", "high")
        },
        "in_flight": model.ceiling.peak.in_flight,
        "scalability": {
            "alone": pytest.approx(alone, rel=0.01),
            "contention": pytest.approx(contention),
            "coherency": pytest.approx(coherency),
        },
    }


FLEET = ("--agents", "2000", "--questions-per-second", "100")


def test_every_stage_has_what_it_takes_with_headroom(measured: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = plan(capfd, *FLEET, "--points", str(measured), "--headroom", "0.5", "--json")
    assert code == Exit.OK
    found = json.loads(out)
    assert [stage["elicitation_share"] for stage in found["stages"]] == [0.05, 0.25, 0.5, 0.75, 1.0]
    for stage in found["stages"]:
        assert set(stage["provide"]) == set(stage["uses"]) == set(RESOURCES)
        assert stage["one_hub_carries_it"]
        for name, use in stage["uses"].items():
            assert stage["provide"][name] == pytest.approx(use["high"] * 2, rel=0.01)
    cores = [stage["uses"]["cores"]["value"] for stage in found["stages"]]
    assert cores == sorted(cores, reverse=True), "elicitation is made cheaper in these points"
    assert found["ceiling"] == told_of(learn(points(), RUNGS))


def test_the_table_shows_a_line_for_each_stage_and_says_where_it_was_measured(
    measured: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = plan(capfd, *FLEET, "--points", str(measured), "--stages", "10,90%")
    assert code == Exit.OK
    lines = out.splitlines()
    assert lines[0].split("\t") == ["stage", *RESOURCES, "replicas", "limited_by"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["10%", "90%"]
    assert "2 processors" in err


def test_what_was_not_measured_is_refused_until_it_is_asked_for(
    measured: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--agents", "9000", "--questions-per-second", "100", "--points", str(measured), "--json")
    code, out, err = plan(capfd, *words)
    assert (code, out) == (Exit.REFUSED, "")
    error = json.loads(err)["error"]
    assert error["code"] == "capacity.not_measured"
    assert "--beyond-measured" in error["try"]
    code, out, _ = plan(capfd, *words, "--beyond-measured")
    assert code == Exit.OK
    assert "beyond what was measured: 9000 agents" in " ".join(json.loads(out)["notes"])


def test_a_stage_that_one_hub_cannot_carry_says_that_several_are_not_possible_yet(
    measured: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    many = str(2 * CONNECTIONS_MAX)
    words = ("--agents", many, "--questions-per-second", "50", "--points", str(measured), "--beyond-measured")
    code, out, err = plan(capfd, *words, "--json")
    assert code == Exit.FAILED
    stage = json.loads(out)["stages"][0]
    assert (stage["replicas"], stage["limited_by"], stage["one_hub_carries_it"]) == (3, "connections", False)
    code, _, err = plan(capfd, *words)
    assert err.count("PostgreSQL; there is none yet") == 1, "once for all stages"
    assert "3 hubs would be needed at 5%, 25%, 50%, 75%, 100%." in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--agents", "0", "--questions-per-second", "5"), "capacity.bad_stage", "agents"),
        (("--agents", "500", "--questions-per-second", "nan"), "capacity.bad_stage", "rate"),
        (("--agents", "500", "--questions-per-second", "inf"), "capacity.bad_stage", "rate"),
        (("--agents", "five", "--questions-per-second", "5"), "usage", "five"),
        ((*FLEET, "--headroom", "1"), "capacity.bad_headroom", "headroom"),
        ((*FLEET, "--stages", "25,5"), "usage", "rising"),
        ((*FLEET, "--stages", "5,5"), "usage", "rising"),
        ((*FLEET, "--stages", "5,101"), "usage", "rising"),
        ((*FLEET, "--stages", "nan"), "usage", "rising"),
        ((*FLEET, "--stages", ""), "usage", "rising"),
        (("--questions-per-second", "5"), "usage", "--agents"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    measured: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], code: str, said: str
) -> None:
    found, out, err = plan(capfd, *words, "--points", str(measured), "--json")
    assert (found, out) == (Exit.USAGE, "")
    error = json.loads(err)["error"]
    assert (error["code"], said in error["message"]) == (code, True), error
    assert error["try"]


def test_points_of_which_none_was_left_out_say_nothing_about_how_far_off_a_plan_is(
    measured: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole.json"
    save(whole, msgspec.structs.replace(load(measured), held_out=()))
    code, out, _ = plan(capfd, *FLEET, "--points", str(whole), "--json")
    assert code == Exit.OK
    found = json.loads(out)
    assert found["held_out_errors"] == {}
    assert "nobody knows how far" in " ".join(found["notes"])


def test_without_measurements_there_is_no_plan(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = plan(capfd, *FLEET, "--points", str(tmp_path / "none.json"))
    assert code == Exit.USAGE
    assert err.startswith("error: ")
    assert "try: measure again" in err
    (tmp_path / "few.json").write_bytes(msgspec.json.encode(WHOLE))
    code, _, err = plan(capfd, *FLEET, "--points", str(tmp_path / "few.json"))
    assert code == Exit.REFUSED
    assert "1 measurements do not determine" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agents", "3"), "too few"),
        (("--seconds", "0"), "--seconds"),
        (("--seconds", "nan"), "--seconds"),
        (("--questions-per-second", "nan"), "rate"),
        (("--questions-per-second", "-1"), "-1 questions a second"),
        (("--agents", "40000"), "one hub holds"),
        (("--out", "/no/such/folder/points.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_started(
    capfd: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code = guarded(["capacity", "measure", *words])
    err = capfd.readouterr().err
    assert code == Exit.USAGE
    assert said in err.splitlines()[0]
    assert "try: " in err


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_quick_measurement_on_real_hubs_makes_a_file_to_plan_from(tmp_path: Path) -> None:
    def crossfade(*words: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")}
        return subprocess.run(
            [sys.executable, "-m", "crossfade", "capacity", *words, "--json"],
            cwd=tmp_path, env=clean, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
        )  # fmt: skip

    done = crossfade("measure", "--quick", "--agents", "60", "--questions-per-second", "60", "--seconds", "2")
    assert done.returncode == Exit.OK, done.stderr
    said = json.loads(done.stdout)
    assert (said["points"], said["held_out"], set(said["held_out_errors"])) == (9, 3, set(RESOURCES))
    found = load(tmp_path / "points.json")
    assert [rung.in_flight for rung in found.rungs] == [1, 2, 4, 8, 16, 32, 64]
    for point in found.points:
        assert point.connections > point.agents
        assert point.memory_mib > 20
        assert point.log_writes_per_second > 0
    planned = crossfade("plan", "--agents", "40", "--questions-per-second", "30")
    assert planned.returncode in (Exit.OK, Exit.FAILED), planned.stderr
    assert len(json.loads(planned.stdout)["stages"]) == 5


@pytest.mark.requirement("P5")
@pytest.mark.parametrize(("agents", "code"), [(150, Exit.OK), (9_000, Exit.FAILED)])
def test_a_run_goes_on_only_if_every_stage_was_measured_and_fits(
    agents: int, code: Exit, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    shutil.copytree(EXAMPLE, folder)
    shutil.copy(measured, folder / "points.json")
    sheet = folder / "runsheet.yaml"
    sheet.write_text(sheet.read_text("utf-8").replace("--agents 150", f"--agents {agents}"), "utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert guarded(RUN) == code
    view = json.loads(capfd.readouterr().out)
    if code == Exit.OK:
        assert view["status"] == "completed"
    else:
        assert (view["held"], view["node"]) == (True, "preparation/step/capacity")


@pytest.mark.requirement("P5")
@pytest.mark.parametrize("stored", [True, False])
def test_a_gate_on_capacity_reads_the_plan_that_was_stored_where_the_hub_was_started(
    stored: bool, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(EXAMPLE, folder)
    sheet = folder / "runsheet.yaml"
    text = sheet.read_text("utf-8")
    planned = text.partition('run: "')[2].partition('"')[0]
    sheet.write_text(text.replace(planned, "true").replace("test -f points.json", "true"), "utf-8")
    monkeypatch.chdir(folder)
    if stored:
        words = ("--agents", "150", "--questions-per-second", "60", "--points", str(measured))
        assert plan(capfd, *words, "--out", "capacity-plan.json")[0] == Exit.OK
    assert guarded(RUN) == (Exit.OK if stored else Exit.ERRORED)
    view = json.loads(capfd.readouterr().out)
    if stored:
        assert view["status"] == "completed"
    else:
        assert (view["node"], view["reason"]) == ("preparation/exit/gate/capacity", "not_measured")


def test_a_plan_that_cannot_be_stored_is_a_usage_error(
    measured: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = plan(capfd, *FLEET, "--points", str(measured), "--out", str(tmp_path))
    assert (code, out) == (Exit.USAGE, "")
    assert err.startswith(f"error: {tmp_path}: ")
