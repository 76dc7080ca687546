"""Questions over /v1: asked, waited for, answered, withdrawn; first end stands."""

from crossfade.core.values import Kind, Scope
from tests.kit.http import Web
from tests.kit.hub import run

ASK = {"to": "bob", "message": "Ship it?", "choices": ["yes", "no"]}


@run
async def test_a_question_is_answered_by_whom_it_was_addressed_to() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        asked = await web.post("/v1/questions", ASK, token=ada)
        assert asked.status == 201
        question_id = asked.json["question_id"]
        assert asked.headers["location"] == f"/v1/questions/{question_id}"
        assert (asked.json["from"], asked.json["to"], asked.json["status"]) == ("ada", "bob", "open")
        waiting = await web.get("/v1/questions", token=bob)
        assert [question["question_id"] for question in waiting.json["questions"]] == [question_id]
        answered = await web.post(f"/v1/questions/{question_id}/answer", {"content": {"choice": "yes"}}, token=bob)
        assert (answered.status, answered.json["content"]) == (200, {"choice": "yes"})
        read = await web.get(f"/v1/questions/{question_id}", token=ada)
        assert (read.json["status"], read.json["ended_by"]) == ("answered", "bob")


@run
async def test_asking_with_a_wait_answers_at_the_end_of_the_question() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        under_way = web.begin(
            "POST", "/v1/questions", b'{"to":"bob","message":"?","choices":["y"],"wait_seconds":50}',
            token=ada, content_type="application/json",
        )  # fmt: skip
        await web.clock.advance(1)
        assert under_way.status == 0, "it waits"
        question_id = (await web.get("/v1/questions", token=bob)).json["questions"][0]["question_id"]
        await web.post(f"/v1/questions/{question_id}/answer", {"content": {"choice": "y"}}, token=bob)
        answer = await under_way.answer()
        assert (answer.status, answer.json["status"]) == (201, "answered")


@run
async def test_a_wait_ends_with_the_question_as_it_is_when_the_time_is_over() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("bob")
        question_id = (await web.post("/v1/questions", ASK, token=ada)).json["question_id"]
        under_way = web.begin("GET", f"/v1/questions/{question_id}?wait_seconds=10", token=ada)
        await web.clock.advance(9)
        assert not under_way.ended
        await web.clock.advance(2)
        assert (await under_way.answer()).json["status"] == "open"


@run
async def test_a_server_that_stops_ends_waits_with_what_there_is() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("bob")
        question_id = (await web.post("/v1/questions", ASK, token=ada)).json["question_id"]
        under_way = web.begin("GET", f"/v1/questions/{question_id}?wait_seconds=50", token=ada)
        await web.clock.advance(1)
        assert len(web.streams) == 1
        assert await web.streams.drain(5) == 0
        assert (await under_way.answer()).json["status"] == "open"


@run
async def test_the_same_key_asks_once_and_another_question_with_it_is_refused() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("bob")
        first = await web.post("/v1/questions", ASK, token=ada, idempotency_key='"k 1"')
        again = await web.post("/v1/questions", ASK | {"key": "k 1"}, token=ada)
        assert first.json["question_id"] == again.json["question_id"]
        other = await web.post("/v1/questions", ASK | {"message": "Else?"}, token=ada, idempotency_key="k 1")
        assert (other.status, other.code) == (409, "key.reused")


@run
async def test_the_second_answer_is_told_how_it_ended() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        path = f"/v1/questions/{(await web.post('/v1/questions', ASK, token=ada)).json['question_id']}"
        assert (await web.post(f"{path}/answer", {"action": "decline", "reason": "no time"}, token=bob)).status == 200
        late = await web.post(f"{path}/answer", {"content": {"choice": "yes"}}, token=bob)
        assert (late.status, late.code, late.json["error"]["details"]) == (
            409,
            "question.closed",
            {"status": "declined"},
        )


@run
async def test_only_the_two_ends_may_touch_a_question() -> None:
    async with Web() as web:
        ada, eve = await web.token("ada"), await web.token("eve")
        await web.token("bob")
        path = f"/v1/questions/{(await web.post('/v1/questions', ASK, token=ada)).json['question_id']}"
        stranger = await web.get(path, token=eve)
        nothing = await web.get("/v1/questions/q_00000000000000000000000000", token=eve)
        assert (stranger.status, stranger.json) == (nothing.status, nothing.json), "the same as one that does not exist"
        assert stranger.status == 404
        assert (await web.post(f"{path}/answer", {"content": {"choice": "yes"}}, token=eve)).status in {403, 404}
        assert (await web.post(f"{path}/withdraw", {}, token=eve)).status in {403, 404}
        assert (
            await web.post(f"{path}/answer", {"content": {"choice": "yes"}}, token=ada)
        ).code == "question.not_addressee"
        withdrawn = await web.post(f"{path}/withdraw", {"reason": "solved"}, token=ada)
        assert (withdrawn.json["status"], withdrawn.json["reason"]) == ("withdrawn", "solved")


@run
async def test_what_cannot_be_asked_is_refused_with_its_reason() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        await web.token("bob")
        for change, status, code in (
            ({"to": "nobody"}, 404, "recipient.unknown"),
            ({"to": "ada"}, 422, "question.to_self"),
            ({"deadline_seconds": 0}, 422, "question.deadline_past"),
            ({"deadline_seconds": 1e12}, 422, "question.deadline_far"),
            ({"choices": None}, 422, "shape.missing"),
            ({"choices": None, "schema": {"type": "object", "properties": {"p": {"type": "string",
            "pattern": "a"}}}}, 422, "shape.unknown_keyword"),
            ({"choices": None, "schema": {"type": "object", "properties": {"password": {"type": "string"}}}}, 422,
            "shape.secret_field"),
            ({"choices": None, "schema": [1]}, 422, "http.invalid"),
            ({"metadata": "x"}, 422, "http.invalid"),
            ({"reply_to": "q_unknown"}, 404, "reply.unknown"),
        ):  # fmt: skip
            answer = await web.post("/v1/questions", ASK | change, token=ada)
            assert (answer.status, answer.code) == (status, code), change
            assert answer.json["error"]["try"], "says what to do"


@run
async def test_an_answer_of_the_wrong_shape_names_the_field_and_leaves_the_question_open() -> None:
    async with Web() as web:
        ada, bob = await web.token("ada"), await web.token("bob")
        path = f"/v1/questions/{(await web.post('/v1/questions', ASK, token=ada)).json['question_id']}"
        wrong = await web.post(f"{path}/answer", {"content": {"choice": "perhaps"}}, token=bob)
        assert (wrong.status, wrong.json["error"]["details"]["field"]) == (422, "choice")
        assert (await web.post(f"{path}/answer", {}, token=bob)).status == 422
        assert (await web.get(path, token=ada)).json["status"] == "open"


@run
async def test_a_person_is_asked_and_answers_like_any_other() -> None:
    async with Web() as web:
        ada = await web.token("ada")
        paul = await web.token("paul", Scope.PERSON, kind=Kind.PERSON)
        question_id = (await web.post("/v1/questions", ASK | {"to": "paul"}, token=ada)).json["question_id"]
        done = await web.post(f"/v1/questions/{question_id}/answer", {"content": {"choice": "no"}}, token=paul)
        assert done.json["status"] == "answered"
