"""A run as its history says, and what can be asked of that: which node is due, what is to be undone.

The machine that makes it is runs.py.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from crossfade.core.run_events import EMPTY, Grounds, Status, Verdict
from crossfade.core.run_plan import PlanNode
from crossfade.core.runsheets import Runsheet
from crossfade.core.values import Instant

EFFECTIVE: Final = frozenset({"command", "http", "hub", "share"})
"""Kinds of steps that change the world."""


LOOKING: Final = frozenset({"check", "measure"})
"""Kinds of steps that look and change nothing, so that a held one is looked at again."""


class NodeStatus(StrEnum):
    """Where a node is."""

    PENDING = "pending"
    BEGUN = "begun"
    """Intended; the effect may or may not exist."""
    ASKED = "asked"
    DONE = "done"
    FAILED = "failed"
    """An attempt failed and another follows."""
    HELD = "held"
    SKIPPED = "skipped"
    WAIVED = "waived"
    UNDONE = "undone"


SETTLED: Final = frozenset({NodeStatus.DONE, NodeStatus.SKIPPED, NodeStatus.WAIVED})


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a node is."""

    status: NodeStatus = NodeStatus.PENDING
    attempt: int = 0
    attempt_before: int = 0
    """Attempts before it was released last: they do not count against its retries."""
    epoch: int = 0
    """Of the driver that began it."""
    at: Instant = Instant(0)
    """Since when it is so, where time matters."""
    deadline: Instant = Instant(0)
    asked: dict[str, str] = {}
    """Member → question, or ``signoff`` → sign-off."""
    round: int = 0
    verdict: Verdict | None = None
    reason: str = ""
    owner: str = ""
    evidence: msgspec.Raw = EMPTY
    digest: str = ""
    by: str = ""
    """Who skipped, waived or wants it waived."""
    why: str = ""
    """Their reason."""
    grounds: Grounds | None = None
    signoff: str = ""
    """What a skip or waiver rests on."""
    waiver: str = ""
    """Sign-off that was asked for, and has not ended, for passing by this node."""

    @property
    def tries(self) -> int:
        """Attempts since it was released last."""
        return self.attempt - self.attempt_before


NOTHING: Final = Progress()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    status: Status = Status.ABSENT
    runsheet: Runsheet | None = None
    source: msgspec.Raw = EMPTY
    """The canonical JSON."""
    digest: str = ""
    plan: tuple[PlanNode, ...] = ()
    progress: Mapping[str, Progress] = {}
    created_at: Instant = Instant(0)
    ended_at: Instant | None = None
    review: str = ""
    forced: str = ""
    migrated_from: tuple[str, ...] = ()
    """Digests of earlier runsheets of this run, oldest first."""
    driver: str = ""
    epoch: int = 0
    until: Instant = Instant(0)
    share: float = 0.0
    """The last share that was set, and verified."""
    share_at: Instant = Instant(0)
    by: str = ""
    """Who paused or aborted it."""
    reason: str = ""
    """Why it is paused or aborted."""
    clean: bool = False
    """Of an aborted run: everything is undone."""
    left: tuple[str, ...] = ()
    """Of an aborted run: what is still in effect, or may be."""

    @property
    def sheet(self) -> Runsheet:
        """The runsheet. Raises ValueError if there is no run."""
        if self.runsheet is None:
            raise ValueError("there is no run")
        return self.runsheet

    @property
    def active(self) -> bool:
        """Something can still happen to it."""
        return self.status in (Status.RUNNING, Status.PAUSED, Status.ABORTING)

    def of(self, node: str) -> Progress:
        """How far a node is."""
        return self.progress.get(node, NOTHING)

    def node(self, node_id: str) -> PlanNode | None:
        """A node by its id."""
        return next((node for node in self.plan if node.id == node_id), None)

    def current(self) -> PlanNode | None:
        """The first node that is not settled; None if all are."""
        return next((node for node in self.plan if self.of(node.id).status not in SETTLED), None)

    @property
    def held(self) -> bool:
        """It waits for somebody to see to something."""
        node = self.current()
        return self.status is Status.RUNNING and node is not None and self.of(node.id).status is NodeStatus.HELD

    def to_undo(self) -> tuple[PlanNode, ...]:
        """What has, or may have, an effect that can be taken back; the last first."""
        return tuple(node for node in reversed(self.plan) if node.reversible and touched(self.of(node.id)))

    def left_over(self) -> tuple[str, ...]:
        """What is in effect, or may be, once nothing more can be undone; the first first."""
        effective = (node for node in self.plan if node.step is not None and node.step.kind in EFFECTIVE)
        return tuple(node.id for node in effective if remains(self.of(node.id)))

    def share_before(self, node_id: str) -> float:
        """The share that was in force before this node set one."""
        share = 0.0
        for node in self.plan:
            if node.id == node_id:
                break
            if node.sets_share and self.of(node.id).status is NodeStatus.DONE and node.step and node.step.share:
                share = node.step.share
        return share


def touched(progress: Progress) -> bool:
    """The node was begun and nobody tried to undo it."""
    return progress.attempt > 0 and progress.status is not NodeStatus.UNDONE


def remains(progress: Progress) -> bool:
    """The node has, or may have, an effect: it was not undone, or that was not verified."""
    return touched(progress) or (progress.status is NodeStatus.UNDONE and progress.reason != "")
