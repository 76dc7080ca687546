"""The account of a load: from journals alone, a bucket at a time, with the answerer's own time left out."""

from pathlib import Path

import msgspec
import pytest

from crossfade.fleet.journal import Entry, Step
from crossfade.fleet.load.account import Findings, Tally, findings
from crossfade.fleet.load.journals import BUCKETS, Journals, bucket_files, bucket_of
from crossfade.fleet.load.profile import Phase
from crossfade.fleet.load.report import missed
from crossfade.fleet.reconcile import reconcile

MS = 1_000_000
PHASES = (Phase("before", 1, 1), Phase("after", 1, 1))


def story(question: str, due_ms: int, *, own_ms: int = 0, lane: str = "polling", note: str = "a") -> list[Entry]:
    """Due, delivered 5 ms later, answered 20 ms and the thinking later."""
    content = f'{{"note":"{note}","ok":true}}'
    end = (due_ms + 20 + own_ms) * MS
    return [
        Entry(agent="a", step=Step.ASKED, question=question, at_ns=(due_ms + 2) * MS, since_ns=due_ms * MS, peer="b"),
        Entry(agent="b", step=Step.RECEIVED, question=question, at_ns=(due_ms + 5) * MS, channel="poll", lane=lane),
        Entry(agent="b", step=Step.ANSWERED, question=question, at_ns=end - MS, status="accepted", content=content,
              own_ns=own_ms * MS),
        Entry(agent="a", step=Step.ENDED, question=question, at_ns=end, status="answered", content=content),
    ]  # fmt: skip


def found_in(entries: list[Entry], *, cut: bool = False) -> Findings:
    found = Findings(PHASES, 0)
    found.add([entries], cut=cut)
    return found


def test_delivery_and_answer_run_from_when_the_question_was_due() -> None:
    found = found_in(story("q_1", 100))
    assert (found.questions, found.answered, found.lost, found.doubled) == (1, 1, 0, 0)
    assert found.whole.delivery.times().max == 5.0
    assert found.whole.answer.times().max == 20.0


def test_the_time_that_the_answerer_meant_to_think_is_left_out() -> None:
    found = found_in(story("q_1", 100, own_ms=700))
    assert found.whole.answer.times().max == 20.0


def test_a_delivery_to_an_agent_that_was_waiting_is_told_from_one_to_an_agent_that_was_busy() -> None:
    entries = [*story("q_1", 100), *story("q_2", 200), *story("q_3", 300)]
    since = {"q_1": 100, "q_2": 201}
    noted = [
        msgspec.structs.replace(entry, since_ns=since[entry.question] * MS)
        if entry.step is Step.RECEIVED and entry.question in since
        else entry
        for entry in entries
    ]
    found = found_in(noted)
    assert (found.waiting.histogram.n, found.busy.histogram.n, found.whole.delivery.histogram.n) == (1, 1, 3)


def test_phases_lanes_and_seconds_are_told_apart() -> None:
    found = found_in([*story("q_1", 100), *story("q_2", 1_100, lane="elicitation"), *story("q_3", 1_200)])
    assert [phase.delivery.histogram.n for phase in found.phases] == [1, 2]
    assert {name: lane.delivery.histogram.n for name, lane in found.lanes.items()} == {"polling": 2, "elicitation": 1}
    assert {number: second.asked for number, second in found.seconds.items()} == {0: 1, 1: 2}


@pytest.mark.parametrize("missing", [Step.RECEIVED, Step.ENDED])
def test_a_question_without_arrival_or_end_is_lost_but_unfinished_if_the_run_was_cut(missing: Step) -> None:
    entries = [entry for entry in story("q_1", 100) if entry.step is not missing]
    whole, cut = found_in(entries), found_in(entries, cut=True)
    assert (whole.lost, whole.unfinished) == (1, 0)
    assert (cut.lost, cut.unfinished) == (0, 1)


def test_two_accepted_answers_are_doubled_even_in_a_run_that_was_cut() -> None:
    second = story("q_1", 100, note="b")[2]
    found = found_in([*story("q_1", 100), second], cut=True)
    assert (found.doubled, found.unfinished) == (1, 0)


def test_the_journals_writes_what_the_account_and_the_plain_reconciliation_read(tmp_path: Path) -> None:
    first, second = Journals(tmp_path, 0), Journals(tmp_path, 1)
    ids = [f"q_{number}{letter}" for number, letter in enumerate("0123456789abcdefghjkmnpqrstvwxyz")]
    for question in ids:
        first.asked("a", question, "b", 0)
        second.received("b", question, "a", "poll", "polling")
        second.answered("b", question, "accepted", '{"note":"x","ok":true}', 0.0)
        first.ended("a", question, "answered", b'{"ok":true,"note":"x"}', "call")
    first.close()
    second.close()
    found = findings(tmp_path, PHASES, 0, cut=False)
    assert (found.questions, found.answered, found.lost, found.doubled) == (len(ids), len(ids), 0, 0)
    assert found.channels == {"poll": len(ids)}
    assert len({bucket_of(question) for question in ids}) > BUCKETS // 2
    for bucket in range(BUCKETS):
        assert len(bucket_files(tmp_path, bucket)) == 2


def test_a_line_that_a_load_process_could_not_finish_is_left_out(tmp_path: Path) -> None:
    """It was killed, or the disk was full; what it wrote before counts."""
    journals = Journals(tmp_path, 0)
    for entry in story("q_1", 100):
        journals._write(entry)
    journals.close()
    with bucket_files(tmp_path, bucket_of("q_1"))[0].open("ab") as file:
        file.write(b'{"agent":"a","step":"as')
    assert findings(tmp_path, PHASES, 0, cut=True).answered == 1
    with pytest.raises(msgspec.DecodeError):
        findings(tmp_path, PHASES, 0, cut=False)


def test_a_tally_knows_its_largest_value_and_never_says_more() -> None:
    tally = Tally()
    for value in (1.0, 2.0, 3.0, 100.0):
        tally.add(value)
    times = tally.times()
    assert (times.n, times.max) == (4, 100.0)
    assert times.p999 is not None
    assert times.p999 <= 100.0
    assert Tally().times().p50 is None


def test_targets_are_missed_when_nothing_was_measured() -> None:
    assert len(missed(Tally().times())) == 4
    good = Tally()
    good.add(10.0)
    assert missed(good.times()) == []
    good.add(10_000.0)
    assert any(text.startswith("p99.9 ") for text in missed(good.times()))


def test_the_account_agrees_with_the_reconciliation_that_it_rests_on() -> None:
    entries = [*story("q_1", 1), *story("q_2", 2)[:2], *story("q_3", 3)[:1], *story("q_4", 4)[1:2]]
    account, found = reconcile([entries]), found_in(entries)
    assert (found.questions, found.answered) == (account.questions, account.answered)
    assert (found.lost, found.doubled) == (len(account.lost), len(account.doubled)) == (2, 1)
