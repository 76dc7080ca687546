"""The command line against a running hub: what each command prints, in all three forms, and how it ends."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crossfade.cli.app import COMMANDS
from crossfade.cli.exits import Exit
from crossfade.client import Agent, Decline, QuestionView
from tests.kit.commands import Cli

READS = {
    "inbox ls": ["inbox", "ls", "--as", "reader"],
    "inbox show": ["inbox", "show", "QUESTION", "--as", "reader"],
    "inbox watch": ["inbox", "watch", "--count", "1", "--as", "reader"],
    "question ls": ["question", "ls", "--as", "reader"],
    "question show": ["question", "show", "QUESTION"],
    "question wait": ["question", "wait", "QUESTION", "--timeout", "0.01s"],
    "agent ls": ["agent", "ls"],
    "agent show": ["agent", "show", "reader"],
    "token ls": ["token", "ls"],
    "rollout status": ["rollout", "status"],
    "baseline show": ["baseline", "show"],
    "runsheet plan": ["runsheet", "plan", "elicitation-v2"],
    "runsheet diff": ["runsheet", "diff", "elicitation-v1", "elicitation-v2"],
    "log head": ["log", "head"],
    "log tail": ["log", "tail", "-n", "2"],
    "log show": ["log", "show", "1"],
    "config show": ["config", "show", "--origin"],
    "config check": ["config", "check"],
    "doctor": ["doctor"],
}
"""Every command that only reads; QUESTION is an open question to the agent ``reader``."""
OTHERS = {
    *("load", "capacity measure", "capacity plan"),
    *("up", "serve", "demo", "ask", "answer", "send", "question withdraw", "agent retire", "token new", "token revoke"),
    *("rollout start", "rollout set", "rollout hold", "rollout resume", "rollout kill", "rollout deprecate"),
    *("signoff ls", "signoff show", "signoff request", "signoff withdraw", "signoff stop", "board"),
    *("certificate ls", "certificate get", "certificate show", "certificate verify", "certificate key"),
    *("runsheet new", "runsheet lint", "runsheet review", "runsheet graph", "runsheet schema", "runsheet export"),
    *("runsheet run", "runsheet status", "runsheet pause", "runsheet resume", "runsheet release", "runsheet skip"),
    *("runsheet waive", "runsheet abort", "runsheet migrate", "runsheet archive", "check"),
    *("gate evaluate", "gate simulate"),
    *("rollout plan lint", "rollout plan show", "rollout plan stop", "gate ls", "gate show", "gate explain"),
    *("baseline start", "baseline stop"),
    *("rollout remove", "log verify", "log export", "log backup", "log restore", "log archive"),
    *("connect", "config schema", "version"),
}
"""Commands that change something, run without a hub, or print one fixed document."""


@pytest.fixture
def question(cli: Cli) -> str:
    """The id of an open question to ``reader``."""
    cli("inbox", "ls", "--as", "reader")
    return asked(cli, "reader", "--choice", "ship,hold")


def asked(cli: Cli, to: str, *more: str) -> str:
    code, out, _ = cli("ask", to, "Ship build 41?", *more, "--no-wait", "--json")
    assert code == Exit.OK
    return str(json.loads(out)["question_id"])


@contextmanager
def answering(url: str, name: str) -> Iterator[None]:
    """An agent on the SDK in a thread: ships, but declines what ends in 3."""
    agent = Agent(name, url=url)
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    @agent.answers
    async def say(question: QuestionView) -> str:
        if question.message.endswith("3"):
            raise Decline("red")
        return "ship"

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with agent:
            await agent.api.me()
            started.set()
            await agent.serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(120)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(agent.stop)
        thread.join(120)


def plain_fields(out: str) -> list[str]:
    """The names in tab-separated output: its header, or its first column."""
    lines = [line.split("\t") for line in out.splitlines()]
    return lines[0] if len(lines[0]) > 2 or lines[0] == ["kind", "id"] else [line[0] for line in lines]


# --- the same fields in every form ------------------------------------------------------------------


def test_every_command_is_known_to_read_or_not() -> None:
    assert {command.words for command in COMMANDS} == set(READS) | OTHERS


@pytest.mark.parametrize("words", READS.values(), ids=READS)
def test_json_has_the_fields_of_the_table(cli: Cli, question: str, words: list[str]) -> None:
    words = [question if word == "QUESTION" else word for word in words]
    _, plain, _ = cli(*words)
    _, text, _ = cli(*words, "--json")
    document = json.loads(text.splitlines()[0])
    rows = document.get("items", [document])
    assert rows
    assert list(rows[0]) == plain_fields(plain)
    assert "\x1b" not in plain


def test_a_terminal_gets_a_table_with_the_same_fields(
    cli: Cli, question: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("NO_COLOR", "1")
    _, drawn, _ = cli("inbox", "ls", "--as", "reader")
    assert question in drawn
    assert "─" in drawn
    assert "\t" not in drawn
    for field in ("question_id", "from", "message", "delivery", "deadline", "lane"):
        assert field in drawn
    assert "\x1b[3" not in drawn


def test_jsonl_is_one_document_a_line(cli: Cli, question: str) -> None:
    assert question
    code, out, err = cli("log", "tail", "-n", "3", "--jsonl")
    assert (code, err) == (Exit.OK, "")
    assert [json.loads(line)["shard"] for line in out.splitlines()] == [1, 1, 1]


def test_notes_go_to_stderr_and_quiet_silences_them(cli: Cli, url: str) -> None:
    with answering(url, "noted"):
        _, out, err = cli("ask", "noted", "Ship?", "--choice", "ship,hold")
        assert re.search(r"q_\w+  (queued|offered), until ", err)
        assert "until" not in out
        assert cli("ask", "noted", "Ship?", "--choice", "ship,hold", "--quiet")[2] == ""


# --- asking and answering ---------------------------------------------------------------------------


def test_ask_waits_for_the_answer_and_prints_it(cli: Cli, url: str) -> None:
    with answering(url, "quick"):
        code, out, _ = cli("ask", "quick", "Ship build 41?", "--choice", "ship", "--choice", "hold", "--json")
    assert code == Exit.OK
    assert json.loads(out)["content"] == {"choice": "ship"}


def test_a_declined_question_ends_with_5_and_the_reason(cli: Cli, url: str) -> None:
    with answering(url, "strict"):
        code, out, _ = cli("ask", "strict", "Ship build 3", "--choice", "ship,hold", "--json")
    assert code == Exit.REFUSED
    assert (json.loads(out)["status"], json.loads(out)["reason"]) == ("declined", "red")


def test_an_unanswered_question_ends_the_wait_with_10_and_stays_open(cli: Cli, question: str) -> None:
    assert question
    code, out, _ = cli("ask", "reader", "And now?", "--choice", "a,b", "--wait", "10ms", "--json")
    assert (code, json.loads(out)["status"]) == (Exit.TIMED_OUT, "open")


def test_an_expired_question_ends_with_10(cli: Cli, question: str) -> None:
    assert question
    code, out, _ = cli("ask", "reader", "Quick?", "--choice", "a,b", "--deadline", "1s", "--json")
    assert (code, json.loads(out)["status"]) == (Exit.TIMED_OUT, "expired")


def test_the_same_key_asks_once(cli: Cli, question: str) -> None:
    assert question
    ids = {asked(cli, "reader", "--choice", "a,b", "--key", "once") for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("shape", "words", "content"),
    [
        (["--choice", "ship,hold"], ["ship"], {"choice": "ship"}),
        (["--choice", "ship,hold"], ["choice=hold"], {"choice": "hold"}),
        (["--choice", "ship,hold"], ["--content", '{"choice":"hold"}'], {"choice": "hold"}),
        ([], ["free text with = in it"], {"answer": "free text with = in it"}),
        (
            ["--schema", '{"type":"object","properties":{"n":{"type":"integer"},"ok":{"type":"boolean"}}}'],
            ["n=3", "ok=true"],
            {"n": 3, "ok": True},
        ),
    ],
)
def test_answers_are_typed_by_the_schema(
    cli: Cli, question: str, shape: list[str], words: list[str], content: object
) -> None:
    assert question
    identifier = asked(cli, "reader", *shape)
    code, out, err = cli("answer", identifier, *words, "--as", "reader", "--json")
    assert (code, err) == (Exit.OK, "")
    assert json.loads(out)["content"] == content


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["n=many"], "n: 'many' is not of type integer"),
        (["m=1", "n=1"], "'m=1' is not field=value with one of: n"),
        ([], "no answer was given"),
        (["n=1", "--decline", "no"], "exclude each other"),
        (["--content", "{"], "not a JSON object"),
        (["--content", "@/nowhere"], "/nowhere"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_wrong_usage(cli: Cli, question: str, words: list[str], said: str) -> None:
    assert question
    identifier = asked(cli, "reader", "--schema", '{"type":"object","properties":{"n":{"type":"integer"}}}')
    code, out, err = cli("answer", identifier, *words, "--as", "reader")
    assert (code, out) == (Exit.USAGE, "")
    assert said in err


def test_a_second_answer_is_a_conflict(cli: Cli, question: str) -> None:
    assert cli("answer", question, "ship", "--as", "reader")[0] == Exit.OK
    code, _, err = cli("answer", question, "hold", "--as", "reader", "--json")
    assert code == Exit.CONFLICT
    assert json.loads(err)["error"]["code"].startswith("question.")


def test_declining_and_withdrawing_end_a_question(cli: Cli, question: str) -> None:
    code, out, _ = cli("answer", question, "--decline", "busy", "--as", "reader", "--json")
    assert (code, json.loads(out)["status"]) == (Exit.OK, "declined")
    other = asked(cli, "reader", "--choice", "a,b")
    assert json.loads(cli("question", "withdraw", other, "--json")[1])["status"] == "withdrawn"
    assert cli("question", "wait", other)[0] == Exit.REFUSED


def test_send_says_who_gets_it(cli: Cli, question: str) -> None:
    assert question
    code, out, _ = cli("send", "reader", "the build is green", "--json")
    assert code == Exit.OK
    assert list(json.loads(out)["delivery"]) == ["reader"]


# --- operating --------------------------------------------------------------------------------------


def test_a_token_is_minted_used_and_revoked(cli: Cli) -> None:
    code, out, err = cli("token", "new", "minted", "--expires", "1h", "--json")
    issued = json.loads(out)
    assert (code, err) == (Exit.OK, "")
    assert cli("inbox", "ls", "--token", issued["token"])[0] == Exit.OK
    assert cli("token", "revoke", issued["token_id"])[0] == Exit.OK
    code, _, err = cli("inbox", "ls", "--token", issued["token"], "--json")
    assert (code, json.loads(err)["error"]["code"]) == (Exit.AUTHENTICATION, "auth.revoked")


def test_a_rollout_is_steered_and_watched(cli: Cli, question: str) -> None:
    assert question
    assert cli("rollout", "start", "cli-test")[0] == Exit.OK
    assert json.loads(cli("rollout", "set", "100%", "--reason", "test", "--json")[1])["share"] == 1.0
    assert json.loads(cli("rollout", "hold", "--json")[1])["held"] is True
    assert json.loads(cli("rollout", "resume", "--json")[1])["held"] is False
    assert json.loads(cli("rollout", "kill", "--json")[1])["share"] == 0.0


def test_removing_asks_for_a_confirmation_and_never_without_a_terminal(cli: Cli) -> None:
    code, _, err = cli("rollout", "remove")
    assert code == Exit.USAGE
    assert "try: crossfade rollout remove --yes" in err


# --- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["aks"], Exit.USAGE, 'error: Unknown command "aks". Did you mean "ask"?\ntry: crossfade --help\n'),
        (["ask", "a", "b", "--chioce", "x"], Exit.USAGE, "error: Unknown option: --chioce. Did you mean --choice?\n"),
        (["ask", "nobody", "hello?", "--choice", "a"], Exit.REFUSED, "\ntry: "),
        (["inbox", "ls", "--token", "cf_wrong"], Exit.AUTHENTICATION, "\ntry: "),
        (["token", "ls", "--as", "reader"], Exit.AUTHENTICATION, "\ntry: "),
        (["inbox", "ls", "--url", "http://127.0.0.1:9"], Exit.UNREACHABLE, "try: start one: crossfade up\n"),
        (["ask", "a", "b", "--choice", "x", "--deadline", "soon"], Exit.USAGE, "'soon' is not a duration"),
        (["rollout", "set", "120%"], Exit.USAGE, "'120%' is not a share"),
        (["question", "show", "q_none"], Exit.REFUSED, "\ntry: "),
        (["log", "show", "999999"], Exit.REFUSED, "has no record 999999"),
        (["agent", "show", "nobody"], Exit.REFUSED, "no agent is called 'nobody'"),
        (["token", "new", "x", "--scope", "root"], Exit.USAGE, "'root' is not one of"),
    ],
)
def test_errors_are_two_lines_with_an_exit_code(cli: Cli, words: list[str], code: Exit, said: str) -> None:
    ended, out, err = cli(*words)
    assert (ended, out) == (code, "")
    assert said in err
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "try"]
    ended, out, err = cli(*words, "--json")
    assert (ended, out) == (code, "")
    assert list(json.loads(err)["error"]) == ["code", "message", "try"]
