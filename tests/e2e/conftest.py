"""A hub for the tests of one module, and the command line beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.commands import Cli, local_operator
from tests.kit.process import hub_process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the hub of this module has its data."""
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """That hub."""
    with hub_process(folder) as found:
        yield found


@pytest.fixture
def cli(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command as the local operator."""
    return local_operator(url, folder, monkeypatch, capfd)
