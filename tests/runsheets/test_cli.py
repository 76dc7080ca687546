"""``crossfade runsheet``: what each command prints and how it ends. No hub runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded
from tests.kit.runsheets import shipped

Said = tuple[int, str, str]
SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        capfd.readouterr()
        code = guarded(["runsheet", *words])
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.requirement("P1", "P2")
@pytest.mark.parametrize(
    ("file", "code", "overall"),
    [("elicitation-v1", Exit.FAILED, "not_ready"), ("elicitation-v1.yaml", Exit.FAILED, "not_ready"),
     ("elicitation-v2", Exit.OK, "production_ready"), ("elicitation-v2.yaml", Exit.OK, "production_ready"),
     (str(SAMPLES / "renamed.yaml"), Exit.FAILED, "not_ready"),
     (str(SAMPLES / "minimal.yaml"), Exit.FAILED, "not_ready"),
     (str(SAMPLES / "db-migration-ready.yaml"), Exit.OK, "production_ready")],
)  # fmt: skip
def test_review_prints_one_document_and_ends_with_the_verdict(cli, file: str, code: int, overall: str) -> None:
    done, out, err = cli("review", file, "--json")
    assert (done, err) == (code, "")
    document = json.loads(out)
    assert set(document) == {"roles", "overall"}
    assert document["overall"] == overall
    assert list(document["roles"]) == ["devops", "security", "performance"]
    for role in document["roles"].values():
        assert set(role) == {"outcome", "findings"}
        for finding in role["findings"]:
            assert set(finding) == {"code", "severity", "line", "message", "try"}
            assert finding["line"] >= 1


def test_review_prints_the_same_findings_as_lines(cli) -> None:
    _, out, err = cli("review", "elicitation-v1")
    _, text, _ = cli("review", "elicitation-v1", "--json")
    findings = [one for role in json.loads(text)["roles"].values() for one in role["findings"]]
    header, *lines = out.splitlines()
    assert header.split("\t") == ["role", "outcome", "severity", "code", "line", "message", "try"]
    assert [line.split("\t")[3] for line in lines] == [finding["code"] for finding in findings]
    assert "not_ready" in err


def test_lint_ends_with_2_at_an_error_and_names_its_place(cli) -> None:
    code, out, err = cli("lint", "elicitation-v1")
    assert code == Exit.USAGE
    assert out.startswith("elicitation-v1.yaml:")
    assert "5 error(s)" in err
    code, text, _ = cli("lint", "elicitation-v1", "--json")
    assert code == Exit.USAGE
    items = json.loads(text)["items"]
    assert [f"{item['file']}:{item['line']}:{item['column']} {item['path']}:" for item in items] == [
        line[: line.index(": ") + 1] for line in out.splitlines()
    ]
    assert cli("lint", "elicitation-v2") == (Exit.OK, "", "elicitation-v2: 0 error(s), 0 warning(s)\n")


def test_a_file_that_cannot_be_read_is_an_error_in_two_lines(cli, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("runsheet: 1\nname: a\nname: b\n", "utf-8")
    code, out, err = cli("review", "bad.yaml")
    assert (code, out) == (Exit.USAGE, "")
    assert err == "error: bad.yaml:3:1: the key 'name' stands here twice, first in line 2\ntry: keep one of them\n"
    code, _, err = cli("plan", "nowhere.yaml", "--json")
    assert code == Exit.USAGE
    assert json.loads(err)["error"]["code"] == "runsheet.file.unreadable"
    code, out, _ = cli("lint", "bad.yaml", "--json")
    assert (code, json.loads(out)["items"][0]["code"]) == (Exit.USAGE, "yaml.duplicate_key")


def test_new_writes_a_file_that_lints_clean_and_never_over_another(cli, tmp_path: Path) -> None:
    code, out, _ = cli("new", "mine.yaml", "--start", "2027-01-11", "--json")
    assert (code, json.loads(out)["file"]) == (Exit.OK, "mine.yaml")
    assert cli("lint", "mine.yaml")[0] == Exit.OK
    assert cli("review", "mine.yaml")[0] == Exit.FAILED
    before = (tmp_path / "mine.yaml").read_bytes()
    assert cli("new", "mine.yaml", "--start", "2027-01-18")[0] == Exit.USAGE
    assert (tmp_path / "mine.yaml").read_bytes() == before
    assert cli("new", "other.yaml", "--start", "2027-02-30")[0] == Exit.USAGE
    assert not (tmp_path / "other.yaml").exists()


def test_plan_prints_rows_and_draws_a_picture(cli, tmp_path: Path) -> None:
    code, out, err = cli("plan", "elicitation-v2", "--svg", "plan.svg")
    assert code == Exit.OK
    assert "drawn into plan.svg" in err
    assert (tmp_path / "plan.svg").read_text("utf-8").startswith("<svg")
    _, text, _ = cli("plan", "elicitation-v2", "--json")
    items = json.loads(text)["items"]
    assert out.splitlines()[0].split("\t") == list(items[0])
    assert len(out.splitlines()) == len(items) + 1


def test_diff_graph_schema_and_export_print_what_they_say(cli) -> None:
    _, text, _ = cli("diff", "elicitation-v1", "elicitation-v2", "--json")
    assert {"path": "rollback.budget", "change": "changed", "before": "PT300S", "after": "PT1200S"} in json.loads(text)[
        "items"
    ]
    assert cli("diff", "elicitation-v2", "elicitation-v2")[1].splitlines() == ["path\tchange\tbefore\tafter"]
    assert cli("graph", "elicitation-v2")[1].startswith("[Preparation]")
    assert cli("graph", "elicitation-v2", "--dot")[1].startswith("digraph")
    assert json.loads(cli("schema")[1])["title"] == "Crossfade runsheet"
    _, out, err = cli("export", "elicitation-v2")
    assert json.loads(out)["version"] == "2.0"
    assert shipped("elicitation-v2").digest in err
    assert cli("export", "elicitation-v2", "--md")[1].startswith("# FEATURE_PACK_0")


def test_the_shipped_runsheets_come_with_the_package(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crossfade", "runsheet", "review", "elicitation-v2", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
