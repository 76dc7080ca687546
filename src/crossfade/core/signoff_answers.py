"""The form in which a sign-off is asked for, and how what was filled in is read.

The form is an ordinary shape (shapes.py), so every client shows it. What a shape cannot say (conditions
go with ``conditional``) is refused when the sign-off takes the answer, and the member is asked again.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.runsheets import Outcome
from crossfade.core.signoff_events import Condition
from crossfade.core.values import SECOND, Instant

LINES_MAX: Final = 20
"""Conditions, and controls, of one signature."""
LINE_LENGTH_MAX: Final = 300
TITLES: Final = {
    Outcome.APPROVED: "Approved",
    Outcome.APPROVED_WITH_CONTROLS: "Approved with controls",
    Outcome.CONDITIONAL: "Conditional",
    Outcome.EMERGENCY_STOP: "Emergency stop",
}
_UNTIL: Final = re.compile(r"(.+?)\s+until\s+(\S+)", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A filled-in form."""

    role: str
    outcome: Outcome
    conditions: tuple[Condition, ...]
    controls: tuple[str, ...]
    comment: str


class _Form(msgspec.Struct, kw_only=True):
    outcome: Outcome
    role: str = ""
    comment: str = ""
    conditions: str = ""
    controls: str = ""


def schema(roles: tuple[str, ...]) -> msgspec.Raw:
    """The form for somebody who may sign in ``roles``; with more than one it asks which."""
    options = [{"const": str(outcome), "title": title} for outcome, title in TITLES.items()]
    properties: dict[str, object] = {"outcome": {"type": "string", "title": "Outcome", "oneOf": options}}
    if len(roles) > 1:
        properties["role"] = {"type": "string", "title": "Sign as", "enum": list(roles)}
    length = LINES_MAX * LINE_LENGTH_MAX
    properties["comment"] = {"type": "string", "title": "Comment", "maxLength": length}
    properties["conditions"] = {
        "type": "string",
        "title": "Conditions",
        "description": "For conditional, one a line: `error_rate < 0.001`, `rollback.rehearsed until 2027-01-31`.",
        "maxLength": length,
    }
    properties["controls"] = {
        "type": "string",
        "title": "Controls",
        "description": "For approved with controls: names of the probes that have to hold, one a line.",
        "maxLength": length,
    }
    required = [name for name in ("outcome", "role") if name in properties]
    return msgspec.Raw(msgspec.json.encode({"type": "object", "properties": properties, "required": required}))


def read(content: msgspec.Raw, roles: tuple[str, ...], valid_until: Instant) -> Said | Refusal:
    """What a form says that fitted ``schema(roles)``.

    A condition lasts until ``valid_until`` at most. Refuses with: signoff.bad_condition,
    signoff.bad_control. Raises msgspec.ValidationError for content that never fitted.
    """
    form = msgspec.json.decode(content, type=_Form)
    lines = [line.strip() for line in form.conditions.splitlines() if line.strip()]
    if len(lines) > LINES_MAX or any(len(line) > LINE_LENGTH_MAX for line in lines):
        what = f"At most {LINES_MAX} conditions of {LINE_LENGTH_MAX} characters."
        return Refusal("signoff.bad_condition", what, "Put less in.")
    conditions = []
    for line in lines:
        condition = _condition(line, valid_until)
        if isinstance(condition, Refusal):
            return condition
        conditions.append(condition)
    controls = tuple(dict.fromkeys(part for part in re.split(r"[\s,]+", form.controls) if part))
    odd = next((name for name in controls if not _NAME.fullmatch(name)), "")
    if odd:
        return Refusal(
            "signoff.bad_control", f"{odd[:64]!r} is not the name of a control.", "Write one name a line: siem.quiet."
        )
    if len(controls) > LINES_MAX:
        return Refusal("signoff.bad_control", f"At most {LINES_MAX} controls.", "Put less in.")
    return Said(
        role=form.role or roles[0],
        outcome=form.outcome,
        conditions=tuple(conditions),
        controls=controls,
        comment=form.comment.strip(),
    )


def _condition(line: str, valid_until: Instant) -> Condition | Refusal:
    """``EXPRESSION`` or ``EXPRESSION until DATE``; a date without a time is meant to its end, in UTC."""
    found = _UNTIL.fullmatch(line)
    if found is None:
        return Condition(expression=line, expires_at=valid_until)
    try:
        end = datetime.fromisoformat(found[2])
        if "T" not in found[2].upper():
            end += timedelta(days=1)
    except (ValueError, OverflowError):
        return Refusal(
            "signoff.bad_condition",
            f"{found[2]!r} is not a date.",
            "Write `until 2027-01-31` or `until 2027-01-31T18:00Z`.",
        )
    seconds = int((end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp())
    return Condition(expression=found[1], expires_at=min(Instant(seconds * SECOND), valid_until))
