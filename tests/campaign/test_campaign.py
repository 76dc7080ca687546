"""A campaign counts what was run to the end and nothing else, goes on where it was, and forgets no violation."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.campaign.__main__ import FailedError, furthest, lock, report, step
from tests.campaign.kinds import KINDS, Kind
from tests.campaign.state import Range, State, load, save
from tests.kit.tree import ROOT


def kind(name: str, says: str, target: int = 100, chunk: int = 10) -> Kind:
    """A kind whose program prints something."""
    return Kind(name, name, target, chunk, lambda first, count: ("tests.campaign.said", says, str(first), str(count)))


FINE = '{"violations": 0, "first": []}'
BAD = '{"violations": 2, "first": ["seed 3: lost", "seed 4: lost"]}'


def started(state: Path, *words: str) -> "subprocess.Popen[str]":
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "tests.campaign", "--state", str(state), "--kinds", "histories", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)


def counted(state: Path) -> int:
    return load(state).of("histories").count


def test_what_is_interrupted_is_not_counted_and_the_next_time_goes_on_there(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "campaign.json"
    first = started(state)
    assert first.stdout is not None
    lines = [first.stdout.readline() for _ in range(2)]
    first.send_signal(signal.SIGTERM)
    lines += first.communicate(timeout=240)[0].splitlines()
    chunks = [line for line in lines if line.startswith("histories ")]
    assert first.returncode == 0
    assert counted(state) == 10_000 * len(chunks) > 0, "as many as were told, not one that was under way"
    again, _ = started(state, "--chunks", "1").communicate(timeout=240)
    assert again.startswith(f"histories {10_000 * len(chunks) + 1} to ")
    ranges = load(state).of("histories").ranges
    assert sum(one.count for one in ranges) == ranges[-1].first + ranges[-1].count - 1, "no gap and nothing twice"


def test_a_kill_leaves_a_state_that_is_whole(tmp_path: Path) -> None:
    state = tmp_path / "campaign.json"
    first = started(state)
    assert first.stdout is not None
    first.stdout.readline()
    first.kill()
    first.communicate()
    assert counted(state) >= 10_000
    assert counted(state) % 10_000 == 0


def test_the_kind_that_is_furthest_from_its_target_comes_next_and_the_last_chunk_ends_at_the_target() -> None:
    few, many = kind("few", FINE, 100, 60), kind("many", FINE, 1_000, 60)
    state = State()
    turns = []
    while (one := furthest(state, (few, many))) is not None:
        step(state, one, "c1")
        turns.append(one.name)
    assert turns[:3] == ["few", "many", "many"]
    assert (state.of("few").count, state.of("many").count) == (100, 1_000)


def test_seeds_of_another_commit_are_counted_apart_and_are_never_the_same() -> None:
    state, one = State(), kind("one", FINE)
    for at in ("c1", "c1", "c2"):
        step(state, one, at)
    assert state.of("one").ranges[0].count == 20
    assert [(found.first, found.commit) for found in state.of("one").ranges] == [(1, "c1"), (21, "c2")]
    assert "| one | 30 | 100 | 0 | 10 | 2 |" in report(state, [one], "c2")[2]


def test_a_violation_stays_in_the_report_with_its_commit(tmp_path: Path) -> None:
    state, one = State(), kind("one", BAD)
    step(state, one, "c1")
    step(state, one._replace(words=kind("one", FINE).words), "c2")
    save(tmp_path / "s.json", state)
    lines = report(load(tmp_path / "s.json"), [one], "c2")
    assert "| one | 20 | 100 | 2 |" in lines[2]
    assert lines[3:] == ["seed 3: lost (at c1)", "seed 4: lost (at c1)"]


def test_a_program_that_does_not_say_what_it_found_is_not_counted() -> None:
    state = State()
    with pytest.raises(FailedError, match=r"tests\.campaign\.said"):
        step(state, kind("one", "Traceback"), "c1")
    assert state.of("one").count == 0


def test_a_state_that_is_none_is_not_taken_for_a_beginning(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"kinds": {"kills": {"ranges": [')
    with pytest.raises(msgspec.DecodeError):
        load(tmp_path / "s.json")


def test_two_campaigns_do_not_share_a_state(tmp_path: Path) -> None:
    held = lock(tmp_path / "s.json")
    assert held is not None
    refused, _ = started(tmp_path / "s.json").communicate(timeout=240)
    assert refused.startswith("error: another campaign")
    held.close()


@pytest.mark.slow
@pytest.mark.parametrize("one", KINDS, ids=lambda one: one.name)
def test_the_program_of_each_kind_says_what_it_found(one: Kind) -> None:
    state = State()
    fewer = {"stack": 1, "kills": 1, "histories": 100}
    few = fewer.get(one.name, 20)
    assert step(state, one._replace(chunk=few), "c1").endswith(" 0 violations")
    assert state.of(one.name).count == few


def test_the_targets_are_those_that_are_promised() -> None:
    assert {one.name: one.target for one in KINDS} == {
        "schedules": 2_000_000, "stack": 20_000, "powerloss": 1_000_000, "flips": 100_000, "shelves": 100_000,
        "kills": 10_000, "histories": 1_000_000,
    }  # fmt: skip


def test_a_report_runs_nothing_and_says_so_in_its_exit_code(tmp_path: Path) -> None:
    state = State()
    state.of("histories").add(Range(1, 5, "c1", 1.0))
    save(tmp_path / "s.json", state)
    fine = started(tmp_path / "s.json", "--report")
    assert "| histories against every order tried | 5 | 1,000,000 | 0 | 0 | 1 | 5.0 |" in fine.communicate()[0]
    assert fine.returncode == 0
    state.of("histories").broken(1, ["history 2: wrong"], "c1")
    save(tmp_path / "s.json", state)
    bad = started(tmp_path / "s.json", "--report")
    assert "history 2: wrong (at c1)" in bad.communicate()[0]
    assert bad.returncode == 1
    assert json.loads((tmp_path / "s.json").read_bytes())["kinds"]["histories"]["ranges"][0]["count"] == 5
