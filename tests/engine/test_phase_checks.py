"""Gates of a runsheet with a threshold are judged on what the hub measured, by the instruments of a plan."""

from hashlib import sha256

import pytest

from crossfade.core.instruments import gate_instrument
from crossfade.core.measurements import Exposure, slice_of
from crossfade.core.runsheets import Gate, Slo, Target
from crossfade.engine.phase_checks import PhaseChecks
from crossfade.engine.run_ports import CheckCall
from crossfade.engine.run_views import CreateRequest
from tests.kit.hub import ROOT, ok, run
from tests.kit.plans import Driven, Fleet, Rates
from tests.kit.runs import REVIEWERS, canonical, phase, ramp, sheet

SLOS = {
    "errors": Slo(metric="error_rate", kind="minimum", max=0.05),
    "p50": Slo(metric="latency_p50_ms", kind="minimum", max=50),
    "p95": Slo(metric="latency_p95_ms", kind="minimum", max=200),
    "odd": Slo(metric="latency_p999_ms", kind="minimum", max=250),
    "availability": Slo(metric="availability", kind="minimum", min=0.9995),
    "loss": Slo(metric="data_loss", kind="minimum", max=0),
    "security": Slo(metric="security_incidents", kind="minimum", max=0),
    "agents": Slo(metric="concurrent_agents", kind="goal", min=10_000),
}


async def canary(*gates: Gate, fleet: Fleet | None = None) -> tuple[Driven, str]:
    """A run of one phase at 50 %, about to be judged by these gates."""
    fleet = fleet or Fleet()
    for rates in (fleet.new, fleet.old):
        rates.asked, rates.requests = 4, 6  # hours pass here; evidence is taken by the hour and cluster anyway
    it = await Driven(fleet).begin()
    await it.staff()
    assert it.world is not None
    for name in REVIEWERS.values():
        await it.world.join(name)
    whole = sheet(phase("canary", *ramp(0.5), exit=gates), target=Target(), slos=SLOS)
    source = canonical(whole)
    request = CreateRequest(runsheet=source, digest=sha256(source.encode()).hexdigest(), forced="a test")
    made = ok(await it.hub.runs.create(ROOT, request))
    await it.clock.advance(10)
    return it, made.run_id


def verdict(it: Driven, run_id: str, name: str) -> tuple[str, str]:
    found = phase_checks(it).judge(name, CheckCall(run_id=run_id))
    return found.verdict, found.reason


def phase_checks(it: Driven) -> PhaseChecks:
    acts = it.hub.runs.runner.acts
    assert acts is not None
    assert acts.checks is not None
    assert acts.checks.phase is not None
    return acts.checks.phase


@pytest.mark.requirement("P17")
@run
async def test_a_threshold_of_a_runsheet_holds_until_it_is_proven_and_then_lets_the_run_go_on() -> None:
    it, run_id = await canary(Gate(id="errors", slo="errors"), Gate(id="p95", slo="p95"))
    view = ok(it.hub.runs.run(run_id))
    assert (view.status, view.held, view.verdict) == ("running", True, "inconclusive")
    await it.clock.advance(12 * 3_600)
    view = ok(it.hub.runs.run(run_id))
    assert view.status == "completed", view.reason
    proof = next(node for node in view.nodes if node.node.endswith("gate/errors"))
    assert b"below 5 %" in bytes(proof.evidence)
    assert b'"log_evidence"' in bytes(proof.evidence)
    await it.die()


@run
async def test_a_threshold_that_is_proven_broken_fails_and_says_by_how_much() -> None:
    fleet = Fleet()
    fleet.new = Rates(over=(0.7, 0.01, 0.0, 0.0, 0.0, 0.0))
    it, run_id = await canary(Gate(id="p50", slo="p50"), fleet=fleet)
    await it.clock.advance(5 * 3_600)
    view = ok(it.hub.runs.run(run_id))
    assert (view.held, view.verdict, view.reason) == (True, "failed", "proven_worse")
    await it.die()


@run
async def test_each_check_of_a_phase_says_what_it_knows_and_nothing_else_passes() -> None:
    it, run_id = await canary(Gate(id="agents", slo="agents"))
    assert verdict(it, run_id, "slo.errors") == ("inconclusive", "not_enough")
    await it.clock.advance(10 * 3_600)
    told = {name: verdict(it, run_id, f"slo.{name}") for name in SLOS}
    assert told == {
        "errors": ("passed", ""), "p50": ("passed", ""), "p95": ("passed", ""),
        "odd": ("errored", "bad_limit"), "availability": ("passed", ""), "loss": ("passed", ""),
        "security": ("passed", ""), "agents": ("errored", "not_measured"),
    }  # fmt: skip
    assert verdict(it, run_id, "slo.unknown") == ("errored", "not_measured")
    assert verdict(it, run_id, "conversations.reconciled") == ("passed", "")
    assert verdict(it, run_id, "ab.compared")[0] == "passed"
    assert verdict(it, run_id, "coordination.measured") == ("inconclusive", "no traffic"), "counts only in this fleet"
    for name in ("improvement.measured", "efficiency.measured"):
        assert verdict(it, run_id, name) == ("errored", "not_measured"), "no step has compared the lanes"
    view = ok(it.hub.runs.run(run_id))
    assert (view.held, view.reason) == (True, "not_measured")
    await it.die()


@run
async def test_a_runsheet_and_a_plan_judge_the_same_counts_alike() -> None:
    it, run_id = await canary(Gate(id="agents", slo="agents"))
    await it.clock.advance(3 * 3_600)
    mine = phase_checks(it).judge("slo.errors", CheckCall(run_id=run_id)).numbers
    theirs = gate_instrument("x", "error_rate", 0.05, alpha=0.01, block_seconds=3_600)
    said = phase_checks(it)._fed(theirs).said()
    assert (mine["n"], mine["bad"], mine["log_evidence"]) == (said.n, said.bad, said.log_evidence)
    await it.die()


@run
async def test_an_hour_that_is_not_over_is_not_counted_yet() -> None:
    it, run_id = await canary(Gate(id="agents", slo="agents"))
    await it.clock.advance(1.5 * 3_600)
    kept = it.hub._c.views.measurements.kept
    assert kept.stage is not None
    over = sorted(kept.cells.hours)[:-1]
    rows = [row for hour in over for row in kept.cells.hours[hour]["new"].values()]
    requests = sum(slice_of("", Exposure.NEW, row).requests for row in rows)
    assert phase_checks(it).judge("slo.errors", CheckCall(run_id=run_id)).numbers["n"] == requests > 0
    await it.die()
