"""Three specialists sign over three doors (official MCP client, SDK, page); the proof is checked without the hub."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult

from crossfade.bootstrap import ROOT, RunningHub
from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded
from crossfade.client import Agent, QuestionView
from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.core.values import Kind, Scope
from tests.kit.hub import ok, run
from tests.kit.live import live_hub, rollout, token

LIMIT_SECONDS = 180
ROLES = ("security", "devops", "performance")
T = TypeVar("T")
FACTS = b'{"p99_ms":212}'


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], object]) -> T:
    """What is seen once it is good; the scene as a whole has a limit."""
    while not good(found := await look()):  # noqa: ASYNC110 - what is behind a socket has no event here
        await asyncio.sleep(0.01)
    return found


async def by_mcp(hub: RunningHub, name: str) -> str:
    """An official client that waits in ``attend`` and fills in the form it is shown; the message it saw."""
    seen: list[str] = []

    async def elicit(context: object, params: ElicitRequestParams) -> ElicitResult:
        seen.append(params.message)
        return ElicitResult(action="accept", content={"outcome": "approved_with_controls", "controls": "siem.quiet"})

    headers = {"Authorization": f"Bearer {await token(hub, name)}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(10, read=60)) as http,
        Client(streamable_http_client(f"{hub.url}/mcp", http_client=http), elicitation_callback=elicit) as client,
    ):
        while not seen:
            await client.call_tool("attend", {"wait_seconds": 5})
    return seen[0]


async def by_sdk(hub: RunningHub, name: str) -> None:
    """An agent on the SDK."""
    agent = Agent(name, url=hub.url, token=await token(hub, name))
    done = asyncio.Event()

    @agent.answers
    async def sign(question: QuestionView) -> dict[str, object]:
        done.set()
        return {"outcome": "conditional", "conditions": "rollback.rehearsed until 2099-01-31"}

    async with agent:
        serving = asyncio.create_task(agent.serve())
        await done.wait()
        await until(agent.api.open_questions, lambda still: not still)
        agent.stop()
        await serving


async def by_page(hub: RunningHub, name: str) -> None:
    """A person in the inbox page: first contradicting themselves, then as they meant it."""
    issued = ok(await hub.hub.issue_token(ROOT, name, Kind.PERSON, [Scope.PERSON]))
    async with httpx2.AsyncClient(base_url=hub.url, headers={"Origin": hub.url}) as http:
        await http.post("/sign-in", data={"token": issued.token})
        for form, again in (({"f.outcome": "conditional"}, True), ({"f.outcome": "approved"}, False)):
            marks = None
            while marks is None:
                page = (await http.get("/inbox")).text
                shown = "Your answer could not be used" in page
                marks = re.search(r'action="(/inbox/q_\w+)".*?name="seal" value="(\w+)"', page, re.DOTALL)
                if marks is not None and shown is again:
                    marks = None  # the question before, or not yet the one after
            sent = await http.post(marks[1], data={"seal": marks[2], "action": "accept", **form})
            assert sent.status_code == 303, sent.text


async def wanted(api: Api) -> dict[str, object]:
    """One specialist for each role, over evidence that the hub keeps."""
    parts = {
        "runsheet": "a" * 64,
        "evidence": await api.keep(FACTS, "application/json"),
        "flags": await api.keep(b"{}", "application/json"),
    }
    roles = {role: {"members": [name]} for role, name in zip(ROLES, ("sam", "dora", "pia"), strict=True)}
    about = {"subject": "run/r_1/phase/canary/entry", "about": "Begin the canary?"}
    return {**about, "parts": parts, "roles": roles, "deadline_seconds": 600, "valid_seconds": 6_000}


async def scene(folder: Path) -> dict[str, object]:
    """Ask, let all three sign, fetch the proof into the folder; the sign-off at its end."""
    async with (
        live_hub(folder=str(folder / "data")) as hub,
        Api(Transport(hub.url, token=hub.operator_token)) as api,
    ):
        for name in ("sam", "dora"):
            await token(hub, name)
        ok(await hub.hub.issue_token(ROOT, "pia", Kind.PERSON, [Scope.PERSON]))
        await rollout(hub, 1.0)
        doors = asyncio.gather(by_mcp(hub, "sam"), by_sdk(hub, "dora"), by_page(hub, "pia"))
        await until(api.agents, lambda agents: any(one.name == "sam" and one.native for one in agents))
        signoff_id = str((await api.request_signoff(await wanted(api)))["signoff_id"])
        seen, _, _ = await doors
        assert "Begin the canary?" in seen
        found = await until(lambda: api.signoff(signoff_id), lambda one: one["certificate"])
        (folder / "cert.json").write_bytes((await api.kept("certificates", str(found["certificate"]))).content)
        (folder / "facts.json").write_bytes(FACTS)
        (folder / "hub.pub").write_bytes((folder / "data/signing.pub").read_bytes())
        return found


@pytest.mark.requirement("P2")
def test_three_doors_one_consent_and_a_proof_that_needs_no_hub(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found: list[dict[str, object]] = []

    @run
    async def go() -> None:
        found.append(await asyncio.wait_for(scene(tmp_path), LIMIT_SECONDS))

    go()
    [signoff] = found
    assert (signoff["status"], signoff["outcome"]) == ("approved", "conditional")
    signatures = {(one["by"], one["role"], one["outcome"]) for one in signoff["signatures"]}  # type: ignore[attr-defined]
    assert signatures == {
        ("sam", "security", "approved_with_controls"),
        ("dora", "devops", "conditional"),
        ("pia", "performance", "approved"),
    }
    cert, facts, key = tmp_path / "cert.json", tmp_path / "facts.json", tmp_path / "hub.pub"

    def verify(*more: str) -> tuple[int, dict[str, str]]:
        capfd.readouterr()
        code = guarded(["certificate", "verify", str(cert), "--key", str(key), *more, "--json"])
        return code, {row["where"]: row["result"] for row in json.loads(capfd.readouterr().out)["items"]}

    code, rows = verify("--evidence", f"evidence={facts}")
    assert (code, rows["certificate"], rows["subject evidence"]) == (Exit.OK, "ok", "ok")
    facts.write_bytes(FACTS.replace(b"212", b"213"))
    code, rows = verify("--evidence", f"evidence={facts}")
    assert (code, rows["certificate"], rows["subject evidence"]) == (Exit.FAILED, "ok", "differs")
    good = cert.read_bytes()
    for name, where in (("payload", "payload"), ("sig", "signature"), ("keyid", "key")):
        place = good.index(f'"{name}":"'.encode()) + len(name) + 24
        changed = bytearray(good)
        changed[place] = ord("b") if changed[place] == ord("a") else ord("a")
        cert.write_bytes(bytes(changed))
        code, rows = verify()
        assert (code, rows.get(where)) == (Exit.FAILED, "differs"), name


def test_a_file_that_is_no_certificate_and_a_key_that_is_none_are_told_apart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    junk = tmp_path / "junk"
    junk.write_text("{}")
    for words, code, said in (
        (["show", str(junk)], Exit.FAILED, "certificate.unreadable"),
        (["show", str(tmp_path / "none")], Exit.USAGE, "usage.unreadable"),
        (["verify", str(junk), "--key", str(junk)], Exit.USAGE, "certificate.no_key"),
    ):
        assert guarded(["certificate", *words, "--json"]) == code
        assert json.loads(capfd.readouterr().err)["error"]["code"] == said
