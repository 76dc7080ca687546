"""Bad input: each has one clear error with a code, changes nothing, and the next request works."""

import msgspec
import pytest

from crossfade.inbound import decoding
from crossfade.inbound.api.table import ROUTES
from tests.kit.http import Answer, Web
from tests.kit.hub import run

MESSAGE = b'{"to":"bob","body":"x","metadata":%s}'


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(("body", "status", "code"), [
    (b"", 400, "http.bad_json"),
    (b"{", 400, "http.bad_json"),
    (b"[]", 422, "http.invalid"),
    (b"null", 422, "http.invalid"),
    (b'{"to":"bob","body":"x","sender":"ada"}', 422, "http.invalid"),
    (b'{"to":1,"body":"x"}', 422, "http.invalid"),
    (b'{"to":"bob"}', 422, "http.invalid"),
    (b'{"to":"bob","to":"eve","body":"x"}', 400, "http.duplicate_key"),
    (b'{"to":"bob","t\\u006f":"eve","body":"x"}', 400, "http.duplicate_key"),
    (MESSAGE % b'{"k":1,"k":2}', 400, "http.duplicate_key"),
    (MESSAGE % b'{"k":NaN}', 400, "http.bad_json"),
    (MESSAGE % b'{"k":1e999}', 400, "http.bad_json"),
    (MESSAGE % b'{"k":"\\ud800"}', 400, "http.bad_json"),
    (MESSAGE % b'{"k":"\\udc00 and more"}', 400, "http.bad_json"),
    (MESSAGE % b'{"k":Infinity}', 400, "http.bad_json"),
    (MESSAGE % b'{"k":"\xff"}', 400, "http.bad_json"),
    (MESSAGE % (b'{"k":' + b"9" * 5_000 + b"}"), 400, "http.bad_json"),
    (MESSAGE % deep(40), 400, "http.too_deep"),
    (MESSAGE % deep(200_000), 413, "http.body_too_large"),
    (b"[" * 500_000, 400, "http.too_deep"),
    (b'{"to":"bob","body":"' + b"x" * 1_048_576 + b'"}', 413, "http.body_too_large"),
    (b'{"to":"bob","body":"' + b"x" * 70_000 + b'"}', 413, None),
])  # fmt: skip
def test_a_body_that_is_wrong_is_refused_and_nothing_is_recorded(body: bytes, status: int, code: str | None) -> None:
    @run
    async def scenario() -> None:
        async with Web() as web:
            ada = await web.token("ada")
            await web.token("bob")
            before = await web.world.log.head(1)
            answer = await web.post("/v1/messages", body, token=ada)
            assert answer.status == status, answer
            assert code in (None, answer.code)
            assert answer.json["error"]["try"]
            await web.clock.advance(0)
            after = await web.world.log.read(1, before.sequence, 100)
            assert [row.type for row in after if row.type.startswith("message")] == []
            assert (await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada)).status == 201

    scenario()


@run
async def test_a_body_that_is_not_declared_as_json_is_refused() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("bob")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1"):
            answer = await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada, content_type=kind)
            assert (answer.status, answer.code) == (415, "http.unsupported_type"), kind
        fine = await web.post(
            "/v1/messages", {"to": "bob", "body": "x"}, token=ada, content_type="application/json; charset=utf-8"
        )
        assert fine.status == 201


@pytest.mark.parametrize("query", [
    "wait_seconds=x", "wait_seconds=nan", "wait_seconds=-1", "wait_seconds=301", "limit=0", "limit=101",
    "limit=1&limit=2",
    "unknown=1", "limit", "=", "limit=%ff", "a=1&" * 50,
])  # fmt: skip
def test_a_bad_parameter_is_refused(query: str) -> None:
    @run
    async def scenario() -> None:
        async with Web() as web:
            answer = await web.get(f"/v1/inbox?{query}", token=await web.token("ada"))
            assert (answer.status, answer.code) == (400, "http.bad_query")

    scenario()


@run
async def test_an_unknown_path_and_a_wrong_method_are_told_apart() -> None:
    async with Web() as web:
        for path in (
            "/v1",
            "/v1/",
            "/v1/nope",
            "/v1/questions/",
            "/v1/questions/q/x/y",
            "/v1/rollout/jump",
            "/v2/x",
            "/V1/me",
        ):
            answer = await web.get(path)
            assert (answer.status, answer.code) == (404, "http.not_found"), path
        for method, path in (("PUT", "/v1/questions"), ("GET", "/v1/rollout/kill"), ("POST", "/livez"), ("OPTIONS",
        "/v1/me"),
                             ("DELETE", "/v1/stream"), ("POST", "/v1/agents/x")):  # fmt: skip
            answer = await web.begin(method, path).answer()
            assert (answer.status, answer.code) == (405, "http.wrong_method"), path
            assert method not in answer.headers["allow"]
            assert "access-control-allow-origin" not in answer.headers


@run
async def test_an_unusable_idempotency_key_is_refused() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("bob")
        for key in ("", '""', "x" * 201, "é", "a\tb"):
            answer = await web.post("/v1/messages", {"to": "bob", "body": "x"}, token=ada, idempotency_key=key)
            assert (answer.status, answer.code) == (400, "http.bad_key"), key


def test_depth_is_counted_outside_strings_alone() -> None:
    assert not decoding.nested_deeper(b'{"a":"' + b"[" * 100 + b'"}', 32)
    assert not decoding.nested_deeper(b'{"a":"\\"' + b"[" * 100 + b'"}', 32)
    assert not decoding.nested_deeper(b"[" + b"[]," * 1_000 + b"[]]", 32)
    assert not decoding.nested_deeper(deep(32), 32)
    assert decoding.nested_deeper(deep(33), 32)
    assert decoding.nested_deeper(b'{"\\\\":' + deep(40) + b"}", 32)


@run
async def test_a_fault_of_the_hub_is_answered_as_one_and_the_next_request_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Web() as web:
        ada = await web.token("ada")

        def broken() -> None:
            raise RuntimeError("secret particulars")

        with monkeypatch.context() as patch:
            patch.setattr(web.hub, "rollout", broken)
            answer: Answer = await web.get("/v1/rollout", token=ada)
        assert (answer.status, answer.code) == (500, "http.internal")
        assert "secret" not in answer.text
        assert (await web.get("/v1/rollout", token=ada)).status == 200


def test_every_body_refuses_fields_it_does_not_know() -> None:
    for route in ROUTES:
        for model in (route.body, route.query):
            assert model.__struct_config__.forbid_unknown_fields, route.name
            assert issubclass(model, msgspec.Struct)
