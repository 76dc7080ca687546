"""The board: component by runsheet version, what each specialist said, and whether it is ready.

A row comes from the review of a runsheet (a program reads its values) and from what people signed about the
same digest; where the two differ the more careful one counts. Nothing said is never ready.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, Literal

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.runsheets import Outcome, Role
from crossfade.core.values import Instant

Overall = Literal["production_ready", "not_ready"]

NAMES: Final = {Role.DEVOPS: "DevOps", Role.SECURITY: "Security", Role.PERFORMANCE: "Performance"}
SHOWN: Final[Mapping[str, tuple[str, str]]] = {
    Outcome.APPROVED: ("✅", "Approved"),
    Outcome.APPROVED_WITH_CONTROLS: ("✅", "Approved with controls"),
    Outcome.CONDITIONAL: ("⚠️", "Conditional"),
    Outcome.EMERGENCY_STOP: ("🚨", "Emergency Stop"),
    "production_ready": ("✅", "Production Ready"),
    "not_ready": ("❌", "Not Ready"),
    "": ("·", "Not reviewed"),
}
"""Outcome → mark and words."""


# --- a recorded review ----------------------------------------------------------------------------------


class Status(StrEnum):
    ABSENT = "absent"
    RECORDED = "recorded"


class RoleOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one role's rules said."""

    outcome: Outcome
    findings: dict[str, int] = {}
    """Severity → how many."""
    codes: tuple[str, ...] = ()
    """The findings' codes."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: str
    version: str
    digest: str
    roles: dict[Role, RoleOutcome]
    overall: Overall


class ReviewRecorded(Event, frozen=True, kw_only=True):
    runsheet: str
    """The runsheet's name."""
    version: str
    """Its version."""
    digest: str
    """Hex SHA-256 of its canonical JSON; also the name of the stream."""
    roles: dict[Role, RoleOutcome]
    """What each role said."""
    overall: Overall
    """What follows from it."""


register("review.recorded/1", ReviewRecorded)

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.ABSENT, ReviewRecorded): Status.RECORDED,
    (Status.RECORDED, ReviewRecorded): Status.RECORDED,
}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The last review of one runsheet."""

    status: Status = Status.ABSENT
    review: ReviewRecorded | None = None


def decide(state: State, command: Record, now: Instant) -> tuple[ReviewRecorded, ...] | Refusal:
    """Record it; the same again records nothing. Refuses with: review.no_roles."""
    if not command.roles:
        return Refusal("review.no_roles", "Nobody reviewed it.", "Review it in at least one role.")
    event = ReviewRecorded(**{name: getattr(command, name) for name in Record.__struct_fields__})
    return () if event == state.review else (event,)


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    assert isinstance(event, ReviewRecorded)
    return State(status=status, review=event)


def deadline(state: State) -> Instant | None:
    """None: a review of a digest stays true."""
    return None


DECIDER: Final[Decider[State, Record, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)


# --- the table --------------------------------------------------------------------------------------------


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One component of one version."""

    outcome: str
    """An outcome, ``production_ready`` or ``not_ready``; empty if nobody said anything."""
    mark: str
    title: str
    reviewed: str = ""
    """What the review said."""
    signed: str = ""
    """What a specialist signed; empty if nobody did."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    component: str
    cells: tuple[Cell, ...]
    """One for each version, in their order."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: str
    version: str
    digest: str


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """The whole table; the last row is the verdict."""

    versions: tuple[Version, ...]
    rows: tuple[Row, ...]


def table(reviews: Iterable[ReviewRecorded], signed: Mapping[tuple[str, str], Outcome]) -> Board:
    """The board of the newest review of each name and version, by name and version.

    ``signed``: (runsheet digest, role) → what a specialist signed last.
    """
    newest: dict[tuple[str, str], ReviewRecorded] = {}
    for review in reviews:
        newest[review.runsheet, review.version] = review
    columns = sorted(newest.values(), key=lambda review: (review.runsheet, review.version))
    rows = [Row(component=NAMES[role], cells=tuple(_cell(review, role, signed) for review in columns)) for role in Role]
    verdicts = tuple(
        _shown(overall(row.cells[place].outcome for row in rows), reviewed=review.overall)
        for place, review in enumerate(columns)
    )
    return Board(
        versions=tuple(Version(runsheet=one.runsheet, version=one.version, digest=one.digest) for one in columns),
        rows=(*rows, Row(component="Overall", cells=verdicts)),
    )


def overall(outcomes: Iterable[str]) -> Overall:
    """Ready if every component is approved, with controls or without."""
    ready = {str(Outcome.APPROVED), str(Outcome.APPROVED_WITH_CONTROLS)}
    return "production_ready" if all(outcome in ready for outcome in outcomes) else "not_ready"


def careful(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The most careful of ``outcomes``; None if there is none."""
    order = list(Outcome)
    return max(outcomes, key=order.index, default=None)


def _cell(review: ReviewRecorded, role: Role, signed: Mapping[tuple[str, str], Outcome]) -> Cell:
    found = review.roles.get(role)
    by_program = [] if found is None else [found.outcome]
    by_person = [outcome for outcome in [signed.get((review.digest, role))] if outcome is not None]
    outcome = careful([*by_program, *by_person])
    return _shown(outcome or "", reviewed="".join(by_program), signed="".join(by_person))


def _shown(outcome: str, *, reviewed: str = "", signed: str = "") -> Cell:
    mark, title = SHOWN[outcome]
    return Cell(outcome=outcome, mark=mark, title=title, reviewed=reviewed, signed=signed)
