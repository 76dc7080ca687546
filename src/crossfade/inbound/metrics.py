"""/metrics: what the hub measured, in the Prometheus text format.

Not here: counting (engine/measures.py does it once, whoever reads). Names end in their unit; times are
seconds. A counter that was never raised is absent, so a query must treat absence as zero.

Source: Prometheus "Exposition formats" 0.0.4 and "Metric and label naming".
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crossfade.core import stages
from crossfade.core.decider import Refusal
from crossfade.core.gates import Verdict
from crossfade.core.values import Channel
from crossfade.engine.hub import Hub
from crossfade.engine.measures import Histogram, Measures
from crossfade.engine.plan_views import Standing
from crossfade.engine.requests import RolloutView
from crossfade.inbound import auth, errors
from crossfade.inbound.api.routes import OPERATE
from crossfade.inbound.asgi import Receive, Scope, Send, Streams
from crossfade.inbound.collector import Pauses
from crossfade.inbound.settings import AppSettings

WAKE_LEVEL: Final[Mapping[str, str]] = {
    Channel.NATIVE: "asked",
    Channel.STREAM: "pushed",
    Channel.POLL: "polled",
    Channel.INBOX: "polled",
    Channel.CONSOLE: "opened",
}
"""How a question reached its addressee's attention: asked in its own dialog, pushed, fetched, or looked at."""


STATUSES: Final = tuple(one for one in stages.Status if one is not stages.Status.ABSENT)
"""That a plan can be in."""


class HubCollector(Collector):
    """Turns the hub's measures into metric families whenever somebody asks."""

    def __init__(self, hub: Hub, streams: Streams, version: str, pauses: Pauses) -> None:
        self._hub = hub
        self._streams = streams
        self._version = version
        self._pauses = pauses

    def collect(self) -> Iterator[Metric]:
        """Every family, with the values of now."""
        measures = self._hub.measures()
        yield from _times(measures)
        yield from _questions(measures)
        yield from _waits(measures)
        yield from _rollout(self._hub)
        yield from _plan(self._hub.plans.standing(), self._hub.rollout())
        yield _gauge("agents_present", "Agents heard from within their lease.", measures.agents_present)
        yield _gauge("streams_open", "Event streams that are open.", measures.streams_open)
        yield _counter("streams_cut", "Event streams cut because the reader was too slow.", measures.streams_cut)
        yield _gauge("http_held", "Responses held open: streams and waits.", len(self._streams))
        yield _gauge("ready", "1 if the log takes writes.", int(self._hub.ready))
        text = "Records that no signed checkpoint covers yet; more than some thousand: see to the checkpoint folder."
        yield _gauge("log_unwitnessed_records", text, self._hub.keeping.unwitnessed_records)
        yield from _collector(self._pauses)
        text = "Blocks of memory that the interpreter has in use; what it keeps for later is resident, not in use."
        if blocks := sys.getallocatedblocks():  # none where the C library has them all: PYTHONMALLOC=malloc
            yield _gauge("memory_blocks", text, blocks)
        info = GaugeMetricFamily("crossfade_build_info", "1; the release is the label.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info


def _times(measures: Measures) -> Iterator[Metric]:
    registration = HistogramMetricFamily(
        "crossfade_registration_seconds", "First request of an unknown identity to its durable registration."
    )
    _observe(registration, [], measures.registration_ms, 1_000)
    yield registration
    for name, text, label, found in (
        ("delivery", "Asked to first offered.", "lane", measures.delivery_ms),
        ("delivery_exposure", "Asked to first offered, by the lanes of both ends.", "exposure", measures.exposure_ms),
        ("answer", "Asked to answered, the answerer's own time included.", "lane", measures.answer_ms),
    ):
        family = HistogramMetricFamily(f"crossfade_{name}_seconds", text, labels=[label])
        for value, histogram in sorted(found.items()):
            _observe(family, [value], histogram, 1_000)
        yield family
    fan_out = HistogramMetricFamily("crossfade_message_recipients", "Recipients of one message (fan-out).")
    _observe(fan_out, [], measures.fan_out, 1)
    yield fan_out


def _questions(measures: Measures) -> Iterator[Metric]:
    yield _counters("questions_asked", "Questions asked.", ["lane", "exposure"], measures.asked)
    yield _counters("questions_ended", "Questions that have their end.", ["lane", "end"], measures.ended)
    yield _counters("questions_offered", "Times a question was shown.", ["lane", "channel"], measures.offered)
    yield _counters("questions_dismissed", "Times a channel brought no end.", ["reason"], measures.dismissed)
    yield _counter("questions_requeued", "Questions taken back to polling by the rollout.", measures.requeued)
    gauge = GaugeMetricFamily("crossfade_questions_open", "Questions without an end.", labels=["lane"])
    for lane, count in sorted(measures.open.items()):
        gauge.add_metric([lane], count)
    yield gauge
    wake: Counter[tuple[str, str]] = Counter()
    for (lane, channel), count in measures.offered.items():
        wake[lane, WAKE_LEVEL.get(channel, "other")] += count
    yield _counters("questions_woke", "Times a question was shown, by wake-up level.", ["lane", "level"], wake)


def _waits(measures: Measures) -> Iterator[Metric]:
    yield _counter("messages_sent", "Messages sent.", measures.messages)
    text = "Finished waits; empty ones are polls for nothing."
    yield _counters("waits", text, ["channel", "outcome"], measures.waits)
    yield _counters("items_delivered", "Items handed out.", ["channel"], measures.delivered)
    yield _counters("refusals", "Commands refused.", ["code"], measures.refused)
    ratio = GaugeMetricFamily(
        "crossfade_polls_per_item", "Finished waits for each item handed out, since the start.", labels=["channel"]
    )
    for channel, items in sorted(measures.delivered.items()):
        waits = sum(count for (of, _), count in measures.waits.items() if of == channel)
        if items and waits:
            ratio.add_metric([channel], waits / items)
    yield ratio


def _rollout(hub: Hub) -> Iterator[Metric]:
    view = hub.rollout()
    yield _gauge("rollout_share", "Target share of weight on the elicitation lane.", view.share)
    yield _gauge("rollout_share_achieved", "Share of weight that is there.", view.achieved)
    yield _gauge("rollout_held", "1 while promotion is held.", int(view.held))
    agents = GaugeMetricFamily("crossfade_rollout_agents", "Agents by the lane they are on.", labels=["lane"])
    agents.add_metric(["elicitation"], view.agents_on_elicitation)
    agents.add_metric(["polling"], view.agents - view.agents_on_elicitation)
    yield agents


def _plan(standing: Standing, rollout: RolloutView) -> Iterator[Metric]:
    """Of the newest plan; no samples before the first."""
    state = standing.state
    held = state.hold is not None
    for name, text, value in (
        ("stage", "Stage that the plan is at, or ended at; 0 before the first.", state.stage + 1),
        ("stages", "Stages that it has.", len(state.plan.stages)),
        ("share_wanted", "Share of its stage while it drives; 0 after it went back.", _wanted(state, rollout.share)),
        ("share_achieved", "Share of weight on the elicitation lane.", rollout.achieved),
        ("held", "1 while it holds.", int(held)),
    ):
        family = GaugeMetricFamily(f"crossfade_plan_{name}", text, labels=["plan"])
        if state.number:
            family.add_metric([state.plan.name], value)
        yield family
    status = [(state.plan.name, str(state.status))]
    yield _one_hot("plan_status", "1 for how the plan is.", "plan", "status", status, STATUSES)
    verdicts = [(said.name, said.verdict) for said in standing.said]
    text = "1 for what the gate, trigger or comparison says; of a trigger, passed is quiet and failed is fired."
    yield _one_hot("gate_verdict", text, "gate", "verdict", verdicts, tuple(Verdict))
    for name, text in (("log_evidence", "Logarithm of its E-value."), ("log_threshold", "Of the one that decides.")):
        family = GaugeMetricFamily(f"crossfade_gate_{name}", text, labels=["gate"])
        for said in standing.said:
            number = getattr(said, name)
            if number is not None:
                family.add_metric([said.name], number)
        yield family
    text = "Times a trigger made a plan go back, or hold until somebody looks."
    yield _counters("triggers_fired", text, ["trigger"], standing.fired)


def _wanted(state: stages.State, share: float) -> float:
    if state.live:
        return state.share
    return 0.0 if state.back is not None else share


def _one_hot(
    name: str, text: str, key: str, label: str, found: list[tuple[str, str]], words: tuple[str, ...]
) -> Metric:
    """Each of the words for each key: 1 for the one that it has."""
    family = GaugeMetricFamily(f"crossfade_{name}", text, labels=[key, label])
    for one, value in found:
        for word in words if one else ():
            family.add_metric([one, word], int(word == value))
    return family


def _collector(pauses: Pauses) -> Iterator[Metric]:
    family = HistogramMetricFamily("crossfade_gc_pause_seconds", "Passes of the garbage collector: all else stops.")
    _observe(family, [], pauses.by_length_ms, 1_000)
    yield family
    yield _gauge("gc_pause_longest_seconds", "The longest of them since the start.", pauses.longest_ms / 1_000)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"crossfade_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"crossfade_{name}", text, value=value)


Counts = Mapping[tuple[str, str], int] | Mapping[str, int]


def _counters(name: str, text: str, labels: list[str], counts: Counts) -> Metric:
    family = CounterMetricFamily(f"crossfade_{name}", text, labels=labels)
    for key, count in sorted(counts.items()):
        family.add_metric([key] if isinstance(key, str) else [str(part) for part in key], count)
    return family


def _observe(family: HistogramMetricFamily, labels: list[str], histogram: Histogram, unit: float) -> None:
    """Add one histogram; ``unit`` of its values make one of the family's."""
    edges = [repr(edge / unit) for edge in histogram.edges] + ["+Inf"]
    buckets = list(zip(edges, accumulate(histogram.counts), strict=True))
    family.add_metric(labels, buckets, histogram.total / unit)


class MetricsEndpoint:
    """GET /metrics; needs an operator's token unless the hub is a development hub."""

    def __init__(self, hub: Hub, settings: AppSettings, streams: Streams, pauses: Pauses) -> None:
        self._hub = hub
        self._settings = settings
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(HubCollector(hub, streams, settings.version, pauses))
        ProcessCollector(registry=self._registry)  # Linux only; registers itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """All families as text."""
        if not self._settings.open_loopback:
            caller = await auth.identify(self._hub, scope, guests=False)
            refusal = caller if isinstance(caller, Refusal) else auth.require(caller, OPERATE)
            if refusal is not None:
                return await errors.refuse(send, refusal)
        body = generate_latest(self._registry)
        kind = CONTENT_TYPE_PLAIN_0_0_4.encode()
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        return await send({"type": "http.response.body", "body": body, "more_body": False})
