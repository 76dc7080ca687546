"""Sign-offs, certificates and reviews, as the log says."""

from crossfade.core.board import ReviewRecorded
from crossfade.core.certificates import CertificateIssued
from crossfade.core.signoffs import State
from crossfade.core.values import Instant
from crossfade.engine.timers import Timer


class Entry:
    """One sign-off: its state, and the appointment for its end."""

    __slots__ = ("deadline_timer", "ended_at", "requested_at", "signoff_id", "state")

    def __init__(self, signoff_id: str, state: State, requested_at: Instant) -> None:
        self.signoff_id = signoff_id
        self.state = state
        self.requested_at = requested_at
        self.ended_at: Instant | None = None
        """When it was last decided: given, or brought to its end."""
        self.deadline_timer: Timer | None = None


class Signoffs:
    """Everything about consent, in one place."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.by_question: dict[str, str] = {}
        """Question → the sign-off it was asked for."""
        self.certificates: dict[str, tuple[CertificateIssued, Instant]] = {}
        """Digest → what was issued, and when."""
        self.issued: dict[tuple[str, str, str, str, str], str] = {}
        """(Kind, sign-off or runsheet, role, signer, outcome) → digest of the certificate."""
        self.reviews: dict[str, ReviewRecorded] = {}
        """Digest of a runsheet → its newest review; the newest last."""

    def put_certificate(self, issued: CertificateIssued, at: Instant) -> None:
        """Note a certificate."""
        self.certificates[issued.digest] = (issued, at)
        key = (issued.kind, issued.signoff, issued.role, str(issued.signer), str(issued.outcome))
        self.issued[key] = issued.digest

    def put_review(self, review: ReviewRecorded) -> None:
        """Note a review."""
        self.reviews.pop(review.digest, None)
        self.reviews[review.digest] = review
