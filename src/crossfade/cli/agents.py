"""``agent``: who can be asked."""

from typing import Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Limit, Options, call
from crossfade.cli.output import Output, row_of

FIELDS: Final = ("name", "kind", "status", "lane", "cluster", "client", "seen_at", "open_questions")

Name = Annotated[str, Parameter(help="Name of the agent.")]


def ls(
    query: Annotated[str, Parameter(help="Part of the name.")] = "", *, limit: Limit = 100, options: Options = PLAIN
) -> int:
    """List agents and people in the order of their names."""
    views = call(options, lambda api: api.agents(query, limit))
    Output(options).table([row_of(view, FIELDS) for view in views], FIELDS)
    return Exit.OK


def show(name: Name, *, options: Options = PLAIN) -> int:
    """Show one agent."""
    found = [view for view in call(options, lambda api: api.agents(name)) if view.name == name]
    if not found:
        raise CommandError("agent.unknown", f"no agent is called {name!r}", "crossfade agent ls", Exit.REFUSED)
    Output(options).one(row_of(found[0]))
    return Exit.OK


def retire(name: Name, *, options: Options = PLAIN) -> int:
    """Retire an agent for good: its tokens end, and nothing can be sent to it."""
    Output(options).one(row_of(call(options, lambda api: api.retire(name))))
    return Exit.OK
