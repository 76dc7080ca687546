"""What the inbox shows of a question: its form, its age, its deadline, and what went wrong with an attempt.

Pure: the instant is an argument, nothing is looked up.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from crossfade.core import shapes
from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND, Instant
from crossfade.engine.requests import QuestionView
from crossfade.inbound import errors, forms

STALE: Final = "It was made for another sign-in, or changed on the way. Open the inbox again and repeat what you did."
NOT_RECORDED: Final = Refusal(
    "log.unavailable", "Your answer could not be stored just now.", "It is still here: send it again in a moment."
)
UNITS: Final = ((86_400, "day"), (3_600, "h"), (60, "min"))


class Attempt(msgspec.Struct, frozen=True):
    """An answer that was not accepted, with what was typed."""

    question_id: str
    sent: forms.Sent
    errors: Mapping[str, str]
    failure: str
    """What is wrong with the whole of it; empty if the fields say it."""
    reason: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One open question as the page shows it."""

    question: QuestionView
    controls: tuple[forms.Control, ...]
    asked: str
    """E.g. ``4 min ago``."""
    deadline: str
    """E.g. ``in 2 h 5 min``."""
    urgent: bool
    failure: str = ""
    faults: int = 0
    focus: str = ""
    """Name of the first input that is wrong."""
    reason: str = ""


def card(question: QuestionView, attempt: Attempt | None, now: Instant) -> Card:
    """The card of ``question``; filled as it was sent if ``attempt`` is about it."""
    shape = shapes.from_raw(question.schema)
    mine = attempt if attempt is not None and attempt.question_id == question.question_id else None
    left_seconds = _seconds(question.deadline, now)
    controls = forms.controls(shape, mine.sent, mine.errors) if mine else forms.controls(shape)
    return Card(
        question=question,
        controls=controls,
        asked=ago(-_seconds(question.asked_at, now)),
        deadline=until(left_seconds),
        urgent=left_seconds < 120,
        failure=mine.failure if mine else "",
        faults=len(mine.errors) if mine else 0,
        focus=next((control.name for control in controls if control.error), ""),
        reason=mine.reason if mine else "",
    )


def ago(seconds: float) -> str:
    """An age for people."""
    return "just now" if seconds < 5 else f"{span(seconds)} ago"


def until(seconds: float) -> str:
    """A remaining time for people."""
    return "now" if seconds < 1 else f"in {span(seconds)}"


def span(seconds: float) -> str:
    """A duration in its two largest units: ``45 s``, ``4 min``, ``2 h 5 min``, ``3 days``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    parts = []
    for size, name in UNITS:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {name}{'s' if name == 'day' and count > 1 else ''}")
    return " ".join(parts[:2])


def sentence(refusal: Refusal) -> str:
    """A refusal in words for a page."""
    return f"{refusal.message} {refusal.hint}".strip()


def failure(status: int) -> bytes:
    """The JSON of a path or method that does not exist, for programs that came to the console."""
    return errors.body_of(errors.NOT_FOUND if status == 404 else errors.wrong_method("the method in `Allow`"))


def _seconds(instant: str, now: Instant) -> float:
    return datetime.fromisoformat(instant).timestamp() - now / SECOND
