"""Sign-offs, certificates and the board from the command line, against a running hub and without one."""

import json
from pathlib import Path

import pytest

from crossfade.cli.exits import Exit
from tests.kit.commands import Cli
from tests.kit.process import hub_process


@pytest.fixture
def signoff(cli: Cli, folder: Path) -> str:
    """The id of an open sign-off that sam (security) and one of dora and pia (devops) are asked for."""
    for name in ("sam", "dora", "pia"):
        cli("inbox", "ls", "--as", name)
    (folder / "facts.json").write_text('{"p99_ms":212}')
    code, out, err = cli(*REQUEST, "--role", "security=sam", "--role", "devops=1:dora,pia", "--json")
    assert (code, err) == (Exit.OK, "")
    return str(json.loads(out)["signoff_id"])


REQUEST = (
    *("signoff", "request", "Begin the canary?", "--subject", "release/41"),
    *("--runsheet", "elicitation-v2", "--evidence", "facts.json", "--summary", "p99 212 ms of 300"),
)


def answer(cli: Cli, name: str, *words: str) -> None:
    """Fill in the newest form of somebody."""
    question = json.loads(cli("inbox", "ls", "--as", name, "--json")[1])["items"][-1]
    assert question["from"] == "programme"
    assert cli("answer", question["question_id"], *words, "--as", name)[0] == Exit.OK


def test_consent_is_asked_for_given_shown_and_proved(cli: Cli, signoff: str, folder: Path) -> None:
    assert cli("signoff", "show", signoff, "--check")[0] == Exit.UNSIGNED
    answer(cli, "sam", "outcome=approved_with_controls", "controls=siem.quiet")
    answer(cli, "dora", "outcome=approved")
    found = json.loads(cli("signoff", "show", signoff, "--json")[1])
    while not found["certificate"]:
        found = json.loads(cli("signoff", "show", signoff, "--json")[1])
    assert (found["status"], found["outcome"], found["controls"]) == ("approved", "approved_with_controls",
        ["siem.quiet"])  # fmt: skip
    assert cli("signoff", "show", signoff, "--check")[0] == Exit.OK
    [row] = json.loads(cli("signoff", "ls", "--status", "approved", "--json")[1])["items"]
    assert row["signoff_id"] == signoff
    newest = json.loads(cli("certificate", "ls", "--limit", "1", "--json")[1])["items"][0]
    assert (newest["digest"], newest["kind"]) == (found["certificate"], "signoff")

    files = json.loads(cli("certificate", "get", newest["digest"], "--to", "out", "--json")[1])["items"]
    cert = files[0]["file"]
    assert {Path(one["file"]).name.split(".", 1)[1] for one in files} == {"cert.json", "evidence", "flags"}
    said = json.loads(cli("certificate", "show", cert, "--json")[1])
    assert (said["subject"], said["outcome"], said["signoff"]) == ("release/41", "approved_with_controls", signoff)
    code, out, _ = cli(
        "certificate", "verify", cert, "--evidence", "evidence=facts.json", "--evidence", f"evidence={cert}", "--json"
    )
    assert code == Exit.FAILED, "the last of a name counts"
    (folder / "plan.yaml").write_bytes(shipped("elicitation-v2") + b"# another comment\n")
    code, out, _ = cli("certificate", "verify", cert, "--evidence", "runsheet=plan.yaml", "--json")
    results = {row["where"]: row["result"] for row in json.loads(out)["items"]}
    assert (code, results["certificate"], results["subject runsheet"]) == (Exit.OK, "ok", "ok")
    (folder / "old.yaml").write_bytes(shipped("elicitation-v1"))
    code, out, _ = cli("certificate", "verify", cert, "--evidence", "runsheet=old.yaml", "--json")
    results = {row["where"]: row["result"] for row in json.loads(out)["items"]}
    assert (code, results["subject runsheet"]) == (Exit.FAILED, "differs")
    assert cli("certificate", "key")[1] == (folder / "data/signing.pub").read_text()


def shipped(name: str) -> bytes:
    """The file of a shipped runsheet."""
    from crossfade.runsheets.loader import SHIPPED

    return (SHIPPED / f"{name}.yaml").read_bytes()


def test_it_is_withdrawn_by_who_asked_and_stopped_by_a_specialist_alone(cli: Cli, signoff: str) -> None:
    assert cli("signoff", "stop", signoff, "--reason", "x")[0] == Exit.REFUSED, "an operator is no specialist"
    assert cli("signoff", "withdraw", signoff, "--as", "sam")[0] == Exit.AUTHENTICATION
    code, out, _ = cli("signoff", "stop", signoff, "--reason", "leak", "--as", "sam", "--json")
    assert (code, json.loads(out)["status"]) == (Exit.OK, "stopped")
    assert cli("signoff", "withdraw", signoff, "--reason", "late")[0] == Exit.CONFLICT


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((*REQUEST, "--role", "security"), Exit.USAGE, "names no members"),
        ((*REQUEST, "--role", "security=x:sam"), Exit.USAGE, "names no members"),
        ((*REQUEST, "--role", "security=ghost"), Exit.REFUSED, "role security"),
        ((*REQUEST, "--role", "security=operator"), Exit.REFUSED, "role security"),
        ((*REQUEST, "--role", "security=sam", "--author", "sam"), Exit.REFUSED, "role security"),
        ((*REQUEST[:-4], "--evidence", "none", "--role", "security=sam"), Exit.USAGE, "none"),
        (("signoff", "show", "s_none"), Exit.REFUSED, "no such sign-off"),
        (("certificate", "get", "0" * 64), Exit.REFUSED, "no certificate"),
        (("certificate", "verify", "facts.json", "--evidence", "x"), Exit.USAGE, "SUBJECT=FILE"),
    ],
)
def test_what_cannot_be_is_refused_in_two_lines(
    cli: Cli, signoff: str, words: tuple[str, ...], code: Exit, said: str
) -> None:
    assert signoff
    ended, out, err = cli(*words)
    assert (ended, out) == (code, ""), err
    assert said in err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "try"]


BOARD = """\
component\t{name} 1.0\t{name} 2.0
DevOps\t⚠️ Conditional\t✅ Approved
Security\t🚨 Emergency Stop\t✅ Approved with controls
Performance\t⚠️ Conditional\t✅ Approved
Overall\t❌ Not Ready\t✅ Production Ready
"""


@pytest.mark.requirement("P23")
def test_the_board_shows_what_was_recorded_and_the_same_without_a_hub(cli: Cli, tmp_path: Path) -> None:
    with hub_process(tmp_path) as fresh:
        at = ("--url", fresh, "--data", str(tmp_path / "data"))
        assert "no review is recorded" in cli("board", *at)[2]
        assert cli("runsheet", "review", "elicitation-v1", "--record", "--json", *at)[0] == Exit.FAILED
        assert cli("runsheet", "review", "elicitation-v2", "--record", "--json", *at)[0] == Exit.OK
        code, out, _ = cli("board", *at)
        assert (code, out) == (Exit.OK, BOARD.format(name=out.split("\t")[1].rpartition(" ")[0]))
        cells = json.loads(cli("board", "--json", *at)[1])["rows"][1]["cells"]
        assert [cell["outcome"] for cell in cells] == ["emergency_stop", "approved_with_controls"]
        certified = json.loads(cli("certificate", "ls", "--json", *at)[1])["items"]
        assert [one["kind"] for one in certified] == ["review"] * 6
    assert cli("board", "--offline", "--url", "http://127.0.0.1:9")[1] == out


def test_a_specialists_stop_shows_on_the_board_over_what_the_review_says(cli: Cli, signoff: str) -> None:
    cli("runsheet", "review", "elicitation-v2", "--record")
    assert cli("signoff", "stop", signoff, "--reason", "leak", "--as", "sam")[0] == Exit.OK
    rows = {row["component"]: row["cells"][-1] for row in json.loads(cli("board", "--json")[1])["rows"]}
    assert (rows["Security"]["signed"], rows["Security"]["reviewed"]) == ("emergency_stop", "approved_with_controls")
    assert (rows["Security"]["outcome"], rows["Overall"]["outcome"]) == ("emergency_stop", "not_ready")
