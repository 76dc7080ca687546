"""The board reproduces the source's table from the two shipped runsheets, and fails closed."""

import msgspec
import pytest

from crossfade.core import board
from crossfade.core.board import ReviewRecorded, RoleOutcome
from crossfade.core.decider import Refusal
from crossfade.core.evidence import EvidenceKept as Kept
from crossfade.core.runsheets import Outcome, Role
from crossfade.core.values import Instant
from crossfade.engine.reviewing import recorded_as
from crossfade.runsheets.loader import Loaded, load

SOURCE = """\
| Component | Version 1.0 | Version 2.0 |
|-----------|------------|-------------|
| DevOps | ⚠️ Conditional | ✅ Approved |
| Security | 🚨 Emergency Stop | ✅ Approved with controls |
| Performance | ⚠️ Conditional | ✅ Approved |
| **Overall** | **❌ Not Ready** | **✅ Production Ready** |
"""
"""As the plan that this product carries out has it."""


def shipped(name: str) -> ReviewRecorded:
    """The review of a shipped runsheet."""
    loaded = load(name)
    assert isinstance(loaded, Loaded)
    return ReviewRecorded(**msgspec.structs.asdict(recorded_as(loaded.runsheet, loaded.digest)))


def shown(found: board.Board) -> list[list[str]]:
    """The rows as people see them."""
    return [[row.component, *(f"{cell.mark} {cell.title}" for cell in row.cells)] for row in found.rows]


@pytest.mark.requirement("P23")
@pytest.mark.requirement("P2")
def test_the_board_of_both_shipped_runsheets_is_the_table_of_the_source() -> None:
    found = board.table([shipped("elicitation-v2"), shipped("elicitation-v1")], {})
    lines = [line.replace("*", "") for line in SOURCE.splitlines()]
    wanted = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert shown(found) == wanted
    assert [f"Version {one.version}" for one in found.versions] == [c.strip() for c in lines[0].split("|")[2:4]]


def review(digest: str = "a", version: str = "1", **outcomes: Outcome) -> ReviewRecorded:
    """A review in some roles."""
    roles = {Role(role): RoleOutcome(outcome=outcome) for role, outcome in outcomes.items()}
    return ReviewRecorded(runsheet="x", version=version, digest=digest, roles=roles, overall="production_ready")


GOOD = {str(role): Outcome.APPROVED for role in Role}


def verdict(found: board.Board, column: int = 0) -> str:
    """The last row."""
    return found.rows[-1].cells[column].outcome


def test_what_was_signed_counts_where_it_is_more_careful_and_never_makes_a_review_better() -> None:
    one = review(**GOOD)
    for signed, reviewed, shows in (
        (Outcome.EMERGENCY_STOP, Outcome.APPROVED, Outcome.EMERGENCY_STOP),
        (Outcome.APPROVED, Outcome.CONDITIONAL, Outcome.CONDITIONAL),
        (Outcome.APPROVED_WITH_CONTROLS, Outcome.APPROVED, Outcome.APPROVED_WITH_CONTROLS),
    ):
        one = review(**{**GOOD, "security": reviewed})
        found = board.table([one], {("a", Role.SECURITY): signed, ("b", Role.DEVOPS): Outcome.EMERGENCY_STOP})
        cell = found.rows[1].cells[0]
        assert (cell.outcome, cell.reviewed, cell.signed) == (shows, reviewed, signed)
        assert verdict(found) == ("production_ready" if shows.startswith("approved") else "not_ready")


def test_a_role_that_said_nothing_is_never_ready() -> None:
    found = board.table([review(devops=Outcome.APPROVED, security=Outcome.APPROVED)], {})
    assert (found.rows[2].cells[0].title, verdict(found)) == ("Not reviewed", "not_ready")
    assert board.table([], {}).rows[-1].cells == ()


def test_the_newest_review_of_a_version_is_shown() -> None:
    found = board.table([review("a", **GOOD), review("b", **{**GOOD, "devops": Outcome.CONDITIONAL})], {})
    assert ([one.digest for one in found.versions], verdict(found)) == (["b"], "not_ready")


def test_a_column_says_which_runsheet_it_is_of_and_columns_stand_by_name_and_version() -> None:
    other = msgspec.structs.replace(review("d", "1", **GOOD), runsheet="w")
    found = board.table([review("a", "2", **GOOD), review("b", "1", **GOOD), other], {})
    columns = [(one.runsheet, one.version, one.digest) for one in found.versions]
    assert columns == [("w", "1", "d"), ("x", "1", "b"), ("x", "2", "a")]


def test_a_cell_says_what_was_reviewed_and_what_was_signed_even_where_they_differ() -> None:
    one = review(devops=Outcome.CONDITIONAL, security=Outcome.APPROVED)
    one = msgspec.structs.replace(one, overall="production_ready")
    found = board.table([one], {("a", Role.SECURITY): Outcome.EMERGENCY_STOP})
    cells = [(row.component, row.cells[0].reviewed, row.cells[0].signed) for row in found.rows]
    assert cells == [
        ("DevOps", "conditional", ""),
        ("Security", "approved", "emergency_stop"),
        ("Performance", "", ""),
        ("Overall", "production_ready", ""),
    ]
    assert verdict(found) == "not_ready", "what a review says of itself counts for nothing"


def test_the_most_careful_outcome_is_the_last_in_order_of_care_not_of_the_alphabet() -> None:
    assert board.careful(list(Outcome)) is Outcome.EMERGENCY_STOP
    assert board.careful([Outcome.CONDITIONAL, Outcome.APPROVED_WITH_CONTROLS]) is Outcome.CONDITIONAL
    assert board.careful([Outcome.APPROVED, Outcome.APPROVED_WITH_CONTROLS]) is Outcome.APPROVED_WITH_CONTROLS
    assert board.careful([Outcome.EMERGENCY_STOP, Outcome.APPROVED]) is Outcome.EMERGENCY_STOP
    assert board.careful([]) is None


def test_a_review_is_recorded_again_only_if_it_says_something_else() -> None:
    record = board.Record(**msgspec.structs.asdict(review(**GOOD)))
    events = board.decide(board.State(), record, Instant(1))
    assert not isinstance(events, Refusal)
    state = board.DECIDER.fold(events)
    assert (state.status, state.review) == (board.Status.RECORDED, events[0])
    with pytest.raises(KeyError):
        board.evolve(state, Kept(digest="d", media="", size_bytes=0, content=b""))
    assert board.decide(state, record, Instant(2)) == ()
    other = msgspec.structs.replace(record, overall="not_ready")
    again = board.decide(state, other, Instant(2))
    assert not isinstance(again, Refusal)
    assert board.evolve(state, again[0]).review == again[0]
    nobody = board.decide(state, msgspec.structs.replace(record, roles={}), Instant(2))
    assert isinstance(nobody, Refusal)
    assert (nobody.code, board.deadline(state)) == ("review.no_roles", None)
