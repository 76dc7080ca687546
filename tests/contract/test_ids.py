"""Ids begin with their time, written as ``base32`` writes it."""

import pytest

from crossfade.outbound import host


@pytest.mark.parametrize("milliseconds", [0, 1, 31, 32, 1_023, 1_024, 2**20 - 1, 2**30, 1_795_423_000_123, 2**48 - 1])
def test_an_id_begins_with_its_millisecond(monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> None:
    monkeypatch.setattr("crossfade.outbound.host.time.time_ns", lambda: milliseconds * 1_000_000 + 999_999)
    ids = host.HostIds()
    first, second = ids.new("q"), ids.new("q")
    assert first[:12] == second[:12] == "q_" + host.base32(milliseconds)[16:]
    assert len(first) == 28
    assert first != second


def test_ids_of_one_millisecond_differ_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossfade.outbound.host.time.time_ns", lambda: 1_795_423_000_123_000_000)
    ids = host.HostIds()
    made = [ids.new("q") for _ in range(2_000)]  # more than are made of what is fetched at a time
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {28}
