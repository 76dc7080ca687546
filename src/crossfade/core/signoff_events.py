"""What a sign-off is made of, and every event in its life. What may happen when is in signoffs.py."""

from enum import StrEnum
from hashlib import sha256

import msgspec

from crossfade.core.records import Event, register
from crossfade.core.runsheets import Outcome
from crossfade.core.values import AgentName, Instant


class Status(StrEnum):
    """Where a sign-off is in its life."""

    ABSENT = "absent"
    OPEN = "open"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    """Approved, but a control that the approval rests on fails."""
    STOPPED = "stopped"
    """A specialist stopped it."""
    STALE = "stale"
    """What was signed is no longer what is there."""
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Who may sign in a role, and how many of them it takes."""

    members: tuple[AgentName, ...]
    quorum: int = 1


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign-off is about, as hex SHA-256 of each part's bytes."""

    runsheet: str
    """Of the runsheet's canonical JSON."""
    evidence: str
    """Of the facts that the signers decide on."""
    flags: str
    """Of the state of the rollout's flags."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """An extra gate. The consent that rests on it ends when it does."""

    expression: str
    """``METRIC < NUMBER``, or the name of a check or a threshold; what cannot be measured does not pass."""
    expires_at: Instant


def digest_of(parts: Parts) -> str:
    """Hex SHA-256 over the canonical JSON (RFC 8785) of the three digests."""
    return sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


# --- events: their fields are the format on disk ------------------------------------------------------


class Requested(Event, frozen=True, kw_only=True):
    subject: str
    """What is to be signed, e.g. ``run/r_01…/phase/canary/entry``."""
    about: str
    """The question as people read it."""
    digest: str
    """``digest_of(parts)``: what exactly is to be signed."""
    parts: Parts
    """The digests behind it."""
    requested_by: AgentName
    """Who asks; cannot sign."""
    authors: tuple[AgentName, ...] = ()
    """Who made what is to be signed; cannot sign either."""
    roles: dict[str, Panel]
    """Role → its members and quorum."""
    deadline: Instant
    """Not signed by all by then: expired."""
    valid_until: Instant
    """The consent ends at this instant at the latest."""
    summary: str = ""
    """The evidence in a few lines, for the signers."""
    replaces: str = ""
    """The stale sign-off that this one was asked again for."""


class Asked(Event, frozen=True, kw_only=True):
    member: AgentName
    """Who was asked."""
    question_id: str
    """The question in the hub."""


class Given(Event, frozen=True, kw_only=True):
    by: AgentName
    """Who signed."""
    role: str
    """In which role; one each."""
    outcome: Outcome
    """What they said; never an emergency stop, which is ``Stopped``."""
    given_at: Instant
    """When the answer came."""
    question_id: str = ""
    """The question it answers."""
    conditions: tuple[Condition, ...] = ()
    """Extra gates, each with an end."""
    controls: tuple[str, ...] = ()
    """Names of the probes that have to hold all the while."""
    comment: str = ""
    """Free text."""


class Returned(Event, frozen=True, kw_only=True):
    by: AgentName
    """Whose answer could not be used; they are asked again."""
    question_id: str
    """The question that was answered."""
    code: str
    """Why, as a refusal's code."""
    message: str
    """Why, for the next question."""


class Abstained(Event, frozen=True, kw_only=True):
    by: AgentName
    """Who declined to sign."""
    question_id: str
    """The question that was declined."""
    reason: str = ""
    """Why."""


class Approved(Event, frozen=True, kw_only=True):
    outcome: Outcome
    """The most careful of the outcomes given."""


class Stopped(Event, frozen=True, kw_only=True):
    by: AgentName
    """The specialist who stopped it."""
    role: str
    """Their role."""
    given_at: Instant
    """When they said so."""
    question_id: str = ""
    """The question it answers; empty if they were not asked."""
    comment: str = ""
    """Why."""


class Superseded(Event, frozen=True, kw_only=True):
    digest: str
    """What is there now, and is not what was to be signed."""


class Suspended(Event, frozen=True, kw_only=True):
    control: str
    """The control that fails."""
    reason: str = ""
    """What the probe saw."""


class ControlRecovered(Event, frozen=True, kw_only=True):
    control: str
    """The control that holds again, while another still fails."""


class Reinstated(Event, frozen=True, kw_only=True):
    control: str
    """The last failing control, which holds again."""


class Withdrawn(Event, frozen=True, kw_only=True):
    by: AgentName
    """Who took the request back."""
    reason: str = ""
    """Why."""


class Expired(Event, frozen=True, kw_only=True):
    """Not all signed in time, or the consent came to its end."""


SignoffEvent = (
    Requested
    | Asked
    | Given
    | Returned
    | Abstained
    | Approved
    | Stopped
    | Superseded
    | Suspended
    | ControlRecovered
    | Reinstated
    | Withdrawn
    | Expired
)

register("signoff.requested/1", Requested)
register("signoff.asked/1", Asked)
register("signoff.given/1", Given)
register("signoff.returned/1", Returned)
register("signoff.abstained/1", Abstained)
register("signoff.approved/1", Approved)
register("signoff.stopped/1", Stopped)
register("signoff.superseded/1", Superseded)
register("signoff.suspended/1", Suspended)
register("signoff.control_recovered/1", ControlRecovered)
register("signoff.reinstated/1", Reinstated)
register("signoff.withdrawn/1", Withdrawn)
register("signoff.expired/1", Expired)
