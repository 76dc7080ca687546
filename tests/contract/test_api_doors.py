"""Who may call, from where: tokens, scopes, Host, Origin. The same for every path."""

import pytest

from crossfade.core.values import Scope
from crossfade.inbound.api.table import ROUTES
from crossfade.inbound.app import PATHS as DESCRIBED
from crossfade.inbound.auth import Door
from tests.kit.http import Web
from tests.kit.hub import ROOT, ok, refused, run

PATHS = [*DESCRIBED, ("GET", "/"), ("GET", "/inbox"), ("GET", "/nope")]
OPEN = {"/livez", "/readyz", "/openapi.json", "/metrics"}


@pytest.mark.parametrize("host", [
    "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil@127.0.0.1", "127.0.0.1:80:80",
    "127.0.0.1 ",
    "[::1].evil", "127.0.0.2", "10.0.0.1", "", "localhost:", "127.0.0.1:999999",
])  # fmt: skip
def test_a_host_that_is_not_ours_is_refused_on_every_path(host: str) -> None:
    @run
    async def scenario() -> None:
        async with Web(open_loopback=True) as web:
            for method, path in PATHS:
                answer = await web.begin(method, path, host=host).answer()
                assert (answer.status, answer.code) == (421, "http.wrong_host"), path
                assert "allowed_hosts" in answer.json["error"]["try"]

    scenario()


@pytest.mark.parametrize("origin", [
    "https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
    "file://localhost",
    "http://127.0.0.1:80/path", "https://hub.example.evil", "",
])  # fmt: skip
def test_a_page_of_another_origin_is_refused_on_every_path(origin: str) -> None:
    @run
    async def scenario() -> None:
        async with Web(open_loopback=True, public_hosts=frozenset({"hub.example"})) as web:
            for method, path in PATHS:
                answer = await web.begin(method, path, origin=origin).answer()
                assert (answer.status, answer.code) == (403, "http.bad_origin"), path

    scenario()


@run
async def test_our_own_names_and_origins_are_let_in() -> None:
    settings = {"public_hosts": frozenset({"Hub.Example"}), "public_origins": frozenset({"https://Tools.example/"})}
    async with Web(**settings) as web:
        for host in ("127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765", "hub.example", "hub.example:443"):
            assert (await web.get("/livez", host=host)).status == 200, host
        for origin in ("http://localhost:6274", "http://[::1]:8765", "https://hub.example", "https://tools.example"):
            assert (await web.get("/livez", origin=origin)).status == 200, origin


def test_two_host_or_origin_headers_are_refused() -> None:
    host, origin = (b"host", b"localhost"), (b"origin", b"http://localhost")
    assert Door().check({"headers": [host, origin]}) is None
    for headers, code in (([host, host], "http.wrong_host"), ([host, origin, origin], "http.bad_origin")):
        assert refused(Door().check({"headers": headers})) == code


@run
async def test_every_route_needs_a_credential_and_says_how_to_send_one() -> None:
    async with Web() as web:
        for method, path in [pair for pair in DESCRIBED if pair[1] not in OPEN]:
            answer = await web.begin(method, path).answer()
            assert (answer.status, answer.code) == (401, "auth.missing"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await web.get("/metrics")).code == "auth.missing"


@run
async def test_a_token_that_is_unknown_expired_or_revoked_opens_nothing() -> None:
    async with Web() as web:
        short, gone = await web.token("ada", seconds=60), await web.token("bob")
        assert (await web.get("/v1/me", token=short)).status == 200
        await web.clock.advance(61)
        issued = ok(await web.hub.tokens(ROOT))
        ok(await web.hub.revoke_token(ROOT, next(token.token_id for token in issued if token.name == "bob")))
        for token, code in (
            (short, "auth.expired"),
            (gone, "auth.revoked"),
            ("cf_" + "x" * 43, "auth.unknown"),
            ("é", None),
        ):
            for path in ("/v1/me", "/v1/stream", "/v1/messages", "/metrics"):
                answer = await web.get(path, token=token)
                assert answer.status == 401, (path, code)
                assert code in (None, answer.code)


@run
async def test_only_one_bearer_header_is_a_credential() -> None:
    async with Web(open_loopback=True) as web:
        token = await web.token("ada")
        for header in (
            token,
            f"Basic {token}",
            "Bearer",
            "Bearer ",
            f"Token {token}",
            f"Bearer {token} x",
            "x" * 9_000,
        ):
            assert (await web.get("/v1/me", authorization=header)).status == 401, header[:20]
        assert (await web.get("/v1/me", authorization=f"bearer {token}")).status == 200
        assert (await web.get(f"/v1/me?token={token}")).status in {400, 401}, "never from the query"
        assert (await web.get("/v1/me", cookie=f"crossfade_console={token}")).status == 401, (
            "the cookie is the console's"
        )


@run
async def test_a_scope_allows_its_own_routes_and_no_others() -> None:
    async with Web() as web:
        tokens = {scope: await web.token(f"of-{scope}", scope) for scope in Scope}
        for route in ROUTES:
            path = route.path.replace("{", "").replace("}", "")
            for scope, token in tokens.items():
                answer = await web.begin(route.method, path, token=token).answer()
                refused = answer.status == 403 and answer.code == "auth.scope"
                assert refused == bool(route.grants and scope not in route.grants), (route.name, scope)


@run
async def test_guests_are_admitted_by_a_development_hub_alone() -> None:
    async with Web(open_loopback=True) as web:
        guest = await web.get("/v1/me", crossfade_client="My Tool")
        assert (guest.status, guest.json["name"], guest.json["guest"]) == (200, "my-tool", True)
        await web.token("ada")
        assert (await web.get("/v1/me", crossfade_client="ada")).status == 401, "a name that has a token needs it"
    async with Web() as web:
        assert (await web.get("/v1/me", crossfade_client="My Tool")).code == "auth.missing"
