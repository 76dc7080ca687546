"""The names that a runsheet can use: metrics, checks, and calls of the hub.

A check that is listed here need not be implemented yet: a step or gate that names it then comes out as errored,
``not_measured``, and holds the run; it never passes. A name that is not listed is a slip of the pen, and linting
says so.
"""

from typing import Final, Literal

import msgspec


class Metric(msgspec.Struct, frozen=True):
    """One figure that can have a threshold."""

    unit: str
    """ms, ratio (0 to 1), count."""
    better: Literal["lower", "higher"]
    meaning: str


METRICS: Final[dict[str, Metric]] = {
    "latency_p50_ms": Metric("ms", "lower", "half of all questions reach their addressee faster"),
    "latency_p95_ms": Metric("ms", "lower", "95 % of all questions reach their addressee faster"),
    "latency_p99_ms": Metric("ms", "lower", "99 % of all questions reach their addressee faster"),
    "latency_p999_ms": Metric("ms", "lower", "99.9 % of all questions reach their addressee faster"),
    "error_rate": Metric("ratio", "lower", "share of requests that end in an error"),
    "delivery_rate": Metric("ratio", "higher", "share of messages delivered in time"),
    "availability": Metric("ratio", "higher", "share of the time in which the service answers"),
    "security_incidents": Metric("count", "lower", "confirmed security incidents"),
    "data_loss": Metric("count", "lower", "acknowledged events that are missing, by reconciling every id"),
    "concurrent_agents": Metric("count", "higher", "agents attached at once"),
    "resource_efficiency": Metric("ratio", "higher", "resources saved for each message, against the baseline"),
    "registration_ms": Metric("ms", "lower", "from first contact until an agent can be asked"),
    "delivery_delay_ms": Metric("ms", "lower", "from written until offered to the addressee"),
    "ask_to_answer_ms": Metric("ms", "lower", "from asked until answered"),
    "open_questions": Metric("count", "lower", "questions without an end"),
    "answers_late_rate": Metric("ratio", "lower", "share of answers that came after the deadline"),
    "answers_declined_rate": Metric("ratio", "lower", "share of questions declined"),
    "answers_expired_rate": Metric("ratio", "lower", "share of questions nobody answered in time"),
    "polls_per_message": Metric("ratio", "lower", "polls made for each message delivered"),
    "wake_up_ms": Metric("ms", "lower", "from offered until the agent acts"),
    "fan_out_ms": Metric("ms", "lower", "until the last of many recipients has a message"),
}

COORDINATION: Final = frozenset(
    {
        *("registration_ms", "delivery_delay_ms", "ask_to_answer_ms", "open_questions", "answers_late_rate"),
        *("answers_declined_rate", "answers_expired_rate", "polls_per_message", "wake_up_ms", "fan_out_ms"),
    }
)
"""Figures of agents working together; a single request cannot show them."""

CHECKS: Final[dict[str, str]] = {
    "ab.compared": "new and old lane are compared on the same days, with an interval",
    "autoscaling.validated": "replicas were added and removed at this share without a failed request",
    "baseline.complete": "the baseline covers its days without a gap that is too long",
    "capacity.planned": "every stage has cores, memory, log writes and connections, from measurements",
    "compliance.monitored": "the compliance controls ran and reported within the last day",
    "conversations.reconciled": "every message of the phase is accounted for, by id",
    "coordination.measured": "the figures of agents working together are there for this phase",
    "deployment.automated": "one script brought a hub up, upgraded it and took it back",
    "efficiency.measured": "resources for each message are measured on both lanes",
    "endurance.tested": "the endurance test ended without a leak",
    "event_store.consistent": "the chain of the log verifies and agrees with the signed checkpoint",
    "handoff.acknowledged": "the next shift has accepted the handoff",
    "hub.ready": "the hub has replayed its log and the last write went through",
    "improvement.measured": "the improvement over the old lane is measured, with an interval",
    "incident.procedures": "severities, escalation and post-mortem are set up and were tried",
    "load.tested": "the load test reached its number of agents within the targets",
    "notices.delivered": "everybody who still polls has the notice of deprecation",
    "operations.staffed": "somebody is on duty in every shift until the phase ends",
    "operations.trained": "the operations team has passed its drills",
    "performance.targets_met": "the targets were met in testing",
    "polling.silent": "nobody has polled for a day",
    "questions.none_lost": "no question is open beyond its deadline",
    "removal.validated": "calls of the removed tool are refused and nothing else changed",
    "rollout.not_held": "the rollout may go forward",
    "rollback.rehearsed": "a rehearsed rollback ended within its budget, every step verified",
    "rollback.ready": "a rollback from this share was rehearsed within the last days",
    "scanning.running": "security scans run as often as planned",
    "security.authentication": "authentication was validated on both lanes in this phase",
    "security.scanned": "a scan of this phase found nothing open",
    "security.validated": "all security tests passed",
    "share.achieved": "the share that was set is the share that is in force",
    "signoff.approved": "every sign-off that the run rests on still holds",
    "siem.connected": "security events arrive where they are collected",
    "support.settled": "every request for help with the migration is settled",
}
"""What a gate can hold for, and what a step can check or measure."""

HUB_CALLS: Final = frozenset(
    f"rollout.{verb}" for verb in ("start", "set", "hold", "resume", "kill", "deprecate", "remove", "plan")
)
"""What a step of kind ``hub`` can call."""
