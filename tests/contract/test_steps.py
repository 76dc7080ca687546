"""Steps and targets outside the hub: real processes and real sockets, in bounds of time and output."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crossfade.core.runsheets import Target
from crossfade.engine.run_ports import Count, StepCall
from crossfade.outbound.steps import OUTPUT_BYTES_MAX, HostSteps
from crossfade.outbound.targets import CountsError, HostTarget, HostTargets, counts_of_csv, counts_of_prometheus
from tests.kit.hub import run

CALL = StepCall(key="r_1/one/step/x", timeout_seconds=20.0, args={"name": "a b; rm -rf x", "n": "7"})
SHORT = StepCall(key="k", timeout_seconds=0.2)


@pytest.mark.parametrize(
    ("line", "ok", "reason", "output"),
    [
        ("true", True, "", ""),
        ("sh -c 'exit 3'", False, "exit 3", ""),
        ("sh -c 'kill -9 $$'", False, "exit -9", ""),
        ("echo {name} {n} {other}", True, "", "a b; rm -rf x 7 {other}\n"),
        ("echo $HOME | cat", True, "", "$HOME | cat\n"),
        ("sh -c 'echo out; echo err >&2; exit 1'", False, "exit 1", "out\nerr\n"),
        ("printenv CROSSFADE_KEY", True, "", "r_1/one/step/x\n"),
        ("printenv CROSSFADE_TOKEN", False, "exit 1", ""),
        ("", False, "bad command line", "it is empty"),
        ("echo 'open", False, "bad command line", "No closing quotation"),
    ],
)
def test_a_command_line_is_run_without_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, ok: bool, reason: str, output: str
) -> None:
    monkeypatch.setenv("CROSSFADE_TOKEN", "cf_secret")
    found = asyncio.run(HostSteps(tmp_path).command(line, CALL))
    assert (found.ok, found.reason, found.output) == (ok, reason, output)


def test_a_program_that_is_not_there_is_a_failure_and_not_a_fault(tmp_path: Path) -> None:
    found = asyncio.run(HostSteps(tmp_path).command("./no-such-program", CALL))
    assert (found.ok, found.reason) == (False, "not started")


def ended(process: int) -> bool:
    """Whether it is gone, soon: it was told to end, and how soon that is done is a matter of the machine."""
    until = time.monotonic() + 20  # less than the minute that it wanted to sleep
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_command_out_of_time_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    line = "sh -c 'sleep 60 & echo $!; wait'"
    output = ""
    for seconds in (0.2, 2.0, 20.0):  # until a shell has said something by the end of its time
        found = asyncio.run(HostSteps(tmp_path).command(line, StepCall(key="k", timeout_seconds=seconds)))
        assert (found.ok, found.reason) == (False, "timeout")
        if output := found.output:
            break
    assert ended(int(output))


def test_a_child_that_outlives_its_command_is_ended_and_does_not_hold_it_up(tmp_path: Path) -> None:
    found = asyncio.run(HostSteps(tmp_path).command("sh -c 'sleep 60 & echo $!'", CALL))
    assert found.ok
    assert ended(int(found.output))


def test_output_is_cut_and_never_blocks(tmp_path: Path) -> None:
    found = asyncio.run(HostSteps(tmp_path).command("sh -c 'yes | head -c 3000000'", CALL))
    assert found.ok
    assert len(found.output) == OUTPUT_BYTES_MAX


@asynccontextmanager
async def server(reply: bytes, *, seen: list[bytes], silent: bool = False) -> AsyncIterator[str]:
    """Answers every request with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if silent:
            await reader.read()  # until the client gives up
        writer.write(reply)
        writer.close()
        await asyncio.wait((asyncio.ensure_future(writer.wait_closed()),))

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    finally:
        running.close()


def answer(status: str, body: bytes = b"well", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status.encode(), more, len(body), body)


@run
async def test_a_url_is_called_once_under_its_key_and_what_it_answers_is_kept(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with server(answer("200 OK", b"x" * 20_000), seen=seen) as url:
        found = await HostSteps(tmp_path).http(url + "/set?to={name}", CALL)
    assert (found.ok, len(found.output), len(seen)) == (True, OUTPUT_BYTES_MAX, 1)
    assert seen[0].startswith(b"POST /set?to=a%20b%3B%20rm%20-rf%20x HTTP/1.1\r\n")
    assert b"idempotency-key: r_1/one/step/x\r\n" in seen[0].lower()


@run
async def test_what_is_not_2xx_in_time_fails_with_a_reason(tmp_path: Path) -> None:
    steps, seen = HostSteps(tmp_path), list[bytes]()
    async with server(answer("503 Busy"), seen=seen) as url:
        assert (await steps.http(url, CALL)).reason == "status 503"
    async with server(answer("302 Found", more=b"location: file:///etc/passwd\r\n"), seen=seen) as url:
        assert (await steps.http(url, CALL, "GET")).reason == "status 302"
    async with server(b"", seen=seen, silent=True) as url:
        assert (await steps.http(url, SHORT)).reason == "timeout"
    assert (await steps.http("http://127.0.0.1:1/", CALL)).reason == "unreachable"
    for bad in ("file:///etc/passwd", "ftp://x/y", "http:///nowhere", "gopher:x"):
        assert (await steps.http(bad, CALL)).reason == "bad url"


@run
async def test_a_target_by_command_gets_share_and_percent_and_is_held_to_its_verify(tmp_path: Path) -> None:
    target = Target(
        kind="command", set_share="sh -c 'echo {share} {percent} > share'", verify="grep -q '^{share} ' share",
        counts="csv:counts.csv",
    )  # fmt: skip
    found = HostTargets(HostSteps(tmp_path), tmp_path).of(target)
    assert found is not None
    assert (await found.set_share(0.07, CALL)).ok
    assert (tmp_path / "share").read_text() == "0.07 7\n"
    assert (await found.verify(0.07, CALL)).ok
    assert not (await found.verify(0.5, CALL)).ok
    assert (await found.roll_back(CALL)).ok
    assert (tmp_path / "share").read_text() == "0 0\n"
    assert (await found.drain(CALL)).ok
    empty = HostTarget(HostSteps(tmp_path), tmp_path, Target(kind="command"))
    assert (await empty.verify(0.5, CALL)).reason == "not_implemented", "what cannot be looked at is not in force"
    assert HostTargets(HostSteps(tmp_path), tmp_path).of(Target(kind="hub")) is None


def test_counts_of_a_file_are_read_or_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("at,cluster,exposure,n,bad\nt0,team-1,new,10,1\n")
    assert counts_of_csv(path) == [Count(at="t0", cluster="team-1", exposure="new", n=10, bad=1)]
    for text, said in (
        ("at,cluster,exposure,n\nt0,a,new,1\n", ":2: needs at, cluster, exposure, n, bad"),
        ("at,cluster,exposure,n,bad\nt0,a,new,1,2\n", ":2: bad is 2 of 1"),
        ("at,cluster,exposure,n,bad\nt0,a,new,1.5,0\n", ":2: needs"),
    ):
        path.write_text(text)
        with pytest.raises(CountsError, match=said):
            counts_of_csv(path)
    with pytest.raises(CountsError):
        counts_of_csv(tmp_path / "none.csv")


@run
async def test_counts_of_a_query_are_added_up_by_cluster_and_exposure() -> None:
    series = (
        '{"status":"success","data":{"resultType":"vector","result":['
        '{"metric":{"cluster":"a","exposure":"new","outcome":"good"},"value":[1,"98"]},'
        '{"metric":{"cluster":"a","exposure":"new","outcome":"bad"},"value":[1,"2"]},'
        '{"metric":{"cluster":"b","exposure":"old","outcome":"good"},"value":[1,"5"]}]}}'
    )
    seen: list[bytes] = []
    async with server(answer("200 OK", series.encode()), seen=seen) as url:
        found = await counts_of_prometheus(url + "/api/v1/query?query=x")
    assert {(one.cluster, one.exposure, one.n, one.bad) for one in found} == {("a", "new", 100, 2), ("b", "old", 5, 0)}
    for body in (b"not json", b'{"data":{"result":[{"metric":{},"value":[1,"NaN"]}]}}'):
        async with server(answer("200 OK", body), seen=seen) as url:
            with pytest.raises(CountsError):
                await counts_of_prometheus(url)


def test_the_environment_that_a_command_finds_holds_nothing_of_ours(tmp_path: Path) -> None:
    found = asyncio.run(HostSteps(tmp_path).command("env", CALL))
    names = {line.partition("=")[0] for line in found.output.splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "CROSSFADE_KEY", "PWD", "SHLVL", "_"}
    assert os.environ["PATH"] in found.output
