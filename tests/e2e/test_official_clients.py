"""The official client at both ends, on both revisions, in all four combinations of lanes."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.official import LANES, Conversation, converse

QUESTIONS = 12
"""`python -m tests.e2e.official 1000` asks more."""


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    folder: Path = tmp_path_factory.mktemp("official")
    return asyncio.run(converse(QUESTIONS, folder))


@pytest.mark.requirement("P25")
def test_every_revision_and_every_combination_of_lanes_took_part(conversations: list[Conversation]) -> None:
    combinations = {(one.revision, one.asker_lane, one.addressee_lane) for one in conversations}
    assert combinations == {(r, a, b) for r in ("2026-07-28", "2025-11-25") for a in LANES for b in LANES}


@pytest.mark.requirement("P25", "P24")
def test_every_question_is_answered_once(conversations: list[Conversation]) -> None:
    for one in conversations:
        account = one.account
        assert (account.questions, account.answered) == (QUESTIONS, QUESTIONS), one
        assert (account.lost, account.doubled) == ((), ()), one


@pytest.mark.requirement("P25")
def test_the_lane_of_the_addressee_decides_how_it_is_asked(conversations: list[Conversation]) -> None:
    for one in conversations:
        # The first question may come before the hub knows that the client can be elicited.
        expected = {"poll"} if one.addressee_lane == "polling" else {"native"}
        assert one.received - {"attend"} == expected, one


def test_the_lane_of_the_asker_decides_in_which_call_the_end_reaches_it(conversations: list[Conversation]) -> None:
    for one in conversations:
        assert one.ended == ({"poll"} if one.asker_lane == "polling" else {"attend"}), one
