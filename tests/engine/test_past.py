"""The past of a mailbox: the same as a plain list, in a fraction of its room."""

from bisect import bisect_right

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from crossfade.engine.views.past import BLOCK, Past, SavedPast

STEPS = st.lists(st.one_of(st.integers(1, 300), st.integers(1, 2**40)), max_size=3 * BLOCK)


def summed(steps):
    sequences, at = [], 0
    for step in steps:
        at += step
        sequences.append(at)
    return sequences


def past_of(sequences):
    past = Past()
    for sequence in sequences:
        past.append(sequence)
    return past


@given(STEPS, st.data())
def test_it_gives_what_a_list_gives(steps, data):
    sequences = summed(steps)
    past = past_of(sequences)
    assert len(past) == len(sequences)
    near = st.sampled_from([0, *sequences]).flatmap(lambda at: st.sampled_from([max(0, at - 1), at, at + 1]))
    for _ in range(5):
        after, limit = data.draw(near), data.draw(st.integers(1, 2 * BLOCK))
        begin = bisect_right(sequences, after)
        assert past.beyond(after, limit) == sequences[begin : begin + limit]


@given(STEPS, STEPS)
def test_what_was_saved_goes_on_as_if_it_had_not_been(before, after):
    sequences = summed(before + after)
    again = Past()
    again.fill(
        msgspec.msgpack.decode(msgspec.msgpack.encode(past_of(sequences[: len(before)]).saved()), type=SavedPast)
    )
    for sequence in sequences[len(before) :]:
        again.append(sequence)
    assert again.saved() == past_of(sequences).saved()
    assert again.beyond(0, len(sequences) + 1) == sequences


def test_an_item_of_every_ten_thousandth_record_takes_little_more_than_two_bytes():
    past = past_of(range(0, 100_000_000, 10_000))
    saved = past.saved()
    assert len(saved.distances) + 16 * len(saved.blocks) < 2.3 * len(past)


def test_reading_begins_near_the_place_asked_for():
    past = past_of(range(1, 100_001))
    sequence, start = past._before(90_000)
    assert 90_000 - BLOCK < sequence <= 90_000
    assert start == sequence, "a byte each"
