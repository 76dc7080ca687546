"""Takes a request to its route: finds it, says who calls, decodes, runs the handler, writes the answer.

Plain ASGI, because asking and waiting are hot. The order is fixed: path, method, credential, scope,
query, body, handler; what fails first is what the client is told.
"""

import asyncio
import logging
import re
from typing import Any, Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.engine.hub import Hub
from crossfade.engine.ports import LogError, UnknownOutcomeError
from crossfade.inbound import auth, decoding, errors
from crossfade.inbound.api.routes import PARTICIPANT, AnyRoute, Call, Nothing, Reply, Wire
from crossfade.inbound.asgi import (
    BodyTooLargeError,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    Streams,
    header,
    json_response,
    read_body,
)
from crossfade.inbound.settings import AppSettings

log = logging.getLogger(__name__)

PRIVATE: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
TELL_SECONDS: Final = 10.0
"""Between two lines in the program's log about a log that fails."""
KEY_LENGTH_MAX: Final = 200
BAD_KEY: Final = Refusal(
    "http.bad_key", "The Idempotency-Key is not usable.", f"Send 1 to {KEY_LENGTH_MAX} printable characters."
)
FAULTS: Final = {
    errors.UNKNOWN_OUTCOME.code: "log_unknown",
    errors.UNAVAILABLE.code: "log_unavailable",
    errors.INTERNAL.code: "unexpected",
}
"""Code of a refusal that is the server's own fault → the cause it is counted under."""
_TRACE: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_JSON_TYPE: Final = re.compile(rb"application/json *(?:; *charset *= *\"?utf-8\"? *)?", re.IGNORECASE)


class Api:
    """The application below /v1, but for the event stream."""

    def __init__(self, hub: Hub, settings: AppSettings, streams: Streams, routes: tuple[AnyRoute, ...]) -> None:
        self._hub = hub
        self._settings = settings
        self._streams = streams
        self._paths: dict[str, dict[str, AnyRoute]] = {}
        self._decoders: dict[str, decoding.Decoder] = {}
        self._untold = 0
        """Commands that the log failed and that nothing was written down about."""
        self._told_at = float("-inf")
        for route in routes:
            self._paths.setdefault(_pattern(route.path), {})[route.method] = route
            self._decoders[route.name] = msgspec.json.Decoder(route.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        methods, name = self._find(scope["path"])
        route = methods.get(scope["method"])
        if not methods:
            return await errors.refuse(send, errors.NOT_FOUND)
        if route is None:
            allowed = ", ".join(sorted(methods))
            return await errors.refuse(send, errors.wrong_method(allowed), ((b"allow", allowed.encode()),))
        try:
            reply = await self._run(route, name, scope, receive)
        except ClientGoneError:
            return None
        if isinstance(reply.value, Refusal):
            return await errors.refuse(send, reply.value, reply.headers)
        body = msgspec.json.encode(reply.value)
        return await json_response(send, reply.status or route.status, body, (*PRIVATE, *reply.headers))

    def _find(self, path: str) -> tuple[dict[str, AnyRoute], str]:
        exact = self._paths.get(path)
        if exact is not None:
            return exact, ""
        parts = path.split("/")
        if len(parts) not in (4, 5) or not parts[3]:
            return {}, ""
        name, parts[3] = parts[3], "*"
        return self._paths.get("/".join(parts), {}), name

    async def _run(self, route: AnyRoute, name: str, scope: Scope, receive: Receive) -> Reply:
        """The handler's answer, or the refusal of whatever failed before or in it."""
        counted = ""
        try:
            caller = await auth.identify(self._hub, scope, self._settings.open_loopback)
            if isinstance(caller, Refusal):
                return Reply(caller)
            refusal = auth.require(caller, route.grants)
            if refusal is not None:
                return Reply(refusal)
            call: Call[Any, Any] = Call(
                hub=self._hub,
                caller=caller,
                name=name,
                query=decoding.query(scope["query_string"], route.query),
                body=await self._body(route, scope, receive),
                key=_key(scope),
                cause=_cause(scope),
                wire=Wire(scope, receive, self._streams),
            )
            if route.grants is PARTICIPANT:
                counted = caller.name
                self._hub.touch(caller, native=False)
            outcome = await route.run(call)
        except decoding.BadInputError as error:
            outcome = error.refusal
        except BodyTooLargeError:
            outcome = errors.TOO_LARGE
        except ClientGoneError:
            raise
        except UnknownOutcomeError:
            outcome = errors.UNKNOWN_OUTCOME
        except LogError as error:
            self._tell(error)
            outcome = errors.UNAVAILABLE
        except Exception:
            log.exception("a handler failed: %s", route.name)
            outcome = errors.INTERNAL
        if counted:
            cause = FAULTS.get(outcome.code, "") if isinstance(outcome, Refusal) else ""
            self._hub.measuring.served(counted, cause, name)
        return outcome if isinstance(outcome, Reply) else Reply(outcome)

    def _tell(self, error: LogError) -> None:
        """Write down that the log fails; a full disk, on which this may lie, fails thousands of commands."""
        self._untold += 1
        now = asyncio.get_running_loop().time()
        if now >= self._told_at + TELL_SECONDS:
            log.warning("the log failed; commands refused since this was last said: %d; now: %s", self._untold, error)
            self._told_at, self._untold = now, 0

    async def _body(self, route: AnyRoute, scope: Scope, receive: Receive) -> object:
        """The decoded body. Every body is read to its end, so that the next request finds its beginning."""
        data = await read_body(receive, self._settings.body_bytes_max)
        if route.body is Nothing and not data.strip():
            return Nothing()
        if _JSON_TYPE.fullmatch(header(scope, b"content-type") or b"") is None:
            raise decoding.BadInputError(errors.NOT_JSON)
        return decoding.body(data, self._decoders[route.name], self._settings.json_depth_max)


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}", "*", path)


def _key(scope: Scope) -> str | None:
    """The idempotency key; quotes around it are optional. Raises BadInputError with http.bad_key."""
    value = header(scope, b"idempotency-key")
    if value is None:
        return None
    key = value.decode("latin-1").strip().removeprefix('"').removesuffix('"')
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= KEY_LENGTH_MAX:
        raise decoding.BadInputError(BAD_KEY)
    return key


def _cause(scope: Scope) -> str:
    """The trace id of a valid W3C ``traceparent``; empty otherwise."""
    match = _TRACE.fullmatch(header(scope, b"traceparent") or b"")
    return match[1].decode() if match else ""
