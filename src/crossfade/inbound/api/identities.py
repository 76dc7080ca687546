"""Who is who over HTTP: the caller, the agents, and the tokens (which only an admin sees and makes)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from crossfade.core.decider import Refusal
from crossfade.core.values import Kind, Lane
from crossfade.core.values import Scope as Grant
from crossfade.engine.requests import AgentView, IssuedToken, TokenView
from crossfade.inbound.api.questions import Limit
from crossfade.inbound.api.routes import Call, Outcome, Strict

Expiry = Annotated[
    float, Meta(ge=0, le=3_653 * 86_400, description="At most ten years; left out: until it is revoked.")
]


class AgentsQuery(Strict, frozen=True, kw_only=True):
    """Which agents."""

    query: Annotated[str, Meta(max_length=200, description="Part of the name.")] = ""
    limit: Limit = 100


class IssueBody(Strict, frozen=True, kw_only=True):
    """For whom a token is, and what it allows."""

    name: str
    kind: Kind = Kind.PROGRAM
    scopes: Annotated[tuple[Grant, ...], Meta(min_length=1)] = (Grant.AGENT,)
    expires_seconds: Expiry | None = None
    label: Annotated[str, Meta(max_length=64, description="Cluster of the agent in the rollout.")] = ""


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The caller as the hub sees it."""

    name: str
    kind: Kind
    scopes: tuple[str, ...]
    guest: bool
    lane: Lane | None
    """None: it is no agent yet."""
    status: str
    open_questions: int


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """Agents in the order of their names."""

    agents: list[AgentView]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Every token ever issued; never a secret."""

    tokens: list[TokenView]


async def me(call: Call[Strict, Strict]) -> Outcome:
    """Who the credential says the caller is."""
    caller = call.caller
    agent = call.hub.agent(caller.name)
    return Me(
        name=caller.name,
        kind=caller.kind,
        scopes=tuple(sorted(caller.scopes)),
        guest=caller.guest,
        lane=agent.lane if agent else None,
        status=agent.status if agent else "absent",
        open_questions=agent.open_questions if agent else 0,
    )


async def agents(call: Call[AgentsQuery, Strict]) -> Outcome:
    """Who can be asked."""
    return Agents(agents=await call.hub.agents(call.caller, call.query.query, call.query.limit))


async def retire(call: Call[Strict, Strict]) -> Outcome:
    """Retire an agent for good."""
    return await call.hub.retire(call.caller, call.name)


async def tokens(call: Call[Strict, Strict]) -> Outcome:
    """All tokens."""
    listed = await call.hub.tokens(call.caller)
    return listed if isinstance(listed, Refusal) else Tokens(tokens=listed)


async def issue(call: Call[Strict, IssueBody]) -> IssuedToken | Refusal:
    """Make a token; its secret is in this answer and nowhere else."""
    body = call.body
    return await call.hub.issue_token(
        call.caller, body.name, body.kind, body.scopes, expires_seconds=body.expires_seconds, label=body.label
    )


async def revoke(call: Call[Strict, Strict]) -> Outcome:
    """Make a token worthless from now on."""
    return await call.hub.revoke_token(call.caller, call.name)
