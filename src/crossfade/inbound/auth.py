"""Who is calling and whether the call may come from there: bearer tokens, scopes, Host, Origin, the console's cookie.

Rules
-----
1. ``Host`` and ``Origin`` are checked for every path before anything else (DNS rebinding, cross-site calls).
2. An identity comes from a credential alone: the ``Authorization`` header for programs, the cookie for the
   console. The cookie opens nothing but the console, so the API needs no protection against forged forms.
3. A token is never read from a query, except once by the console's sign-in link, which puts it into the cookie.

Sources: RFC 6750 §2.1 (bearer), MCP 2026-07-28 "Security best practices" (Origin, Host), RFC 6265bis (cookies),
OWASP "Cross-Site Request Forgery Prevention" (HMAC-based token bound to the session).
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.values import Caller
from crossfade.core.values import Scope as Grant
from crossfade.engine.hub import Hub
from crossfade.inbound.asgi import Scope

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
COOKIE: Final = "crossfade_console"
TOKEN_LENGTH_MAX: Final = 512
GUEST_HEADER: Final = b"crossfade-client"
"""Names a guest of a development hub, as ``clientInfo`` does over MCP; read only where guests are allowed."""

_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::[0-9]{1,5})?")
_ORIGIN: Final = re.compile(rf"https?://({_AUTHORITY.pattern})")

MISSING: Final = Refusal(
    "auth.missing",
    "The request carries no credential.",
    "Send `Authorization: Bearer TOKEN`; `crossfade token new` makes one.",
)


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Under which names the hub may be called, and from which web pages."""

    hosts: frozenset[str] = frozenset()
    """Public names without port, lower case; loopback names are always good."""
    origins: frozenset[str] = frozenset()
    """Further origins of web pages, e.g. ``https://tools.example``; pages on ``hosts`` and loopback are good."""

    def check(self, scope: Scope) -> Refusal | None:
        """Refuse a wrong Host (http.wrong_host) or a foreign Origin (http.bad_origin)."""
        hosts, origins = [], []
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origins.append(value)
        if len(hosts) != 1 or not self._names(hosts[0]):
            return _wrong_host(hosts)
        if origins and (len(origins) != 1 or not self._trusts(origins[0])):
            return _bad_origin()
        return None

    def _names(self, authority: bytes) -> bool:
        match = _AUTHORITY.fullmatch(authority.decode("latin-1").lower())
        return match is not None and (match[1] in LOOPBACK or match[1] in self.hosts)

    def _trusts(self, origin: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        if text in self.origins:
            return True
        match = _ORIGIN.fullmatch(text)
        return match is not None and self._names(match[1].encode("latin-1"))


def _wrong_host(hosts: list[bytes]) -> Refusal:
    shown = hosts[0].decode("ascii", "replace")[:80] if hosts else ""
    name = shown.partition(":")[0] or "NAME"
    return Refusal(
        "http.wrong_host",
        f"This hub is not called {shown!r}." if len(hosts) == 1 else "The request needs exactly one Host header.",
        f"Call it by a name it knows, or add {name} to the setting allowed_hosts.",
    )


def _bad_origin() -> Refusal:
    return Refusal(
        "http.bad_origin",
        "Web pages of this origin may not call the hub.",
        "Call it from a program, or add the page's origin to the setting allowed_origins.",
    )


# --- bearer -----------------------------------------------------------------------------------------


def bearer(scope: Scope) -> str | None:
    """The token of the one Authorization header; None if there is none, or it is not a bearer token."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1 or len(values[0]) > TOKEN_LENGTH_MAX:
        return None
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token.isascii() and token else None


async def identify(hub: Hub, scope: Scope, guests: bool) -> Caller | Refusal:
    """Who calls; refuses with auth.missing, auth.unknown, auth.expired or auth.revoked.

    ``guests``: without a credential, admit whoever the header ``Crossfade-Client`` names (loopback only).
    """
    token = bearer(scope)
    if token is not None:
        return hub.authenticate(token)
    presented = any(name == b"authorization" for name, _ in scope["headers"])
    if guests and not presented:
        for name, value in scope["headers"]:
            if name == GUEST_HEADER:
                return await hub.admit(value.decode("latin-1")[:80])
    return MISSING


def require(caller: Caller, grants: Iterable[Grant]) -> Refusal | None:
    """Refuse a caller that holds none of ``grants`` (auth.scope); an empty list lets everybody in."""
    wanted = sorted(grants)
    if not wanted or any(grant in caller.scopes for grant in wanted):
        return None
    return Refusal(
        "auth.scope",
        f"{caller.name} lacks the scope for this.",
        f"Use a token with scope {' or '.join(wanted)}.",
        {"scope": ",".join(wanted)},
    )


# --- the console's cookie ---------------------------------------------------------------------------


def cookie_token(scope: Scope) -> str:
    """The token in the console's cookie; empty if there is none."""
    for name, value in scope["headers"]:
        if name != b"cookie":
            continue
        for part in value.decode("latin-1").split(";"):
            key, _, token = part.strip().partition("=")
            if key == COOKIE and len(token) <= TOKEN_LENGTH_MAX:
                return str(token)
    return ""


def cookie_header(token: str, *, https: bool) -> str:
    """``Set-Cookie`` that signs in, or out when ``token`` is empty: no script, no other site, this browser run."""
    end = "" if token else "; Max-Age=0"
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if https else ''}{end}"


def form_seal(token: str) -> str:
    """What a form of this signed-in browser must carry; made from the token, so it is kept nowhere."""
    return hmac.new(token.encode(), b"crossfade console form/1", hashlib.sha256).hexdigest()


def form_sealed(token: str, given: str) -> bool:
    """Whether a form came from a page this hub made for this sign-in."""
    return hmac.compare_digest(form_seal(token).encode(), given.encode("utf-8", "replace"))
