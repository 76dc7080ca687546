"""A question: asked once, shown as often as needed, ended once, and never after its deadline."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core import questions, records
from crossfade.core.decider import Refusal
from crossfade.core.questions import (
    DISMISSALS_MAX,
    Answer,
    Ask,
    Decline,
    Dismiss,
    Dismissal,
    Expire,
    Exposure,
    Offer,
    Requeue,
    See,
    State,
    Status,
    Withdraw,
)
from crossfade.core.values import AgentName, Channel, Instant, Lane
from tests.kit.machines import Machine, documented
from tests.kit.tables import ids, rows

ANA, BO, CY = AgentName("ana"), AgentName("bo"), AgentName("cy")
BEGIN, LAST, DUE = Instant(1_000), Instant(1_999), Instant(2_000)
SHAPE = msgspec.Raw(
    b'{"type":"object","properties":{"verdict":{"type":"string","enum":["ship","hold"]}},"required":["verdict"]}'
)
SHIP = msgspec.Raw(b'{"verdict":"ship"}')
ASK = Ask(
    asker=ANA,
    addressee=BO,
    message="Ship it?",
    schema=SHAPE,
    deadline=DUE,
    lane=Lane.ELICITATION,
    epoch=3,
    exposure=Exposure.MIXED,
    conversation="q_0",
    hops=2,
    reply_to="m_1",
    metadata=msgspec.Raw(b'{"build":7}'),
)
COMMANDS: dict[str, questions.Command] = {
    "ask": ASK,
    "offer native": Offer(channel=Channel.NATIVE),
    "offer poll": Offer(channel=Channel.POLL),
    "see": See(channel=Channel.INBOX),
    "answer": Answer(by=BO, content=SHIP, channel=Channel.POLL),
    "answer badly": Answer(by=BO, content=msgspec.Raw(b'{"verdict":"maybe"}'), channel=Channel.POLL),
    "answer, by the asker": Answer(by=ANA, content=SHIP, channel=Channel.POLL),
    "answer, by a third": Answer(by=CY, content=SHIP, channel=Channel.POLL),
    "decline": Decline(by=BO, channel=Channel.INBOX, reason="busy"),
    "decline, by the asker": Decline(by=ANA, channel=Channel.INBOX),
    "dismiss": Dismiss(by=BO, channel=Channel.NATIVE, reason=Dismissal.CANCELLED),
    "dismiss, by the asker": Dismiss(by=ANA, channel=Channel.NATIVE, reason=Dismissal.CANCELLED),
    "requeue": Requeue(reason="kill"),
    "withdraw": Withdraw(by=ANA, reason="settled"),
    "withdraw, by the addressee": Withdraw(by=BO),
    "expire": Expire(),
}
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "nothing": ([], BEGIN),
    "nothing, too late": ([], DUE),
    "open": (["ask"], BEGIN),
    "offered": (["ask", "offer native"], BEGIN),
    "seen": (["ask", "offer native", "see"], BEGIN),
    "dismissed": (["ask", "offer native", "dismiss"], BEGIN),
    "requeued": (["ask", "requeue"], BEGIN),
    "dismissed by all": (["ask"] + ["dismiss"] * DISMISSALS_MAX, BEGIN),
    "at the last moment": (["ask"], LAST),
    "due": (["ask"], DUE),
    "answered": (["ask", "answer"], BEGIN),
    "declined": (["ask", "decline"], BEGIN),
    "withdrawn": (["ask", "withdraw"], BEGIN),
    "expired": (["ask", "expire"], DUE),
}


def describe(state: State) -> str:
    """Status, channels, and what else its readers can see."""
    marks = [
        *(["offered " + "+".join(state.offered)] if state.offered else []),
        *(["seen"] if state.seen else []),
        *([f"dismissed {len(state.dismissals)}"] if state.dismissals else []),
        *(["text"] if state.as_text else []),
        *([f"by {state.ended_by}"] if state.ended_by else []),
        *([f"on {state.ended_channel}"] if state.ended_channel else []),
    ]
    return ", ".join([str(state.status), *marks])


MACHINE = Machine(questions.DECIDER, COMMANDS, GIVEN, describe, BEGIN)
TABLE = rows("questions")


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def test_every_transition_and_every_refusal_is_in_the_table() -> None:
    assert MACHINE.transitions() == set(questions.NEXT)
    own = {code for code in MACHINE.refusals() if code.startswith("question.")}
    assert own == documented(questions.decide)


def test_a_question_is_what_was_asked_field_by_field() -> None:
    state = MACHINE.after("ask")
    asked = {name: getattr(ASK, name) for name in Ask.__struct_fields__}
    assert {name: getattr(state, name) for name in asked} == asked


def test_the_end_says_who_how_and_why() -> None:
    answered, declined, withdrawn = (MACHINE.after("ask", end) for end in ("answer", "decline", "withdraw"))
    assert (answered.content, answered.ended_by, answered.ended_channel) == (SHIP, BO, Channel.POLL)
    assert (declined.reason, declined.ended_by, declined.ended_channel) == ("busy", BO, Channel.INBOX)
    assert (withdrawn.reason, withdrawn.ended_by, withdrawn.ended_channel) == ("settled", ANA, "")
    assert bytes(declined.content) == bytes(withdrawn.content) == b"null"


def test_what_was_recorded_on_the_way_says_where_and_why() -> None:
    events = {
        command: MACHINE.events("open", command)
        for command in ("offer native", "see", "dismiss", "requeue", "withdraw")
    }
    assert events == {
        "offer native": (questions.Offered(channel=Channel.NATIVE),),
        "see": (questions.Seen(channel=Channel.INBOX),),
        "dismiss": (questions.Dismissed(channel=Channel.NATIVE, reason=Dismissal.CANCELLED),),
        "requeue": (questions.Requeued(reason="kill"),),
        "withdraw": (questions.Withdrawn(by=ANA, reason="settled"),),
    }
    assert MACHINE.after("ask", "dismiss", "dismiss").dismissals == (Dismissal.CANCELLED, Dismissal.CANCELLED)


def test_an_end_records_the_offers_that_were_not_recorded_on_the_way() -> None:
    native, poll = (Channel.NATIVE, Instant(1_100)), (Channel.POLL, Instant(1_200))
    state = MACHINE.after("ask", "offer native")
    ends: list[questions.Command] = [
        Answer(by=BO, content=SHIP, channel=Channel.POLL, offers=(native, poll)),
        Decline(by=BO, channel=Channel.POLL, reason="busy", offers=(native, poll)),
    ]
    for command in ends:
        [event] = questions.decide(state, command, BEGIN)  # type: ignore[misc]
        assert event.offers == (poll,), "native was recorded when it was shown"  # type: ignore[union-attr]
        assert questions.evolve(state, event).offered == (Channel.NATIVE, Channel.POLL)


def test_an_end_that_tells_of_no_offer_leaves_them_as_they_were() -> None:
    state = MACHINE.after("ask", "offer native", "answer")
    assert state.offered == (Channel.NATIVE,)


def test_an_offer_says_when_it_was_shown() -> None:
    [event] = questions.decide(MACHINE.after("ask"), Offer(channel=Channel.POLL, shown_at=LAST), BEGIN)  # type: ignore[misc]
    assert event == questions.Offered(channel=Channel.POLL, shown_at=LAST)


def test_a_refusal_after_the_end_says_how_it_ended_and_a_due_one_that_it_expired() -> None:
    for given_state, status, said in (
        ("answered", "answered", "It was answered by bo already."),
        ("expired", "expired", "It was expired already."),
        ("due", "expired", "Its deadline has passed."),
    ):
        refusal = MACHINE.events(given_state, "answer")
        assert isinstance(refusal, Refusal)
        assert (refusal.details, refusal.message) == ({"status": status}, said)


def test_an_answer_that_is_not_json_or_not_the_shape_keeps_the_question_open() -> None:
    for content, code in (
        (b"nonsense", "answer.not_json"),
        (b"[]", "answer.not_object"),
        (b"{}", "answer.missing_field"),
    ):
        command = Answer(by=BO, content=msgspec.Raw(content), channel=Channel.POLL)
        refusal = questions.decide(MACHINE.after("ask"), command, BEGIN)
        assert isinstance(refusal, Refusal)
        assert refusal.code == code


@pytest.mark.parametrize("name", GIVEN)
def test_time_matters_to_an_open_question_only(name: str) -> None:
    state = MACHINE.after(*GIVEN[name][0])
    assert questions.deadline(state) == (DUE if state.status is Status.OPEN else None)


def test_an_event_that_cannot_follow_is_a_fault() -> None:
    decided = [outcome for pair in MACHINE.pairs() if not isinstance(outcome := MACHINE.events(*pair), Refusal)]
    events = {type(event): event for outcome in decided for event in outcome}
    states = [MACHINE.after(*names) for names, _ in GIVEN.values()]
    impossible = [
        (state, event)
        for state, event in itertools.product(states, events.values())
        if (state.status, type(event)) not in questions.NEXT
    ]
    assert len(impossible) > 50
    for state, event in impossible:
        with pytest.raises(KeyError):
            questions.evolve(state, event)


def test_the_id_is_the_rest_of_the_streams_name() -> None:
    assert questions.question_id("question/q_1") == "q_1"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(COMMANDS)), st.sampled_from([BEGIN, LAST, DUE])), max_size=25))
def test_any_history_has_one_end_and_is_the_same_when_read_back(steps: list[tuple[str, Instant]]) -> None:
    state: State = MACHINE.after("ask")
    history: list[records.Event] = []
    for name, now in steps:
        outcome = questions.decide(state, COMMANDS[name], now)
        for event in () if isinstance(outcome, Refusal) else outcome:
            assert state.status is Status.OPEN  # nothing follows an end
            history.append(records.decode(records.type_name(event), records.encode(event)))
            state = questions.evolve(state, event)
    assert len(set(state.offered)) == len(state.offered)
    ends = [event for event in history if questions.NEXT[Status.OPEN, type(event)] is not Status.OPEN]
    assert len(ends) == (state.status is not Status.OPEN)
    again = MACHINE.after("ask")
    for stored in history:
        again = questions.evolve(again, stored)
    assert again == state
