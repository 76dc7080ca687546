"""Sign-offs, certificates, evidence, reviews and the board over HTTP.

Giving a signature is not here: it is the answer to a question, as any other (questions.py).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from crossfade.core.board import Board
from crossfade.core.decider import Refusal
from crossfade.core.signoff_events import Panel, Parts
from crossfade.core.values import AgentName
from crossfade.engine.signing_views import CertificateView, KeptView, SignoffRequest, SignoffView
from crossfade.inbound.api.questions import Key, Limit
from crossfade.inbound.api.rollout import ReasonBody
from crossfade.inbound.api.routes import Call, Outcome, Strict

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 in hex.")]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
DAYS_MAX = 366


class PartsBody(Strict, frozen=True, kw_only=True):
    """What exactly is to be signed."""

    runsheet: Digest
    evidence: Digest
    flags: Digest


class PanelBody(Strict, frozen=True, kw_only=True):
    """Who may sign in a role, and how many of them it takes."""

    members: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=64)]
    quorum: Annotated[int, Meta(ge=1, le=64)] = 1


class SignoffBody(Strict, frozen=True, kw_only=True):
    """A sign-off to be asked for."""

    subject: Annotated[str, Meta(min_length=1, max_length=200, description="E.g. run/r_01…/phase/canary/entry.")]
    about: Annotated[str, Meta(min_length=1, max_length=4_000, description="The question as people read it.")]
    parts: PartsBody
    roles: Annotated[dict[str, PanelBody], Meta(min_length=1, max_length=16)]
    deadline_seconds: Annotated[float, Meta(gt=0, le=DAYS_MAX * 86_400)]
    valid_seconds: Annotated[
        float, Meta(gt=0, le=DAYS_MAX * 86_400, description="The consent counts so long from now; beyond the deadline.")
    ]
    authors: Annotated[tuple[Name, ...], Meta(max_length=64, description="Who made it; they cannot sign.")] = ()
    summary: Annotated[str, Meta(max_length=8_000, description="The evidence in a few lines.")] = ""
    key: Key | None = None


class EvidenceBody(Strict, frozen=True, kw_only=True):
    """Bytes to be kept."""

    content: Annotated[bytes, Meta(max_length=262_144)]
    media: Annotated[str, Meta(min_length=1, max_length=100)] = "application/octet-stream"


class ReviewBody(Strict, frozen=True, kw_only=True):
    """A runsheet to be reviewed by the hub."""

    runsheet: Annotated[str, Meta(min_length=2, description="Its canonical JSON, as text.")]


class SignoffsQuery(Strict, frozen=True, kw_only=True):
    """Which, and how many."""

    status: Literal["", "open", "approved", "suspended", "stopped", "stale", "expired", "withdrawn"] = ""
    limit: Limit = 100


class CertificatesQuery(Strict, frozen=True, kw_only=True):
    """How many."""

    limit: Limit = 100


class Signoffs(msgspec.Struct, frozen=True, kw_only=True):
    """Sign-offs, newest first."""

    signoffs: list[SignoffView]


class Certificates(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates, newest first."""

    certificates: list[CertificateView]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Where evidence is kept."""

    digest: str


async def request(call: Call[Strict, SignoffBody]) -> Outcome:
    """Ask the members of the roles."""
    body = call.body
    parts = Parts(runsheet=body.parts.runsheet, evidence=body.parts.evidence, flags=body.parts.flags)
    roles = {
        role: Panel(members=tuple(AgentName(name) for name in panel.members), quorum=panel.quorum)
        for role, panel in body.roles.items()
    }
    same = ("subject", "about", "deadline_seconds", "valid_seconds", "authors", "summary")
    given = {name: getattr(body, name) for name in same}
    wanted = SignoffRequest(parts=parts, roles=roles, key=body.key or call.key, **given)
    return await call.hub.signing.request(call.caller, wanted)


async def listing(call: Call[SignoffsQuery, Strict]) -> Outcome:
    """The newest sign-offs."""
    return Signoffs(signoffs=call.hub.signing.signoffs(call.query.limit, call.query.status))


async def signoff(call: Call[Strict, Strict]) -> Outcome:
    """One sign-off."""
    return call.hub.signing.signoff(call.name)


async def withdraw(call: Call[Strict, ReasonBody]) -> Outcome:
    """Take it back."""
    return await call.hub.signing.withdraw(call.caller, call.name, call.body.reason)


async def stop(call: Call[Strict, ReasonBody]) -> Outcome:
    """Emergency stop."""
    return await call.hub.signing.stop(call.caller, call.name, call.body.reason)


async def certificates(call: Call[CertificatesQuery, Strict]) -> Outcome:
    """The newest certificates."""
    return Certificates(certificates=call.hub.signing.certificates.listed(call.query.limit))


async def certificate(call: Call[Strict, Strict]) -> KeptView | Refusal:
    """One certificate's bytes."""
    return await call.hub.signing.certificates.certificate(call.name)


async def evidence(call: Call[Strict, Strict]) -> KeptView | Refusal:
    """Kept bytes."""
    return await call.hub.signing.certificates.evidence(call.name)


async def keep(call: Call[Strict, EvidenceBody]) -> Outcome:
    """Keep bytes."""
    digest = await call.hub.signing.certificates.keep(call.caller, call.body.content, call.body.media)
    return digest if isinstance(digest, Refusal) else Kept(digest=digest)


async def review(call: Call[Strict, ReviewBody]) -> Outcome:
    """Review a runsheet, record and certify it."""
    return await call.hub.signing.reviews.record(call.caller, call.body.runsheet)


async def board(call: Call[Strict, Strict]) -> Board:
    """Component by runsheet version."""
    return call.hub.signing.reviews.board()
