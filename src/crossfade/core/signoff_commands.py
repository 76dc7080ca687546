"""What can be asked of a sign-off. What is accepted, and when, is in signoffs.py."""

import msgspec

from crossfade.core.runsheets import Outcome
from crossfade.core.signoff_events import Condition, Panel, Parts
from crossfade.core.values import AgentName, Instant


class Request(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    about: str
    digest: str
    parts: Parts
    requested_by: AgentName
    roles: dict[str, Panel]
    deadline: Instant
    valid_until: Instant
    authors: tuple[AgentName, ...] = ()
    summary: str = ""
    replaces: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    member: AgentName
    question_id: str


class Give(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    role: str
    outcome: Outcome
    digest: str
    """What they were shown."""
    given_at: Instant
    question_id: str = ""
    conditions: tuple[Condition, ...] = ()
    controls: tuple[str, ...] = ()
    comment: str = ""


class Return(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    question_id: str
    code: str
    message: str


class Abstain(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    question_id: str
    reason: str = ""


class Supersede(msgspec.Struct, frozen=True, kw_only=True):
    digest: str


class Suspend(msgspec.Struct, frozen=True, kw_only=True):
    control: str
    reason: str = ""


class Reinstate(msgspec.Struct, frozen=True, kw_only=True):
    control: str


class Withdraw(msgspec.Struct, frozen=True, kw_only=True):
    by: AgentName
    reason: str = ""


class Expire(msgspec.Struct, frozen=True, kw_only=True):
    """Issued by the timers, after every answer that came in time was taken."""


Command = Request | Ask | Give | Return | Abstain | Supersede | Suspend | Reinstate | Withdraw | Expire
