"""The load processes as their parent sees them: dead, out of disk, silent; and why a hub of its own did not start."""

import asyncio
import contextlib
import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossfade.fleet import supervisor
from crossfade.fleet.load import crowd
from crossfade.fleet.load.bulk import _said
from crossfade.fleet.load.crowd import LoadChild, LoadChildError
from crossfade.fleet.load.orders import UNWRITABLE, Order
from crossfade.fleet.load.profile import Phase, Profile
from crossfade.fleet.load.target import resolved


def child(returncode: int | None) -> LoadChild:
    found = LoadChild()
    found._process = SimpleNamespace(returncode=returncode)  # type: ignore[assignment]
    return found


@pytest.mark.parametrize(("code", "said"), [(UNWRITABLE, "could not write its journals"), (-9, "exit code -9")])
def test_a_load_process_that_ended_is_told_with_its_reason(code: int, said: str) -> None:
    with pytest.raises(LoadChildError, match=said):
        child(code).check()


def test_a_load_process_that_says_nothing_any_more_is_as_good_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now_ns = child(None), 0
    monkeypatch.setattr(crowd, "monotonic_ns", lambda: now_ns)
    now_ns = crowd.SILENT_NS
    found.check()
    now_ns += 1
    with pytest.raises(LoadChildError, match="said nothing for 60 s"):
        found.check()


def test_one_that_cannot_open_its_journals_ends_and_says_so(tmp_path: Path) -> None:
    profile = Profile(agents=2, phases=(Phase("steady", 1, 1),))
    order = Order(
        process=0, processes=1, profile=profile, run="r", host="127.0.0.1", port=9, authority="h", sources=(), lines=1,
        folder=str(tmp_path / "nowhere"), tokens=("a", "b"), on_elicitation=(),
    )  # fmt: skip

    async def told() -> None:
        found = LoadChild()
        await found.start(order)
        assert found._process is not None
        with contextlib.closing(found._process._transport):  # type: ignore[attr-defined]
            await found._process.wait()
        found.check()

    with pytest.raises(LoadChildError, match="could not write its journals"):
        asyncio.run(told())


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system begins no process any more."""

    async def begin(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", begin)


@pytest.mark.usefixtures("no_process")
def test_a_process_that_cannot_be_started_is_told_and_no_traceback(tmp_path: Path) -> None:
    order = Order(
        process=0, processes=1, profile=Profile(), run="r", host="127.0.0.1", port=9, authority="h", sources=(),
        lines=1, folder=str(tmp_path), tokens=(), on_elicitation=(),
    )  # fmt: skip
    with pytest.raises(LoadChildError, match="could not be started: Resource temporarily unavailable"):
        asyncio.run(LoadChild().start(order))
    with pytest.raises(supervisor.HubFailedError, match="cannot be started: Resource temporarily unavailable"):
        asyncio.run(supervisor.HubProcess(tmp_path, port=9).start())


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("error: no room\ntry: make some\nerror: no room\ntry: make some\n", "no room", "make some"),
        ("Traceback (most recent call last):\n  File x\nMemoryError\n", "MemoryError", ""),
        ("", "it said nothing", ""),
    ],
)
def test_why_a_hub_did_not_start_is_said_in_one_line(said: str, message: str, hint: str) -> None:
    error = supervisor._last_words(said)
    assert (str(error), error.hint) == (f"the hub does not start: {message}", hint)


def test_a_refusal_of_the_hub_is_told_in_its_words_and_not_as_json() -> None:
    body = b'{"error":{"code":"auth.unknown","message":"This token is not known here.","try":"..."}}'
    assert _said(401, body) == "HTTP 401: This token is not known here. (auth.unknown)"
    assert _said(502, b"<html>\xff") == "HTTP 502: <html>\ufffd"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://[::1", "http://a..b", "x"])
def test_what_is_no_address_is_refused_and_no_traceback(url: str) -> None:
    from crossfade.fleet.load.profile import ProfileError

    with pytest.raises(ProfileError):
        asyncio.run(resolved(url))
