"""The seeded mutants still have their place: a piece of source that moved takes its mutant with it, unseen."""

import re

import pytest

from tests.kit.tree import ROOT
from tests.mutants.plants import PLANTS, Plant

APPLY = {f"M{number}" for number in range(1, 25)} - {"M2", "M11"}
"""Agents do not sign (M2), and the log is the audit (M11)."""


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_place_of_a_mutant_is_there_and_is_one(plant: Plant) -> None:
    source = (ROOT / "src/crossfade" / plant.file).read_text("utf-8")
    assert source.count(plant.old) == 1, f"{plant.file} has {source.count(plant.old)} of {plant.old!r}"
    assert plant.new != plant.old


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_test_that_must_notice_is_there(plant: Plant) -> None:
    files = [word for word in plant.test.split() if word.endswith(".py")]
    text = "".join((ROOT / file).read_text("utf-8") for file in files)
    _, _, chosen = plant.test.partition(" -k ")
    assert re.search(rf"def test_\w*{chosen}", text), f"{plant.test} chooses no test"


def test_every_mutant_that_applies_is_planted() -> None:
    assert {re.match(r"M\d+", plant.name)[0] for plant in PLANTS} == APPLY  # type: ignore[index]
