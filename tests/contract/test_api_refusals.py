"""Every refusal code in the source is on its page, has a status, and is written so that both can be known."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from crossfade.inbound.errors import STATUS, matched, status_of
from tools import refusals

CODES = refusals.codes()


def test_the_page_says_what_the_source_says() -> None:
    assert refusals.PAGE.read_text("utf-8") == refusals.page(), "run tools/refusals.py"


def test_every_code_has_a_status_of_its_own() -> None:
    assert [code for code in CODES if matched(code) is None] == []


@pytest.mark.parametrize(("code", "status"), [
    ("auth.missing", 401), ("auth.scope", 403), ("question.not_addressee", 403), ("question.unknown", 404),
    ("question.closed", 409), ("polling.removed", 410), ("limit.size", 413), ("shape.nested", 422),
    ("answer.too_few", 422),
    ("limit.rate", 429), ("cursor.ahead", 400), ("log.unavailable", 503), ("never.heard_of", 422),
])  # fmt: skip
def test_a_code_means_its_status(code: str, status: int) -> None:
    assert status_of(code) == status


def test_the_tool_reads_every_way_in_which_codes_are_made() -> None:
    assert {
        "question.closed",
        "question.deadline_far",
        "shape.secret_field",
        "answer.too_short",
        "rollout.held",
    } <= CODES.keys()
    assert {"http.headers_too_large", "http.duplicate_key", "auth.expired"} <= CODES.keys()


def test_a_code_that_is_not_written_out_stops_the_tool(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("Refusal(code, 'text')\n")
    with pytest.raises(ValueError, match="written out"):
        refusals.codes(tmp_path)


def test_no_pattern_of_the_table_is_hidden_by_an_earlier_one() -> None:
    patterns = [pattern for pattern, _ in STATUS]
    assert len(patterns) == len(set(patterns))
    hidden = [
        pattern for place, pattern in enumerate(patterns) if _first(pattern.replace("*", "zz"), patterns) != place
    ]
    assert hidden == []


def _first(code: str, patterns: list[str]) -> int:
    return next(place for place, pattern in enumerate(patterns) if fnmatchcase(code, pattern))
