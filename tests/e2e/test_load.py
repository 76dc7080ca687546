"""``crossfade load`` as a process: what it prints, how it ends, and that it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.exits import Exit
from crossfade.fleet.load.compare import MEASURES
from crossfade.fleet.supervisor import free_port
from tests.kit.process import hub_process

pytestmark = pytest.mark.requirement("P7")

LIMIT_SECONDS = 240
BOUND = "crossfade.fleet.load.bound"
WORKER = "crossfade.fleet.load.worker"
PROGRAM = ("-m", "crossfade")
OFTEN = """
import sys
from crossfade.cli.entry import main
from crossfade.fleet.load import gauge
gauge.SAMPLE_NS //= 20
sys.exit(main())
"""
"""The same program, which looks at the hub with every turn instead of every second."""
TELLING = """
import sys
from pathlib import Path
from crossfade.cli.entry import main
from crossfade.fleet.load import bulk
async def retire(self, names, *more):
    Path("retiring").touch()
    return len(names)
bulk.Operator.retire = retire
sys.exit(main())
"""
"""The same program, which says that it would retire its agents instead of doing it."""
PATIENT = """
import sys
from crossfade.cli.entry import main
from crossfade.fleet import supervisor
from crossfade.fleet.load import run
run.HALT_SECONDS = supervisor.STOP_SECONDS = 3_600
sys.exit(main())
"""
"""The same program, which by itself would not give up on a hub that stands still."""
FULL = """
import sys
from crossfade.cli.entry import main
from crossfade.fleet.load import crowd
crowd.WORKER = "full"
sys.exit(main())
"""
WAITING = """
import sys
from crossfade.cli.entry import main
from crossfade.fleet.load import absence
absence.AWAY_SECONDS_MAX = 3_600
sys.exit(main())
"""
"""The same program, which waits for a hub that is away, however slowly it is started again."""
SHORT = """
import sys
from crossfade.cli.entry import main
from crossfade.fleet.load import run
run.OPEN_MAX = 3
sys.exit(main())
"""
"""The same program, which thinks that a hub with four open questions has fallen behind."""
FULL_WORKER = """
import errno, runpy
from crossfade.fleet.load.journals import Journals
def flush(self):
    if self.entries:
        raise OSError(errno.ENOSPC, "no room")
Journals.flush = flush
runpy.run_module("crossfade.fleet.load.worker", run_name="__main__")
"""
"""The same program, whose load processes have no room for their journals."""
SMALL = ("--agents", "40", "--questions-per-second", "40", "--seconds", "2")
FIELDS = {
    *("questions", "answered", "lost", "doubled", "questions_per_second", "delivery_ms", "answer_ms", "client_cpu"),
    *("hub_cpu", "hub_rss_mib"),
}


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")}


@contextmanager
def begun_hub(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A hub on a port that is known before; it serves."""
    words = ("serve", "--port", str(port), "--data", "data", "--jsonl")
    with subprocess.Popen(
        [sys.executable, *PROGRAM, *words], cwd=folder, env=clean(), text=True, stdout=subprocess.PIPE
    ) as hub:
        try:
            assert hub.stdout is not None
            assert hub.stdout.readline(), "the hub did not start"
            yield hub
        finally:
            hub.kill()


@contextmanager
def begun(folder: Path, *words: str, program: tuple[str, ...] = PROGRAM) -> Iterator[subprocess.Popen[str]]:
    """A load on its way; it must be gone by the end."""
    with subprocess.Popen(
        [sys.executable, *program, "load", *words], cwd=folder, env=clean(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def loaded(folder: Path, *words: str, program: tuple[str, ...] = PROGRAM) -> tuple[int, dict[str, Any], str]:
    """Exit code, the object on stdout (empty if there is none), stderr."""
    with begun(folder, *words, program=program) as process:
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    return process.returncode, json.loads(out.splitlines()[-1]) if out.strip() else {}, err


def children(parent: int) -> dict[int, str]:
    """Process id and command line of what ``parent`` started and its children started."""
    found: dict[int, str] = {}
    tree: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        tree.setdefault(ppid, []).append(int(folder.name))
    ids = list(tree.get(parent, []))
    for one in ids:
        ids.extend(tree.get(one, []))
    return {one: found[one] for one in ids}


def child(parent: int, module: str, process: subprocess.Popen[str]) -> int:
    """The id of the first child that runs ``module``, as soon as there is one."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for one, line in children(parent).items():
            if module in line:
                return one
        time.sleep(0.02)
    raise AssertionError(f"{module} was not started")


def asked(folder: Path, process: subprocess.Popen[str]) -> None:
    """Return when questions are being asked: there are journals with something in them."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if any(file.stat().st_size for file in folder.glob("journals/*.jsonl")):
            return
        time.sleep(0.02)
    raise AssertionError("nothing was asked")


def alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(ids: list[int]) -> bool:
    deadline = time.monotonic() + 40  # by themselves, they would go on for the minute of their schedule
    while time.monotonic() < deadline:
        if not any(alive(one) for one in ids):
            return True
        time.sleep(0.05)
    return False


def agents_at(url: str, token: str) -> set[str]:
    """The states of the agents that loads have left at a hub."""
    listed = subprocess.run(
        [sys.executable, "-m", "crossfade", "agent", "ls", "--url", url, "--token", token, "--json"],
        capture_output=True, text=True, check=True, env=clean(),
    )  # fmt: skip
    return {row["status"] for row in json.loads(listed.stdout)["items"] if row["name"].startswith("load-")}


# --- what it finds ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "channels"),
    [
        ((), {"poll"}),
        (("--lane", "elicitation"), {"native"}),
        (("--lane", "elicitation", "--carrier", "stream"), {"stream"}),
        (("--lane", "elicitation", "--carrier", "unchanged"), {"native"}),
        (("--share", "0.5", "--fan-out", "3", "--burst", "4", "--payload-bytes", "2000"), {"poll", "native"}),
        (("--model", "service", "--connections", "4"), {"poll"}),
    ],
)
def test_every_lane_and_carrier_delivers_everything_once(
    tmp_path: Path, words: tuple[str, ...], channels: set[str]
) -> None:
    page = tmp_path / "load.html"
    code, report, err = loaded(tmp_path, *SMALL, "--json", "--html", str(page), *words)
    assert (code, err) == (Exit.OK, "")
    assert set(report) >= FIELDS
    assert report["questions"] == report["answered"] == report["delivered"] > 20
    assert (report["lost"], report["doubled"], report["reason"], report["faults"]) == (0, 0, "", {})
    assert set(report["channels"]) == channels
    assert 0 < report["hub_cpu"] < 4
    assert report["hub_rss_mib"] > 10
    assert report["answer_ms"]["n"] == report["answered"]
    assert report["answer_ms"]["p50"] >= report["delivery_ms"]["p50"] > 0
    assert page.read_text("utf-8").count("<svg") == 6
    assert [file.name for file in tmp_path.iterdir()] == ["load.html"]


@pytest.mark.slow
def test_a_stall_of_the_hub_shows_in_the_latencies_and_not_in_fewer_questions(tmp_path: Path) -> None:
    """No coordinated omission: what was due while the hub stood still is timed from when it was due."""
    words = ("--agents", "40", "--questions-per-second", "100", "--seconds", "8", "--json", "--keep", "kept")
    with begun(tmp_path, *words, "--seed", "3") as process:
        hub = child(process.pid, BOUND, process)
        asked(tmp_path / "kept", process)
        os.kill(hub, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(hub, signal.SIGCONT)
        out, _ = process.communicate(timeout=LIMIT_SECONDS)
    report = json.loads(out)
    assert process.returncode == Exit.OK
    assert 640 < report["questions"] < 960
    late = [line for file in (tmp_path / "kept/journals").glob("*.jsonl") for line in file.read_text().splitlines()]
    entries = [json.loads(line) for line in late]
    since = {entry["question"]: entry["since_ns"] for entry in entries if entry["step"] == "asked"}
    ended = {entry["question"]: entry["at_ns"] for entry in entries if entry["step"] == "ended"}
    took = sorted(ended[question] - since[question] for question in since)
    assert took[-1] > 1.2e9
    assert sum(1 for one in took if one > 0.2e9) > 60  # about 130 were due while it stood still


@pytest.mark.slow
def test_a_scenario_with_steps_has_a_row_for_each(tmp_path: Path) -> None:
    words = ("--scenario", "scaling", "--steps", "10,20", "--seconds", "1", "--questions-per-second", "20", "--json")
    code, report, err = loaded(tmp_path, *words)
    assert code == Exit.OK, err
    assert [step["agents"] for step in report["steps"]] == [10, 20]
    assert (report["scenario"], report["agents"]) == ("scaling", 20)
    assert report["highest_rate_within_targets"] in (20.0, None)


@pytest.mark.slow
def test_a_storm_brings_every_agent_back_and_loses_nothing(tmp_path: Path) -> None:
    words = ("--scenario", "reconnect-storm", "--agents", "200", "--questions-per-second", "50", "--seconds", "6")
    code, report, err = loaded(tmp_path, *words, "--json")
    assert code == Exit.OK, err
    assert report["storm"]["agents"] == 200
    assert report["storm"]["reattach_ms"]["max"] >= report["storm"]["reattach_ms"]["p50"] > 0
    assert report["connections"] >= 400


@pytest.mark.slow
def test_endurance_says_whether_memory_grows(tmp_path: Path) -> None:
    words = ("--scenario", "endurance", "--agents", "20", "--questions-per-second", "20", "--seconds", "16", "--json")
    code, report, err = loaded(tmp_path, *words, program=("-c", OFTEN))
    assert code == Exit.OK, err
    assert report["leak"]["low"] <= report["leak"]["per_hour"] <= report["leak"]["high"]
    assert report["leak"]["grows"] is (report["leak"]["low"] > 0)


@pytest.mark.slow
def test_lanes_are_compared_round_after_round(tmp_path: Path) -> None:
    words = ("--compare-lanes", "--rounds", "1", "--agents", "20", "--questions-per-second", "20", "--seconds", "1")
    kept = tmp_path / "lanes.md"
    code, report, err = loaded(tmp_path, *words, "--json", "--markdown", str(kept))
    assert code == Exit.OK, err
    assert [entry["measure"] for entry in report["compared"]] == [measure.name for measure in MEASURES]
    assert {entry["difference"] for entry in report["compared"]} == {"too few rounds"}, "nothing is made of one pair"
    assert (report["lost"], report["doubled"], report["rounds"]) == (0, 0, 1)
    assert report["delivered_while_waiting"]["polling"][0] > 0
    assert "| requests |" in kept.read_text("utf-8")


@pytest.mark.slow
def test_a_hub_that_is_there_is_loaded_and_tidied_up_after(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        token = (tmp_path / "data/operator.token").read_text().strip()
        code, report, err = loaded(tmp_path, *SMALL, "--json", "--url", url, "--token", token)
        assert (code, err) == (Exit.OK, "")
        assert report["lost"] == report["doubled"] == 0
        assert report["hub_cpu"] is not None  # it is on this machine
        assert agents_at(url, token) <= {"retired"}


def test_a_person_gets_a_table(tmp_path: Path) -> None:
    with begun(tmp_path, *SMALL) as process:
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, err) == (Exit.OK, "")
    assert "questions" in out
    assert "due to answered" in out


# --- how it ends ------------------------------------------------------------------------------------


LONG = ("--agents", "40", "--questions-per-second", "40", "--seconds", "60", "--json", "--keep", "kept")


def test_a_hub_that_dies_gives_a_report_with_the_reason_and_no_traceback(tmp_path: Path) -> None:
    with begun(tmp_path, *LONG) as process:
        hub = child(process.pid, BOUND, process)
        asked(tmp_path / "kept", process)
        every = list(children(process.pid))
        os.kill(hub, signal.SIGKILL)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    report = json.loads(out)
    assert process.returncode == Exit.FAILED
    assert "killed by signal 9" in report["reason"]
    assert report["questions"] > 0
    assert "Traceback" not in err
    assert gone(every)


@pytest.mark.slow
def test_a_foreign_hub_that_dies_is_noticed_too(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        token = (tmp_path / "data/operator.token").read_text().strip()
        with begun(tmp_path, *LONG, "--url", url, "--token", token, program=("-c", TELLING)) as process:
            asked(tmp_path / "kept", process)
            port = url.rpartition(":")[2]
            hub = next(one for one, line in children(os.getpid()).items() if "crossfade up" in line)
            assert port
            os.kill(hub, signal.SIGKILL)
            out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == Exit.FAILED
    report = json.loads(out)
    assert "cannot be reached any more" in report["reason"]
    assert "Traceback" not in err
    assert not (tmp_path / "retiring").exists(), "nobody is there to retire them"
    assert "40 of 40 agents are left at the hub" in report["warnings"][-1]


@pytest.mark.slow
def test_a_foreign_hub_that_is_started_again_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    port, first = free_port(), ExitStack()
    with first, begun_hub(tmp_path, port) as hub:
        token = (tmp_path / "data/operator.token").read_text().strip()
        words = (*LONG[:4], "--seconds", "4", "--json", "--keep", "kept")
        url = ("--url", f"http://127.0.0.1:{port}", "--token", token)
        process = first.enter_context(begun(tmp_path, *words, *url, program=("-c", WAITING)))
        asked(tmp_path / "kept", process)
        hub.kill()
        hub.wait()
        first.enter_context(begun_hub(tmp_path, port))
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    report = json.loads(out)
    assert (report["questions"], report["answered"], report["lost"], report["doubled"]) == (160, 160, 0, 0)
    assert (process.returncode, report["reason"], "Traceback" in err) == (0, "", False)
    assert report["hub_cpu"] is None, "of two processes"
    assert report["hub_rss_mib"] > 0


@pytest.mark.slow
def test_a_load_process_that_dies_is_noticed(tmp_path: Path) -> None:
    with begun(tmp_path, *LONG) as process:
        worker = child(process.pid, WORKER, process)
        asked(tmp_path / "kept", process)
        every = list(children(process.pid))
        os.kill(worker, signal.SIGKILL)
        out, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == Exit.FAILED
    assert "a load process ended by itself" in json.loads(out)["reason"]
    assert gone(every)


def test_a_full_disk_ends_the_run_with_a_report_and_that_reason(tmp_path: Path) -> None:
    (tmp_path / "full.py").write_text(FULL_WORKER, "utf-8")
    code, report, err = loaded(tmp_path, *LONG, program=("-c", FULL))
    assert code == Exit.FAILED
    assert "could not write its journals" in report["reason"]
    assert report["lost"] == 0
    assert "Traceback" not in err


def test_a_hub_that_falls_behind_for_good_ends_the_run_before_memory_does(tmp_path: Path) -> None:
    code, report, err = loaded(tmp_path, *LONG, "--think-seconds", "3600", program=("-c", SHORT))
    assert (code, err) == (Exit.FAILED, "")
    assert "does not keep up" in report["reason"]
    assert (report["lost"], report["unfinished"] + report["unacknowledged"] > 0) == (0, True)


def test_ctrl_c_gives_the_report_so_far_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with begun(tmp_path, *LONG) as process:
        asked(tmp_path / "kept", process)
        every = list(children(process.pid))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    report = json.loads(out)
    assert process.returncode == Exit.INTERRUPTED
    assert report["reason"] == "interrupted"
    assert report["questions"] > 0
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert "Traceback" not in err
    assert len(every) >= 3
    assert gone(every)


@pytest.mark.slow
def test_ctrl_c_leaves_no_agent_at_a_hub_that_goes_on(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        token = (tmp_path / "data/operator.token").read_text().strip()
        with begun(tmp_path, *LONG, "--url", url, "--token", token) as process:
            asked(tmp_path / "kept", process)
            assert agents_at(url, token) - {"retired"}
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == Exit.INTERRUPTED
        assert agents_at(url, token) <= {"retired"}


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    with begun(tmp_path, *LONG, program=("-c", PATIENT)) as process:
        hub = child(process.pid, BOUND, process)
        asked(tmp_path / "kept", process)
        every = list(children(process.pid))
        os.kill(hub, signal.SIGSTOP)  # nothing can come to its end any more
        deadline = time.monotonic() + LIMIT_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)  # two that come before the first is looked at are one: so, more than two
            time.sleep(0.3)
    assert process.returncode == Exit.INTERRUPTED
    assert gone(every)


@pytest.mark.slow
def test_killed_itself_it_leaves_no_process_behind(tmp_path: Path) -> None:
    with begun(tmp_path, *LONG) as process:
        asked(tmp_path / "kept", process)
        every = list(children(process.pid))
        process.kill()
        process.wait(LIMIT_SECONDS)
    assert len(every) >= 3
    assert gone(every)


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agents", "-3"), "--agents -3"),
        (("--agents", "10.5"), "10.5 is not a whole number"),
        (("--fan-out", "1.5"), "1.5 is not a whole number"),
        (("--questions-per-second", "nan"), "nan questions a second"),
        (("--seconds", "0"), "0 seconds"),
        (("--agents", "40000"), "one hub"),
        (("--share", "2"), "--share 2"),
        (("--lane", "teleport"), "--lane teleport"),
        (("--lane", "polling", "--share", "0.5"), "--lane polling"),
        (("--model", "genius"), "no model 'genius'"),
        (("--carrier", "pigeon"), "no carrier 'pigeon'"),
        (("--scenario", "stampede"), "no scenario 'stampede'"),
        (("--steps", "1,x"), "--steps"),
        (("--rates", "1,,2"), "--rates"),
        (("--rates", "10,nan"), "nan questions a second"),
        (("--think-seconds", "nan"), "nan s is no time"),
        (("--url", "gopher://x", "--token", "t"), "http://"),
        (("--url", "http://127.0.0.1:99999", "--token", "t"), "http://"),
        (("--url", "http://127.0.0.1:9", "--token", "a\tb"), "no token has"),
        (("--html", "."), "is a folder"),
        (("--keep", "/proc/nowhere/x"), "/proc/nowhere/x cannot be made"),
        (("--html", "/nowhere/at/all.html"), "--html"),
        (("--keep", "/proc"), "--keep takes a new folder"),
        (("--compare-lanes", "--rounds", "0"), "--rounds 0"),
        (("--carrier", "stream"), "none are"),
        (("--rounds", "3"), "comparison"),
        (("--fan-out", "5", "--experts", "2"), "as many experts"),
        (("--compare-lanes", "--steps", "10,20"), "several runs"),
        (("--compare-lanes", "--lane", "polling"), "goes without --lane"),
        (("--compare-lanes", "--share", "0.5"), "goes without --share"),
        (("--compare-lanes", "--keep", "kept"), "goes without --keep"),
        (("--compare-lanes", "--url", "http://127.0.0.1:9", "--token", "t"), "--compare-lanes goes without --url"),
    ],
)
def test_what_cannot_be_met_is_refused_before_anything_starts(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    code, _, err = loaded(tmp_path, *words)
    assert code == Exit.USAGE
    assert said in err
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("try: ")
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_is_not_there_is_said_in_two_lines(tmp_path: Path) -> None:
    code, _, err = loaded(tmp_path, "--url", "http://127.0.0.1:9", "--token", "t", "--json")
    assert code == Exit.UNREACHABLE
    assert json.loads(err)["error"]["code"] == "load.no_hub"


def test_a_hub_that_is_not_there_is_said_before_a_token_is_asked_for(tmp_path: Path) -> None:
    code, _, err = loaded(tmp_path, "--url", f"http://127.0.0.1:{free_port()}", "--json")
    assert code == Exit.UNREACHABLE
    assert json.loads(err)["error"]["code"] == "load.no_hub"


def test_what_was_found_is_printed_even_if_the_page_cannot_be_written(tmp_path: Path) -> None:
    code, report, err = loaded(tmp_path, *SMALL, "--json", "--html", "/proc/x.html")
    assert code == Exit.USAGE
    assert report["questions"] == report["answered"] == 80
    assert json.loads(err)["error"]["code"] == "usage.file"


def test_a_token_that_is_not_an_admin_s_is_said(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        code, _, err = loaded(tmp_path, *SMALL, "--url", url, "--token", "nonsense")
    assert code == Exit.AUTHENTICATION
    assert len(err.splitlines()) == 2


# --- a step of a run --------------------------------------------------------------------------------


def test_a_step_that_cannot_be_met_is_refused_before_the_first_step_starts(tmp_path: Path) -> None:
    words = ("--steps", "10,40000", "--seconds", "1", "--keep", "kept")
    code, _, err = loaded(tmp_path, *words)
    assert code == Exit.USAGE
    assert "40,000 agents" in err
    assert not (tmp_path / "kept").exists()


def test_a_hub_that_is_not_there_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    code, _, err = loaded(tmp_path, *SMALL, "--url", f"http://127.0.0.1:{free_port()}", "--token", "t")
    assert code == Exit.UNREACHABLE
    assert "Connection refused" in err
    assert "start it" in err


@pytest.mark.slow
def test_lanes_that_the_rollout_of_a_hub_does_not_give_are_refused_and_nobody_is_enlisted(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        token = (tmp_path / "data/operator.token").read_text().strip()
        code, _, err = loaded(tmp_path, *SMALL, "--lane", "elicitation", "--url", url, "--token", token)
        assert code == Exit.USAGE
        assert "has 0% of these agents on elicitation, not 100%" in err
        assert "crossfade rollout set --share 1" in err
        assert agents_at(url, token) == set()


RUNSHEET = """\
runsheet: 1
name: loaded
version: "1"
title: A load before the first share
owner: operator
calendar: {{start: 2026-01-05, first_week: 1, last_week: 1}}
target: {{kind: hub}}
phases:
  - id: first
    title: First
    first_week: 1
    last_week: 1
    steps:
      - {{id: load, title: Load, kind: command, budget: PT2M, run: "{python} -m crossfade load {words}"}}
    exit:
      - {{id: ready, title: The process that runs this is well, check: hub.ready}}
"""


@pytest.mark.parametrize(("seconds", "code"), [("1", Exit.OK), ("nan", Exit.FAILED)])
def test_a_load_is_a_step_of_a_runsheet(tmp_path: Path, seconds: str, code: int) -> None:
    words = f"--agents 20 --questions-per-second 20 --seconds {seconds} --json"
    sheet = tmp_path / "loaded.yaml"
    sheet.write_text(RUNSHEET.format(python=sys.executable, words=words), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "crossfade", "runsheet", "run", str(sheet), "--once", "--data", "data", "--json",
         "--force-unready", "a test"],
        cwd=tmp_path, env=clean(), capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    if code == Exit.OK:
        assert json.loads(done.stdout)["status"] == "completed"
    else:
        assert json.loads(done.stdout)["held"]
