"""How a refusal looks over HTTP: one table from code to status, one body, one way to send it.

Not here: the refusals themselves (each is made where it is decided). docs/reference/refusals.md lists
every code with the status this table gives it, and a test holds the page to the sources.

Source: RFC 9110 §15 for the meaning of each status; RFC 6585 §4 for 429.
"""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.inbound.asgi import Headers, Send, json_response

STATUS: Final[tuple[tuple[str, int], ...]] = (
    ("auth.scope", 403),
    ("auth.*", 401),
    ("identity.mismatch", 403),
    ("http.bad_origin", 403),
    ("*.not_addressee", 403),
    ("*.not_asker", 403),
    ("signoff.not_member", 403),
    ("signoff.self_signed", 403),
    ("http.not_found", 404),
    ("*.unknown", 404),
    ("http.wrong_method", 405),
    ("http.method", 405),
    ("http.not_acceptable", 406),
    ("question.exists", 409),
    ("question.closed", 409),
    ("question.not_due", 409),
    ("question.too_many_dismissals", 409),
    ("message.exists", 409),
    ("token.exists", 409),
    ("signoff.exists", 409),
    ("signoff.closed", 409),
    ("signoff.not_due", 409),
    ("signoff.not_given", 409),
    ("signoff.given_already", 409),
    ("certificate.no_key", 409),
    ("key.*", 409),
    ("agent.kind_differs", 409),
    ("agent.retired", 409),
    ("rollout.bad_*", 422),
    ("rollout.sunset_passed", 422),
    ("rollout.*", 409),
    ("baseline.lane_in_use", 409),
    ("measurement.off", 409),
    ("measurement.on", 409),
    ("measurement.*", 422),
    ("plan.bad_*", 422),
    ("plan.*", 409),
    ("run.bad_*", 422),
    ("run.role_empty", 422),
    ("run.no_reason", 422),
    ("run.node_unknown", 404),
    ("run.member_unknown", 422),
    ("run.*", 409),
    ("polling.removed", 410),
    ("http.body_too_large", 413),
    ("limit.size", 413),
    ("evidence.too_large", 413),
    ("http.unsupported_type", 415),
    ("http.wrong_host", 421),
    ("http.invalid", 422),
    ("limit.fan_out", 422),
    ("limit.signoff", 422),
    ("limit.hops", 422),
    ("question.*", 422),
    ("message.*", 422),
    ("agent.*", 422),
    ("token.*", 422),
    ("shape.*", 422),
    ("answer.*", 422),
    ("argument.*", 422),
    ("capacity.*", 422),
    ("signoff.*", 422),
    ("evidence.*", 422),
    ("review.*", 422),
    ("limit.*", 429),
    ("http.headers_too_large", 431),
    ("http.internal", 500),
    ("http.busy", 503),
    ("log.backup_running", 409),
    ("log.in_memory", 409),
    ("log.*", 503),
    ("cursor.*", 400),
    ("http.*", 400),
)
"""Pattern of a code → HTTP status; the first that fits counts."""

STATUS_ELSE: Final = 422
RETRY_AFTER_SECONDS: Final = 1
"""What 429 and 503 tell a client to wait at least; it adds its own jitter."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, rename={"hint": "try"}, omit_defaults=True):
    """Why it was not done."""

    code: str
    """Stable; see the list of refusals."""
    message: str
    """What is wrong, for people."""
    hint: str = ""
    """What to do next."""
    details: dict[str, str] = {}
    """Machine-readable particulars, e.g. the field."""


class Failure(msgspec.Struct, frozen=True):
    """The body of every answer from 400 up."""

    error: ErrorBody


@lru_cache(maxsize=512)
def matched(code: str) -> int | None:
    """The status that the table gives ``code``; None if no pattern fits."""
    return next((status for pattern, status in STATUS if fnmatchcase(code, pattern)), None)


def status_of(code: str) -> int:
    """The HTTP status of a refusal; 422 for a code the table does not know."""
    return matched(code) or STATUS_ELSE


def body_of(refusal: Refusal) -> bytes:
    """The JSON that every refusal over HTTP has."""
    error = ErrorBody(code=refusal.code, message=refusal.message, hint=refusal.hint, details=refusal.details)
    return msgspec.json.encode(Failure(error))


def headers_of(status: int) -> Headers:
    """What the status obliges: how to authenticate, when to come back."""
    if status == 401:
        return ((b"www-authenticate", b'Bearer realm="crossfade"'),)
    if status in (429, 503):
        return ((b"retry-after", b"%d" % RETRY_AFTER_SECONDS),)
    return ()


async def refuse(send: Send, refusal: Refusal, headers: Headers = ()) -> None:
    """Answer the request with ``refusal``."""
    status = status_of(refusal.code)
    await json_response(send, status, body_of(refusal), (*headers_of(status), *headers))


UNAVAILABLE: Final = Refusal(
    "log.unavailable",
    "The log cannot take writes now; nothing was recorded.",
    "Try again in a moment; the same key again is safe.",
)
UNKNOWN_OUTCOME: Final = Refusal(
    "log.unknown_outcome",
    "It may or may not have been recorded.",
    "Send it again with the same key: it is recorded once.",
)
NOT_FOUND: Final = Refusal("http.not_found", "There is nothing at this path.", "GET /openapi.json lists the paths.")
INTERNAL: Final = Refusal(
    "http.internal",
    "The hub failed on this request; that is its fault, not the request's.",
    "Report it with the time; the hub's own log has the particulars.",
)
TOO_LARGE: Final = Refusal(
    "http.body_too_large",
    "The request body is too large.",
    "Send less at a time, or store it elsewhere and send a link.",
)
NOT_JSON: Final = Refusal(
    "http.unsupported_type", "The body is not declared as JSON.", "Send `Content-Type: application/json`."
)


def wrong_method(allowed: str) -> Refusal:
    """The refusal of a method that a path does not have."""
    return Refusal("http.wrong_method", "This path does not have that method.", f"Use {allowed}.")
