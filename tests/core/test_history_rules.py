"""What the judge of histories says of each broken promise, and what just about keeps it."""

import msgspec
import pytest

from crossfade.core import histories
from crossfade.core.histories import Ask, End, Line, Piece, Read, Receive, Send, Settle, Violation

ASKED = Ask(client="ana", called_at=0, returned_at=10, to="bo", question="q", line=1)
SETTLED = Settle(client="all", called_at=99, line=9)


def sent(name: str, called_at: int, returned_at: int | None, line: int = 0, client: str = "ana") -> Send:
    return Send(client=client, called_at=called_at, returned_at=returned_at, to=("bo",), message=name, line=line)


def piece(name: str, sequence: int = 0, kind: str = "message", sender: str = "ana") -> Piece:
    return Piece(id=name, sender=sender, kind=kind, sequence=sequence)


def got(*items: Piece, called_at: int = 50, after: int = 0, line: int = 5, client: str = "bo") -> Receive:
    return Receive(client=client, called_at=called_at, returned_at=called_at + 5, items=items, after=after, line=line)


def found(*history: Line) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """Rule, subject, sentence and lines of every violation."""
    return [(one.rule, one.subject, one.message, one.lines) for one in histories.check(history).violations]


YES = End(client="bo", called_at=20, returned_at=30, question="q", value="answered 1", line=3)
SAW = Read(client="ana", called_at=35, returned_at=40, question="q", value="answered 1", line=4)
ONE, TWO = sent("m_1", 0, 10, line=1), sent("m_2", 11, 20, line=2)


@pytest.mark.parametrize(
    ("history", "violations"),
    [
        ([got(piece("m_1", 7), after=7), ONE], [("repeated", "m_1", "bo had acknowledged 7, and got 7 again", (5,))]),
        ([ASKED, YES, SAW, got(piece("q", 4, "question"), called_at=31)],
         [("repeated", "q", "bo was asked again after bo had ended it", (3, 5))]),
        ([ONE, TWO, got(piece("m_1", 8), piece("m_2", 7))],
         [("disordered", "m_1", "a batch has the order [8, 7]", (5,))]),
        ([ONE, TWO, got(piece("m_1", 7), piece("m_2", 7))],
         [("disordered", "m_1", "a batch has the order [7, 7]", (5,)),
          ("disordered", "m_2", "sequence 7 held m_1 before", (5, 5))]),
        ([ONE, TWO, got(piece("m_1", 7)), got(piece("m_2", 7), called_at=60, line=6)],
         [("disordered", "m_2", "sequence 7 held m_1 before", (5, 6))]),
        ([ONE, TWO, got(piece("m_2")), got(piece("m_1"), called_at=60, line=6)],
         [("disordered", "m_1", "bo got it after m_2, which was sent later", (1, 2, 5, 6))]),
        ([ONE, got(piece("m_1"), piece("m_7"))],
         [("phantom", "m_7", "ana did not put it, or put it once and it is there twice", (5,))]),
        ([ONE, SETTLED], [("lost", "m_1", "it never reached bo", (1,))]),
        ([ASKED, SETTLED],
         [("unfinished", "q", "ana never saw its end", (1,)), ("lost", "q", "it never reached bo", (1,))]),
        ([ASKED, YES, SAW, SETTLED], [("lost", "q", "it never reached bo", (1,))]),
        ([ASKED, YES, msgspec.structs.replace(YES, client="eve", value="declined", line=8)],
         [("answered_twice", "q", "it was ended as answered 1 and declined", (3, 8))]),
        ([ASKED, YES, msgspec.structs.replace(SAW, value="declined")],
         [("not_linearizable", "q", "no one instant of its end explains what everybody saw", (3, 4))]),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named_with_its_lines(history: list[Line], violations: list[tuple[object, ...]]) -> None:
    assert found(*history) == violations


def test_what_one_mailbox_shows_broken_does_not_hide_what_another_does_nor_what_is_lost() -> None:
    twice = got(piece("m_1", 7), after=7)
    other = msgspec.structs.replace(twice, client="cy", line=6)
    both = msgspec.structs.replace(ONE, to=("bo", "cy"))
    account = histories.check([both, TWO, twice, other, SETTLED])
    assert [(one.rule, one.lines) for one in account.violations] == [
        ("repeated", (5,)),
        ("repeated", (6,)),
        ("lost", (2,)),
    ]
    assert (account.operations, account.questions, account.messages) == (5, 0, 2)


@pytest.mark.parametrize(
    "history",
    [
        # Touching calls are concurrent: nobody can say which was first.
        [ASKED, YES, SAW, got(piece("q", 4, "question"), called_at=30)],
        [ONE, sent("m_2", 10, 20), got(piece("m_2"), piece("m_1"))],
        [sent("m_1", 0, None), TWO, got(piece("m_2"), piece("m_1"))],
        # The same thing again on a channel that has no sequences is not disorder.
        [ONE, TWO, got(piece("m_1"), piece("m_2")), got(piece("m_1"), called_at=60)],
        # Senders are ordered one by one.
        [ONE, sent("m_2", 11, 20, client="cy"), got(piece("m_2", sender="cy"), piece("m_1"))],
        # An answer has the id of its question; nobody put it as a message.
        [ONE, got(piece("m_1"), piece("q_9", 0, "answer"))],
        # The end of a question that comes back to its asker has its id too, after the end.
        [ASKED, YES, SAW, got(piece("q", 8, "answer", sender="bo"), client="ana", called_at=60)],
        # Each call without a reply explains one thing.
        [Send(client="ana", called_at=0, to=("bo",)), Ask(client="ana", called_at=0, to="bo"),
         got(piece("m_8"), piece("q_8", kind="question"))],
        # Whoever is not in the history may have put anything.
        [got(piece("m_1", sender="eve"))],
    ],
)  # fmt: skip
def test_what_can_be_explained_is_not_called_a_violation(history: list[Line]) -> None:
    assert found(*history) == []


def test_more_than_the_calls_without_a_reply_explain_is_a_phantom_and_each_is_named_once() -> None:
    silent = Send(client="ana", called_at=0, to=("bo",))
    items = (piece("m_7"), piece("m_8"), piece("m_7"), piece("m_9"))
    twice = ("repeated", "m_7", "bo got it twice in one batch", (5,))

    def phantoms(*history: Line) -> list[str]:
        return [one[1] for one in found(*history) if one != twice]

    assert twice in found(silent, got(*items))
    assert phantoms(silent, got(*items)) == ["m_8", "m_9"]
    assert phantoms(silent, silent, got(*items)) == ["m_9"]
    assert phantoms(silent, ONE, got(*items)) == ["m_8", "m_9"], "a reply explains its own only"


def test_order_is_that_of_the_newest_sent_before_not_of_the_last_received() -> None:
    three = sent("m_3", 21, 30, line=3)
    history = [ONE, TWO, three, got(piece("m_3"), piece("m_2"), piece("m_1"))]
    assert [(one[1], one[2]) for one in found(*history)] == [
        ("m_2", "bo got it after m_3, which was sent later"),
        ("m_1", "bo got it after m_3, which was sent later"),
    ]
    overlapping = sent("m_4", 0, 40, line=4)
    assert found(ONE, TWO, overlapping, got(piece("m_2"), piece("m_4"))) == []
    same = sent("m_5", 11, 25, line=4)
    assert [one[3] for one in found(ONE, TWO, same, got(piece("m_2"), piece("m_5"), piece("m_1")))] == [(1, 2, 5, 5)]


def test_losses_are_looked_for_in_every_question_after_one_without_a_reply() -> None:
    silent = msgspec.structs.replace(ASKED, question="q_0", returned_at=None)
    assert [one[1] for one in found(silent, ASKED, SETTLED)] == ["q", "q"]


def test_a_message_of_unknown_outcome_may_be_lost_and_one_to_two_must_reach_both() -> None:
    assert found(sent("m_1", 0, None), SETTLED) == []
    both = msgspec.structs.replace(ONE, to=("bo", "cy"))
    assert found(both, got(piece("m_1")), SETTLED) == [("lost", "m_1", "it never reached cy", (1,))]


def test_an_unknown_sender_of_a_batch_without_a_reply_is_not_believed() -> None:
    unseen = msgspec.structs.replace(got(piece("m_7")), returned_at=None)
    assert found(ONE, unseen) == []
    assert isinstance(histories.check([]).violations, tuple)
    assert Violation.__struct_fields__ == ("rule", "subject", "message", "lines")


def test_nothing_ends_before_it_is_asked_and_nothing_expires_before_its_deadline() -> None:
    late = msgspec.structs.replace(ASKED, called_at=31, returned_at=34)
    assert [one[0] for one in found(late, YES, SAW)] == ["not_linearizable"]
    touching = msgspec.structs.replace(ASKED, called_at=30, returned_at=34)
    assert found(touching, YES, SAW) == []
    expired = msgspec.structs.replace(SAW, value=histories.EXPIRED)
    assert found(ASKED, expired) == [], "without a deadline it may expire at once"
    assert found(msgspec.structs.replace(ASKED, deadline_at=40), expired) == []
    assert [one[0] for one in found(msgspec.structs.replace(ASKED, deadline_at=41), expired)] == ["not_linearizable"]
    unasked = found(msgspec.structs.replace(ASKED, called_at=41, returned_at=50), expired)
    assert [one[0] for one in unasked] == ["not_linearizable", "phantom"], "it was read before it was asked"


def test_a_question_whose_asking_was_not_seen_is_judged_by_what_was() -> None:
    expired = Read(client="ana", called_at=0, returned_at=0, question="q", value=histories.EXPIRED, line=4)
    assert found(expired) == []
    assert found(msgspec.structs.replace(SAW, value="open")) == []
    assert found(YES, SAW) == []
    assert [one[0] for one in found(SAW)] == ["not_linearizable"]


def test_only_questions_that_were_put_are_missed() -> None:
    silent = Ask(client="ana", called_at=0, to="bo")
    assert found(silent, ASKED, SETTLED) == found(ASKED, SETTLED)
