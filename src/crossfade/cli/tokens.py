"""``token``: credentials. ``token new`` also works on the data folder of a hub that is not running."""

import asyncio
from typing import Annotated, Final, cast

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, exit_of, usage
from crossfade.cli.options import PLAIN, Options, call, seconds, settings
from crossfade.cli.output import Output, row_of
from crossfade.client.views import Object
from crossfade.core.values import Kind, Scope

FIELDS: Final = ("token_id", "name", "kind", "scopes", "status", "expires_at")


def new(
    name: Annotated[str, Parameter(help="Identity that the credential is for.")],
    *,
    scope: Annotated[
        list[str] | None, Parameter(negative="", help="agent, person, operator, reviewer or admin; repeat it.")
    ] = None,
    kind: Annotated[str, Parameter(help="program, person or service.")] = "program",
    expires: Annotated[str | None, Parameter(help="End it after, e.g. 90d; else when revoked.")] = None,
    label: Annotated[str, Parameter(help="Cluster of the agent in a rollout.")] = "",
    options: Options = PLAIN,
) -> int:
    """Mint a credential for NAME. Its secret is printed this once."""
    body: Object = {"name": name, "kind": _word(Kind, "--kind", kind), "scopes": _scopes(scope, kind), "label": label}
    if expires:
        body["expires_seconds"] = seconds(expires)
    output = Output(options)
    try:
        issued = row_of(call(options, lambda api: api.issue_token(body)))
    except CommandError as error:
        if error.exit_code is not Exit.UNREACHABLE or options.url is not None:
            raise
        issued = _offline(options, body)
        output.note("no hub is running: minted in its data folder")
    output.one(issued)
    output.note("the secret is not shown again; give it to the agent as CROSSFADE_TOKEN")
    return Exit.OK


def ls(*, options: Options = PLAIN) -> int:
    """List credentials, without their secrets."""
    views = call(options, lambda api: api.tokens())
    Output(options).table([row_of(view, FIELDS) for view in views], FIELDS)
    return Exit.OK


def revoke(token_id: Annotated[str, Parameter(help="As `token ls` prints it.")], *, options: Options = PLAIN) -> int:
    """End a credential at once."""
    Output(options).one(row_of(call(options, lambda api: api.revoke_token(token_id))))
    return Exit.OK


def _word(words: type[Kind] | type[Scope], option: str, text: str) -> str:
    if text not in [word.value for word in words]:
        raise usage(f"{option}: {text!r} is not one of {', '.join(words)}", "see: crossfade token new --help")
    return text


def _scopes(given: list[str] | None, kind: str) -> tuple[str, ...]:
    words = [part.strip() for text in given or [] for part in text.split(",") if part.strip()]
    if not words:
        words = ["person"] if kind == Kind.PERSON else ["agent"]
    return tuple(_word(Scope, "--scope", word) for word in words)


def _offline(options: Options, body: Object) -> dict[str, object]:
    from crossfade.cli.offline import Wanted, issue
    from crossfade.core.decider import Refusal
    from crossfade.engine.ports import LogError, LogInUseError

    config = settings(options)
    try:
        issued = asyncio.run(issue(config, msgspec.convert(body, Wanted)))
    except LogInUseError as error:
        what = f"{error}, but no hub answers at {config.url}"
        raise CommandError("log.in_use", what, "name the running hub: --url", Exit.CONFLICT) from None
    except LogError as error:
        raise CommandError("log.failed", str(error), "crossfade log verify", Exit.ERRORED) from None
    if isinstance(issued, Refusal):
        raise CommandError(issued.code, issued.message, issued.hint, exit_of(issued.code, "RefusedError"))
    return cast("dict[str, object]", msgspec.to_builtins(issued))
