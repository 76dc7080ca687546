"""Logs of every release fold under this one to the states they folded to when they were written.

What a state has got since then may stand beside what was recorded; what was recorded must be there as it was.
"""

import asyncio
from typing import Any

import msgspec
import pytest

from crossfade.core import records
from tests.contract.test_event_format import REGISTERED
from tests.contract.test_histories import FOLDER, NAMES, history
from tests.kit.history import changes, states
from tools.record_history import KINDS


def other(recorded: Any, now: Any, path: str = "") -> str:
    """Where what was recorded is not there any more; empty if it all is."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        places = ((other(value, now.get(name), f"{path}/{name}")) for name, value in recorded.items())
        return next(filter(None, places), "")
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        pairs = enumerate(zip(recorded, now, strict=True))
        return next(filter(None, (other(one, two, f"{path}/{place}") for place, (one, two) in pairs)), "")
    return "" if recorded == now else f"{path}: {recorded!r} became {now!r}"


def folded(name: str) -> Any:
    return msgspec.json.decode((FOLDER / f"{name}.streams.json").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_every_stream_of_a_recorded_log_folds_to_its_recorded_state(name: str) -> None:
    recorded, now = folded(name), states(history(name))
    assert recorded.keys() == now.keys()
    assert other(recorded, now) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_first_and_the_last_event_of_each_type_change_what_they_changed(name: str) -> None:
    """A state at the end shows little of what was on the way to it."""
    recorded = msgspec.json.decode((FOLDER / f"{name}.changes.json").read_bytes())
    now = changes(history(name))
    assert other(recorded, now) == ""
    for event_type, places in now["changed"].items():
        known = recorded["fields"][event_type.partition(".")[0]]
        for place, change in places.items():
            before = recorded["changed"][event_type][place]
            assert not (change.keys() - before.keys()) & {*known}, f"{event_type} at {place} changes more than it did"


def test_a_state_that_lost_or_changed_something_is_named() -> None:
    assert other({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}], "d": 4}) == ""
    assert other({"a": [1, {"b": 2}]}, {"a": [1, {"b": 5}]}) == "/a/1/b: 2 became 5"
    assert other({"a": 1}, {}) == "/a: 1 became None"


MISSING = """
No recorded history has {types}. Let a run of tests/kit write it (tests/kit/driven.py has what is seldom written), and
record it once: python -m tools.record_history NAME. What is recorded then stands for logs on disks, for ever.
"""


def test_every_event_type_is_in_a_recorded_history() -> None:
    seen = {line.type for name in NAMES for line in history(name)}
    missing = sorted(set(REGISTERED) - seen)
    assert not missing, MISSING.format(types=", ".join(missing))


def test_every_stream_of_a_kind_that_stays_in_memory_has_a_recorded_state() -> None:
    """A history whose states were cut short would let every change pass."""
    for name in NAMES:
        streams = {line.stream for line in history(name)}
        assert {one for one in streams if not one.startswith("message/")} == folded(name).keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_event_of_each_type_is_written_back_as_it_was(name: str) -> None:
    for line in {line.type: line for line in history(name)}.values():
        assert records.encode(records.decode(line.type, bytes(line.payload))) == bytes(line.payload), line.type


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_recorded_can_still_be_lived(kind: str) -> None:
    lines = asyncio.run(KINDS[kind]())
    assert {line.type for line in lines} >= {line.type for line in history(f"{kind}-1")}
