"""A message is a single fact; a mailbox's cursor only ever goes forward."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core import messages
from crossfade.core.decider import Refusal
from crossfade.core.messages import MAILBOX, Acknowledge, Acknowledged, Cursor, Send, Sent, State
from crossfade.core.values import AgentName, Instant, Sequence
from tests.kit.machines import Machine
from tests.kit.tables import ids, rows

NOW = Instant(1)
SEND = Send(
    sender=AgentName("ana"),
    to=(AgentName("bo"), AgentName("cy")),
    body="hi",
    conversation="q_0",
    hops=2,
    reply_to="m_1",
    metadata=msgspec.Raw(b'{"build":7}'),
)
MESSAGE = Machine(
    messages.DECIDER,
    {"send": SEND, "send to nobody": msgspec.structs.replace(SEND, to=())},
    {"nothing": ([], NOW), "sent": (["send"], NOW)},
    lambda state: f"{state.status} {state.sender} to {'+'.join(state.to)}",
    NOW,
)
CURSOR = Machine(
    MAILBOX,
    {f"acknowledge {through}": Acknowledge(through=Sequence(through)) for through in (0, 4, 5, 6)},
    {"fresh": ([], NOW), "at 5": (["acknowledge 5"], NOW), "at 6": (["acknowledge 5", "acknowledge 6"], NOW)},
    lambda state: f"at {state.through}",
    NOW,
)
MACHINES = (MESSAGE, CURSOR)
TABLE = rows("messages")


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    [machine] = [machine for machine in MACHINES if row["given"] in machine.given]
    assert machine.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == [*MESSAGE.pairs(), *CURSOR.pairs()]


def test_every_transition_and_every_refusal_is_in_the_table() -> None:
    assert MESSAGE.transitions() == set(messages.NEXT)
    assert MESSAGE.refusals() == {"message.exists", "message.no_recipient"}
    assert CURSOR.refusals() == set()


def test_a_message_is_what_was_sent_field_by_field() -> None:
    state = MESSAGE.after("send")
    sent = {name: getattr(SEND, name) for name in Send.__struct_fields__}
    assert {name: getattr(state, name) for name in sent} == sent


def test_a_message_to_nobody_is_told_what_is_missing() -> None:
    refusal = MESSAGE.events("nothing", "send to nobody")
    assert isinstance(refusal, Refusal)
    assert "`to`" in refusal.hint


def test_history_that_cannot_be_is_a_fault() -> None:
    with pytest.raises(KeyError):
        messages.evolve(MESSAGE.after("send"), Sent(sender=AgentName("ana"), to=(), body="", conversation=""))
    with pytest.raises(KeyError):
        messages.evolve(State(), Acknowledged(through=Sequence(1)))
    with pytest.raises(TypeError, match="not an event of a mailbox"):
        messages.evolve_cursor(Cursor(), Sent(sender=AgentName("ana"), to=(), body="", conversation=""))


def test_time_alone_changes_neither() -> None:
    assert messages.deadline(MESSAGE.after("send")) is None
    assert MAILBOX.deadline(CURSOR.after("acknowledge 5")) is None


@given(st.lists(st.integers(0, 9)))
def test_a_cursor_is_the_highest_that_was_acknowledged(places: list[int]) -> None:
    state, recorded = MAILBOX.initial, 0
    for place in places:
        events = MAILBOX.decide(state, Acknowledge(through=Sequence(place)), NOW)
        assert not isinstance(events, Refusal)
        recorded += len(events)
        for event in events:
            assert messages.evolve_cursor(state, event).through > state.through
            state = messages.evolve_cursor(state, event)
    assert state.through == max(places, default=0)
    assert recorded <= len(set(places))
