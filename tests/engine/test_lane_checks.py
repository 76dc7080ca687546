"""Whether the lanes were compared is read from what a step of the run recorded; the figures are shown, not judged."""

import msgspec
import pytest

from crossfade.core.run_state import NodeStatus, Progress, State
from crossfade.core.runsheets import Gate
from crossfade.core.values import Instant
from crossfade.engine.lane_checks import BESIDE, MEASURED, lanes_measured
from crossfade.fleet.load.compare import MEASURES, Compared, LanesReport
from crossfade.fleet.model import ATTENTIVE
from tests.kit.hub import ok, run
from tests.kit.runs import Procedure, command, phase, sheet

NAMES = sorted(MEASURED)


def compared(ratio: float | None = 1.0, *, confidence: float = 0.9688, sound: bool = True) -> str:
    """What ``crossfade load --compare-lanes --json`` prints."""
    rows = tuple(
        Compared(
            measure=measure.name, polling=2.0, elicitation=2.0, ratio=ratio, ratio_low=ratio, ratio_high=ratio,
            confidence=confidence, difference="none shown", rounds=6,
        )
        for measure in MEASURES
    )  # fmt: skip
    report = LanesReport(
        agents=10, offered_per_second=1.0, seconds=1.0, carrier="attend", model="attentive", agent=ATTENTIVE, rounds=6,
        lost=0, doubled=0, compared=rows, answer_p99_ms={}, delivered_while_waiting={}, delivered_while_busy={},
        sound=sound,
    )  # fmt: skip
    return msgspec.json.encode(report.fields()).decode()


def recorded(*steps: tuple[str, str], status: NodeStatus = NodeStatus.DONE) -> State:
    """A run in which steps said these things, one after the other."""
    progress = {
        node: Progress(
            status=status, at=Instant(number),
            evidence=msgspec.Raw(msgspec.json.encode({"do": {"ok": True, "reason": "", "output": said}})),
        )
        for number, (node, said) in enumerate(steps)
    }  # fmt: skip
    return State(progress={"canary": Progress(status=NodeStatus.DONE), **progress})


@pytest.mark.requirement("P16")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ratio", [0.05, 1.0, 3.0])
def test_a_recorded_comparison_is_a_measurement_whatever_comes_out_and_its_ratios_are_shown(
    name: str, ratio: float
) -> None:
    found = lanes_measured(name, recorded(("full/step/lanes", f"a warning\n{compared(ratio)}\n")))
    assert (found.verdict, found.reason) == ("passed", "")
    for measure in (*MEASURED[name], *BESIDE[name]):
        assert [found.numbers[f"{measure}_{part}"] for part in ("ratio", "low", "high")] == [ratio] * 3
    assert found.numbers["step"] == "full/step/lanes"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("said", ["", "done", "{}", '{"compared": 7}', compared()[:-2]])
def test_what_is_no_comparison_is_not_measured_and_says_what_to_run(name: str, said: str) -> None:
    for state in (recorded(("full/step/lanes", said)), State()):
        found = lanes_measured(name, state)
        assert (found.verdict, found.reason) == ("errored", "not_measured")
        assert "crossfade load --compare-lanes --json" in str(found.numbers["explanation"])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_is_not_done_has_measured_nothing(name: str) -> None:
    found = lanes_measured(name, recorded(("full/step/lanes", compared()), status=NodeStatus.FAILED))
    assert (found.verdict, found.reason) == ("errored", "not_measured")


@pytest.mark.parametrize("name", NAMES)
def test_too_few_rounds_and_unsound_runs_never_pass(name: str) -> None:
    for said, verdict, reason in (
        (compared(confidence=0.875), "inconclusive", "too few rounds"),
        (compared(None), "inconclusive", "too few rounds"),
        (compared(sound=False), "errored", "unsound"),
    ):  # fmt: skip
        found = lanes_measured(name, recorded(("full/step/lanes", said)))
        assert (found.verdict, found.reason) == (verdict, reason)


def test_the_newest_comparison_counts() -> None:
    state = recorded(("full/step/first", compared(0.5)), ("full/step/second", compared(sound=False)))
    assert lanes_measured("efficiency.measured", state).reason == "unsound"


def test_every_row_that_a_check_wants_is_one_that_is_compared() -> None:
    named = {measure.name for measure in MEASURES}
    assert {row for rows in (*MEASURED.values(), *BESIDE.values()) for row in rows} <= named


@run
async def test_a_run_that_compares_the_lanes_goes_on_with_its_ratios_as_evidence_and_one_that_does_not_holds() -> None:
    gates = tuple(Gate(id=name.partition(".")[0], check=name) for name in NAMES)
    for said, status in ((compared(1.02), "completed"), ("done", "running")):
        it = Procedure()
        it.outside.said["do lanes"] = said
        await it.begin()
        await it.staff()
        ok(await it.create(sheet(phase("full", command("lanes"), exit=gates))))
        await it.through(3)
        view = it.view()
        assert (view.status, view.held) == (status, status == "running"), view
        if status == "completed":
            proof = next(node for node in view.nodes if node.node.endswith("gate/improvement"))
            assert b'"answer_p50_ms_ratio":1.02' in bytes(proof.evidence)
        else:
            assert (view.verdict, view.reason) == ("errored", "not_measured")
        await it.die()
