"""A plan on a real hub, from the command line: started, watched, explained, ended."""

import json
import os
import time
from pathlib import Path

import pytest

from crossfade.cli.exits import Exit
from crossfade.cli.failing import guarded
from tests.kit.process import hub_process
from tests.kit.tree import ROOT

EXAMPLE = ROOT / "examples/plan.yaml"
LIMIT_SECONDS = 240
"""The stage bakes for longer than that."""


@pytest.mark.requirement("P9")
def test_a_plan_is_started_watched_explained_and_ended_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("CROSSFADE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    text = "\n".join(line for line in EXAMPLE.read_text("utf-8").splitlines() if not line.startswith("baseline"))
    (tmp_path / "plan.yaml").write_text(text, "utf-8")
    (tmp_path / "bad.yaml").write_text(text.replace("max: 50}", "max: NaN}"), "utf-8")

    def said(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = guarded(list(words))
        found = capfd.readouterr()
        return code, found.out, found.err

    code, out, _ = said("rollout", "plan", "lint", "bad.yaml")
    assert (code, out.splitlines()[0].partition(" ")[0]) == (Exit.USAGE, "bad.yaml:24:38")
    code, out, _ = said("rollout", "plan", "show", "plan.yaml", "--json")
    assert json.loads(out)["breadth"] == 3
    with hub_process(tmp_path) as url:
        monkeypatch.setenv("CROSSFADE_URL", url)
        monkeypatch.setenv("CROSSFADE_DATA_FOLDER", str(tmp_path / "data"))
        assert said("gate", "show", "p99")[0] != Exit.OK, "there has been no plan"
        assert said("rollout", "start", "--plan", "bad.yaml")[0] == Exit.USAGE
        assert said("rollout", "start", "x", "--plan", "plan.yaml")[0] == Exit.USAGE
        code, out, _ = said("rollout", "start", "--plan", "plan.yaml", "--json")
        assert (code, json.loads(out)["stages_total"]) == (Exit.OK, 5)
        deadline = time.monotonic() + LIMIT_SECONDS
        while (plan := json.loads(said("rollout", "status", "--json")[1])["plan"])["status"] != "baking":
            assert time.monotonic() < deadline, plan
        assert (plan["status"], plan["stage"], plan["share"]) == ("baking", 1, 0.05)
        code, out, _ = said("rollout", "status")
        assert "bake_left_seconds" in out
        assert "gate.p999" in out
        code, out, _ = said("gate", "ls", "--json")
        assert {"gate.p99", "trigger.errors", "sample_ratio"} <= {row["name"] for row in json.loads(out)["items"]}
        code, _, _ = said("gate", "show", "p99", "--check")
        assert code in (Exit.ERRORED, Exit.INCONCLUSIVE), "nothing was asked yet"
        code, out, _ = said("gate", "explain", "trigger.p99")
        assert "Guarantee: While the rate is at most 1 %" in out
        assert "accepted by operator, 5 stages" in out
        code, _, err = said("rollout", "set", "50%")
        assert (code, "drives the rollout" in err) == (Exit.CONFLICT, True)
        code, out, _ = said("rollout", "plan", "stop", "--reason", "by hand", "--json")
        assert json.loads(out)["status"] == "aborted"
        assert said("gate", "show", "nothing")[0] not in (Exit.OK, Exit.ERRORED)
