"""Whether capacity is planned is read from a plan that a step recorded, else from a stored one; nothing else passes."""

from collections.abc import Callable

import msgspec
import pytest

from crossfade.core.run_state import NodeStatus, Progress, State
from crossfade.core.runsheets import Capacity, Gate, Slo
from crossfade.core.values import Instant
from crossfade.engine.capacity_checks import capacity_planned
from tests.kit.hub import ok, run
from tests.kit.runs import Procedure, command, phase, sheet

SHEET = msgspec.structs.replace(sheet(), capacity=Capacity(shares=(0.0, 0.5, 1.0), headroom=0.3, measured=True))
Plan = dict[str, object]


def stage(share: float, **more: object) -> Plan:
    provide = {"cores": 0.5, "memory_mib": 400.0, "log_writes_per_second": 900.0, "connections": 1_200.0}
    given = {
        "agents": 1_000,
        "questions_per_second": 90.0,
        "provide": provide,
        "replicas": 1,
        "one_hub_carries_it": True,
    }
    return {"elicitation_share": share, **given, "beyond_measured": [], "limited_by": "none", "uses": {}, **more}


def plan(*stages: Plan, **more: object) -> str:
    """What ``crossfade capacity plan --json`` prints."""
    given = {
        "headroom": 0.3, "stages": stages or (stage(0.0), stage(0.5), stage(1.0)), "held_out_errors": {"cores": 0.1},
        "machine": {"processors": 2, "model": "M"}, "version": "1", "notes": [],
    }  # fmt: skip
    return msgspec.json.encode({**given, **more}).decode()


def state(*said: str, status: NodeStatus = NodeStatus.DONE) -> State:
    """A run in which steps said these things, one after the other."""
    progress = {
        f"one/step/{number}": Progress(
            status=status, at=Instant(number),
            evidence=msgspec.Raw(msgspec.json.encode({"do": {"ok": True, "reason": "", "output": text}})),
        )
        for number, text in enumerate(said)
    }  # fmt: skip
    return State(runsheet=SHEET, progress=progress)


RECORDED: Callable[[str], tuple[State, bytes]] = lambda text: (state(f"a warning\n{text}\n"), b"")  # noqa: E731
STORED: Callable[[str], tuple[State, bytes]] = lambda text: (state("done"), text.encode())  # noqa: E731


@pytest.mark.requirement("P5")
@pytest.mark.parametrize("kept", [RECORDED, STORED], ids=["recorded", "stored"])
def test_a_plan_of_every_share_on_one_hub_passes_with_its_figures(kept: Callable[[str], tuple[State, bytes]]) -> None:
    found = capacity_planned(*kept(plan()))
    assert (found.verdict, found.reason) == ("passed", "")
    assert found.numbers["share_0.5_cores"] == 0.5
    assert found.numbers["share_1_log_writes_per_second"] == 900.0
    assert (found.numbers["agents"], found.numbers["held_out_error_max"]) == (1_000, 0.1)
    assert found.numbers["plan"] in ("one/step/0", "capacity-plan.json")


@pytest.mark.parametrize("kept", [RECORDED, STORED], ids=["recorded", "stored"])
@pytest.mark.parametrize(
    ("text", "verdict", "reason", "said"),
    [
        (plan(stage(0.5), stage(1.0)), "failed", "share not planned", "not planned: 0"),
        (plan(headroom=0.2), "failed", "headroom", "20% free, 30% is asked for"),
        (plan(stage(0.0), stage(0.5), stage(1.0, one_hub_carries_it=False, replicas=3)), "failed",
         "more than one hub", "3 hubs at 1"),
        (plan(stage(0.0), stage(0.5), stage(1.0, beyond_measured=["9 agents were not measured"])), "inconclusive",
         "beyond measured", "9 agents"),
        (plan(held_out_errors={}), "inconclusive", "not checked", "left out"),
        (plan(held_out_errors={"cores": 0.31}), "inconclusive", "too far off", "31%"),
    ],
)  # fmt: skip
def test_a_plan_that_falls_short_never_passes_and_says_where(
    kept: Callable[[str], tuple[State, bytes]], text: str, verdict: str, reason: str, said: str
) -> None:
    found = capacity_planned(*kept(text))
    assert (found.verdict, found.reason) == (verdict, reason)
    assert said in str(found.numbers["explanation"])


def test_a_plan_for_fewer_agents_than_the_runsheet_is_for_fails() -> None:
    slos = {"agents": Slo(metric="concurrent_agents", kind="goal", min=1_001)}
    wanted = msgspec.structs.replace(state(plan()), runsheet=msgspec.structs.replace(SHEET, slos=slos))
    found = capacity_planned(wanted, b"")
    assert (found.verdict, found.reason) == ("failed", "agents")
    assert "1,000 agents, the runsheet is for 1,001" in str(found.numbers["explanation"])


def test_a_runsheet_that_names_no_shares_still_needs_a_plan_with_stages() -> None:
    bare = msgspec.structs.replace(state(plan(stages=[])), runsheet=sheet())
    assert capacity_planned(bare, b"").reason == "share not planned"
    assert capacity_planned(msgspec.structs.replace(bare, progress=state(plan()).progress), b"").verdict == "passed"


@pytest.mark.parametrize("said", ["", "done", "{}", '{"stages": 7}', plan()[:-2]])
def test_what_is_no_plan_is_not_measured_and_says_what_to_run(said: str) -> None:
    for it in (state(said), state(), state(plan(), status=NodeStatus.FAILED)):
        found = capacity_planned(it, b"")
        assert (found.verdict, found.reason) == ("errored", "not_measured")
        assert "crossfade capacity plan --out" in str(found.numbers["explanation"])


@pytest.mark.parametrize("stored", [b"too large", b"{}", b"\xff", plan().encode()[:-2]])
def test_a_stored_file_that_is_no_plan_is_an_error_that_names_it(stored: bytes) -> None:
    found = capacity_planned(state(), stored)
    assert (found.verdict, found.reason) == ("errored", "bad_plan")
    assert "capacity-plan.json" in str(found.numbers["explanation"])


def test_the_newest_recorded_plan_counts_and_a_stored_one_only_without_it() -> None:
    assert capacity_planned(state(plan(), plan(headroom=0.1)), plan().encode()).reason == "headroom"
    assert capacity_planned(state(plan(headroom=0.1), plan()), plan(headroom=0.1).encode()).verdict == "passed"


@run
async def test_a_gate_on_capacity_passes_on_what_a_step_recorded_and_holds_the_run_without_it() -> None:
    gates = (Gate(id="capacity", check="capacity.planned"),)
    for said, status in ((plan(), "completed"), ("done", "running")):
        it = Procedure()
        it.outside.said["do plan"] = said
        await it.begin()
        await it.staff()
        ok(await it.create(sheet(phase("one", command("plan"), exit=gates))))
        await it.through(3)
        view = it.view()
        assert (view.status, view.held) == (status, status == "running"), view
        if status == "completed":
            proof = next(node for node in view.nodes if node.node.endswith("gate/capacity"))
            assert b'"share_1_cores":0.5' in bytes(proof.evidence)
        else:
            assert (view.verdict, view.reason) == ("errored", "not_measured")
        await it.die()
