"""Plans and gates over HTTP: who may do what, what comes back, and that a refusal changes nothing."""

import pytest

from crossfade.core.values import Kind, Scope
from tests.kit.http import Web
from tests.kit.hub import run
from tests.kit.plans import PLAN, read_plan


@pytest.mark.requirement("P9")
@run
async def test_a_plan_is_started_looked_at_and_ended() -> None:
    async with Web() as web:
        web.hub.plans.read = read_plan
        ana, ops = await web.token("ana"), await web.token("ops", Scope.OPERATOR)
        none = await web.get("/v1/rollout/plan", token=ana)
        assert (none.status, none.json["error"]["code"]) == (404, "plan.unknown")
        assert (await web.get("/v1/gates", token=ana)).json == {"gates": []}
        refused = await web.post("/v1/rollout/plan", {"plan": PLAN}, token=ana)
        assert (refused.status, refused.json["error"]["code"]) == (403, "auth.scope")
        bad = await web.post("/v1/rollout/plan", {"plan": PLAN.replace("max: 50}", "max: 51}")}, token=ops)
        assert (bad.status, bad.json["error"]["code"]) == (422, "plan.bad_plan")
        assert bad.json["error"]["message"].startswith("plan.yaml:14:38 gates.p50.max:")
        nothing = await web.post("/v1/rollout/plan", {"text": PLAN}, token=ops)
        assert (nothing.status, nothing.json["error"]["code"]) == (422, "http.invalid")

        made = await web.post("/v1/rollout/plan", {"plan": PLAN, "file": "mine.yaml"}, token=ops)
        assert (made.status, made.json["name"], made.json["stages_total"]) == (201, "quick", 3)
        again = await web.post("/v1/rollout/plan", {"plan": PLAN}, token=ops)
        assert (again.status, again.json["error"]["code"]) == (409, "plan.live")
        await web.clock.advance(1)
        up = await web.post("/v1/rollout/set", {"share": 0.75}, token=ops)
        assert (up.status, up.json["error"]["code"]) == (409, "rollout.driven")

        seen = (await web.get("/v1/rollout/plan", token=ana)).json
        assert (seen["status"], seen["stage"], seen["stages"][0]["status"]) == ("baking", 1, "now")
        names = [gate["name"] for gate in (await web.get("/v1/gates", token=ana)).json["gates"]]
        assert {"gate.p50", "ab.error_rate", "trigger.p99", "trigger.p99.investigate", "sample_ratio"} <= set(names)
        told = (await web.get("/v1/gates/p50", token=ana)).json
        assert told["gate"]["name"] == "gate.p50"
        assert told["gate"]["verdict"] in ("errored", "inconclusive")
        assert any("accepted by ops" in line for line in told["story"])
        absent = await web.get("/v1/gates/p51", token=ana)
        assert (absent.status, absent.json["error"]["code"]) == (404, "gate.unknown")

        assert (await web.post("/v1/rollout/plan/stop", {}, token=ana)).status == 403
        ended = await web.post("/v1/rollout/plan/stop", {"reason": "by hand"}, token=ops)
        assert (ended.status, ended.json["status"], ended.json["reason"]) == (200, "aborted", "ops: by hand")
        over = await web.post("/v1/rollout/plan/stop", {"reason": "again"}, token=ops)
        assert (over.status, over.json["error"]["code"]) == (409, "plan.none")


@run
async def test_the_console_shows_stages_and_gates_to_whoever_is_signed_in() -> None:
    async with Web() as web:
        web.hub.plans.read = read_plan
        ops = await web.token("ops", Scope.OPERATOR)
        paul = await web.token("paul", Scope.PERSON, kind=Kind.PERSON)
        signed_in = f"crossfade_console={paul}"
        assert "Sign in" in (await web.get("/rollout")).text
        empty = await web.get("/rollout", cookie=signed_in)
        assert (empty.status, "No plan has driven this rollout" in empty.text) == (200, True)
        evil = PLAN.replace("name: quick", "name: '<script>alert(1)</script>'")
        assert (await web.post("/v1/rollout/plan", {"plan": evil}, token=ops)).status == 201
        await web.clock.advance(1)
        await web.post("/v1/rollout/hold", {"reason": "<b>shift</b>"}, token=ops)
        await web.clock.advance(1)
        page = (await web.get("/rollout", cookie=signed_in)).text
        for part in ("stage 1 of 3", "25 %: now", "trigger.p99.investigate", "It holds (operator)", "Owner: ops"):
            assert part in page, part
        assert "<script>alert" not in page
        assert "<b>shift" not in page
