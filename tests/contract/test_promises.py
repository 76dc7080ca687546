"""Small promises that a seeded mutant breaks and nothing else would notice."""

import itertools
import os
import time
from pathlib import Path

import pytest

from crossfade.core.values import AgentName, Caller, Instant, Scope
from crossfade.engine.asking import scoped_key
from crossfade.engine.context import needs
from crossfade.logs import startup
from crossfade.outbound import host
from tests.kit.http import Web
from tests.kit.hub import run


def test_no_name_gives_a_right() -> None:
    for name in ("security_expert", "security-expert", "root", "admin", "operator", "hub"):
        assert needs(Caller(name=AgentName(name)), Scope.OPERATOR) is not None


def test_the_parts_of_a_key_cannot_run_into_each_other() -> None:
    def key(name: str, verb: str, given: str) -> bytes | None:
        return scoped_key(Caller(name=AgentName(name)), verb, given)

    assert key("ana", "ask", "k") != key("anaask", "", "k")
    assert key("ana", "ask", "a:b") != key("ana", "ask:a", "b")


def test_an_id_cannot_be_guessed() -> None:
    ids = host.HostIds()
    drawn = [ids.new("q")[12:] for _ in range(2_000)]
    assert all(len(tail) == 16 for tail in drawn)
    for one, other in itertools.combinations(range(16), 2):  # 5 bits each, none of which tells another
        assert len({(tail[one], tail[other]) for tail in drawn}) > 700
    assert len(ids.secret()) >= 43


def test_the_clock_of_a_running_hub_does_not_follow_the_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = host.HostClock()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now() > 1_000_000_000_000_000_000


def test_the_clock_goes_on_from_the_last_record_and_is_never_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    clock = host.HostClock()
    clock.not_before(Instant(10**18))
    assert 10**18 <= clock.now() < 2 * 10**18
    clock.not_before(Instant(1))
    assert clock.now() >= 10**18


def test_the_key_of_a_folder_is_the_same_at_every_start(tmp_path: Path) -> None:
    assert host.seal_key(tmp_path) == host.seal_key(tmp_path)


def test_the_name_of_a_new_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)  # type: ignore[attr-defined]
    startup.make_folder(tmp_path / "hub")
    assert len(synced) == 1


@run
async def test_nobody_is_a_guest_where_guests_are_not_admitted() -> None:
    async with Web() as web:  # its hub would admit them; its door does not
        answer = await web.post("/v1/messages", {"to": ["bo"], "body": "hi"}, crossfade_client="eve")
        assert (answer.status, answer.code) == (401, "auth.missing")
