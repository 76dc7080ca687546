"""The console: the start page, signing in, the inbox where people answer, and the rollout with its gates.

Works without script: every action is a form, every success a redirect. What other agents wrote is shown
as text, never as markup or links. Opening the inbox is what makes a question "seen"; a page that
refreshed itself does not count as somebody looking, so it shows only how many wait.

Not here: how a form is made and read (forms.py), what a refusal means to a person (cards.py).
Source: OWASP "Content Security Policy" and "Cross-Site Request Forgery Prevention" cheat sheets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from crossfade.core import shapes
from crossfade.core.decider import Refusal
from crossfade.core.values import Caller, Channel
from crossfade.engine.hub import Hub
from crossfade.engine.ports import Clock, LogError
from crossfade.engine.requests import AnswerRequest, QuestionView
from crossfade.inbound import auth, cards, forms
from crossfade.inbound.api.routes import PARTICIPANT
from crossfade.inbound.errors import INTERNAL
from crossfade.inbound.settings import AppSettings

FOLDER: Final = Path(__file__).parent.parent / "console"
FORM_FIELDS_MAX: Final = 1_000
REASON_LENGTH_MAX: Final = 2_000
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send `Origin: null` from our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def build_console(hub: Hub, settings: AppSettings, clock: Clock) -> Starlette:
    """The console as an ASGI application."""
    pages = Console(hub, settings, clock)
    routes = [
        Route("/", pages.start),
        Route("/inbox", pages.inbox),
        Route("/inbox/count", pages.count),
        Route("/inbox/{question_id}", pages.answer, methods=["POST"]),
        Route("/rollout", pages.rollout),
        Route("/sign-in", pages.sign_in, methods=["POST"]),
        Route("/sign-out", pages.sign_out, methods=["POST"]),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]
    return Starlette(routes=routes, exception_handlers={404: pages.missing, 405: pages.missing, 500: pages.broken})


class Console:
    """The pages."""

    def __init__(self, hub: Hub, settings: AppSettings, clock: Clock) -> None:
        self._hub = hub
        self._settings = settings
        self._clock = clock
        loader = jinja2.FileSystemLoader(FOLDER / "templates")
        self._templates = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

    # --- pages ------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        """What this is, how it is, how to connect."""
        address = f"{'https' if self._settings.https else 'http'}://{request.headers['host']}"
        state = None
        if self._settings.open_loopback:
            state = (self._hub.ready, self._hub.measures(), self._hub.rollout())
        return self._page("start.html", address=address, state=state)

    async def inbox(self, request: Request) -> Response:
        """The open questions, each with its form."""
        token = request.query_params.get("t", "")
        caller = self._caller(request)
        if token and isinstance(caller, Refusal):
            return self._signed_in(token)
        if token:
            return _to("/inbox")
        if isinstance(caller, Refusal):
            return self._sign_in_page(caller if auth.cookie_token(request.scope) else None)
        self._hub.touch(caller, native=False)
        questions = await self._hub.open_questions(caller)
        auto = "auto" in request.query_params
        if not auto:
            for question in questions:
                await self._seen(caller, question)
        done = await self._ended(caller, request.query_params.get("done", ""))
        return self._inbox_page(request, caller, questions, notice=done, auto=auto and bool(questions))

    async def count(self, request: Request) -> Response:
        """How many questions wait and which is the latest, for the page's own script."""
        caller = self._caller(request)
        if isinstance(caller, Refusal):
            return JSONResponse({"count": 0, "newest": 0}, 401, HEADERS)
        questions = await self._hub.open_questions(caller)
        newest = max((question.sequence for question in questions), default=0)
        return JSONResponse({"count": len(questions), "newest": newest}, 200, HEADERS)

    async def rollout(self, request: Request) -> Response:
        """Where the rollout is, the plan that drives it, and what its gates say."""
        caller = self._caller(request)
        if isinstance(caller, Refusal):
            return self._sign_in_page(caller if auth.cookie_token(request.scope) else None)
        plan = self._hub.plans.plan()
        shown = None if isinstance(plan, Refusal) else plan
        return self._page("rollout.html", rollout=self._hub.rollout(), plan=shown)

    # --- answering --------------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        """Answer or decline one question; what is wrong is asked again in place."""
        caller, form = self._caller(request), await self._form(request)
        if isinstance(caller, Refusal):
            return self._sign_in_page(caller)
        if form is None or not auth.form_sealed(self._token(request), _one(form, "seal")):
            return self._page("error.html", 403, title="This form is not from this page", text=cards.STALE)
        question_id = request.path_params["question_id"]
        question = await self._hub.question(caller, question_id)
        if isinstance(question, Refusal):
            return self._page("error.html", 404, title="No such question", text=cards.sentence(question))
        if question.addressee != caller.name:
            return self._page("error.html", 403, title="Not yours to answer", text="It is addressed to somebody else.")
        return await self._decide(request, caller, question, form)

    async def _decide(self, request: Request, caller: Caller, question: QuestionView, form: forms.Sent) -> Response:
        declining = _one(form, "action") == "decline"
        read = forms.Read({}, {}) if declining else forms.read(shapes.from_raw(question.schema), form)
        failure = ""
        if not read.errors:
            outcome = await self._record(caller, question, read, _one(form, "reason") if declining else None)
            if not isinstance(outcome, Refusal):
                return _to(f"/inbox?done={question.question_id}")
            if outcome.code == "question.closed":
                return await self._too_late(request, caller, question)
            field = outcome.details.get("field", "")
            read = forms.Read(read.content, {field: outcome.hint or outcome.message} if field else {})
            failure = "" if field else cards.sentence(outcome)
        attempt = cards.Attempt(question.question_id, form, read.errors, failure, _one(form, "reason"))
        questions = await self._hub.open_questions(caller)
        return self._inbox_page(request, caller, questions, attempt=attempt, status=422)

    async def _record(
        self, caller: Caller, question: QuestionView, read: forms.Read, reason: str | None
    ) -> QuestionView | Refusal:
        """The answer, or with a ``reason`` (perhaps empty) the decline."""
        answer = AnswerRequest(
            question_id=question.question_id,
            action="accept" if reason is None else "decline",
            content=msgspec.Raw(msgspec.json.encode(read.content)) if reason is None else None,
            reason=(reason or "")[:REASON_LENGTH_MAX],
            channel=Channel.CONSOLE,
        )
        try:
            return await self._hub.answer(caller, answer)
        except LogError:
            return cards.NOT_RECORDED

    async def _too_late(self, request: Request, caller: Caller, question: QuestionView) -> Response:
        """Somebody or the clock was first: say who, and show the rest of the inbox."""
        ended = await self._ended(caller, question.question_id)
        questions = await self._hub.open_questions(caller)
        return self._inbox_page(request, caller, questions, notice=ended, late=True, status=409)

    async def _ended(self, caller: Caller, question_id: str) -> QuestionView | None:
        """A question addressed to the caller that has its end; None for anything else."""
        found = await self._hub.question(caller, question_id) if question_id else None
        mine = isinstance(found, QuestionView) and found.addressee == caller.name and found.status != "open"
        return found if mine and isinstance(found, QuestionView) else None

    async def _seen(self, caller: Caller, question: QuestionView) -> None:
        try:
            await self._hub.seen(caller, question.question_id, Channel.CONSOLE)
        except LogError:
            return  # the page is still good; it is recorded the next time

    # --- signing in -------------------------------------------------------------------------------------

    async def sign_in(self, request: Request) -> Response:
        """Take a token from the form into the cookie."""
        form = await self._form(request)
        return self._signed_in(_one(form or {}, "token").strip())

    async def sign_out(self, request: Request) -> Response:
        """Forget the cookie."""
        form = await self._form(request)
        if form is None or not auth.form_sealed(self._token(request), _one(form, "seal")):
            return self._page("error.html", 403, title="This form is not from this page", text=cards.STALE)
        return _to("/inbox", auth.cookie_header("", https=self._settings.https))

    def _signed_in(self, token: str) -> Response:
        caller = self._admitted(token)
        if isinstance(caller, Refusal):
            return self._sign_in_page(caller)
        return _to("/inbox", auth.cookie_header(token, https=self._settings.https))

    def _sign_in_page(self, refusal: Refusal | None) -> Response:
        return self._page("sign_in.html", 401, problem=cards.sentence(refusal) if refusal else "")

    def _token(self, request: Request) -> str:
        """The browser's token; on a development hub the one everybody there has."""
        own = auth.cookie_token(request.scope)
        return own or (self._settings.console_token if self._settings.open_loopback else "")

    def _caller(self, request: Request) -> Caller | Refusal:
        return self._admitted(self._token(request))

    def _admitted(self, token: str) -> Caller | Refusal:
        caller = self._hub.authenticate(token)
        return caller if isinstance(caller, Refusal) else auth.require(caller, PARTICIPANT) or caller

    # --- rendering --------------------------------------------------------------------------------------

    def _inbox_page(
        self,
        request: Request,
        caller: Caller,
        questions: list[QuestionView],
        *,
        status: int = 200,
        **rest: object,
    ) -> Response:
        """The inbox; ``rest`` may hold an ``attempt`` that failed, a ``notice``, ``late``, ``auto``."""
        attempt = rest.pop("attempt", None)
        now = self._clock.now()
        tried = attempt if isinstance(attempt, cards.Attempt) else None
        made = [cards.card(question, tried, now) for question in questions]
        facts: dict[str, object] = {"notice": None, "late": False, "auto": False, "now_ms": now // 1_000_000}
        token = self._token(request)
        own = bool(auth.cookie_token(request.scope))
        newest = max((question.sequence for question in questions), default=0)
        return self._page(
            "inbox.html",
            status,
            caller=caller,
            cards=made,
            seal=auth.form_seal(token),
            own=own,
            newest=newest,
            **facts | rest,
        )

    def _page(self, name: str, status: int = 200, **values: object) -> Response:
        html = self._templates.get_template(name).render(version=self._settings.version, **values)
        return Response(html, status, HEADERS, "text/html")

    async def missing(self, request: Request, error: Exception) -> Response:
        """404 and 405 as the API says them, or as a page for browsers."""
        status = getattr(error, "status_code", 404)
        headers = {**HEADERS, **(getattr(error, "headers", None) or {})}
        if "text/html" not in request.headers.get("accept", ""):
            return Response(cards.failure(status), status, headers, "application/json")
        title = "No such page" if status == 404 else "Not that way"
        page = self._page("error.html", status, title=title, text="Nothing is at this address.")
        page.headers.update(headers)
        return page

    async def broken(self, request: Request, error: Exception) -> Response:
        """500; the server's log has the error."""
        return self._page("error.html", 500, title="The hub failed", text=cards.sentence(INTERNAL))

    async def _form(self, request: Request) -> dict[str, list[str]] | None:
        """The form of a POST; None if it is none or too large."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._settings.form_bytes_max:
                return None
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return None
        try:
            text = body.decode("ascii")
            return parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
        except ValueError:
            return None


def _one(form: forms.Sent, name: str) -> str:
    values = form.get(name, ())
    return values[0] if values else ""


def _to(path: str, cookie: str = "") -> Response:
    headers = {**HEADERS, **({"Set-Cookie": cookie} if cookie else {})}
    return RedirectResponse(path, 303, headers)
