"""A person with a browser: signs in, answers every kind of field, corrects, declines; with and without script."""

import shutil
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from crossfade.core.values import Caller, Kind, Scope
from crossfade.engine.requests import AskRequest, QuestionView
from tests.kit.http import Live, live
from tests.kit.hub import ok

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PATIENCE_MS = 180_000
"""A page that hangs ends here; no test waits this long when the code is right."""
expect.set_options(timeout=PATIENCE_MS)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")

EVERY_KIND = {
    "type": "object",
    "properties": {
        "verdict": {"type": "string", "title": "Verdict", "oneOf": [
            {"const": "ship", "title": "Ship it"}, {"const": "hold", "title": "Hold"}]},
        "note": {"type": "string", "title": "Note", "maxLength": 500, "default": "Looks good."},
        "code": {"type": "string", "title": "Code", "minLength": 2, "maxLength": 8},
        "owner": {"type": "string", "title": "Owner", "format": "email"},
        "link": {"type": "string", "title": "Link", "format": "uri"},
        "day": {"type": "string", "title": "Day", "format": "date"},
        "at": {"type": "string", "title": "Begins", "format": "date-time"},
        "share": {"type": "number", "title": "Share", "minimum": 0, "maximum": 1, "default": 0.25},
        "count": {"type": "integer", "title": "Replicas", "minimum": 1, "maximum": 9},
        "page": {"type": "boolean", "title": "Page the on-call?"},
        "regions": {"type": "array", "title": "Regions", "items": {"type": "string", "enum": ["eu", "us", "ap"]},
        "minItems": 1},
        "team": {"type": "string", "title": "Team", "enum": ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"]},
    },
    "required": ["verdict", "code", "owner", "count", "page", "regions", "team"],
}  # fmt: skip
ANSWER = {
    "verdict": "ship", "note": "Looks good.", "code": "R412", "owner": "ada@example.org",
    "link": "https://example.org/x",
    "day": "2026-07-28", "at": "2026-07-28T09:30:00Z", "share": 0.25, "count": 3, "page": False, "regions": ["eu",
    "ap"],
    "team": "t7",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=PATIENCE_MS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def hub() -> Iterator[Live]:
    with live(open_loopback=True) as served:
        yield served


class Person:
    """Somebody with an inbox, and an agent that asks them."""

    def __init__(self, hub: Live, page: Page, name: str) -> None:
        self.hub = hub
        self.page = page
        self.name = name
        self.token = hub.token(name, Scope.PERSON, kind=Kind.PERSON)
        self.agent: Caller = hub.caller(f"agent-of-{name}")

    def asked(self, message: str, schema: object | None = None, **more: object) -> QuestionView:
        raw = msgspec.Raw(msgspec.json.encode(schema)) if schema else None
        choices = None if schema else ("yes", "no")
        request = AskRequest(to=self.name, message=message, schema=raw, choices=choices, **more)  # type: ignore[arg-type]
        return ok(self.hub.do(self.hub.hub.ask(self.agent, request)))

    def view(self, question: QuestionView) -> QuestionView:
        return ok(self.hub.do(self.hub.hub.question(self.agent, question.question_id)))

    def opens(self, target: str = "/inbox") -> None:
        self.page.goto(self.hub.url + target)


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
def person(hub: Live, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Person]:
    context = browser.new_context(java_script_enabled=request.param, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    page.set_default_timeout(PATIENCE_MS)
    name = f"p{abs(hash(request.node.name)) % 10**12}"
    yield Person(hub, page, name)
    context.close()
    assert faults == []


def test_a_person_signs_in_and_answers_every_kind_of_field(person: Person) -> None:
    question = person.asked("Release 4.12?", EVERY_KIND)
    page = person.page
    person.opens()
    page.get_by_label("Token").fill(person.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_title("(1) Inbox · Crossfade")
    expect(page.get_by_label("Note")).to_have_value("Looks good.")
    page.get_by_label("Ship it").check()
    page.get_by_label("Code").fill("R412")
    page.get_by_label("Owner").fill("ada@example.org")
    page.get_by_label("Link").fill("https://example.org/x")
    page.get_by_label("Day").fill("2026-07-28")
    page.get_by_label("Begins").fill("2026-07-28T09:30")
    page.get_by_label("Replicas").fill("3")
    page.get_by_role("group", name="Page the on-call?").get_by_label("No", exact=True).check()
    page.get_by_label("eu").check()
    page.get_by_label("ap", exact=True).check()
    page.get_by_label("Team").select_option("t7")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Answered.")).to_be_visible()
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    view = person.view(question)
    assert msgspec.json.decode(view.content) == ANSWER
    assert (view.status, view.ended_by, view.channels) == ("answered", person.name, ("console",))


def test_what_is_wrong_is_asked_again_with_what_was_typed(person: Person) -> None:
    schema = {
        "type": "object",
        "properties": {"owner": {"type": "string", "format": "email"}, "note": {"type": "string", "maxLength": 90}},
        "required": ["owner"],
    }
    question = person.asked("Who?", schema)
    page = person.page
    person.opens(f"/inbox?t={person.token}")
    expect(page).to_have_url(person.hub.url + "/inbox")
    page.get_by_label("Note").fill("<b>kept</b>")
    page.get_by_label("Owner").fill("a" * 70 + "@example.org")  # too long, but the browser lets it through
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("One field needs another look.")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("<b>kept</b>")
    expect(page.get_by_label("Owner")).to_be_focused()
    expect(page.get_by_label("Owner")).to_have_attribute("aria-invalid", "true")
    assert person.view(question).status == "open"
    page.get_by_label("Owner").fill("ada@example.org")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Answered.")).to_be_visible()
    assert msgspec.json.decode(person.view(question).content) == {"owner": "ada@example.org", "note": "<b>kept</b>"}


def test_a_person_declines_with_a_reason(person: Person) -> None:
    question = person.asked("Ship?", EVERY_KIND)
    page = person.page
    person.opens(f"/inbox?t={person.token}")
    page.get_by_text("Decline…").click()
    page.get_by_label("Reason").fill("Ask the owner.")
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_text("Declined.")).to_be_visible()
    view = person.view(question)
    assert (view.status, view.reason) == ("declined", "Ask the owner.")


def test_the_later_of_two_windows_is_told_who_was_first(person: Person) -> None:
    question = person.asked("Ship?")
    page = person.page
    person.opens(f"/inbox?t={person.token}")
    other = page.context.new_page()
    other.goto(person.hub.url + "/inbox")
    other.get_by_label("yes").check()
    other.get_by_role("button", name="Answer").click()
    expect(other.get_by_text("Answered.")).to_be_visible()
    page.get_by_label("no", exact=True).check()
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text(f"It was answered by {person.name}")).to_be_visible()
    assert msgspec.json.decode(person.view(question).content) == {"choice": "yes"}


def test_nothing_overflows_on_a_narrow_screen(person: Person) -> None:
    person.asked("https://example.org/" + "very-long-word" * 30, EVERY_KIND)
    person.opens(f"/inbox?t={person.token}")
    person.page.set_viewport_size({"width": 320, "height": 700})
    box = person.page.locator("html").bounding_box()
    main = person.page.locator("main").bounding_box()
    assert box is not None
    assert main is not None
    assert box["width"] <= 320
    for element in person.page.locator("input:visible, select, textarea, button, blockquote, h2").all():
        found = element.bounding_box()
        assert found is None or found["x"] + found["width"] <= 320.5


def test_signing_out_closes_the_inbox(person: Person) -> None:
    person.opens(f"/inbox?t={person.token}")
    person.page.get_by_role("button", name="Sign out").click()
    expect(person.page.get_by_role("heading", name="Sign in")).to_be_visible()
    person.opens()
    expect(person.page.get_by_label("Token")).to_be_visible()


def test_the_script_says_that_something_came_without_touching_the_page(hub: Live, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.clock.install()
    person = Person(hub, page, "watcher")
    first = person.asked("First?", {"type": "object", "properties": {"x": {"type": "string", "title": "Words"}}})
    person.opens(f"/inbox?t={person.token}")
    page.get_by_label("Words").fill("half an answ")
    person.asked("Second?")
    page.clock.run_for(11_000)
    expect(page.get_by_text("Something new is waiting.")).to_be_visible()
    expect(page).to_have_title("(2) Inbox · Crossfade")
    expect(page.get_by_label("Words")).to_have_value("half an answ")
    expect(page.locator("article")).to_have_count(1)
    assert person.view(first).delivery == "seen"
    page.context.close()
