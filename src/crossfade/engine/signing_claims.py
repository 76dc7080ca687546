"""What the certificates of a sign-off say."""

from crossfade.core.certificates import Claim
from crossfade.core.runsheets import Outcome
from crossfade.core.signoff_events import Condition, Given, Stopped
from crossfade.core.signoffs import State
from crossfade.engine.views.instants import iso
from crossfade.engine.views.signoffs import Entry, Signoffs

REQUEST = "request"
"""Name of the subject that stands for all parts together."""


def subjects(state: State) -> dict[str, str]:
    """What was signed: the three parts, and all of them together."""
    parts = state.parts
    return {"runsheet": parts.runsheet, "evidence": parts.evidence, "flags": parts.flags, REQUEST: state.digest}


def condition_text(condition: Condition) -> str:
    """``EXPRESSION until INSTANT``."""
    return f"{condition.expression} until {iso(condition.expires_at)}"


def signature_claim(entry: Entry, signature: Given | Stopped) -> Claim:
    """What one specialist said."""
    given = signature if isinstance(signature, Given) else None
    return Claim(
        kind="signature",
        subject=entry.state.subject,
        role=signature.role,
        outcome=Outcome.EMERGENCY_STOP if given is None else given.outcome,
        signer=signature.by,
        at=iso(signature.given_at),
        about=entry.state.about,
        comment=signature.comment,
        signoff=entry.signoff_id,
        conditions=() if given is None else tuple(map(condition_text, given.conditions)),
        controls=() if given is None else given.controls,
        valid_until=iso(entry.state.valid_until),
    )


def whole_claim(entry: Entry, view: Signoffs) -> Claim:
    """What all of them said together; names the certificates of the signatures."""
    state = entry.state
    assert state.outcome is not None
    return Claim(
        kind="signoff",
        subject=state.subject,
        outcome=state.outcome,
        signer=state.requested_by,
        at=iso(state.signatures[-1].given_at),
        about=state.about,
        signoff=entry.signoff_id,
        conditions=tuple(map(condition_text, state.conditions)),
        controls=state.controls,
        signatures=tuple(certificate_of(entry.signoff_id, signature, view) for signature in state.signatures),
        valid_until=iso(state.lasts_until),
    )


def certificate_of(signoff_id: str, signature: Given | Stopped, view: Signoffs) -> str:
    """Digest of a signature's certificate; empty until it is made."""
    outcome = signature.outcome if isinstance(signature, Given) else Outcome.EMERGENCY_STOP
    return view.issued.get(("signature", signoff_id, signature.role, signature.by, str(outcome)), "")
