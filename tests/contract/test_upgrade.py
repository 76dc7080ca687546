"""Logs of every release fold under this one to the states they folded to when they were written.

What a state has got since then may stand beside what was recorded; what was recorded must be there as it was.
"""

from typing import Any

import msgspec
import pytest

from tests.contract.test_histories import FOLDER, NAMES, history
from tests.kit.history import states


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


def test_a_state_that_lost_or_changed_something_is_named() -> None:
    assert other({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}], "d": 4}) == ""
    assert other({"a": [1, {"b": 2}]}, {"a": [1, {"b": 5}]}) == "/a/1/b: 2 became 5"
    assert other({"a": 1}, {}) == "/a: 1 became None"
