"""A real hub is killed under load; its clients' histories must hold, and a hub that forgets must be seen."""

import subprocess
import sys

import pytest

from tests.kit.tree import ROOT


def crash(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.requirement("P26")
def test_clients_of_a_hub_that_is_killed_see_every_promise_kept() -> None:
    done = crash("--kills", "10", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 promises broken" in done.stdout
    assert "never: []" in done.stdout, "each named point was a death"


@pytest.mark.slow
def test_a_hub_that_acknowledges_answers_and_forgets_them_is_caught_by_what_its_clients_saw() -> None:
    done = crash("--kills", "3", "--plant", "forget")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not_linearizable" in done.stdout, "the last look found another end than the one that was acknowledged"
