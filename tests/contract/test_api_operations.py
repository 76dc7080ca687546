"""What operators call: health, metrics, tokens, agents, rollout, log; also when the log cannot write."""

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossfade.core.values import Scope
from crossfade.engine.limits import Limits
from crossfade.engine.ports import UnavailableError, UnknownOutcomeError
from crossfade.inbound.app import build_app
from crossfade.inbound.collector import Pauses
from tests.kit.http import FailingLog, Web
from tests.kit.hub import run


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@run
async def test_a_log_that_fails_thousands_of_commands_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = FailingLog()
    async with Web(log) as web:
        ada, _ = await web.token("ada"), await web.token("bob")
        log.fault = UnavailableError
        for _ in range(20):
            assert (await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada)).status == 503
        assert len([line for line in caplog.messages if line.startswith("the log failed")]) == 1
        log.fault = None


@run
async def test_a_log_that_cannot_write_is_503_with_a_hint_and_readiness_says_so() -> None:
    log = FailingLog()
    async with Web(log) as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        message = {"to": "bob", "body": "x", "key": "k"}
        assert (await web.get("/readyz")).json == {"ready": True, "checks": {"log": True, "serving": True}}
        for fault, code in ((UnavailableError, "log.unavailable"), (UnknownOutcomeError, "log.unknown_outcome")):
            log.fault = fault
            answer = await web.post("/v1/messages", message, token=ada)
            assert (answer.status, answer.code) == (503, code)
            assert int(answer.headers["retry-after"]) >= 1
            assert "same key" in answer.json["error"]["try"]
        unready = await web.get("/readyz")
        assert (unready.status, unready.json["checks"]["log"]) == (503, False)
        assert (await web.get("/livez")).status == 200
        log.fault = None
        assert (await web.post("/v1/messages", message, token=ada)).status == 201
        await web.clock.advance(5)
        assert (await web.get("/readyz")).status == 200
        page = (await web.get("/v1/messages?after=0", token=bob)).json
        assert [m["content"] for m in page["messages"]] == ["x"], "once, whatever the faults were"


@run
async def test_the_kill_switch_works_while_the_log_cannot_write() -> None:
    log = FailingLog()
    async with Web(log) as web:
        ops, ada = await web.token("ops", Scope.OPERATOR), await web.token("ada")
        assert (await web.post("/v1/rollout/start", {"name": "r1", "salt": "s"}, token=ops)).status == 200
        moved = await web.post("/v1/rollout/set", {"share": 1.0, "reason": "go"}, token=ops)
        assert (moved.status, moved.json["share"]) == (200, 1.0)
        assert (await web.get("/v1/me", token=ada)).json["lane"] == "elicitation"
        log.fault = UnavailableError
        killed = await web.post("/v1/rollout/kill", {"reason": "fire"}, token=ops)
        assert killed.status == 200, killed
        assert (await web.get("/v1/me", token=ada)).json["lane"] == "polling"
        log.fault = None
        await web.clock.advance(30)
        records = (await web.get("/v1/log/0?limit=100", token=ops)).json["records"]
        assert "rollout.killed/1" in [record["type"] for record in records]


@run
async def test_a_server_that_is_stopping_is_not_ready() -> None:
    async with Web() as web:
        await web.streams.drain(0)
        assert (await web.get("/readyz")).json["checks"] == {"log": True, "serving": False}


@pytest.mark.requirement("P22")
@run
async def test_the_metrics_tell_what_happened() -> None:
    async with Web(open_loopback=True) as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        asked = await web.post("/v1/questions", {"to": "bob", "message": "?", "choices": ["y"]}, token=ada)
        await web.clock.advance(2)
        await web.get("/v1/messages", token=bob)
        await web.get("/v1/messages?after=999", token=bob)
        await web.clock.advance(0)
        await web.post(f"/v1/questions/{asked.json['question_id']}/answer", {"content": {"choice": "y"}}, token=bob)
        await web.post("/v1/questions", {"to": "bob", "message": "?", "choices": ["y"]}, token=ada)
        await web.post("/v1/messages", {"to": ["bob", "ada"], "body": "x"}, token=ada)
        found = samples((await web.get("/metrics")).text)

        def value(name: str, **labels: str) -> float | None:
            return found.get((f"crossfade_{name}", tuple(sorted(labels.items()))))

        assert value("questions_asked_total", lane="polling", exposure="old") == 2
        assert value("questions_ended_total", lane="polling", end="answered") == 1
        assert value("questions_open", lane="polling") == 1
        assert value("questions_offered_total", lane="polling", channel="poll") == 1
        assert value("questions_woke_total", lane="polling", level="polled") == 1
        assert value("delivery_seconds_count", lane="polling") == 1
        assert value("delivery_seconds_sum", lane="polling") == 2.0
        assert value("delivery_seconds_bucket", lane="polling", le="1.0") == 0
        assert value("delivery_seconds_bucket", lane="polling", le="2.0") == 1
        for edge, count in (("0.05", 0), ("0.1", 0), ("0.2", 0), ("0.3", 0), ("0.5", 0), ("1.0", 0), ("2.0", 1)):
            assert value("delivery_exposure_seconds_bucket", exposure="old", le=edge) == count
        assert value("delivery_exposure_seconds_count", exposure="new") == 0
        assert value("answer_seconds_count", lane="polling") == 1
        assert value("registration_seconds_count") == 2
        assert value("message_recipients_sum") == 2
        assert value("waits_total", channel="poll", outcome="items") == 1
        assert value("polls_per_item", channel="poll") == 1
        assert value("refusals_total", code="cursor.ahead") == 1
        assert value("agents_present") == 2
        assert value("ready") == 1
        assert value("build_info", version="0.0-test") == 1


@run
async def test_metrics_tell_how_long_the_garbage_collector_stopped_the_hub() -> None:
    async with Web(open_loopback=True) as web:
        pauses = Pauses()
        web.app = build_app(web.hub, None, web.settings, clock=web.clock, streams=web.streams, pauses=pauses)
        for length_ms in (0.4, 3.0, 1.0):
            pauses.add(length_ms)
        found = samples((await web.get("/metrics")).text)
        assert found["crossfade_gc_pause_longest_seconds", ()] == 0.003
        assert found["crossfade_gc_pause_seconds_bucket", (("le", "0.002"),)] == 2
        assert found["crossfade_gc_pause_seconds_count", ()] == 3


@run
async def test_metrics_tell_how_much_memory_is_in_use() -> None:
    async with Web(open_loopback=True) as web:
        before = samples((await web.get("/metrics")).text)["crossfade_memory_blocks", ()]
        kept = [object() for _ in range(200_000)]
        after = samples((await web.get("/metrics")).text)["crossfade_memory_blocks", ()]
        assert after - before > len(kept) / 2


@run
async def test_metrics_tell_the_memory_and_the_processor_time_of_the_process() -> None:
    async with Web(open_loopback=True) as web:
        found = samples((await web.get("/metrics")).text)
        assert found["process_resident_memory_bytes", ()] > 1_000_000
        assert found["process_cpu_seconds_total", ()] > 0


@run
async def test_metrics_of_a_hub_with_tokens_need_an_operators() -> None:
    async with Web() as web:
        assert (await web.get("/metrics", token=await web.token("ada"))).code == "auth.scope"
        assert (await web.get("/metrics", token=await web.token("ops", Scope.OPERATOR))).status == 200


@run
async def test_an_admin_makes_lists_and_revokes_tokens() -> None:
    async with Web() as web:
        root = await web.token("root", Scope.ADMIN)
        made = await web.post("/v1/tokens", {"name": "ada", "scopes": ["agent"], "expires_seconds": 60}, token=root)
        assert made.status == 201
        token, token_id = made.json["token"], made.json["token_id"]
        assert (await web.get("/v1/me", token=token)).json["name"] == "ada"
        listed = await web.get("/v1/tokens", token=root)
        assert token not in listed.text, "the secret is shown once"
        revoked = await web.delete(f"/v1/tokens/{token_id}", token=root)
        assert (revoked.status, revoked.json["status"]) == (200, "revoked")
        assert (await web.get("/v1/me", token=token)).code == "auth.revoked"
        assert (await web.delete("/v1/tokens/t_nope", token=root)).status == 404
        for body, status in (({"name": "Bad Name"}, 422), ({"name": "x", "scopes": ["god"]}, 422), ({"name": "x",
        "scopes": []}, 422),
                             ({"name": "x", "expires_seconds": -1}, 422), ({}, 422)):  # fmt: skip
            assert (await web.post("/v1/tokens", body, token=root)).status == status, body


@run
async def test_a_retired_agent_can_neither_act_nor_be_asked() -> None:
    async with Web() as web:
        root, ada, bob = await web.token("root", Scope.ADMIN), await web.token("ada"), await web.token("bob")
        assert (await web.delete("/v1/agents/bob", token=root)).json["status"] == "retired"
        assert (await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada)).code == "recipient.unknown"
        assert (await web.post("/v1/messages", {"to": "ada", "body": "x"}, token=bob)).status >= 400
        assert (await web.delete("/v1/agents/nobody", token=root)).status == 404


@run
async def test_agents_are_found_by_part_of_their_name() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("build-7")
        found = (await web.get("/v1/agents?query=build", token=ada)).json["agents"]
        assert [agent["name"] for agent in found] == ["build-7"]


@run
async def test_who_one_is_does_not_depend_on_how_many_have_a_similar_name() -> None:
    async with Web() as web:
        for number in range(120):
            await web.token(f"ada-{number:03}")
        ada = await web.token("ada-0")
        await web.token("bob")
        await web.post("/v1/questions", {"to": "ada-0", "message": "?", "choices": ["y"]}, token=web.tokens["bob"])
        mine = (await web.get("/v1/me", token=ada)).json
        assert (mine["name"], mine["lane"], mine["open_questions"]) == ("ada-0", "polling", 1)


@run
async def test_the_rollout_is_driven_step_by_step_and_refuses_what_is_out_of_order() -> None:
    async with Web() as web:
        ops = await web.token("ops", Scope.OPERATOR)
        early = await web.post("/v1/rollout/set", {"share": 0.5, "reason": "x"}, token=ops)
        assert (early.status, early.code) == (409, "rollout.not_started")
        assert (await web.post("/v1/rollout/start", {"name": "r1"}, token=ops)).json["name"] == "r1"
        assert (await web.post("/v1/rollout/set", {"share": 1.5, "reason": "x"}, token=ops)).status == 422
        assert (await web.post("/v1/rollout/set", {"share": 0.05, "reason": "canary"}, token=ops)).json["share"] == 0.05
        assert (await web.post("/v1/rollout/hold", {"reason": "wait"}, token=ops)).json["held"] is True
        assert (await web.post("/v1/rollout/set", {"share": 0.25, "reason": "x"}, token=ops)).code == "rollout.held"
        assert (await web.post("/v1/rollout/resume", {"reason": "go"}, token=ops)).json["held"] is False
        assert (await web.post("/v1/rollout/remove", None, token=ops)).status == 409
        assert (await web.get("/v1/rollout", token=ops)).json["status"] == "dual"


@run
async def test_the_log_is_read_page_by_page_and_waited_on() -> None:
    async with Web() as web:
        ops, ada = await web.token("ops", Scope.OPERATOR), await web.token("ada")
        heads = {head["shard"]: head for head in (await web.get("/v1/log/head", token=ops)).json["shards"]}
        assert set(heads) == {0, 1}
        page = (await web.get("/v1/log/1?limit=2", token=ops)).json["records"]
        assert [record["sequence"] for record in page] == [1, 2]
        assert page[0]["event"]["name"] == "ops"
        end = heads[1]["sequence"]
        wait = web.begin("GET", f"/v1/log/1?after={end}&wait_seconds=20", token=ops)
        await web.clock.advance(0)
        await web.post("/v1/messages", {"to": "ops", "body": "x"}, token=ada)
        assert (await wait.answer()).json["records"][0]["sequence"] == end + 1
        for shard in ("7", "x", "-1", "1.0"):
            assert (await web.get(f"/v1/log/{shard}", token=ops)).status == 404, shard


@run
async def test_a_caller_that_is_too_fast_is_told_when_to_come_back() -> None:
    limits = msgspec.structs.replace(Limits(), commands_per_second_max=1.0)
    async with Web(limits=limits) as web:
        ada = await web.token("ada")
        await web.token("bob")
        answers = [await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada) for _ in range(4)]
        assert (answers[-1].status, answers[-1].code) == (429, "limit.rate")
        assert int(answers[-1].headers["retry-after"]) >= 1
        await web.clock.advance(3)
        assert (await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada)).status == 201
