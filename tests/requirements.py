"""The requirements this product answers to, and what proves each.

A test carries ``@pytest.mark.requirement("P24")``. ``tests/test_requirements.py`` checks both ways: no test
names a requirement that is not here, and every requirement in ``PROVEN`` has a test. A requirement moves
from ``AHEAD`` to ``PROVEN`` in the change that makes it true.
"""

from typing import Final

PROVEN: Final[dict[str, str]] = {
    "P1": "Two runsheet versions ship as data; a program reviews any runsheet as a specialist would.",
    "P3": "Six phases from week -1 to week 12.",
    "P2": "DevOps, Security and Performance review and sign with four outcomes, findings and signed certificates.",
    "P4": "Seven days of baseline of the polling lane, with gaps detected, before anything moves.",
    "P5": "Capacity planned for every stage from measurements, with headroom.",
    "P7": "Load up to 15,000 agents, benchmarks, endurance with leak detection.",
    "P8": "A first share of 5 % of the fleet moves to elicitation, whole clusters at a time, and stays where it is.",
    "P9": "The share goes 25, 50, 75 % by rising thresholds; exposure is recorded as new, old or mixed.",
    "P10": "At 100 % agents that still call wait_for_messages are served, natively where their client can.",
    "P12": "In state removed wait_for_messages is not listed, and a call is refused with the name of its replacement.",
    "P16": "Latency targets, and the improvement over polling, measured.",
    "P17": "Gates on error rate, p99, security incidents, data loss and availability.",
    "P22": "Coordination is measured: delivery, answer and registration time, questions, polls, wake-ups.",
    "P23": "The approval board: component by runsheet version, what each specialist says, and the verdict.",
    "P24": "wait_for_messages(agent_id, timeout_seconds up to 300, since_sequence) wakes at once, loses nothing.",
    "P25": "Official MCP clients ask and answer by elicitation on 2026-07-28, 2025-11-25 and 2025-06-18.",
    "P26": "Every message, question, answer and change of share is an event in a durable, ordered, tamper-evident log.",
}
"""True today: id to behaviour. P10 and P12 in their mechanics."""

AHEAD: Final[dict[str, str]] = {
    "P6": "Auto-scaling is configured, and validated during the progressive rollout.",
    "P11": "Formal notices and support for those who still poll.",
    "P13": "High-risk periods are staffed and scanned, and that is enforced.",
    "P14": "Automatic rollback within 15 to 20 minutes, verified and rehearsed.",
    "P15": "A security framework: scanning, SIEM, authentication, security-aware rollback, compliance.",
    "P18": "Incident response with severities, escalation, timeline and post-mortem.",
    "P19": "Shifts round the clock with acknowledged handoffs.",
    "P20": "Drills in the format of the real thing, scored.",
    "P21": "One script brings a hub up, upgrades it and takes it back.",
    "P27": "Reports generated from the log.",
}
"""Not claimed yet. A test may name one of these early; nothing asks for it."""
