"""Requirements and tests know each other, both ways (tests/requirements.py)."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.kit.tree import ROOT
from tests.requirements import AHEAD, PROVEN


def marks(tests: Path) -> Iterator[tuple[str, str]]:
    """Every requirement id that a test file names, with the file."""
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.requirement"):
                for argument in node.args:
                    if isinstance(argument, ast.Constant):
                        yield str(argument.value), path.name


def test_every_requirement_that_is_claimed_has_a_test() -> None:
    tested = {identifier for identifier, _ in marks(ROOT / "tests")}
    assert [identifier for identifier in PROVEN if identifier not in tested] == []


def test_no_test_names_a_requirement_that_does_not_exist() -> None:
    assert [mark for mark in marks(ROOT / "tests") if mark[0] not in PROVEN | AHEAD] == []


def test_all_27_requirements_are_placed_once() -> None:
    assert sorted([*PROVEN, *AHEAD], key=lambda name: int(name[1:])) == [f"P{n}" for n in range(1, 28)]


def test_a_mark_is_found_where_it_stands(tmp_path: Path) -> None:
    planted = "import pytest\npytestmark = [pytest.mark.slow, pytest.mark.requirement('P24', 'P99')]\n"
    (tmp_path / "test_planted.py").write_text(planted, "utf-8")
    assert [identifier for identifier, _ in marks(tmp_path)] == ["P24", "P99"]
