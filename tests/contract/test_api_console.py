"""The console without a browser: sign-in, forms, escaping, sealed forms, who was first."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest

from crossfade.core.values import Kind, Scope
from crossfade.engine.ports import UnavailableError
from tests.kit.http import Answer, FailingLog, Web
from tests.kit.hub import run

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)> https://evil.example/ {{ 7*7 }}'


async def person(web: Web) -> str:
    return await web.token("paul", Scope.PERSON, kind=Kind.PERSON)


def cookie(token: str) -> str:
    return f"crossfade_console={token}"


def seal(page: Answer) -> str:
    found = re.search(r'name="seal" value="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


async def asked(web: Web, **change: object) -> str:
    token = web.tokens.get("ada") or await web.token("ada")
    body = {"to": "paul", "message": "Ship it?", "choices": ["yes", "no"], **change}
    return str((await web.post("/v1/questions", body, token=token)).json["question_id"])


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: Answer) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page.text)
    return parser.seen


@run
async def test_signing_in_puts_the_token_into_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    async with Web() as web:
        token = await person(web)
        page = await web.get("/inbox")
        assert (page.status, "Sign in" in page.text) == (401, True)
        for answer in (await web.form("/sign-in", {"token": f" {token} "}), await web.get(f"/inbox?t={token}")):
            assert (answer.status, answer.headers["location"]) == (303, "/inbox")
            assert answer.headers["set-cookie"] == f"crossfade_console={token}; Path=/; HttpOnly; SameSite=Strict"
        assert (await web.get("/inbox", cookie=cookie(token))).status == 200
    async with Web(https=True) as web:
        answer = await web.form("/sign-in", {"token": await person(web)})
        assert answer.headers["set-cookie"].endswith("; Secure")


@run
async def test_a_token_that_opens_nothing_is_refused_in_words() -> None:
    async with Web() as web:
        operator = await web.token("ops", Scope.OPERATOR)
        for token, words in (("nonsense", "not known"), ("", "needs a token"), (operator, "lacks the scope")):
            answer = await web.form("/sign-in", {"token": token})
            assert (answer.status, words in answer.text) == (401, True), answer.text
            assert "set-cookie" not in answer.headers


@run
async def test_a_sign_in_link_does_not_replace_who_is_signed_in() -> None:
    async with Web() as web:
        paul, eve = await person(web), await web.token("eve", Scope.PERSON, kind=Kind.PERSON)
        answer = await web.get(f"/inbox?t={eve}", cookie=cookie(paul))
        assert (answer.status, "set-cookie" in answer.headers) == (303, False)


@run
async def test_a_development_hub_opens_as_its_person() -> None:
    async with Web() as probe:
        token = await person(probe)
        assert (await probe.get("/inbox")).status == 401
    async with Web(open_loopback=True, console_token=token) as web:
        assert await person(web) == token, "the kit's ids repeat"
        assert "Signed in as <strong>paul</strong>" in (await web.get("/inbox")).text
    async with Web(open_loopback=False, console_token=token) as web:
        await person(web)
        assert (await web.get("/inbox")).status == 401


@run
async def test_an_answer_is_recorded_and_shown_to_its_asker() -> None:
    async with Web() as web:
        token = await person(web)
        question_id = await asked(web)
        page = await web.get("/inbox", cookie=cookie(token))
        assert "<title>(1) Inbox · Crossfade</title>" in page.text
        form = {"seal": seal(page), "action": "accept", "f.choice": "yes"}
        done = await web.form(f"/inbox/{question_id}", form, cookie=cookie(token))
        assert (done.status, done.headers["location"]) == (303, f"/inbox?done={question_id}")
        after = await web.get(done.headers["location"], cookie=cookie(token))
        assert "Answered." in after.text
        assert "Nothing waits for you" in after.text
        view = (await web.get(f"/v1/questions/{question_id}", token=web.tokens["ada"])).json
        assert (view["content"], view["ended_by"], view["channels"]) == ({"choice": "yes"}, "paul", ["console"])


@run
async def test_a_decline_carries_its_reason_and_needs_no_valid_fields() -> None:
    async with Web() as web:
        token = await person(web)
        question_id = await asked(web)
        form = {"seal": seal(await web.get("/inbox", cookie=cookie(token))), "action": "decline", "reason": "not mine"}
        assert (await web.form(f"/inbox/{question_id}", form, cookie=cookie(token))).status == 303
        view = (await web.get(f"/v1/questions/{question_id}", token=web.tokens["ada"])).json
        assert (view["status"], view["reason"]) == ("declined", "not mine")


@run
async def test_a_wrong_answer_is_asked_again_in_place_with_what_was_typed() -> None:
    async with Web() as web:
        token = await person(web)
        schema = {
            "type": "object",
            "properties": {"mail": {"type": "string", "format": "email"}, "count": {"type": "integer", "maximum": 9}},
            "required": ["mail", "count"],
        }
        question_id = await asked(web, choices=None, schema=schema)
        form = {
            "seal": seal(await web.get("/inbox", cookie=cookie(token))),
            "f.mail": "<ada>",
            "f.count": "12",
            "action": "accept",
        }
        again = await web.form(f"/inbox/{question_id}", form, cookie=cookie(token))
        assert again.status == 422
        inputs = {attrs["name"]: attrs for tag, attrs in tags(again) if tag == "input"}
        assert (inputs["f.mail"]["value"], inputs["f.count"]["value"]) == ("<ada>", "12")
        assert {"aria-invalid", "autofocus"} <= inputs["f.mail"].keys()
        assert "aria-invalid" in inputs["f.count"]
        ids = {attrs["id"] for _, attrs in tags(again) if "id" in attrs}
        for attrs in inputs.values():
            assert set((attrs.get("aria-describedby") or "").split()) <= ids
        assert "2 fields need another look" in again.text
        assert (await web.get(f"/v1/questions/{question_id}", token=web.tokens["ada"])).json["status"] == "open"


@run
async def test_the_second_answer_is_told_who_won() -> None:
    async with Web() as web:
        token = await person(web)
        question_id = await asked(web)
        page = await web.get("/inbox", cookie=cookie(token))
        await web.post(f"/v1/questions/{question_id}/withdraw", {"reason": "solved"}, token=web.tokens["ada"])
        form = {"seal": seal(page), "action": "accept", "f.choice": "yes"}
        late = await web.form(f"/inbox/{question_id}", form, cookie=cookie(token))
        assert late.status == 409
        assert "Not recorded" in late.text
        assert "It was withdrawn by ada" in re.sub(r"\s+", " ", late.text)


@pytest.mark.parametrize("sealed", ["", "0" * 64, "other"])
def test_a_form_that_is_not_from_our_page_changes_nothing(sealed: str) -> None:
    @run
    async def scenario() -> None:
        async with Web() as web:
            token, other = await person(web), await web.token("eve", Scope.PERSON, kind=Kind.PERSON)
            question_id = await asked(web)
            foreign = seal(await web.get("/inbox", cookie=cookie(other)))
            form = {"seal": foreign if sealed == "other" else sealed, "action": "accept", "f.choice": "yes"}
            for target in (f"/inbox/{question_id}", "/sign-out"):
                answer = await web.form(target, form, cookie=cookie(token))
                assert (answer.status, "set-cookie" in answer.headers) == (403, False)
            assert (await web.get(f"/v1/questions/{question_id}", token=web.tokens["ada"])).json["status"] == "open"

    scenario()


@run
async def test_a_form_sent_from_another_site_is_refused_at_the_door() -> None:
    async with Web() as web:
        token = await person(web)
        question_id = await asked(web)
        form = {"seal": seal(await web.get("/inbox", cookie=cookie(token))), "action": "accept", "f.choice": "yes"}
        for target in (f"/inbox/{question_id}", "/sign-in", "/sign-out"):
            for origin in ("https://evil.example", "null"):
                assert (await web.form(target, form, cookie=cookie(token), origin=origin)).status == 403


@run
async def test_what_others_wrote_is_text_and_nothing_else() -> None:
    async with Web() as web:
        token = await person(web)
        schema = {
            "type": "object",
            "properties": {
                EVIL[:60]: {"type": "string", "title": EVIL, "description": EVIL, "default": EVIL},
                "pick": {"type": "string", "oneOf": [{"const": EVIL, "title": EVIL}], "title": EVIL},
                "many": {"type": "array", "items": {"type": "string", "enum": [EVIL]}},
                "long": {"type": "string", "enum": [EVIL, *"abcdefgh"]},
            },
        }
        question_id = await asked(web, message=EVIL, choices=None, schema=schema)
        page = await web.get("/inbox", cookie=cookie(token))
        assert page.status == 200, page.text
        seen = tags(page)
        assert [attrs for tag, attrs in seen if tag == "script"] == [{"src": "/static/console.js", "defer": None}]
        assert [attrs["src"] for tag, attrs in seen if tag == "img"] == ["/static/mark.svg"]
        assert all(not name.startswith("on") and name != "style" for _, attrs in seen for name in attrs)
        assert not any("evil" in (attrs.get("href") or "") for _, attrs in seen), "no link that a peer chose"
        assert EVIL in unescape(page.text)
        form = {"seal": seal(page), "action": "accept", "reason": EVIL, "f.many": "x"}
        again = await web.form(f"/inbox/{question_id}", form, cookie=cookie(token))
        assert [attrs for tag, attrs in tags(again) if tag == "script"] == [
            {"src": "/static/console.js", "defer": None}
        ]


@run
async def test_every_page_keeps_scripts_frames_and_caches_out() -> None:
    async with Web(open_loopback=True) as web:
        token = await person(web)
        await asked(web)
        for path in ("/", "/inbox", "/nope"):
            page = await web.get(path, cookie=cookie(token), accept="text/html")
            policy = page.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert (page.headers["x-content-type-options"], page.headers["cache-control"]) == ("nosniff", "no-store")
            assert not any(tag == "style" or "style" in attrs for tag, attrs in tags(page)), "nothing inline"
            assert len([tag for tag, _ in tags(page) if tag == "main"]) == 1


@run
async def test_every_input_has_a_label() -> None:
    async with Web() as web:
        token = await person(web)
        await asked(web, choices=None, schema={"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"type": "number"}, "c": {"type": "boolean"},
            "d": {"type": "array", "items": {"type": "string", "enum": ["x"]}}, "e": {"type": "string",
            "enum": list("abcdefghi")},
        }})  # fmt: skip
        seen = tags(await web.get("/inbox", cookie=cookie(token)))
        labelled = {attrs["for"] for tag, attrs in seen if tag == "label" and "for" in attrs}
        for tag, attrs in seen:
            if tag in {"input", "select", "textarea"} and attrs.get("type") not in {"hidden", "radio", "checkbox"}:
                assert attrs["id"] in labelled, attrs


@run
async def test_opening_the_inbox_is_seeing_but_a_page_that_refreshed_itself_is_not() -> None:
    async with Web() as web:
        token = await person(web)
        path = f"/v1/questions/{await asked(web)}"
        refreshed = await web.get("/inbox?auto=1", cookie=cookie(token))
        await web.get("/inbox/count", cookie=cookie(token))
        await web.clock.advance(0)
        assert "1 question waits for you" in refreshed.text
        assert "Ship it?" not in refreshed.text
        assert (await web.get(path, token=web.tokens["ada"])).json["delivery"] == "queued"
        await web.get("/inbox", cookie=cookie(token))
        await web.clock.advance(0)
        assert (await web.get(path, token=web.tokens["ada"])).json["delivery"] == "seen"


@run
async def test_an_answer_that_cannot_be_stored_is_kept_on_the_page() -> None:
    log = FailingLog()
    async with Web(log) as web:
        token = await person(web)
        question_id = await asked(web, choices=None, schema={"type": "object", "properties": {"x": {"type": "string"}}})
        page = await web.get("/inbox", cookie=cookie(token))
        await web.clock.advance(0)
        log.fault = UnavailableError
        form = {"seal": seal(page), "action": "accept", "f.x": "my words"}
        again = await web.form(f"/inbox/{question_id}", form, cookie=cookie(token))
        assert again.status == 422
        assert "my words" in again.text
        assert "could not be stored" in again.text


@run
async def test_a_question_of_somebody_else_is_not_shown() -> None:
    async with Web() as web:
        await person(web)
        eve = await web.token("eve", Scope.PERSON, kind=Kind.PERSON)
        question_id = await asked(web)
        page = await web.get(f"/inbox?done={question_id}", cookie=cookie(eve))
        assert "Ship it?" not in page.text
        answer = await web.form(f"/inbox/{question_id}", {"seal": seal(page), "f.choice": "yes"}, cookie=cookie(eve))
        assert answer.status == 404


@run
async def test_the_asker_gets_no_notice_of_having_answered() -> None:
    async with Web() as web:
        await person(web)
        ada = await web.token("ada")
        path = f"/v1/questions/{await asked(web)}"
        await web.post(f"{path}/withdraw", {}, token=ada)
        page = await web.get(f"/inbox?done={path.rpartition('/')[2]}", cookie=cookie(ada))
        assert (page.status, "Ship it?" in page.text) == (200, False)
        own = await web.form(path.replace("/v1/questions", "/inbox"), {"seal": seal(page)}, cookie=cookie(ada))
        assert own.status == 403


@pytest.mark.parametrize("path", [
    "/static/../templates/layout.html", "/static/..%2ftemplates/layout.html", "/static//etc/passwd", "/static/%2e%2e/x",
    "/static/....//x", "/static/", "/static/\\..\\x", "/static/console.css\0",
])  # fmt: skip
def test_nothing_outside_the_static_folder_is_served(path: str) -> None:
    @run
    async def scenario() -> None:
        async with Web() as web:
            assert (await web.get(path)).status == 404
            assert (await web.get("/static/console.css")).status == 200

    scenario()


@run
async def test_a_form_that_is_too_large_or_none_is_refused() -> None:
    async with Web(form_bytes_max=1_000) as web:
        token = await person(web)
        question_id = await asked(web)
        good = {"seal": seal(await web.get("/inbox", cookie=cookie(token))), "action": "accept", "f.choice": "yes"}
        assert (await web.form(f"/inbox/{question_id}", good | {"x": "y" * 2_000}, cookie=cookie(token))).status == 403
        json = await web.post(f"/inbox/{question_id}", good, cookie=cookie(token))
        assert json.status == 403
