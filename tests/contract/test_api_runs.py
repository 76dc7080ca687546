"""Runs over HTTP: who may do what, what comes back, and that a refusal changes nothing."""

from typing import Any

import msgspec
import pytest

from crossfade.core.runsheets import Step
from crossfade.core.values import Scope
from crossfade.runsheets.export import as_json
from crossfade.runsheets.loader import Loaded, parse
from tests.kit.http import Web
from tests.kit.hub import run

SHEET = b"""
runsheet: 1
name: small
calendar: {start: 2020-01-06, first_week: 1, last_week: 2}
phases:
  - id: one
    title: One
    first_week: 1
    last_week: 2
    steps:
      - {id: soak, kind: wait, wait: PT1H}
    exit:
      - {id: p99, check: performance.targets_met}
"""


def body(extra: bytes = b"", **more: object) -> dict[str, Any]:
    found = parse(SHEET + extra)
    assert isinstance(found, Loaded), found
    return {"runsheet": as_json(found.runsheet).decode(), "digest": found.digest, "forced": "a test", **more}


@pytest.mark.requirement("P3")
@run
async def test_a_run_is_created_looked_at_paused_resumed_held_and_aborted() -> None:
    async with Web() as web:
        ana, ops, root = (
            await web.token("ana"),
            await web.token("ops", Scope.OPERATOR),
            await web.token("r", Scope.ADMIN),
        )
        for token, status, code in ((ana, 403, "auth.scope"), (ops, 403, "auth.scope")):
            made = await web.post("/v1/runs", body(), token=token)
            assert (made.status, made.json["error"]["code"]) == (status, code)
        wrong = await web.post("/v1/runs", {**body(), "digest": "0" * 64}, token=root)
        assert (wrong.status, wrong.json["error"]["code"]) == (422, "run.bad_digest")
        unready = await web.post("/v1/runs", {**body(), "forced": ""}, token=ops)
        assert (unready.status, unready.json["error"]["code"]) == (409, "run.not_ready")
        assert (await web.get("/v1/runs", token=ana)).json == {"runs": []}

        made = await web.post("/v1/runs", body(), token=root, idempotency_key="k")
        again = await web.post("/v1/runs", body(), token=root, idempotency_key="k")
        assert (made.status, made.json["run_id"]) == (201, again.json["run_id"])
        second = await web.post("/v1/runs", body(), token=root)
        assert (second.status, second.json["error"]["code"]) == (409, "run.contends")
        path = f"/v1/runs/{made.json['run_id']}"
        await web.clock.advance(1)
        seen = (await web.get(path, token=ana)).json
        assert (seen["status"], seen["node"], seen["waits_for"], seen["forced"]) == (
            "running", "one/step/soak", "wait", "a test",
        )  # fmt: skip

        assert (await web.post(f"{path}/pause", {"reason": "night"}, token=ana)).status == 403
        assert (await web.post(f"{path}/pause", {"reason": ""}, token=ops)).status == 422
        assert (await web.post(f"{path}/pause", {"reason": "night"}, token=ops)).json["status"] == "paused"
        edited = await web.post(f"{path}/resume", {"digest": body(b"owner: me\n")["digest"]}, token=ops)
        assert (edited.status, edited.json["error"]["code"]) == (409, "run.digest_differs")
        assert (await web.post(f"{path}/resume", {"digest": body()["digest"]}, token=ops)).json["status"] == "running"

        await web.clock.advance(3_601)
        seen = (await web.get(path, token=ana)).json
        assert (seen["held"], seen["verdict"], seen["reason"]) == (True, "errored", "not_measured")
        skipped = await web.post(f"{path}/skip", {"node": "one/exit/gate/p99", "reason": "x"}, token=root)
        assert (skipped.status, skipped.json["error"]["code"]) == (409, "run.not_skippable")
        lost = await web.post(f"{path}/release", {"node": "x", "reason": "x"}, token=ops)
        assert (lost.status, lost.json["error"]["code"]) == (404, "run.node_unknown")
        await web.post(f"{path}/abort", {"reason": "enough"}, token=ops)
        await web.clock.advance(1)
        archive = (await web.get(f"{path}/export", token=ops)).json
        assert (archive["run"]["status"], archive["run"]["clean"]) == ("aborted", True)
        kinds = [record["type"] for record in archive["records"]]
        assert (kinds[0], kinds[-1]) == ("run.created/1", "run.aborted/1")
        late = await web.post(f"{path}/pause", {"reason": "late"}, token=ops)
        assert (late.status, late.json["error"]["code"]) == (409, "run.ended")
        assert (await web.get("/v1/runs/r_none", token=ana)).status == 404


@run
async def test_a_runsheet_that_acts_outside_the_hub_needs_an_admin() -> None:
    async with Web() as web:
        ops = await web.token("ops", Scope.OPERATOR)
        found = parse(SHEET)
        assert isinstance(found, Loaded)
        phase = msgspec.structs.replace(found.runsheet.phases[0], steps=(Step(id="x", kind="command", run="true"),))
        text = as_json(msgspec.structs.replace(found.runsheet, phases=(phase,))).decode()
        from hashlib import sha256

        wanted = {"runsheet": text, "digest": sha256(text.encode()).hexdigest()}
        made = await web.post("/v1/runs", wanted, token=ops)
        assert (made.status, made.json["error"]["code"]) == (403, "auth.scope")
