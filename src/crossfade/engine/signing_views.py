"""What is handed to the sign-offs and got back: plain data, like engine/requests.py."""

import msgspec

from crossfade.core.board import RoleOutcome
from crossfade.core.runsheets import Role
from crossfade.core.signoff_events import Panel, Parts


class SignoffRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the members of roles for their consent to exactly these parts."""

    subject: str
    """E.g. ``run/r_01…/phase/canary/entry``."""
    about: str
    """The question as people read it."""
    parts: Parts
    roles: dict[str, Panel]
    deadline_seconds: float
    """From now: until when all have to have signed."""
    valid_seconds: float
    """From now: how long the consent lasts; more than ``deadline_seconds``."""
    authors: tuple[str, ...] = ()
    """Who made what is signed; cannot sign, as cannot who asks."""
    summary: str = ""
    """The evidence in a few lines."""
    key: str | None = None
    """Idempotency key."""
    replaces: str = ""


class ConditionView(msgspec.Struct, frozen=True, kw_only=True):
    expression: str
    expires_at: str
    by: str
    role: str


class SignatureView(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    role: str
    outcome: str
    at: str
    question_id: str
    comment: str = ""
    conditions: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    certificate: str = ""
    """Digest; empty for the moment until it is made."""


class AskedView(msgspec.Struct, frozen=True, kw_only=True):
    member: str
    question_id: str
    returned: str = ""
    """Why the answer could not be used; the member was asked again."""


class RoleView(msgspec.Struct, frozen=True, kw_only=True):
    members: tuple[str, ...]
    quorum: int
    signed: int


class SignoffView(msgspec.Struct, frozen=True, kw_only=True):
    signoff_id: str
    status: str
    """open, approved, suspended, stopped, stale, expired or withdrawn."""
    outcome: str
    """Of the whole: approved, approved_with_controls, conditional, emergency_stop; empty while open."""
    subject: str
    about: str
    digest: str
    parts: Parts
    requested_by: str
    authors: tuple[str, ...]
    requested_at: str
    deadline: str
    valid_until: str
    """When the consent ends: as asked for, or with the first condition that ends."""
    ended_at: str | None
    roles: dict[str, RoleView]
    missing: dict[str, int]
    """Role → signatures still needed."""
    signatures: tuple[SignatureView, ...]
    asked: tuple[AskedView, ...]
    abstained: dict[str, str]
    conditions: tuple[ConditionView, ...]
    """Extra gates."""
    controls: tuple[str, ...]
    failing: tuple[str, ...]
    """Controls that fail now."""
    certificate: str
    """Of the whole; empty unless approved."""
    summary: str
    reason: str
    replaces: str

    @property
    def holds(self) -> bool:
        """The consent counts now; its conditions are still to be passed as gates."""
        return self.status == "approved"


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    kind: str
    subject: str
    role: str
    outcome: str
    signer: str
    signoff: str
    keyid: str
    issued_at: str


class KeptView(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes by their digest."""

    digest: str
    media: str
    size_bytes: int
    content: bytes
    """Base64 in JSON."""


class ReviewView(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: str
    version: str
    digest: str
    overall: str
    roles: dict[Role, RoleOutcome]
    certificates: dict[str, str]
    """Role → digest of its certificate."""
