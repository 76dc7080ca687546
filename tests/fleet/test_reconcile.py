"""The account drawn up from journals: each kind of loss and doubling is planted and must be found."""

import itertools
from pathlib import Path

import pytest

from crossfade.fleet.journal import Entry, Journal, read_journal
from crossfade.fleet.reconcile import quantiles, reconcile

MS = 1_000_000
CONTENT = '{"ok":true}'


class Fleet:
    """Two agents whose journals run on one counting clock."""

    def __init__(self) -> None:
        ticks = itertools.count(10 * MS, 10 * MS)
        self.asker = Journal("planner", lambda: next(ticks))
        self.addressee = Journal("reviewer", lambda: next(ticks))

    def converse(self, question: str, lane: str = "polling", channel: str = "poll") -> None:
        self.asker.asked(question, "reviewer", since_ns=0)
        self.addressee.received(question, "planner", channel, lane)
        self.addressee.answered(question, "accepted", CONTENT)
        self.asker.ended(question, "answered", CONTENT, "poll")

    def journals(self) -> list[list[Entry]]:
        return [self.asker.entries, self.addressee.entries]


def test_a_whole_conversation_is_neither_lost_nor_doubled() -> None:
    fleet = Fleet()
    fleet.converse("q_1")
    account = reconcile(fleet.journals())
    assert (account.questions, account.answered, account.lost, account.doubled) == (1, 1, (), ())


def test_a_question_that_never_arrives_is_lost() -> None:
    fleet = Fleet()
    fleet.asker.asked("q_1", "reviewer", since_ns=0)
    assert [fault.what for fault in reconcile(fleet.journals()).lost] == ["never received by its addressee"]


def test_an_answer_that_never_arrives_is_lost() -> None:
    fleet = Fleet()
    fleet.asker.asked("q_1", "reviewer", since_ns=0)
    fleet.addressee.received("q_1", "planner", "poll", "polling")
    fleet.addressee.answered("q_1", "accepted", CONTENT)
    assert [fault.what for fault in reconcile(fleet.journals()).lost] == ["no end at its asker"]


def test_a_question_that_ran_out_of_time_is_lost() -> None:
    fleet = Fleet()
    fleet.asker.asked("q_1", "reviewer", since_ns=0)
    fleet.addressee.received("q_1", "planner", "poll", "polling")
    fleet.asker.ended("q_1", "expired", "", "poll")
    assert [fault.what for fault in reconcile(fleet.journals()).lost] == ["ran out of time"]


def test_an_acknowledged_answer_that_another_one_displaced_is_lost() -> None:
    fleet = Fleet()
    fleet.asker.asked("q_1", "reviewer", since_ns=0)
    fleet.addressee.received("q_1", "planner", "poll", "polling")
    fleet.addressee.answered("q_1", "accepted", CONTENT)
    fleet.asker.ended("q_1", "answered", '{"ok":false}', "poll")
    assert [fault.what for fault in reconcile(fleet.journals()).lost] == [
        "its asker got another answer than the accepted one"
    ]


def test_two_different_ends_at_the_asker_are_a_double() -> None:
    fleet = Fleet()
    fleet.converse("q_1")
    fleet.asker.ended("q_1", "answered", '{"ok":false}', "poll")
    assert [fault.what for fault in reconcile(fleet.journals()).doubled] == ["two different ends at its asker"]


def test_the_same_end_shown_again_is_a_repeat_and_not_a_double() -> None:
    fleet = Fleet()
    fleet.converse("q_1")
    fleet.asker.ended("q_1", "answered", CONTENT, "poll")
    account = reconcile(fleet.journals())
    assert (account.doubled, account.repeats) == ((), 1)


def test_a_question_that_comes_back_after_its_answer_was_accepted_is_a_double() -> None:
    fleet = Fleet()
    fleet.converse("q_1")
    fleet.addressee.received("q_1", "planner", "native", "elicitation")
    assert [fault.what for fault in reconcile(fleet.journals()).doubled] == [
        "received again after its answer was accepted"
    ]


def test_a_question_offered_again_before_any_answer_was_accepted_is_fine() -> None:
    fleet = Fleet()
    fleet.asker.asked("q_1", "reviewer", since_ns=0)
    fleet.addressee.received("q_1", "planner", "native", "elicitation")
    fleet.addressee.received("q_1", "planner", "poll", "polling")
    fleet.addressee.answered("q_1", "accepted", CONTENT)
    fleet.asker.ended("q_1", "answered", CONTENT, "poll")
    account = reconcile(fleet.journals())
    assert (account.lost, account.doubled) == ((), ())


def test_two_different_accepted_answers_are_a_double() -> None:
    fleet = Fleet()
    fleet.converse("q_1")
    fleet.addressee.answered("q_1", "accepted", '{"ok":false}')
    assert [fault.what for fault in reconcile(fleet.journals()).doubled] == ["two different answers accepted"]


def test_a_refused_second_answer_is_no_double() -> None:
    fleet = Fleet()
    fleet.converse("q_1")
    fleet.addressee.answered("q_1", "question.closed", '{"ok":false}')
    assert reconcile(fleet.journals()).doubled == ()


def test_a_question_that_nobody_knows_to_have_asked_is_a_double() -> None:
    fleet = Fleet()
    fleet.addressee.received("q_ghost", "planner", "poll", "polling")
    account = reconcile(fleet.journals())
    assert [fault.what for fault in account.doubled] == ["received but in no asker's journal"]
    assert account.questions == 0


def test_times_are_told_apart_by_the_lane_of_the_first_arrival() -> None:
    fleet = Fleet()
    for number in range(20):
        fleet.converse(f"q_{number}", lane="elicitation", channel="native")
    lanes = reconcile(fleet.journals()).lanes
    assert (lanes["polling"].delivery_ms.n, lanes["elicitation"].delivery_ms.n) == (0, 20)
    assert lanes["elicitation"].delivery_ms.p50 == pytest.approx(20 + 9 * 40)
    assert lanes["elicitation"].answer_ms.p50 == pytest.approx(40 + 9 * 40)


@pytest.mark.parametrize(("name", "enough"), [("p50", 20), ("p95", 200), ("p99", 1000), ("p999", 10_000)])
def test_a_quantile_needs_ten_samples_beyond_it(name: str, enough: int) -> None:
    assert getattr(quantiles(range(enough - 1)), name) is None
    assert getattr(quantiles(range(enough)), name) is not None


def test_a_quantile_is_the_nearest_rank() -> None:
    times = quantiles([number * MS for number in range(1, 1001)])
    assert (times.p50, times.p95, times.p99) == (500, 950, 990)


def test_a_journal_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal("planner", lambda: 7, tmp_path / "planner.jsonl")
    journal.asked("q_1", "reviewer", since_ns=3)
    journal.ended("q_1", "answered", CONTENT, "poll")
    journal.close()
    assert list(read_journal(tmp_path / "planner.jsonl")) == journal.entries
