"""The command as a process: starting hubs, refusing to, working beside a stopped one, and ending on a signal."""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crossfade import __version__
from crossfade.cli.exits import MEANING, Exit
from crossfade.cli.failing import guarded
from crossfade.cli.options import Options, credential
from tests.kit.process import hub_process
from tests.kit.tree import ROOT

LIMIT_SECONDS = 240


def crossfade(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")}
    return subprocess.run(
        [sys.executable, "-m", "crossfade", *words],
        cwd=folder,
        env=clean | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )


def two_lines(done: subprocess.CompletedProcess[str]) -> str:
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "try"], done.stderr
    assert done.stdout == ""
    return done.stderr


# --- without a hub ----------------------------------------------------------------------------------


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project.get("version", __version__) == __version__
    for words in (["--version"], ["version"], ["-V"]):
        assert crossfade(tmp_path, *words).stdout == f"crossfade {__version__}\n"


def test_the_version_imports_nothing(tmp_path: Path) -> None:
    program = "import sys; from crossfade.cli.entry import main\ntry: main(['--version'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    loaded = set(done.stdout.splitlines()[1].split())
    assert loaded.isdisjoint({"cyclopts", "msgspec", "asyncio", "httpx2", "rich", "crossfade.config"})


def test_help_imports_no_command(tmp_path: Path) -> None:
    program = (
        "import sys; from crossfade.cli.failing import guarded\nguarded(['--help'])\n"
        "print(*[name for name in sys.modules if name.startswith('crossfade') or name == 'httpx2'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"httpx2", "crossfade.cli.asking", "crossfade.client", "crossfade.engine.hub"}), loaded


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANING) == set(Exit)


@pytest.mark.parametrize("words", ["config show", "--version", "--help"])
def test_a_pipe_that_is_closed_early_is_no_error(tmp_path: Path, words: str) -> None:
    command = f"{sys.executable} -m crossfade {words} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["config show", "config show --json", "--version", "--help"])
def test_an_output_for_which_there_is_no_room_is_two_lines(tmp_path: Path, words: str) -> None:
    command = f"{sys.executable} -m crossfade {words} > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.ERRORED
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["config show", "--version"])
def test_without_an_output_a_command_does_its_work_in_silence(tmp_path: Path, words: str) -> None:
    command = f"{sys.executable} -m crossfade {words} >&-"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", [["config", "check"], ["up", "--no-demo"], ["serve"], ["inbox", "ls"]])
def test_a_damaged_configuration_is_two_lines_with_the_place(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "crossfade.toml").write_text("[limits]\nagents_max = \n", "utf-8")
    done = crossfade(tmp_path, *words)
    assert done.returncode == Exit.USAGE
    assert "error: crossfade.toml:2:14: " in two_lines(done)


def test_no_hub_is_exit_code_4(tmp_path: Path) -> None:
    done = crossfade(tmp_path, "ask", "reviewer", "hello?", CROSSFADE_URL="http://127.0.0.1:9")
    assert done.returncode == Exit.UNREACHABLE
    assert "try: start one: crossfade up" in two_lines(done)


@pytest.mark.parametrize(
    "words", [["ask", "reviewer", "hello?", "--wait", "1s"], ["question", "wait", "q_x"], ["inbox", "watch"]]
)
def test_no_hub_is_said_at_once_however_patient_the_command_is(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def never(seconds: float) -> None:
        raise AssertionError("it tried again")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSFADE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("crossfade.client.transport.asyncio.sleep", never)
    assert guarded(words) == Exit.UNREACHABLE
    assert "try: start one: crossfade up" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--as", "--token"])
def test_a_name_that_no_header_can_carry_is_wrong_usage(tmp_path: Path, flag: str) -> None:
    for text in ("caf\u00e9", "a\nb"):
        done = crossfade(tmp_path, "agent", "ls", flag, text)
        assert done.returncode == Exit.USAGE
        assert flag in two_lines(done)


def test_a_folder_without_a_log_is_not_a_log_that_verifies(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert crossfade(tmp_path, "log", "verify", "--data", "data").returncode == Exit.USAGE
    assert list((tmp_path / "data").iterdir()) == []
    (tmp_path / "data" / "log.db").touch()
    assert "there is no log in data" in two_lines(crossfade(tmp_path, "log", "verify", "--data", "data"))


@pytest.mark.parametrize(("name", "code"), [("seal.key", Exit.USAGE), ("operator.token", Exit.ERRORED)])
def test_a_damaged_file_of_the_data_folder_is_two_lines(tmp_path: Path, name: str, code: Exit) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(b"\xff\xfe")
    words = ["agent", "ls"] if name == "operator.token" else ["serve", "--port", "0"]
    done = crossfade(tmp_path, *words, "--data", "data")
    assert done.returncode == code
    assert f"data/{name}" in two_lines(done)


def test_the_kill_switch_works_without_a_hub(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    words = ["rollout", "kill", "--reason", "gone wrong", "--data", "data", "--json"]
    done = crossfade(tmp_path, *words, CROSSFADE_PORT="9")
    assert done.returncode == Exit.OK
    written = json.loads((tmp_path / "data" / "KILL").read_text("utf-8"))
    assert written["reason"] == "gone wrong"
    assert written["at"].endswith("Z")
    assert json.loads(done.stdout)["kill_file"] == "data/KILL"


def test_the_kill_switch_says_so_when_it_cannot_even_write(tmp_path: Path) -> None:
    done = crossfade(tmp_path, "rollout", "kill", "--data", "nowhere", CROSSFADE_PORT="9")
    assert done.returncode == Exit.UNREACHABLE
    assert "nowhere/KILL cannot be written" in two_lines(done)
    assert not (tmp_path / "nowhere").exists()


# --- starting ---------------------------------------------------------------------------------------


def test_an_address_in_use_is_a_conflict(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = crossfade(tmp_path, "up", "--no-demo", "--port", port)
    assert done.returncode == Exit.CONFLICT
    assert port in two_lines(done)


def test_a_data_folder_in_use_is_a_conflict_and_its_hub_goes_on(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        done = crossfade(tmp_path, "up", "--no-demo", "--port", "0", "--data", "data")
        assert done.returncode == Exit.CONFLICT
        assert "is in use by process" in two_lines(done)
        done = crossfade(tmp_path, "log", "verify", "--data", "data")
        assert done.returncode == Exit.CONFLICT
        assert crossfade(tmp_path, "agent", "ls", "--data", "data", CROSSFADE_URL=url).returncode == Exit.OK


def test_up_stays_on_loopback(tmp_path: Path) -> None:
    done = crossfade(tmp_path, "up", CROSSFADE_HOST="0.0.0.0")  # noqa: S104 - the point of the test
    assert done.returncode == Exit.USAGE
    two_lines(done)


def test_serve_is_not_open_to_the_network_without_tokens_and_a_name(tmp_path: Path) -> None:
    words = ["serve", "--host", "0.0.0.0", "--port", "0", "--data", "data"]  # noqa: S104 - the point of the test
    done = crossfade(tmp_path, *words, "--public-url", "https://hub.example.org")
    assert done.returncode == Exit.AUTHENTICATION
    assert "crossfade token new" in two_lines(done)
    minted = crossfade(
        tmp_path, "token", "new", "ops", "--scope", "admin", "--data", "data", "--json", CROSSFADE_PORT="9"
    )
    assert json.loads(minted.stdout)["token"].startswith("cf_")
    done = crossfade(tmp_path, *words)
    assert done.returncode == Exit.USAGE
    assert "--public-url" in two_lines(done)


def test_a_token_minted_beside_a_stopped_hub_opens_the_started_one(tmp_path: Path) -> None:
    words = ["token", "new", "early", "--scope", "agent", "--data", "data", "--json"]
    minted = crossfade(tmp_path, *words, CROSSFADE_PORT="9")
    token = json.loads(minted.stdout)["token"]
    with hub_process(tmp_path) as url:
        assert crossfade(tmp_path, "inbox", "ls", CROSSFADE_URL=url, CROSSFADE_TOKEN=token).returncode == Exit.OK


def test_the_operators_token_is_private_and_never_leaves_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_process(tmp_path) as url:
        path = tmp_path / "data" / "operator.token"
        assert path.stat().st_mode & 0o777 == 0o600
        assert crossfade(tmp_path, "token", "ls", "--data", "data", CROSSFADE_URL=url).returncode == Exit.OK
        options = Options(data=str(tmp_path / "data"))
        monkeypatch.delenv("CROSSFADE_TOKEN", raising=False)
        assert credential(options, url) == path.read_text("utf-8").strip()
        for elsewhere in ("http://127.0.0.2:8765", "https://hub.example.org", "http://localhost.example.org"):
            assert credential(options, elsewhere) is None


def test_what_was_asked_is_there_after_a_restart(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        crossfade(tmp_path, "inbox", "ls", "--as", "reader", CROSSFADE_URL=url)
        words = ["ask", "reader", "Still there?", "--choice", "yes,no", "--no-wait", "--data", "data", "--json"]
        identifier = json.loads(crossfade(tmp_path, *words, CROSSFADE_URL=url).stdout)["question_id"]
    with hub_process(tmp_path) as url:
        done = crossfade(tmp_path, "inbox", "ls", "--as", "reader", "--json", CROSSFADE_URL=url)
        assert [row["question_id"] for row in json.loads(done.stdout)["items"]] == [identifier]


def test_verifying_a_stopped_log_finds_one_changed_byte(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        crossfade(tmp_path, "inbox", "ls", "--as", "reader", CROSSFADE_URL=url)
    done = crossfade(tmp_path, "log", "verify", "--data", "data", "--json")
    assert done.returncode == Exit.OK, done.stderr
    assert [row["first_bad"] for row in json.loads(done.stdout)["items"]] == [None, None]
    (file,) = (tmp_path / "data").glob("*.db")
    content = file.read_bytes()
    assert content.count(b"reader") > 0
    file.write_bytes(content.replace(b"reader", b"writer"))
    done = crossfade(tmp_path, "log", "verify", "--data", "data")
    assert done.returncode == Exit.FAILED


def test_a_bad_record_far_from_the_end_fails_the_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def verify(_: object) -> list[tuple[int, int, int | None]]:
        return [(0, 5, None), (1, 9_000, 17)]

    (tmp_path / "log.db").write_bytes(b"records")
    monkeypatch.setattr("crossfade.bootstrap.verify_log", verify)
    assert guarded(["log", "verify", "--data", str(tmp_path), "--json"]) == Exit.FAILED
    assert [row["first_bad"] for row in json.loads(capsys.readouterr().out)["items"]] == [None, 17]


# --- signals ----------------------------------------------------------------------------------------

ANSWERER = """
import asyncio
from crossfade import Agent
me = Agent("reviewer")

@me.answers
async def slow(question):
    print("taken", flush=True)
    while not stopped.exists():
        await asyncio.sleep(0.01)
    return "ship"

from pathlib import Path
stopped = Path("stopped")
me.run()
print("ended", flush=True)
"""


@contextmanager
def process(folder: Path, program: str, url: str) -> "Iterator[subprocess.Popen[str]]":
    words = [sys.executable, "-c", program]
    environ = os.environ | {"CROSSFADE_URL": url}
    with subprocess.Popen(words, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signalled_answerer_finishes_what_it_has_in_hand(tmp_path: Path, number: signal.Signals) -> None:
    with hub_process(tmp_path) as url, process(tmp_path, ANSWERER, url) as answerer:
        assert answerer.stdout is not None
        while (done := ask_reviewer(tmp_path, url)).returncode == Exit.REFUSED:
            assert "recipient.unknown" in done.stderr
        identifier = json.loads(done.stdout)["question_id"]
        assert answerer.stdout.readline() == "taken\n"
        answerer.send_signal(number)
        (tmp_path / "stopped").touch()
        assert answerer.stdout.readline() == "ended\n"
        assert answerer.wait(LIMIT_SECONDS) == 0
        words = ["question", "show", identifier, "--data", "data", "--json"]
        assert json.loads(crossfade(tmp_path, *words, CROSSFADE_URL=url).stdout)["status"] == "answered"


def ask_reviewer(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Refused until the answerer has made itself known."""
    words = ["ask", "reviewer", "Ship?", "--choice", "ship,hold", "--no-wait", "--data", "data", "--json"]
    return crossfade(folder, *words, CROSSFADE_URL=url)


def test_an_interrupted_watch_ends_with_130(tmp_path: Path) -> None:
    with hub_process(tmp_path) as url:
        words = [sys.executable, "-m", "crossfade", "rollout", "status", "--watch", "--data", "data"]
        environ = os.environ | {"CROSSFADE_URL": url}
        with subprocess.Popen(
            words, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watch:
            assert watch.stdout is not None
            watch.stdout.readline()
            watch.send_signal(signal.SIGINT)
            assert watch.wait(LIMIT_SECONDS) == Exit.INTERRUPTED
            assert watch.stderr is not None
            assert watch.stderr.read() == ""
