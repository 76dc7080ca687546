"""The log from the command line: through a running hub, on a stopped hub's folder, and from an export."""

import json
import os
import resource
import subprocess
import sys

import pytest

from crossfade.cli.exits import Exit
from crossfade_verify import verify
from tests.kit.logs import tamper
from tests.kit.process import hub_process

pytestmark = [pytest.mark.slow, pytest.mark.requirement("P26")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def said(place):
    """What each command said while the hub ran; the hub is stopped afterwards."""
    said = {}
    with hub_process(place) as url:
        asked = crossfade(place, url, "ask", "nobody-yet", "?", "--as", "ana", "--json")
        assert asked.returncode != 0
        for name in ("ana", "bo"):
            crossfade(place, url, "inbox", "ls", "--as", name)
        crossfade(place, url, "send", "bo", "hello", "--as", "ana")
        for words in ("log head", "log tail", "log show 2", "log verify", "log export through-hub.jsonl"):
            said[words] = crossfade(place, url, *words.split(), "--json")
    return said


def crossfade(place, url, *words):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")}
    environ |= {"CROSSFADE_URL": url, "CROSSFADE_DATA_FOLDER": "data"}
    return subprocess.run(
        [sys.executable, "-m", "crossfade", *words], cwd=place, env=environ, capture_output=True, text=True,
        check=False, timeout=240,
    )  # fmt: skip


def rows(done):
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found.get("items", found)


def stopped(place, *words):
    return crossfade(place, "http://127.0.0.1:9", *words, "--json")


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        ("--before soon --to a", Exit.USAGE, "is no place and no instant", "e.g. --before 2026"),
        ("--before 2026-01-01T00:00:00 --to a", Exit.USAGE, "names no time zone", "with a Z"),
        ("--before 0:5 --to a", Exit.USAGE, "only shard 1 is archived", "shard 1"),
        ("--before 4 --to a", Exit.REFUSED, "younger than 30 days", "the log is as it was"),
        ("--before 2020-01-01T00:00:00Z --to a", Exit.REFUSED, "nothing to archive", "the log is as it was"),
        ("--before 4 --to a --data nowhere", Exit.USAGE, "there is no log in nowhere", "--data"),
    ],
)
@pytest.mark.usefixtures("said")
def test_what_cannot_be_archived_is_refused_with_what_to_do(place, words, code, error, hint):
    before = (place / "data" / "log.db").read_bytes()
    done = crossfade(place, "http://127.0.0.1:9", "log", "archive", *words.split())
    assert done.returncode == code
    first, second = done.stderr.splitlines()
    assert (first.startswith("error: "), second.startswith("try: ")) == (True, True)
    assert error in first
    assert hint in second
    assert (place / "data" / "log.db").read_bytes() == before
    assert not (place / "a").exists()


def test_a_hub_that_runs_verifies_itself(said):
    assert [(row["shard"], row["records"] > 0, row["first_bad"]) for row in rows(said["log verify"])] == [
        (0, True, None),
        (1, True, None),
    ]


def test_what_a_running_hub_exported_holds_without_it(said, place):
    assert rows(said["log export through-hub.jsonl"])["records"] > 5
    found = verify(place / "through-hub.jsonl")
    assert found.findings == []
    assert found.records[1] >= 3


def test_a_folder_and_an_export_show_what_the_hub_showed(said, place):
    for source in ("data", "through-hub.jsonl"):
        shown = rows(stopped(place, "log", "show", "2", "--from", source))
        assert shown == rows(said["log show 2"]) | {"event": shown["event"]}
        tail = rows(stopped(place, "log", "tail", "--from", source, "-n", "500"))
        assert rows(said["log tail"]) == [row for row in tail if row in rows(said["log tail"])]
        heads = rows(stopped(place, "log", "head", "--from", source))
        assert [head["epoch"] for head in heads] == [1, 1]
        assert [head["shard"] for head in heads] == [0, 1]


def test_a_stopped_hub_s_log_verifies_and_exports(said, place):
    assert [row["first_bad"] for row in rows(stopped(place, "log", "verify"))] == [None, None]
    rows(stopped(place, "log", "export", "stopped.jsonl"))
    found = verify(place / "stopped.jsonl")
    assert (found.findings, found.checkpoints > 0) == ([], True)
    assert found.signatures == found.checkpoints
    assert [row["first_bad"] for row in rows(stopped(place, "log", "verify", "stopped.jsonl"))] == [None, None]


def test_an_export_is_held_to_a_second_place_that_is_there(said, place):
    rows(stopped(place, "log", "export", "held.jsonl"))
    held = rows(stopped(place, "log", "verify", "held.jsonl", "--checkpoints", "data/checkpoints"))
    assert [row["first_bad"] for row in held] == [None, None]
    assert stopped(place, "log", "verify", "held.jsonl", "--checkpoints", "nowhere").returncode == Exit.USAGE
    assert stopped(place, "log", "verify", "--checkpoints", "data/checkpoints").returncode == Exit.USAGE


def test_a_second_place_that_is_gone_is_not_one_that_agrees(said, place):
    (place / "data/checkpoints").rename(place / "elsewhere")
    done = stopped(place, "log", "verify")
    assert (done.returncode, "the second place is gone" in done.stderr) == (Exit.FAILED, True)
    (place / "elsewhere").rename(place / "data/checkpoints")
    assert stopped(place, "log", "verify").returncode == Exit.OK


def test_an_export_is_never_written_over_a_file(said, place):
    (place / "mine").write_text("precious")
    assert stopped(place, "log", "export", "mine").returncode == Exit.USAGE
    assert (place / "mine").read_text() == "precious"


def test_an_export_that_finds_no_room_leaves_nothing_and_says_so(said, place):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    command = [sys.executable, "-m", "crossfade", "log", "export", "part.jsonl"]
    environ = {**os.environ, "CROSSFADE_DATA_FOLDER": "data"}
    done = subprocess.run(
        command, cwd=place, env=environ, capture_output=True, text=True, check=False, timeout=240,
        preexec_fn=little_room,
    )  # fmt: skip
    assert (done.returncode, "see that there is room" in done.stderr) == (Exit.USAGE, True), done.stderr
    assert not (place / "part.jsonl").exists()


def test_following_a_file_is_wrong_usage(said, place):
    assert stopped(place, "log", "tail", "-f", "--from", "data").returncode == Exit.USAGE


@pytest.mark.parametrize("lines", ["-5", "1000001", "99999999999999999999"])
def test_a_number_of_lines_that_cannot_be_shown_is_wrong_usage(said, place, lines):
    for words in (("--from", "data"), ()):
        done = stopped(place, "log", "tail", "-n", lines, *words)
        assert (done.returncode, "lines cannot be shown" in done.stderr) == (Exit.USAGE, True)


def test_a_story_that_cannot_be_true_fails_although_the_chain_holds(said, place):
    """Here: the last checkpoint is of a log that went on."""
    copy = place / "copy"
    (copy / "checkpoints").mkdir(parents=True)
    for path in (*(place / "data").glob("*.*"), *(place / "data").glob("checkpoints/*")):
        (copy / path.relative_to(place / "data")).write_bytes(path.read_bytes())
    tamper(copy, "DELETE FROM events WHERE place = (SELECT max(place) FROM events)")
    done = stopped(place, "log", "verify", "copy")
    assert done.returncode == Exit.FAILED
    (bad,) = [row for row in json.loads(done.stdout)["items"] if row["first_bad"]]
    assert bad["what"].startswith("missing: the log had reached")


def test_a_hub_is_copied_while_it_serves_and_its_folder_made_from_the_copy(tmp_path):
    with hub_process(tmp_path) as url:
        crossfade(tmp_path, url, "inbox", "ls", "--as", "bo")
        made = rows(crossfade(tmp_path, url, "log", "backup", "copy", "--json"))
        crossfade(tmp_path, url, "inbox", "ls", "--as", "late")
        again = crossfade(tmp_path, url, "log", "backup", "copy", "--json")
    assert again.returncode == Exit.USAGE
    assert verify(tmp_path / "copy").findings == []
    assert not list((tmp_path / "data" / "backups").iterdir())
    restored = rows(stopped(tmp_path, "log", "restore", "copy", "--data", "new"))
    assert restored == [row | {"epoch": 2} for row in made]
    assert verify(tmp_path / "new").findings == []
    cut = rows(stopped(tmp_path, "log", "restore", "copy", "--data", "cut", "--at", "1:1"))
    assert cut[1] == {"shard": 1, "epoch": 2, "sequence": 1}
    assert rows(stopped(tmp_path, "log", "backup", "offline", "--data", "new")) == made
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "new").rename(tmp_path / "elsewhere" / "data")
    with hub_process(tmp_path / "elsewhere") as url:
        assert crossfade(tmp_path / "elsewhere", url, "agent", "show", "bo", "--json").returncode == 0


@pytest.mark.parametrize("at", ["yesterday", "2026-11-23T02:43:24", "1:x", "x:1", ""])
def test_a_point_in_time_that_is_none_is_wrong_usage(tmp_path, at):
    assert stopped(tmp_path, "log", "restore", "copy", "--data", "new", "--at", at).returncode == Exit.USAGE
