"""The form of a sign-off: an ordinary shape, and every way in which it can be filled in."""

import msgspec
import pytest

from crossfade.core import shapes, signoff_answers
from crossfade.core.decider import Refusal
from crossfade.core.runsheets import Outcome
from crossfade.core.values import SECOND, Instant
from tests.kit.zones import standing_in

END = Instant(1_900_000_000 * SECOND)


def read(roles: tuple[str, ...] = ("security",), **content: str) -> signoff_answers.Said | Refusal:
    """What a filled-in form says; it must fit the shape."""
    raw = msgspec.Raw(msgspec.json.encode({"outcome": "approved", **content}))
    shape = shapes.parse(msgspec.json.decode(signoff_answers.schema(roles)))
    assert not isinstance(shape, Refusal)
    assert shapes.check_raw(shapes.canonical(shape), raw) is None
    return signoff_answers.read(raw, roles, END)


def test_the_four_outcomes_are_offered_by_their_titles_and_a_role_only_if_there_is_a_choice() -> None:
    one, two = (msgspec.json.decode(signoff_answers.schema(roles)) for roles in (("a",), ("a", "b")))
    options = one["properties"]["outcome"]["oneOf"]
    assert [option["const"] for option in options] == [str(outcome) for outcome in Outcome]
    assert ("role" in one["properties"], two["properties"]["role"]["enum"]) == (False, ["a", "b"])
    assert two["required"] == ["outcome", "role"]


def test_a_form_says_what_goes_where() -> None:
    written = msgspec.json.decode(signoff_answers.schema(("a", "b")))
    length = written["properties"]["comment"]["maxLength"]
    assert written == {
        "type": "object",
        "properties": {
            "outcome": {
                "type": "string",
                "title": "Outcome",
                "oneOf": [
                    {"const": "approved", "title": "Approved"},
                    {"const": "approved_with_controls", "title": "Approved with controls"},
                    {"const": "conditional", "title": "Conditional"},
                    {"const": "emergency_stop", "title": "Emergency stop"},
                ],
            },
            "role": {"type": "string", "title": "Sign as", "enum": ["a", "b"]},
            "comment": {"type": "string", "title": "Comment", "maxLength": length},
            "conditions": {
                "type": "string",
                "title": "Conditions",
                "description": "For conditional, one a line: `error_rate < 0.001`, "
                "`rollback.rehearsed until 2027-01-31`.",
                "maxLength": length,
            },
            "controls": {
                "type": "string",
                "title": "Controls",
                "description": "For approved with controls: names of the probes that have to hold, one a line.",
                "maxLength": length,
            },
        },
        "required": ["outcome", "role"],
    }


def test_lines_are_conditions_and_words_are_controls() -> None:
    said = read(
        conditions=" a < 1 \n\n b until 2027-01-31\nc UNTIL 2027-01-31T18:00Z", controls="x, y\nx", comment=" k "
    )
    assert not isinstance(said, Refusal)
    assert [(one.expression, one.expires_at) for one in said.conditions] == [
        ("a < 1", END),
        ("b", 1_801_440_000 * SECOND),
        ("c", 1_801_418_400 * SECOND),
    ]
    assert (said.controls, said.comment, said.role) == (("x", "y"), "k", "security")


def test_a_form_says_which_of_the_outcomes_was_chosen() -> None:
    for outcome in Outcome:
        said = read(outcome=str(outcome))
        assert not isinstance(said, Refusal)
        assert said.outcome is outcome


def test_as_much_as_may_be_written_is_read() -> None:
    lines = [*(f"{number} < ".ljust(300, "x") for number in range(19)), "19 < x"]
    said = read(conditions="\n".join(lines), controls=" ".join(f"c{number}" for number in range(20)))
    assert not isinstance(said, Refusal)
    assert ([one.expression for one in said.conditions], len(said.controls)) == (lines, 20)
    odd = read(controls="é" * 70)
    assert isinstance(odd, Refusal)
    assert odd.message == f"{'é' * 64!r} is not the name of a control."


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_date_is_in_utc_wherever_the_hub_stands_unless_it_says_otherwise(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing_in(zone, monkeypatch):
        said = read(conditions="a until 2027-01-31\nb until 2027-01-31T18:00\nc until 2027-01-31T18:00+02:00")
    assert not isinstance(said, Refusal)
    assert [one.expires_at for one in said.conditions] == [
        1_801_440_000 * SECOND,
        1_801_418_400 * SECOND,
        1_801_411_200 * SECOND,
    ]


@pytest.mark.parametrize("date", ["9999-12-31", "2999-01-01T00:00+00:00"])
def test_a_condition_lasts_no_longer_than_the_consent(date: str) -> None:
    said = read(conditions=f"a until {date}")
    assert isinstance(said, Refusal) or said.conditions[0].expires_at == END


UNMEANT = [
    ("conditions", "a until then", "signoff.bad_condition"),
    ("conditions", "a until 2027-02-30", "signoff.bad_condition"),
    ("conditions", "a\n" * 21, "signoff.bad_condition"),
    ("conditions", "a" * 301, "signoff.bad_condition"),
    ("controls", "a/b", "signoff.bad_control"),
    ("controls", "é", "signoff.bad_control"),
    ("controls", " ".join(f"c{n}" for n in range(21)), "signoff.bad_control"),
]


@pytest.mark.parametrize(("field", "text", "code"), UNMEANT)
def test_what_cannot_be_meant_is_refused(field: str, text: str, code: str) -> None:
    said = read(**{field: text})
    assert isinstance(said, Refusal)
    assert said.code == code
