"""A sign-off in words for the signer, and as users read it."""

from crossfade.core.signoff_events import Given, Stopped
from crossfade.core.signoffs import State
from crossfade.engine.signing_claims import certificate_of, condition_text
from crossfade.engine.signing_views import AskedView, ConditionView, RoleView, SignatureView, SignoffView
from crossfade.engine.views.instants import iso
from crossfade.engine.views.signoffs import Entry, Signoffs

SHOWN = 12
"""Digits of a digest that people are shown."""


def asking_text(state: State, member: str, returned: str) -> str:
    """The question put to a member; the same for the same state, so that asking again is asking once."""
    parts = state.parts
    roles = state.roles_of(member)
    needed = ", ".join(f"{role} {panel.quorum} of {len(state.candidates(role))}" for role, panel in state.roles.items())
    named = ", ".join(f"{name} {getattr(parts, name)[:SHOWN]}" for name in parts.__struct_fields__)
    lines = [
        f"Sign-off as {' or '.join(roles)}: {state.about}",
        f"Subject: {state.subject}",
        f"Digest: {state.digest[:SHOWN]} ({named})",
        *([f"Evidence: {state.summary}"] if state.summary else []),
        f"Needed: {needed}. Asked for by {state.requested_by}.",
        f"Sign until {iso(state.deadline)}; it counts until {iso(state.valid_until)} at most.",
        "An emergency stop by any one of you ends it at once. To abstain, decline.",
    ]
    if returned:
        lines.insert(0, f"Your answer could not be used: {returned}")
    return "\n".join(lines)


def view_of(entry: Entry, view: Signoffs) -> SignoffView:
    """The sign-off as users read it."""
    state = entry.state
    whole = ("signoff", entry.signoff_id, "", str(state.requested_by), str(state.outcome))
    return SignoffView(
        signoff_id=entry.signoff_id,
        status=state.status,
        outcome=state.outcome or "",
        subject=state.subject,
        about=state.about,
        digest=state.digest,
        parts=state.parts,
        requested_by=state.requested_by,
        authors=state.authors,
        requested_at=iso(entry.requested_at),
        deadline=iso(state.deadline),
        valid_until=iso(state.lasts_until),
        ended_at=None if entry.ended_at is None else iso(entry.ended_at),
        roles={name: _role(state, name) for name in state.roles},
        missing=state.missing(),
        signatures=tuple(_signature(entry, one, view) for one in state.said),
        asked=tuple(
            AskedView(member=member, question_id=question_id, returned=state.returned.get(question_id, ""))
            for question_id, member in state.asked.items()
        ),
        abstained={str(name): reason for name, reason in state.abstained.items()},
        conditions=tuple(
            ConditionView(expression=one.expression, expires_at=iso(one.expires_at), by=given.by, role=given.role)
            for given in state.signatures
            for one in given.conditions
        ),
        controls=state.controls,
        failing=state.failing,
        certificate=view.issued.get(whole, ""),
        summary=state.summary,
        reason=state.reason,
        replaces=state.replaces,
    )


def _role(state: State, name: str) -> RoleView:
    panel = state.roles[name]
    signed = sum(signature.role == name for signature in state.signatures)
    return RoleView(members=panel.members, quorum=panel.quorum, signed=signed)


def _signature(entry: Entry, signature: Given | Stopped, view: Signoffs) -> SignatureView:
    given = signature if isinstance(signature, Given) else None
    return SignatureView(
        by=signature.by,
        role=signature.role,
        outcome="emergency_stop" if given is None else given.outcome,
        at=iso(signature.given_at),
        question_id=signature.question_id,
        comment=signature.comment,
        conditions=() if given is None else tuple(map(condition_text, given.conditions)),
        controls=() if given is None else given.controls,
        certificate=certificate_of(entry.signoff_id, signature, view),
    )
