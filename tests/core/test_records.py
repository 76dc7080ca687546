"""The registry of event types: one name for one class, for ever."""

import pytest

from crossfade.core import questions, records
from crossfade.core.records import Event, UnknownEventError
from crossfade.core.values import AgentName, stream_of


class Planted(Event, frozen=True, kw_only=True):
    """An event type that is not registered."""


@pytest.mark.parametrize(("name", "event_type"), [("question.asked/1", Planted), ("planted.done/1", questions.Asked)])
def test_a_name_or_a_class_is_registered_once(name: str, event_type: type[Event]) -> None:
    before = records.registered()
    with pytest.raises(ValueError, match=f"^event type registered twice: {name}$"):
        records.register(name, event_type)
    assert records.registered() == before


def test_an_event_is_read_back_under_the_name_it_was_written_with() -> None:
    event = questions.Withdrawn(by=AgentName("ana"), reason="settled")
    name = records.type_name(event)
    assert (name, records.encode(event)) == ("question.withdrawn/1", b'{"by":"ana","reason":"settled"}')
    assert records.decode(name, records.encode(event)) == event
    assert records.registered()[name] is questions.Withdrawn


def test_a_type_of_a_later_release_is_named_and_not_guessed_at() -> None:
    with pytest.raises(UnknownEventError, match=r"^question\.forgotten/9$"):
        records.decode("question.forgotten/9", b"{}")
    with pytest.raises(KeyError):
        records.type_name(Planted())


def test_what_registered_gives_cannot_change_the_registry() -> None:
    records.registered().clear()
    assert "question.asked/1" in records.registered()


def test_a_stream_is_named_by_kind_and_id() -> None:
    assert stream_of("question", "q_1") == "question/q_1"


def test_a_type_that_is_registered_is_written_and_read_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_TYPES", "_NAMES", "_DECODERS"):
        monkeypatch.setattr(records, table, {})
    records.register("planted.done/1", Planted)
    assert (records.registered(), records.type_name(Planted())) == ({"planted.done/1": Planted}, "planted.done/1")
    assert records.decode("planted.done/1", b"{}") == Planted()
