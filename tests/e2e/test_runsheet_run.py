"""A runsheet from 0 to 100 % on a live hub that is killed twice; and one that moves a number in a file."""

import asyncio
import json
import re
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded
from crossfade.client import Agent, CrossfadeError, QuestionView
from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.fleet.supervisor import HubProcess
from crossfade.runsheets import Loaded, load
from crossfade.runsheets.export import as_json

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_SECONDS = 240
PEOPLE = {"devops-engineer": "program", "security-architect": "program", "performance-engineer": "person"}


async def until_gone(work: Callable[[], Awaitable[object]]) -> None:
    """Do it again and again, over every death of the hub, until cancelled."""
    while True:
        try:
            await work()
        except (httpx2.HTTPError, CrossfadeError, OSError, ExceptionGroup, RuntimeError):
            await asyncio.sleep(0.05)
        except Exception as fault:  # the official client wraps a lost connection in its own error
            if "onnection" not in repr(fault) and "closed" not in repr(fault):
                raise
            await asyncio.sleep(0.05)


async def by_mcp(url: str, token: str) -> None:
    """The official MCP client: fills in what it is shown while it waits in ``attend``."""

    async def elicit(context: object, params: Any) -> ElicitResult:
        asked = params.requested_schema["properties"]
        return ElicitResult(
            action="accept", content={"outcome": "approved"} if "outcome" in asked else {"choice": "go"}
        )

    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(5, read=30)) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), elicitation_callback=elicit) as client,
    ):
        while True:
            found = await client.call_tool("attend", {"wait_seconds": 2})
            for item in (found.structured_content or {}).get("messages", []):
                if item["kind"] == "question":
                    fields = item["question"]["schema"]["properties"]
                    said = {"outcome": "approved"} if "outcome" in fields else {"choice": "go"}
                    name = item["question"]["question_id"]
                    await client.call_tool("answer", {"question_id": name, "action": "accept", "content": said})
            await client.call_tool(
                "inbox", {"wait_seconds": 0, "after": (found.structured_content or {}).get("cursor", 0)}
            )


async def by_sdk(url: str, token: str) -> None:
    """An agent on the SDK."""
    agent = Agent("security-architect", url=url, token=token)

    @agent.answers
    async def answer(question: QuestionView) -> dict[str, object]:
        return {"outcome": "approved"} if "outcome" in str(question.schema) else {"choice": "go"}

    async with agent:
        await agent.serve()


async def by_page(url: str, token: str, signed: list[str], gate: asyncio.Event) -> None:
    """A person in the inbox page, who signs once and not again before the gate is open."""
    async with httpx2.AsyncClient(base_url=url, headers={"Origin": url}) as http:
        await http.post("/sign-in", data={"token": token})
        while True:
            if signed:
                await gate.wait()
            page = (await http.get("/inbox")).text
            for form in re.findall(r'<form[^>]*action="/inbox/q_.*?</form>', page, re.DOTALL):
                action = re.search(r'action="(/inbox/q_\w+)"', form)
                seal = re.search(r'name="seal" value="(\w+)"', form)
                if action and seal:
                    field = {"f.outcome": "approved"} if "f.outcome" in form else {"f.choice": "go"}
                    signed.append(action[1])
                    await http.post(action[1], data={"seal": seal[1], "action": "accept", **field})
                    break
            await asyncio.sleep(0.1)


KILLS = ("canary/step/soak", "full/entry/signoff")
"""Where the hub dies, as soon as somebody sees that the run has come there."""


def begun(view: dict[str, Any], spot: str) -> bool:
    """Whether it has come there, or further."""
    return any(node["node"].startswith(spot) and node["status"] != "pending" for node in view["nodes"])


async def ramp(folder: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The small ramp on a hub that dies twice: the run at its end, its archive, the certificates."""
    found = load(str(EXAMPLES / "small-ramp.yaml"))
    assert isinstance(found, Loaded)
    hub = HubProcess(folder / "data")
    await hub.start()
    api = Api(Transport(hub.url, token=hub.operator_token, patience_seconds=30))
    tokens = {}
    for name, kind in PEOPLE.items():
        scopes = ["person"] if kind == "person" else ["agent"]
        tokens[name] = (await api.issue_token({"name": name, "kind": kind, "scopes": scopes})).token
    gate = asyncio.Event()
    doors: tuple[Callable[[str, str], Awaitable[None]], ...] = (by_mcp, by_sdk, partial(by_page, signed=[], gate=gate))
    tasks = [
        asyncio.create_task(until_gone(partial(door, hub.url, tokens[name])))
        for door, name in zip(doors, PEOPLE, strict=True)
    ]
    body = {"runsheet": as_json(found.runsheet).decode(), "digest": found.digest, "forced": "a test", "key": "once"}
    run_id = str((await api.create_run(body))["run_id"])
    killed: set[str] = set()
    try:
        while True:
            view = await api.run(run_id)
            assert not view["held"], view
            if view["status"] == "completed":
                break
            # Nobody passes the sign-offs of the last phase before the second kill: one of those asked waits for it.
            for spot in KILLS:
                if spot not in killed and hub.restarts == len(killed) and begun(view, spot):
                    killed.add(spot)
                    hub.kill()
            if hub.restarts == len(KILLS):
                gate.set()
            for task in tasks:
                assert not task.done(), task.exception()
            await asyncio.sleep(0.05)
        archive = json.loads(await api.export_run(run_id))
        rollout = await api.rollout()
        assert (rollout.share, rollout.status) == (1.0, "elicitation")
        assert hub.restarts == 2
        certificates = await api.certificates(100)
        for place, one in enumerate(certificates):
            kept = await api.kept("certificates", str(one["digest"]))
            (folder / f"cert-{place}.json").write_bytes(kept.content)
        return view, archive, certificates
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await api.transport.close()
        await hub.stop()


@pytest.mark.slow
@pytest.mark.requirement("P2", "P3", "P8", "P9", "P10")
def test_a_runsheet_moves_a_live_hub_to_everybody_signed_over_three_doors_and_killed_twice(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    view, archive, certificates = asyncio.run(asyncio.wait_for(ramp(tmp_path), LIMIT_SECONDS))
    assert view["epoch"] >= 3
    assert {node["status"] for node in view["nodes"]} == {"done"}
    shares = [record for record in archive["records"] if record["type"] == "run.done/1"]
    assert len(shares) == view["nodes_total"]
    assert archive["run"]["digest"] == view["digest"]
    signers = {(one["signer"], one["outcome"]) for one in certificates if one["kind"] == "signature"}
    assert signers == {(name, "approved") for name in PEOPLE}
    key = tmp_path / "data/signing.pub"
    for place in range(len(certificates)):
        cert = tmp_path / f"cert-{place}.json"
        assert guarded(["certificate", "verify", str(cert), "--key", str(key), "--json"]) == Exit.OK
    capfd.readouterr()


@pytest.fixture
def share_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "share"
    shutil.copytree(EXAMPLES / "share-in-a-file", folder)
    monkeypatch.chdir(folder)
    return folder


RUN = ["runsheet", "run", "runsheet.yaml", "--once", "--data", "data", "--json", "--force-unready", "an example"]


def once(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    capfd.readouterr()
    code = guarded([*(words or RUN)])
    said = capfd.readouterr()
    return code, json.loads(said.out or said.err)


def test_a_share_in_a_file_goes_to_everything_without_an_agent_of_ours(
    share_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, view = once(capfd, *RUN[:-2])
    assert (code, view["error"]["code"]) == (Exit.REFUSED, "run.not_ready")  # type: ignore[index]
    assert (share_folder / "share.txt").read_text() == "0\n"
    code, view = once(capfd)
    assert (code, view["status"], view["share"]) == (Exit.OK, "completed", 1.0)
    assert (share_folder / "share.txt").read_text() == "1\n"
    assert (share_folder / "announced.txt").exists()


def test_a_share_that_was_not_set_holds_the_run_and_an_edited_file_is_refused(
    share_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    setter = share_folder / "set-share.sh"
    setter.write_text("#!/bin/sh\necho 0.4 > share.txt\n")
    code, view = once(capfd)
    assert (code, view["held"], view["node"]) == (Exit.FAILED, True, "half/step/share-50")
    assert str(view["reason"]).startswith("not verified: ")
    sheet = share_folder / "runsheet.yaml"
    sheet.write_text(sheet.read_text().replace("owner: you", "owner: me"))
    code, said = once(capfd)
    assert (code, said["error"]["code"]) == (Exit.CONFLICT, "run.digest_differs")  # type: ignore[index]
