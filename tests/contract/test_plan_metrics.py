"""What /metrics tells of a plan: where it is, whether it holds, what every gate says on what evidence, what fired."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from crossfade.engine import saving
from crossfade.engine.hub import Hub
from crossfade.engine.projector import Views
from crossfade.engine.streams import Streams as Kept
from crossfade.inbound.asgi import StreamLimits, Streams
from crossfade.inbound.collector import Pauses
from crossfade.inbound.metrics import HubCollector
from tests.contract.test_api_operations import samples
from tests.kit.hub import ROOT, ok, run
from tests.kit.plans import Driven, Rates, baking


class Told:
    """Everything of now."""

    def __init__(self, hub: Hub) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(HubCollector(hub, Streams(StreamLimits()), "0", Pauses()))
        self._found = samples(generate_latest(registry).decode())

    def of(self, name: str, **labels: str) -> float | None:
        return self._found.get((f"crossfade_{name}", tuple(sorted(labels.items()))))

    def word(self, name: str, label: str, **labels: str) -> str:
        """The one label that is 1."""
        of_it = {key: value for key, value in self._found.items() if key[0] == f"crossfade_{name}"}
        mine = {dict(key[1])[label]: value for key, value in of_it.items() if labels.items() <= dict(key[1]).items()}
        [one] = [word for word, value in mine.items() if value == 1]
        assert set(mine.values()) <= {0, 1}
        return one

    def any(self, prefix: str) -> bool:
        return any(name.startswith(f"crossfade_{prefix}") for name, _ in self._found)


@run
async def test_before_the_first_plan_there_is_nothing_to_tell_of_one() -> None:
    it = await Driven().begin()
    told = Told(it.hub)
    assert not told.any("plan_")
    assert not told.any("gate_")
    assert not told.any("triggers_")
    await it.die()


@pytest.mark.requirement("P22")
@run
async def test_a_plan_that_drives_holds_and_goes_back_is_told_by_its_numbers() -> None:
    it = await baking(stage=2)
    await it.clock.advance(70)
    told = Told(it.hub)
    assert (told.of("plan_stage", plan="quick"), told.of("plan_stages", plan="quick")) == (2, 3)
    assert told.of("plan_share_wanted", plan="quick") == 0.5
    assert told.of("plan_share_achieved", plan="quick") == it.hub.rollout().achieved > 0
    assert told.of("plan_held", plan="quick") == 0
    assert told.word("plan_status", "status", plan="quick") == "baking"
    for gate in ok(it.hub.plans.gates()):
        assert told.word("gate_verdict", "verdict", gate=gate.name) == gate.verdict, gate.name
        said = next(one for one in it.hub.plans.standing().said if one.name == gate.name)
        assert told.of("gate_log_evidence", gate=gate.name) == said.log_evidence, gate.name
        assert told.of("gate_log_threshold", gate=gate.name) == said.log_threshold
    assert told.of("gate_log_evidence", gate="gate.p50") is not None
    assert told.of("gate_log_evidence", gate="gate.availability") is None
    assert not told.any("triggers_")
    ok(await it.hub.rollout_hold(ROOT, "shift change"))
    await it.clock.advance(10)
    assert Told(it.hub).of("plan_held", plan="quick") == 1
    it.fleet.new = Rates(faults=0.5)
    await it.until(lambda state: state.status == "rolled_back")
    told = Told(it.hub)
    assert (told.of("plan_share_wanted", plan="quick"), told.of("plan_share_achieved", plan="quick")) == (0, 0)
    assert told.of("plan_held", plan="quick") == 0
    assert told.word("plan_status", "status", plan="quick") == "rolled_back"
    assert told.word("gate_verdict", "verdict", gate="trigger.errors") == "failed"
    assert told.of("triggers_fired_total", trigger="trigger.errors") == 1
    await it.die()


@run
async def test_what_fired_is_known_after_a_start_from_a_snapshot_and_from_the_log() -> None:
    it = await baking(stage=1)
    it.fleet.new = Rates(faults=0.11)
    await it.until(lambda state: state.hold is not None and state.hold.cause == "investigate")
    fired = dict(it.hub._c.views.plan.fired)
    assert fired == {"trigger.errors.investigate": 1}
    content = saving.dump(it.hub._streams, it.hub._views, {}, it.clock.now())
    views = Views()
    saving.fill(msgspec.msgpack.decode(content, type=saving.Saved), Kept(it.hub._log, 10), views)
    assert dict(views.plan.fired) == fired
    await it.die()
    await it.begin()
    assert dict(it.hub._c.views.plan.fired) == fired
    await it.die()
