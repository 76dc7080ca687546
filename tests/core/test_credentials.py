"""Tokens: issued once with a scope and an end ahead, revoked once, and known by their hash alone."""

import msgspec
import pytest

from crossfade.core import credentials, records
from crossfade.core.credentials import Issue, Issued, Revoke, Revoked, State
from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND, AgentName, Instant, Kind, Scope
from tests.kit.machines import Machine, documented
from tests.kit.tables import ids, rows

NOW, LATER = Instant(2_000), Instant(2_001)
ISSUE = Issue(
    name=AgentName("ana"),
    kind=Kind.PERSON,
    scopes=(Scope.AGENT, Scope.OPERATOR),
    digest="d" * 64,
    expires_at=LATER,
    label="team-1",
)
COMMANDS: dict[str, credentials.Command] = {
    "issue": ISSUE,
    "issue, for ever": msgspec.structs.replace(ISSUE, expires_at=None),
    "issue, ends now": msgspec.structs.replace(ISSUE, expires_at=NOW),
    "issue, ends too far": msgspec.structs.replace(ISSUE, expires_at=Instant(400 * 366 * 86_400 * 10**9)),
    "issue, no scope": msgspec.structs.replace(ISSUE, scopes=()),
    "revoke": Revoke(),
}
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "nothing": ([], NOW),
    "valid": (["issue"], NOW),
    "valid for ever": (["issue, for ever"], NOW),
    "expired": (["issue"], Instant(9_000)),
    "revoked": (["issue", "revoke"], NOW),
}


def describe(state: State) -> str:
    """Status, scopes and end."""
    return f"{state.status}, {'+'.join(state.scopes)}, until {state.expires_at or 'revoked'}"


MACHINE = Machine(credentials.DECIDER, COMMANDS, GIVEN, describe, NOW)
TABLE = rows("credentials")


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert MACHINE.outcome(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    assert [(row["given"], row["when"]) for row in TABLE] == MACHINE.pairs()


def test_every_transition_and_every_refusal_is_in_the_table() -> None:
    assert MACHINE.transitions() == set(credentials.NEXT)
    assert MACHINE.refusals() == documented(credentials.decide)


def test_a_credential_is_what_was_issued_field_by_field() -> None:
    for names in (("issue",), ("issue", "revoke")):
        state = MACHINE.after(*names)
        issued = {name: getattr(ISSUE, name) for name in Issue.__struct_fields__}
        assert {name: getattr(state, name) for name in issued} == issued


def test_what_is_recorded_has_room_for_a_hash_and_none_for_a_secret() -> None:
    assert set(Issued.__struct_fields__) == {"name", "kind", "scopes", "digest", "expires_at", "label"}
    assert records.encode(Revoked()) == b"{}"


def test_an_event_that_cannot_follow_is_a_fault() -> None:
    [issued] = credentials.decide(State(), ISSUE, NOW)  # type: ignore[misc]
    for state, event in (
        (State(), Revoked()),
        (MACHINE.after("issue"), issued),
        (MACHINE.after("issue", "revoke"), Revoked()),
    ):
        with pytest.raises(KeyError):
            credentials.evolve(state, event)


def test_time_alone_never_changes_a_credential() -> None:
    assert {credentials.deadline(MACHINE.after(*names)) for names, _ in GIVEN.values()} == {None}


@pytest.mark.parametrize(("beyond", "code"), [(0, ""), (1, "token.expiry_far")])
def test_a_credential_lives_ten_years_at_most_from_the_day_it_is_issued(beyond: int, code: str) -> None:
    now = Instant(1_800_000_000 * SECOND)
    end = Instant(now + 10 * 366 * 86_400 * SECOND + beyond)
    outcome = credentials.decide(State(), msgspec.structs.replace(ISSUE, expires_at=end), now)
    assert (outcome.code if isinstance(outcome, Refusal) else "") == code
