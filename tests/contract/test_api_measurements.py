"""Measurements at the edges: what a request over HTTP counts as, and the baseline's routes."""

import pytest

from crossfade.core.measurements import Exposure
from crossfade.core.values import Scope
from crossfade.engine.ports import UnavailableError, UnknownOutcomeError
from tests.kit.http import FailingLog, Web
from tests.kit.hub import run
from tests.kit.measuring import total

pytestmark = pytest.mark.requirement("P17", "P4")


@run
async def test_only_the_servers_own_faults_count_and_each_request_counts_once() -> None:
    log = FailingLog()
    async with Web(log) as web:
        ops, ada = await web.token("ops", Scope.OPERATOR), await web.token("ada")
        assert (await web.post("/v1/baseline/start", {"seconds": 600}, token=ops)).status == 200
        message = {"to": "ada", "body": "x"}
        for body in (message, {"to": "nobody", "body": "x"}, {"nonsense": 1}):
            await web.post("/v1/messages", body, token=ada)
        assert (await web.get("/v1/questions/q_nothing", token=ada)).status == 404
        assert (await web.get("/v1/inbox", token=ada)).status == 200
        assert (await web.get("/v1/rollout", token=ops)).status == 200
        assert (await web.post("/v1/messages", message, token="cf_wrong")).status == 401
        log.fault = UnavailableError
        assert (await web.post("/v1/messages", message, token=ada)).status == 503
        log.fault = UnknownOutcomeError
        assert (await web.post("/v1/messages", message, token=ada)).status == 503
        log.fault = None
        await web.clock.advance(40)
        found = await total(log, Exposure.OLD)
        assert (found.requests, found.faults) == (5, 2), "two sends, an empty inbox, two that failed"
        view = (await web.get("/v1/measurements", token=ada)).json
        assert view["reasons"] == ["baseline"]
        old = view["whole"]["exposures"]["old"]
        assert old["causes"] == {"log_unavailable": 1, "log_unknown": 1}
        assert view["whole"]["availability"] < 1


@run
async def test_a_baseline_is_begun_looked_at_and_stopped() -> None:
    async with Web() as web:
        ops, ada = await web.token("ops", Scope.OPERATOR), await web.token("ada")
        none = (await web.get("/v1/baseline", token=ada)).json
        assert (none["status"], none["verdict"], none["reason"]) == ("none", "errored", "not_measured")
        assert (await web.post("/v1/baseline/start", {}, token=ada)).status == 403
        assert (await web.post("/v1/baseline/start", {"seconds": 0}, token=ops)).status == 422
        begun = (await web.post("/v1/baseline/start", {}, token=ops)).json
        assert (begun["status"], begun["verdict"], begun["seconds_left"]) == ("measuring", "inconclusive", 7 * 86_400)
        assert (await web.post("/v1/baseline/start", {}, token=ops)).code == "measurement.on"
        await web.clock.advance(60)
        stopped = await web.post("/v1/baseline/stop", {"reason": "enough"}, token=ops)
        assert stopped.json["verdict"] == "errored"
        assert stopped.json["why_ended"] == "enough"
        assert stopped.json["explanation"].startswith("it ended with 60 of 604,800 s, 0 of")
        assert (await web.post("/v1/baseline/stop", {}, token=ops)).status == 409
