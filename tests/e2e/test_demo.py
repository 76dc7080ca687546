"""``crossfade demo`` as a process: the ramp, the table, the JSON object, the exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STAGES = [
    "baseline",
    "5 %",
    "25 %",
    "50 %",
    "kill switch",
    "resume",
    "5 % again",
    "25 % again",
    "50 % again",
    "75 %",
    "100 %",
]
SMALL = ("--agents", "20", "--clusters", "10", "--seconds", "12")


def demo(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crossfade", "demo", "--exit", *SMALL, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return demo(tmp_path_factory.mktemp("demo"), "--json")


@pytest.mark.slow
@pytest.mark.requirement("P8", "P9", "P10")
def test_the_ramp_ends_with_nothing_lost_and_nothing_doubled(run: subprocess.CompletedProcess[str]) -> None:
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert report["answered"] == report["questions"] > 0


@pytest.mark.slow
def test_it_goes_back_to_nothing_by_the_kill_switch_and_forward_again(run: subprocess.CompletedProcess[str]) -> None:
    stages = json.loads(run.stdout.splitlines()[-1])["stages"]
    assert [stage["name"] for stage in stages] == STAGES
    on = {stage["name"]: stage["agents_on_elicitation"] for stage in stages}
    assert on["kill switch"] == on["resume"] == on["baseline"] == 0
    assert on["50 % again"] == on["50 %"] > 0
    assert on["100 %"] == stages[-1]["agents"]


@pytest.mark.slow
@pytest.mark.requirement("P22")
def test_the_report_times_both_lanes(run: subprocess.CompletedProcess[str]) -> None:
    lanes = json.loads(run.stdout.splitlines()[-1])["lanes"]
    for lane in ("polling", "elicitation"):
        for what in ("delivery_ms", "answer_ms"):
            assert set(lanes[lane][what]) == {"n", "p50", "p95", "p99", "p999"}
        assert lanes[lane]["delivery_ms"]["n"] > 0


@pytest.mark.slow
def test_official_clients_of_both_revisions_took_part(run: subprocess.CompletedProcess[str]) -> None:
    official = json.loads(run.stdout.splitlines()[-1])["official"]
    assert set(official) == {"2026-07-28", "2025-11-25"}
    for count in official.values():
        assert count["agents"] >= 2
        assert count["questions"] == count["answered"]
        assert sum(count["received"].values()) > 0


def test_without_the_official_client_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text('raise ImportError("planted", name="mcp")\n')
    done = demo(tmp_path, path=str(tmp_path))
    assert done.returncode != 0
    assert "error: the official MCP client is not installed" in done.stderr
    assert "try: pip install 'crossfade[agents]'" in done.stderr
