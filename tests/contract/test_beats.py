"""One timer looks at all that is held open, each in its turn; it stops when there is nothing, and never doubles."""

import asyncio

import pytest

from crossfade.inbound.beats import ROWS, SHARE, Beats


class Loop:
    """Keeps what is to be called, and calls it when told to."""

    def __init__(self) -> None:
        self.due: list[tuple[float, object, tuple[object, ...]]] = []

    def call_later(self, seconds: float, call: object, *args: object) -> None:
        """As a loop."""
        self.due.append((seconds, call, args))

    def turn(self) -> None:
        """One beat: all that was to be called."""
        due, self.due = self.due, []
        for _, call, args in due:
            call(*args)  # type: ignore[operator]


class One:
    """Counts looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.row = 0

    def tick(self) -> None:
        """As ``Ticking``."""
        self.looks += 1


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    one = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: one)
    return one


def test_each_is_looked_at_once_in_a_round_and_no_beat_has_many(loop: Loop) -> None:
    beats, them = Beats(16.0), [One() for _ in range(10 * ROWS)]
    for one in them:
        beats.add(one)
    before = 0
    for number in range(1, ROWS + 1):
        loop.turn()
        now = sum(one.looks for one in them)
        assert now - before == 10, number
        before = now
    assert [one.looks for one in them] == [1] * len(them)
    assert [seconds for seconds, _, _ in loop.due] == [16.0 * SHARE / ROWS]
    assert beats.round_seconds == 16.0 * SHARE


def test_nothing_is_looked_at_after_it_left_and_the_timer_ends_with_the_last(loop: Loop) -> None:
    beats, one, other = Beats(16.0), One(), One()
    rows = beats.add(one), beats.add(other)
    for _ in range(ROWS):
        loop.turn()
    beats.discard(one, rows[0])
    for _ in range(ROWS):
        loop.turn()
    assert (one.looks, other.looks) == (1, 2)
    beats.discard(other, rows[1])
    loop.turn()
    assert loop.due == []
    again = One()
    beats.add(again)
    for _ in range(ROWS):
        loop.turn()
    assert again.looks == 1, "it begins anew"


def test_whatever_comes_and_goes_there_is_one_timer(loop: Loop) -> None:
    beats = Beats(16.0)
    for _ in range(5):
        one = One()
        beats.discard(one, beats.add(one))
        beats.add(One())
        assert len(loop.due) == 1
        loop.turn()
        assert len(loop.due) == 1


def test_one_may_leave_while_it_is_looked_at(loop: Loop) -> None:
    beats = Beats(16.0)

    class Leaving(One):
        def tick(self) -> None:
            super().tick()
            beats.discard(self, self.row)

    them = [Leaving() for _ in range(2 * ROWS)]
    for one in them:
        one.row = beats.add(one)
    for _ in range(2 * ROWS):
        loop.turn()
    assert [one.looks for one in them] == [1] * len(them)
    assert loop.due == []
