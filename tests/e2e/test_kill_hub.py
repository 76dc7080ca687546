"""The hub dies by SIGKILL in the middle of the ramp; a hub that forgets must not pass."""

import asyncio
from pathlib import Path

import pytest

from crossfade.client import CrossfadeError
from crossfade.fleet.agents import AgentError
from crossfade.fleet.demo import DemoSettings, run_demo
from crossfade.fleet.supervisor import HubProcess
from crossfade.fleet.wire import CallError

SMALL = {"agents": 20, "clusters": 5, "official_agents": 4, "seconds": 14.0, "asks_per_second": 30.0, "json": True}


@pytest.mark.slow
@pytest.mark.requirement("P26")
def test_nothing_is_lost_or_doubled_when_the_hub_is_killed_twice(tmp_path: Path) -> None:
    report = asyncio.run(run_demo(DemoSettings(folder=tmp_path, kills=2, **SMALL)))
    assert report.hub_restarts == 2
    assert report.reconnects > 0
    assert (report.lost, report.doubled, report.unfinished) == (0, 0, 0), report.faults
    assert report.questions == report.answered > 0


@pytest.mark.slow
def test_a_hub_that_forgets_what_it_acknowledged_does_not_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: SIGKILL takes the log with it, and the checkpoints that would have told the hub."""
    kill = HubProcess.kill

    def forgetful(hub: HubProcess) -> None:
        kill(hub)
        for file in [
            found for kind in ("log.db*", "*.checkpoints", "checkpoints/*") for found in hub.folder.glob(kind)
        ]:
            file.unlink()

    monkeypatch.setattr(HubProcess, "kill", forgetful)
    with pytest.raises((CallError, AgentError, CrossfadeError)):  # an agent or the operator, whoever comes first
        asyncio.run(run_demo(DemoSettings(folder=tmp_path, kills=1, **SMALL)))
