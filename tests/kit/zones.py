"""A process in some time zone: what is in UTC must not notice where the hub stands."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def standing_in(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is in a time zone of the tz database."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()
