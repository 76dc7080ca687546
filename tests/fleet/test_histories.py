"""Histories from files and journals, and what ``crossfade check`` says of them."""

from pathlib import Path

import pytest

from crossfade.cli.failing import guarded
from crossfade.core.histories import check
from crossfade.fleet.histories import BadHistoryError, from_journal, read_history
from crossfade.fleet.journal import Journal

ASKED = '{"op":"ask","client":"ana","called_at":1,"returned_at":2,"to":"bo","question":"q_1"}\n'
ENDED = '{"op":"end","client":"%s","called_at":3,"returned_at":4,"question":"q_1","value":"answered %d"}\n'


def journal(agent: str, *steps: tuple[str, tuple[str, ...]]) -> Journal:
    ticks = iter(range(10, 1_000, 10))
    kept = Journal(agent, lambda: next(ticks))
    for step, arguments in steps:
        getattr(kept, step)(*arguments)
    return kept


def test_journals_are_histories() -> None:
    ana = journal("ana", ("asked", ("q_1", "bo", 5)), ("ended", ("q_1", "answered", "1", "poll")))  # type: ignore[arg-type]
    bo = journal("bo", ("received", ("q_1", "ana", "poll", "polling")), ("answered", ("q_1", "accepted", "1")))
    history = from_journal(ana.entries) + from_journal(bo.entries)
    account = check(history)
    assert (account.questions, account.violations) == (1, ())


def test_two_accepted_answers_in_journals_are_found() -> None:
    bo = journal("bo", ("answered", ("q_1", "accepted", "1")), ("answered", ("q_1", "accepted", "2")))
    assert [violation.rule for violation in check(from_journal(bo.entries)).violations] == ["answered_twice"]


def test_another_answer_at_the_asker_than_the_acknowledged_one_is_found() -> None:
    ana = journal("ana", ("ended", ("q_1", "answered", "2", "poll")))
    bo = journal("bo", ("answered", ("q_1", "accepted", "1")))
    found = check(from_journal(ana.entries) + from_journal(bo.entries)).violations
    assert [violation.rule for violation in found] == ["not_linearizable"]


@pytest.mark.parametrize(
    "line", ["junk", "[]", '{"op":"steal"}', '{"op":"ask","client":"a"}', '{"step":"asked"}', "\udcff", "[" * 5000]
)
def test_a_line_that_is_none_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "h.jsonl"
    file.write_bytes((ASKED + line).encode("utf-8", "surrogateescape"))
    with pytest.raises(BadHistoryError, match=r"h\.jsonl:2: "):
        read_history([file])


def test_the_command_gives_each_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "h.jsonl"
    file.write_text(ASKED)
    assert guarded(["check", str(file)]) == 0
    file.write_text(ASKED + ENDED % ("bo", 1) + ENDED % ("eve", 2))
    assert guarded(["check", str(file), "--json"]) == 6
    assert '"rule":"answered_twice"' in capsys.readouterr().out
    file.write_text(ASKED + "junk\n")
    assert guarded(["check", str(file)]) == 2
    assert "h.jsonl:2" in capsys.readouterr().err
    assert guarded(["check", str(tmp_path / "none.jsonl")]) == 2
