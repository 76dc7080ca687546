"""The judge of histories: right about small ones by comparison with brute force, and each rule can be broken."""

import msgspec
import pytest

from crossfade.core import histories
from crossfade.core.histories import EXPIRED, OPEN, Ask, End, Piece, Read, Receive, Send, Settle
from tests.campaign.histories import compared

HISTORIES = 5_000
"""More, by seed: ``python -m tests.campaign.histories``."""


def test_the_checker_agrees_with_every_order_tried_on_five_thousand_histories() -> None:
    rejected = 0
    for seed in range(1, HISTORIES + 1):
        verdict, truth = compared(seed)
        assert verdict == truth, f"history {seed}"
        rejected += not truth
    assert HISTORIES * 0.05 < rejected < HISTORIES * 0.95


def upside_down(received: Receive) -> Receive:
    """The same batch with its items in the other order."""
    return msgspec.structs.replace(received, items=received.items[::-1])


ASK = Ask(client="ana", called_at=0, returned_at=10, to="bo", question="q_1", line=1)
GOT = Receive(
    client="bo",
    called_at=0,
    returned_at=12,
    items=(Piece(id="q_1", sender="ana", kind="question", sequence=4),),
    line=2,
)
YES = End(client="bo", called_at=20, returned_at=30, question="q_1", value="answered 1", line=3)
SAW = Read(client="ana", called_at=35, returned_at=40, question="q_1", value="answered 1", line=4)
FIRST = Send(client="ana", called_at=0, returned_at=10, to=("bo",), message="m_1", line=5)
SECOND = Send(client="ana", called_at=11, returned_at=20, to=("bo",), message="m_2", line=6)
END = Settle(client="all", called_at=99, line=9)
NEWS = Receive(
    client="ana",
    called_at=35,
    returned_at=40,
    items=(Piece(id="q_1", sender="bo", kind="answer", sequence=8),),
    line=4,
)
GOOD: list[histories.Line] = [ASK, GOT, YES, SAW, END]


def batch(*ids: str, called_at: int = 50, after: int = 0, first: int = 10) -> Receive:
    items = tuple(Piece(id=one, sender="ana", sequence=first + place) for place, one in enumerate(ids))
    return Receive(client="bo", called_at=called_at, returned_at=called_at + 5, items=items, after=after, line=7)


def test_a_history_without_a_fault_has_none() -> None:
    account = histories.check([*GOOD, FIRST, SECOND, batch("m_1", "m_2")])
    assert account.violations == ()
    assert (account.questions, account.messages, account.settled) == (1, 2, True)


@pytest.mark.parametrize(
    ("rule", "history"),
    [
        ("answered_twice", [ASK, YES, msgspec.structs.replace(YES, client="eve", value="declined", line=8)]),
        ("not_linearizable", [ASK, YES, msgspec.structs.replace(SAW, value=OPEN)]),
        ("not_linearizable", [ASK, YES, msgspec.structs.replace(SAW, value="declined")]),
        ("not_linearizable", [ASK, SAW]),
        ("repeated", [ASK, GOT, YES, msgspec.structs.replace(GOT, called_at=31, returned_at=33)]),
        ("repeated", [FIRST, batch("m_1", after=10)]),
        ("disordered", [FIRST, SECOND, batch("m_2", "m_1")]),
        ("disordered", [FIRST, SECOND, batch("m_1"), batch("m_2", called_at=60)]),
        ("phantom", [FIRST, batch("m_1", "m_7")]),
        ("disordered", [FIRST, SECOND, upside_down(batch("m_1", "m_2"))]),
        ("disordered", [FIRST, SECOND, batch("m_1", first=7), batch("m_2", first=7, called_at=60)]),
        ("lost", [FIRST, END]),
        ("lost", [ASK, YES, SAW, END]),
        ("unfinished", [ASK, GOT, END]),
        ("unfinished", [ASK, GOT, YES, msgspec.structs.replace(SAW, client="bo"), END]),
        ("late", [msgspec.structs.replace(ASK, deadline_at=19), YES]),
        ("confused", [ASK, msgspec.structs.replace(ASK, client="eve", line=8)]),
        ("confused", [FIRST, msgspec.structs.replace(FIRST, to=("cy",), line=8)]),
        (
            "phantom",
            [msgspec.structs.replace(ASK, called_at=8), msgspec.structs.replace(SAW, called_at=5, returned_at=7)],
        ),
        ("phantom", [msgspec.structs.replace(FIRST, called_at=90, returned_at=91), batch("m_1")]),
        ("phantom", [msgspec.structs.replace(FIRST, client="eve"), batch("m_1")]),
        ("misdelivered", [msgspec.structs.replace(FIRST, to=("cy",)), batch("m_1")]),
        ("misdelivered", [msgspec.structs.replace(ASK, to="cy"), GOT]),
        ("repeated", [FIRST, batch("m_1", first=7), batch("m_1", first=8, called_at=60)]),
        ("repeated", [FIRST, upside_down(batch("m_1", "m_1", first=0))]),
        ("not_linearizable", [ASK, msgspec.structs.replace(NEWS, called_at=1, returned_at=19), YES]),
        ("not_linearizable", [ASK, NEWS, YES, msgspec.structs.replace(SAW, called_at=41, returned_at=42, value=OPEN)]),
        (
            "not_linearizable",
            [msgspec.structs.replace(ASK, deadline_at=19), msgspec.structs.replace(YES, returned_at=None), SAW],
        ),
        ("misdelivered", [ASK, YES, msgspec.structs.replace(NEWS, client="eve")]),
        ("phantom", [YES, batch("m_7", called_at=90), msgspec.structs.replace(GOT, client="ana", items=())]),
    ],
)
def test_each_rule_is_seen_broken(rule: str, history: list[histories.Line]) -> None:
    found = [violation.rule for violation in histories.check(history).violations]
    assert rule in found, found


@pytest.mark.parametrize(
    "history",
    [
        [msgspec.structs.replace(ASK, deadline_at=20), YES],
        [msgspec.structs.replace(ASK, deadline_at=5), msgspec.structs.replace(YES, accepted=False)],
        [msgspec.structs.replace(ASK, deadline_at=5), msgspec.structs.replace(YES, returned_at=None)],
        [FIRST, msgspec.structs.replace(FIRST, line=8)],
        [FIRST, batch("m_1"), batch("m_1", called_at=60)],
        [ASK, GOT, msgspec.structs.replace(GOT, items=(msgspec.structs.replace(GOT.items[0], sequence=9),))],
        [Send(client="ana", called_at=0, to=("bo",)), Send(client="eve", called_at=0, to=("cy",))],
        [ASK, GOT, YES, NEWS, END],
        [msgspec.structs.replace(ASK, deadline_at=30), NEWS],
        [
            msgspec.structs.replace(YES, called_at=-50, returned_at=-40),
            msgspec.structs.replace(SAW, called_at=-45, returned_at=-30),
        ],
        [
            END,
            msgspec.structs.replace(FIRST, called_at=98, returned_at=100),
            msgspec.structs.replace(ASK, called_at=98, returned_at=100),
        ],
        [
            ASK,
            Receive(client="bo", called_at=50, returned_at=51, items=(Piece(id="m_8", sender="ana", kind="notice"),)),
        ],
    ],
    ids=[
        "at its deadline",
        "refused",
        "nobody knows",
        "tried again",
        "again",
        "queued again",
        "no replies",
        "item",
        "expired",
        "before zero",
        "after it settled",
        "notice",
    ],
)
def test_what_only_looks_wrong_is_not(history: list[histories.Line]) -> None:
    assert histories.check(history).violations == ()


def test_a_call_without_a_reply_explains_what_arrived() -> None:
    silent = Send(client="ana", called_at=0, to=("bo",))
    assert histories.check([silent, batch("m_9")]).violations == ()


def test_what_was_not_waited_for_is_not_called_lost() -> None:
    account = histories.check([FIRST])
    assert account.violations == ()
    assert not account.settled


@pytest.mark.parametrize("ended", [EXPIRED, "withdrawn", "declined"])
def test_a_question_that_ended_without_an_answer_need_not_have_arrived(ended: str) -> None:
    ask = msgspec.structs.replace(ASK, deadline_at=25)
    end = [] if ended == EXPIRED else [msgspec.structs.replace(YES, client="ana", value=ended)]
    saw = msgspec.structs.replace(SAW, value=ended)
    assert histories.check([ask, *end, saw, END]).violations == ()


def test_a_question_whose_asker_had_no_reply_owes_nothing() -> None:
    silent = msgspec.structs.replace(ASK, returned_at=None)
    assert histories.check([silent, END]).violations == ()
    assert [one.rule for one in histories.check([ASK, END]).violations] == ["unfinished", "lost"]
