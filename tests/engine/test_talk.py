"""Who talks to whom is kept in a fixed room: main partners stay, and how much everybody says is exact."""

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.engine.views.talk import PARTNERS_MAX, SavedTalk, Talk

NAMES = st.sampled_from([f"agent-{number}" for number in range(60)])
WORDS = st.lists(st.tuples(NAMES, NAMES), max_size=400)


def talked(words):
    talk = Talk()
    for sender, recipient in words:
        talk.add(sender, recipient)
    return talk


@given(WORDS)
def test_totals_are_exact_and_no_pair_is_counted_too_often(words):
    talk = talked(words)
    said = Counter(sender for sender, _ in words)
    heard = Counter(recipient for _, recipient in words)
    for name in said.keys() | heard.keys():
        assert talk.total(name) == said[name] + heard[name]
    assert talk.total("nobody") == 0
    true = Counter(words)
    assert all(0 < count <= true[pair] for pair, count in talk)


@given(WORDS)
def test_few_partners_are_counted_exactly(words):
    few = [(sender, f"agent-{int(recipient[6:]) % PARTNERS_MAX}") for sender, recipient in words]
    assert dict(talked(few)) == Counter(few)


@given(WORDS, WORDS)
def test_what_was_saved_goes_on_as_if_it_had_not_been(before, after):
    whole, again = talked(before + after), Talk()
    again.fill(msgspec.msgpack.decode(msgspec.msgpack.encode(talked(before).saved()), type=SavedTalk))
    for word in after:
        again.add(*word)
    assert again.saved() == whole.saved()
    assert list(again) == list(whole)


@pytest.mark.parametrize("seed", range(5))
def test_partners_that_are_talked_to_often_stay_among_many_that_are_not(seed):
    """Twenty partners get 60 % of the words, thousands the rest: nearly Misra and Gries' promise."""
    dice, talk = random.Random(seed), Talk()
    for number in range(20_000):
        friend = dice.random() < 0.6
        talk.add("ana", f"friend-{dice.randrange(20)}" if friend else f"stranger-{number}")
    kept = {recipient: count for (_, recipient), count in talk}
    assert len(talk) == PARTNERS_MAX
    assert {f"friend-{number}" for number in range(20)} <= kept.keys()
    strangers = max(count for name, count in kept.items() if name.startswith("stranger"))
    assert strangers < min(count for name, count in kept.items() if name.startswith("friend"))
    assert talk.total("ana") == 20_000


def test_there_are_no_more_pairs_than_there_is_room_for():
    talk = Talk()
    for number in range(10_000):
        talk.add("ana", f"agent-{number}")
    assert len(talk) == PARTNERS_MAX
    assert {recipient for (_, recipient), _ in talk} == {f"agent-{number}" for number in range(9_968, 10_000)}


def test_partners_of_the_past_make_room_for_those_of_today():
    talk = Talk()
    for number in range(50 * PARTNERS_MAX):
        talk.add("ana", f"then-{number % PARTNERS_MAX}")
    for number in range(100 * PARTNERS_MAX):
        talk.add("ana", f"now-{number % 8}")
    kept = {recipient for (_, recipient), _ in talk}
    assert {f"now-{number}" for number in range(8)} <= kept
