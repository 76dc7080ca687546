"""The event stream: hello, items with ids, resuming, lanes, revoked credentials, slow readers."""

import msgspec

from crossfade.core.values import Scope
from tests.kit.http import Exchange, Web
from tests.kit.hub import ROOT, ok, run


def events(body: bytes) -> list[tuple[str, str, dict[str, object]]]:
    """(event, id, data) of each complete event."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if lines:
            found.append((lines["event"], lines.get("id", ""), msgspec.json.decode(lines["data"])))
    return found


async def opened(web: Web, token: str, query: str = "", **headers: str) -> Exchange:
    exchange = web.begin("GET", f"/v1/stream{query}", token=token, **headers)
    await exchange.until(b"event: hello")
    return exchange


@run
async def test_hello_comes_first_and_items_follow_as_they_happen() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        stream = await opened(web, bob)
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        await web.post("/v1/messages", {"to": "bob", "body": "hello\nagain"}, token=ada)
        asked = await web.post("/v1/questions", {"to": "bob", "message": "?", "choices": ["y"]}, token=ada)
        got = events(await stream.until(b"event: question"))
        assert [event for event, _, _ in got] == ["hello", "message", "question"]
        assert got[0][2] == {"agent": "bob", "lane": "polling", "cursor": 0}
        assert got[1][2]["content"] == "hello\nagain"
        assert got[2][1] == f"1-{asked.json['sequence']}"
        assert got[2][2]["question_id"] == asked.json["question_id"]


@run
async def test_the_end_of_a_question_reaches_its_asker() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        stream = await opened(web, ada)
        asked = await web.post("/v1/questions", {"to": "bob", "message": "?", "choices": ["y"]}, token=ada)
        path = f"/v1/questions/{asked.json['question_id']}/answer"
        await web.post(path, {"content": {"choice": "y"}}, token=bob)
        ends = [data for event, _, data in events(await stream.until(b"event: end")) if event == "end"]
        assert [(end["status"], end["content"]) for end in ends] == [("answered", {"choice": "y"})]


@run
async def test_a_stream_resumes_after_the_last_id_and_misses_nothing() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        for body in "abc":
            await web.post("/v1/messages", {"to": "bob", "body": body}, token=ada)
        first = events(await (await opened(web, bob)).until(b'"content":"c"'))
        second_id = first[2][1]
        for resumed in (
            await opened(web, bob, last_event_id=second_id),
            await opened(web, bob, f"?after={second_id}"),
            await opened(web, bob, f"?after={second_id.partition('-')[2]}"),
            await opened(web, bob, "?after=1-0", last_event_id=second_id),
        ):
            got = events(await resumed.until(b'"content":"c"'))
            assert [data.get("content") for _, _, data in got[1:]] == ["c"]


@run
async def test_an_id_that_is_not_one_is_refused() -> None:
    async with Web() as web:
        bob = await web.token("bob")
        for last in ("x", "1-", "-1", "1-2-3", "1-99999999999999999", "2 3", "1-999"):
            answer = await web.get("/v1/stream", token=bob, last_event_id=last)
            assert (answer.status, answer.code.partition(".")[0]) == (400, "cursor"), last
        assert (await web.get("/v1/stream?nope=1", token=bob)).code == "http.bad_query"


@run
async def test_a_revoked_credential_ends_the_stream_before_another_item() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        stream = await opened(web, bob)
        token_id = next(token.token_id for token in ok(await web.hub.tokens(ROOT)) if token.name == "bob")
        ok(await web.hub.revoke_token(ROOT, token_id))
        await web.post("/v1/messages", {"to": "bob", "body": "secret"}, token=ada)
        answer = await stream.answer()
        assert "secret" not in answer.text
        assert web.hub.measures().streams_open == 0


@run
async def test_an_expired_credential_gets_no_further_item() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob", seconds=60)
        stream = await opened(web, bob)
        await web.clock.advance(61)
        await web.post("/v1/messages", {"to": "bob", "body": "secret"}, token=ada)
        assert "secret" not in (await stream.answer()).text


@run
async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    async with Web() as web:
        stream = await opened(web, await web.token("bob"))
        assert (len(web.streams), web.hub.measures().streams_open) == (1, 1)
        stream.gone.set()
        await stream.task
        assert (len(web.streams), web.hub.measures().streams_open) == (0, 0)


@run
async def test_a_server_that_stops_ends_streams_in_order() -> None:
    async with Web() as web:
        stream = await opened(web, await web.token("bob"))
        assert await web.streams.drain(5) == 0
        assert (await stream.answer()).ended


@run
async def test_an_operator_without_an_agent_scope_has_no_stream() -> None:
    async with Web() as web:
        assert (await web.get("/v1/stream", token=await web.token("ops", Scope.OPERATOR))).code == "auth.scope"


@run
async def test_whoever_comes_back_to_a_mailbox_beyond_the_queue_catches_up_in_steps() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        for number in range(100):
            await web.post("/v1/messages", {"to": "bob", "body": f"{number} {'x' * 60_000}"}, token=ada)
        stream = web.begin("GET", "/v1/stream", token=bob)
        assert b'"content":"0 ' in await stream.until(b'"content":"99 ')
