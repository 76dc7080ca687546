"""Histories from files and journals, and what ``crossfade check`` says of them."""

import random
import re
from pathlib import Path

import pytest

from crossfade.cli.failing import guarded
from crossfade.core.histories import check
from crossfade.fleet.histories import BadHistoryError, from_journal, read_history
from crossfade.fleet.journal import Journal
from tests.kit.tree import ROOT

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
    "line",
    [
        "junk",
        "[]",
        '{"op":"steal"}',
        '{"op":"ask","client":"a"}',
        '{"step":"asked"}',
        "\udcff",
        "[" * 5000,
        '{"op":"settle","client":"t","called_at":5,"returned_at":4}',
        '{"op":"end","client":"b","called_at":3,"question":"q_1","value":"open"}',
        '{"op":"end","client":"b","called_at":3,"question":"","value":"declined"}',
        '{"op":"read","client":"b","called_at":3,"question":"q_1","value":""}',
        '{"op":"receive","client":"b","called_at":3,"items":[{"id":"","from":"a"}]}',
        '{"op":"settle","client":"t","called_at":5}' + " " * 17_000_000,
        '{"op":"settle","client":"t","called_at":9223372036854775808}',
        '{"op":"settle","client":"t","called_at":-9223372036854775808}',
        '{"op":"settle","client":"t","called_at":1,"returned_at":9223372036854775807}',
        '{"op":"ask","client":"a","called_at":1,"to":"b","deadline_at":9223372036854775807}',
        '{"op":"settle","client":"","called_at":5}',
        '{"op":"ask","client":"a","called_at":5,"to":""}',
        '{"op":"receive","client":"b","called_at":3,"items":[{"id":"m","from":"a","kind":"messages"}]}',
        '{"op":"receive","client":"b","called_at":3,"items":[{"id":"m","from":"a","sequence":-1}]}',
        '{"op":"receive","client":"b","called_at":3,"after":-1}',
        "\ufeff" + ASKED,
    ],
    ids=range(23),
)
def test_a_line_that_is_none_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "h.jsonl"
    file.write_bytes((ASKED + line).encode("utf-8", "surrogateescape"))
    with pytest.raises(BadHistoryError, match=r"h\.jsonl:2: "):
        read_history([file])


def test_a_mark_at_the_beginning_and_lines_of_another_system_are_read_over(tmp_path: Path) -> None:
    file = tmp_path / "h.jsonl"
    file.write_bytes(("\ufeff" + ASKED).replace("\n", "\r\n").encode() + b"\r\n" + ENDED.encode().strip() % (b"bo", 1))
    assert [(type(op).__name__, op.line) for op in read_history([file])] == [("Ask", 1), ("End", 3)]


STRANGE = (
    b"null", b"-1", b"1e999", b"9" * 30, b'"x"', b"[]", b"{}", b"true", b"NaN", b'"\\ud800"', b"-9223372036854775808",
    b"1.5", b'""',
)  # fmt: skip
"""Values that somebody else's program may write where another belongs."""


def spoilt(line: bytes, dice: random.Random) -> bytes:
    """The line with something wrong in it, or with something that only looks wrong."""
    way = dice.choice(("byte", "cut", "value", "twice"))
    place = dice.randrange(len(line))
    if way == "byte":
        return line[:place] + dice.randbytes(1) + line[place + 1 :]
    if way == "cut":
        return line[:place]
    if way == "twice":
        return line + line
    value = dice.choice(list(re.finditer(rb':("[^"]*"|\d+|\[[^\]]*\])', line)))
    return line[: value.start(1)] + dice.choice(STRANGE) + line[value.end(1) :]


def test_what_anybody_writes_is_a_history_or_is_refused_by_its_line(tmp_path: Path) -> None:
    documented = (ROOT / "docs/reference/history.md").read_text("utf-8").split("```json\n")[1].split("```")[0]
    lines = documented.encode().splitlines()
    dice, file, refused = random.Random(3), tmp_path / "h.jsonl", []
    for _ in range(1_000):
        place = dice.randrange(len(lines))
        file.write_bytes(b"\n".join((*lines[:place], spoilt(lines[place], dice), *lines[place + 1 :])))
        try:
            check(read_history([file]))
        except BadHistoryError as fault:
            refused.append((f"h.jsonl:{place + 1}: ", str(fault)))
    assert [said for line, said in refused if line not in said] == []
    assert 500 < len(refused) < 1_000


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
    file.write_text("\n\n")
    (tmp_path / "empty").mkdir()
    for nothing in (file, tmp_path / "empty"):
        assert guarded(["check", str(nothing)]) == 2, "nothing was looked at, and nothing is proven"
        assert "no line of a history" in capsys.readouterr().err
