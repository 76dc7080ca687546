"""Sign-offs, certificates, evidence, reviews and the board over HTTP: who may do what, and what comes back."""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from crossfade.core import certificates
from crossfade.core.values import Kind, Scope
from crossfade.runsheets.export import as_json
from crossfade.runsheets.loader import Loaded, load
from tests.kit.http import Answer, Web
from tests.kit.hub import SIGNER, run

BODY: dict[str, Any] = {
    "subject": "run/r_1/phase/canary/entry",
    "about": "Begin?",
    "parts": {"runsheet": "a" * 64, "evidence": "b" * 64, "flags": "c" * 64},
    "roles": {"security": {"members": ["sam", "pia"], "quorum": 1}},
    "deadline_seconds": 600,
    "valid_seconds": 6_000,
}


async def people(web: Web) -> tuple[str, str]:
    """An operator's token and sam's; pia is registered."""
    await web.token("pia")
    return await web.token("ops", Scope.OPERATOR), await web.token("sam", Scope.PERSON, kind=Kind.PERSON)


async def answer(web: Web, token: str, **content: str) -> Answer:
    """Fill in the newest form."""
    [*_, question] = (await web.get("/v1/questions", token=token)).json["questions"]
    path = f"/v1/questions/{question['question_id']}/answer"
    return await web.post(path, {"content": {"outcome": "approved", **content}}, token=token)


@pytest.mark.requirement("P2")
@run
async def test_a_sign_off_is_requested_answered_listed_and_certified() -> None:
    async with Web() as web:
        ops, sam = await people(web)
        made = await web.post("/v1/signoffs", BODY, token=ops, idempotency_key="k")
        assert (made.status, made.json["status"], made.json["missing"]) == (201, "open", {"security": 1})
        again = await web.post("/v1/signoffs", BODY, token=ops, idempotency_key="k")
        assert again.json["signoff_id"] == made.json["signoff_id"]
        assert (await answer(web, sam)).status == 200
        await web.clock.advance(0)
        path = f"/v1/signoffs/{made.json['signoff_id']}"
        found = (await web.get(path, token=sam)).json
        assert (found["status"], found["signatures"][0]["by"]) == ("approved", "sam")
        assert [
            one["signoff_id"] for one in (await web.get("/v1/signoffs?status=approved", token=sam)).json["signoffs"]
        ] == [found["signoff_id"]]
        assert (await web.get("/v1/signoffs?status=open", token=sam)).json["signoffs"] == []
        listed = (await web.get("/v1/certificates?limit=1", token=sam)).json["certificates"]
        kept = (await web.get(f"/v1/certificates/{listed[0]['digest']}", token=sam)).json
        verified = certificates.verify(b64decode(kept["content"]), SIGNER.keyid, SIGNER.public.check)
        assert verified.differences == ()
        assert (await web.post(f"{path}/withdraw", {"reason": "moved"}, token=ops)).json["status"] == "withdrawn"
        assert (await web.post(f"{path}/withdraw", {}, token=ops)).code == "signoff.closed"


@run
async def test_a_specialist_stops_it_and_nobody_else() -> None:
    async with Web() as web:
        ops, sam = await people(web)
        eve = await web.token("eve")
        made = await web.post("/v1/signoffs", BODY, token=ops)
        path = f"/v1/signoffs/{made.json['signoff_id']}/stop"
        refused = await web.post(path, {"reason": "x"}, token=eve)
        assert (refused.status, refused.code) == (403, "signoff.not_member")
        assert (await web.post(path, {"reason": "leak"}, token=sam)).json["outcome"] == "emergency_stop"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"parts": {"runsheet": "a", "evidence": "b" * 64, "flags": "c" * 64}}, 422),
        ({"roles": {}}, 422),
        ({"roles": {"security": {"members": []}}}, 422),
        ({"roles": {"security": {"members": ["sam"], "quorum": 0}}}, 422),
        ({"roles": {"security": {"members": ["sam"], "quorum": 2}}}, 422),
        ({"roles": {"security": {"members": ["ghost"]}}}, 422),
        ({"roles": {"not a role": {"members": ["sam"]}}}, 422),
        ({"authors": ["sam", "pia"]}, 422),
        ({"deadline_seconds": 0}, 422),
        ({"deadline_seconds": 40 * 86_400, "valid_seconds": 50 * 86_400}, 422),
        ({"valid_seconds": 600}, 422),
        ({"more": 1}, 422),
    ],
)
def test_what_can_never_be_signed_is_refused_and_nobody_is_asked(change: dict[str, Any], status: int) -> None:
    @run
    async def scenario() -> None:
        async with Web() as web:
            ops, sam = await people(web)
            refused = await web.post("/v1/signoffs", {**BODY, **change}, token=ops)
            assert refused.status == status, refused.json
            assert refused.code
            assert (await web.get("/v1/questions", token=sam)).json["questions"] == []
            assert (await web.get("/v1/signoffs", token=sam)).json["signoffs"] == []

    scenario()


@run
async def test_who_is_no_operator_requests_keeps_and_reviews_nothing() -> None:
    async with Web() as web:
        _, sam = await people(web)
        for path, body in (
            ("/v1/signoffs", BODY),
            ("/v1/evidence", {"content": "aGk="}),
            ("/v1/reviews", {"runsheet": "{}"}),
        ):
            assert (await web.post(path, body, token=sam)).code == "auth.scope", path
        for path in ("/v1/signoffs", "/v1/certificates", "/v1/board"):
            assert (await web.get(path)).code == "auth.missing", path


@run
async def test_evidence_goes_in_and_comes_out() -> None:
    async with Web() as web:
        ops, sam = await people(web)
        digest = (await web.post("/v1/evidence", {"content": b64encode(b"facts").decode()}, token=ops)).json["digest"]
        kept = (await web.get(f"/v1/evidence/{digest}", token=sam)).json
        assert (b64decode(kept["content"]), kept["size_bytes"]) == (b"facts", 5)
        for path in (f"/v1/evidence/{'0' * 64}", f"/v1/certificates/{digest}", "/v1/signoffs/s_none"):
            assert (await web.get(path, token=sam)).status == 404, path
        assert (await web.post("/v1/evidence", {"content": "!"}, token=ops)).status == 422


@pytest.mark.requirement("P23")
@run
async def test_the_hub_reviews_what_it_is_given_and_the_board_shows_it() -> None:
    async with Web() as web:
        ops, sam = await people(web)
        loaded = load("elicitation-v1")
        assert isinstance(loaded, Loaded)
        text = as_json(loaded.runsheet).decode()
        made = await web.post("/v1/reviews", {"runsheet": text}, token=ops)
        assert (made.status, made.json["overall"], made.json["digest"]) == (201, "not_ready", loaded.digest)
        assert set(made.json["certificates"]) == {"devops", "security", "performance"}
        board = (await web.get("/v1/board", token=sam)).json
        assert [row["cells"][0]["title"] for row in board["rows"]] == [
            "Conditional",
            "Emergency Stop",
            "Conditional",
            "Not Ready",
        ]
        again = await web.post("/v1/reviews", {"runsheet": text}, token=ops)
        assert again.json == made.json
        for junk in ("{}", "[]", "\ud800", '{"runsheet": 1'):
            body = msgspec.json.encode({"runsheet": junk}) if junk.isascii() else b'{"runsheet":"\\ud800"}'
            assert (await web.post("/v1/reviews", body, token=ops)).status in (400, 422), junk
