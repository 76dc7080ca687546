"""``crossfade connect``: what it prints, what it writes, and that undo leaves the file as it was."""

import json
import tomllib
from pathlib import Path

import pytest

from crossfade.cli.connecting import CLIENTS, JSON_FILES
from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded

URL = "http://127.0.0.1:8765"
REMOTE = "https://hub.example.org"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    for name in ("CROSSFADE_URL", "CROSSFADE_TOKEN", "CROSSFADE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert guarded(["connect", *words]) == Exit.OK
    return capsys.readouterr().out


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_is_told_the_address(client: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert URL in said(capsys, client)
    assert json.loads(said(capsys, client, "--json"))["url"] == f"{URL}/mcp"


@pytest.mark.parametrize("client", [client for client in CLIENTS if client != "python"])
def test_a_hub_elsewhere_needs_a_token_which_is_named_and_never_written(
    client: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSFADE_TOKEN", "cf_secret")
    shown = said(capsys, client, "--url", REMOTE)
    assert "CROSSFADE_TOKEN" in shown
    assert "cf_secret" not in shown


@pytest.mark.parametrize("client", JSON_FILES)
def test_writing_keeps_what_is_there_and_undo_restores_it(client: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = JSON_FILES[client]
    path = Path(place.path)
    before = json.dumps({"other": [1], place.table: {"mine": {"url": "x"}}}, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before, "utf-8")
    assert f'+      "url": "{URL}/mcp"' in said(capsys, client, "--write")
    document = json.loads(path.read_text("utf-8"))
    assert document["other"] == [1]
    assert set(document[place.table]) == {"mine", "crossfade"}
    assert "nothing to change" in said(capsys, client, "--write")
    said(capsys, client, "--undo")
    assert path.read_text("utf-8") == before


@pytest.mark.parametrize("client", [*JSON_FILES, "codex"])
def test_a_file_that_was_made_for_the_entry_goes_with_it(
    client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, client, "--write")
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
    said(capsys, client, "--undo")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_codex_keeps_comments_and_other_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "codex" / "config.toml"
    path.parent.mkdir()
    before = '# mine\nmodel = "x"\n\n[mcp_servers.other]\nurl = "y"\n'
    path.write_text(before, "utf-8")
    said(capsys, "codex", "--write")
    said(capsys, "codex", "--write", "--url", "http://127.0.0.1:9")
    document = tomllib.loads(path.read_text("utf-8"))
    assert document["mcp_servers"] == {"other": {"url": "y"}, "crossfade": {"url": "http://127.0.0.1:9/mcp"}}
    assert "# mine" in path.read_text("utf-8")
    said(capsys, "codex", "--undo")
    assert path.read_text("utf-8") == before


@pytest.mark.parametrize("text", ["// a comment\n{}", "[]", '{"mcpServers": 3}', "{"])
def test_a_file_that_is_not_plain_json_is_left_alone(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".mcp.json").write_text(text, "utf-8")
    assert guarded(["connect", "claude-code", "--write"]) == Exit.ERRORED
    assert "try: add it by hand" in capsys.readouterr().err
    assert Path(".mcp.json").read_text("utf-8") == text


def test_an_unknown_client_is_named_with_its_likely_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["connect", "curser"]) == Exit.USAGE
    assert "try: did you mean cursor?" in capsys.readouterr().err
