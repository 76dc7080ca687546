"""What is handed to the runs and got back: plain data, like engine/requests.py."""

import msgspec

from crossfade.core.run_next import WaitUntil, next_action
from crossfade.core.run_plan import PlanNode
from crossfade.core.run_state import NodeStatus, State
from crossfade.core.runsheets import Role
from crossfade.core.values import Instant
from crossfade.engine.views.instants import iso
from crossfade.engine.views.runs import Entry


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: str
    """Canonical JSON, as `crossfade runsheet export --json` prints it."""
    digest: str
    forced: str = ""
    """Why it is created although its review says not ready; needs admin."""
    key: str | None = None


class MigrateRequest(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: str
    digest: str
    reason: str


class WaiveRequest(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    reason: str
    roles: tuple[Role, ...] = ()
    """Who has to sign; empty: every role of the runsheet."""


class SkipRequest(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    reason: str
    signoff: str = ""
    """An approved sign-off about it; without one it takes an admin."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    kind: str
    title: str
    status: str
    """pending, begun, asked, done, failed, held, skipped, waived or undone."""
    attempt: int
    verdict: str
    """Of what is held: failed, inconclusive or errored."""
    reason: str
    owner: str
    earliest: str | None
    deadline: str | None
    by: str
    why: str
    """Reason of whoever skipped or waived it."""
    grounds: str
    signoff: str
    waiver: str
    """Sign-off of a waiver that was asked for."""
    asked: dict[str, str]
    evidence: msgspec.Raw
    digest: str


class PassedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was passed by. Every view and report shows these."""

    node: str
    status: str
    by: str
    why: str
    grounds: str
    signoff: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    run_id: str
    runsheet: str
    """Name."""
    version: str
    digest: str
    status: str
    """running, paused, aborting, aborted or completed."""
    held: bool
    node: str
    """What is due, or held."""
    verdict: str
    reason: str
    """Why it is held, paused or aborted."""
    owner: str
    waits_until: str | None
    waits_for: str
    share: float
    settled: int
    nodes_total: int
    review: str
    forced: str
    created_by: str
    created_at: str
    changed_at: str
    ended_at: str | None
    driver: str
    epoch: int
    migrated_from: tuple[str, ...]
    clean: bool
    left: tuple[str, ...]
    passed_by: tuple[PassedBy, ...]
    """Everything that was skipped or waived."""
    nodes: tuple[NodeView, ...] = ()
    """Left out of lists."""


class RunExport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of a run, for archives and auditors."""

    run: RunView
    runsheet: msgspec.Raw
    """Canonical JSON; its SHA-256 is ``run.digest``."""
    records: tuple[msgspec.Raw, ...]
    """Every record with its place in the log and its link of the chain."""
    digest: str
    """SHA-256 over the records as they stand here."""


def view_of(entry: Entry, now: Instant, *, nodes: bool = True) -> RunView:
    """The run as users read it."""
    state = entry.state
    current = state.current()
    progress = state.of("" if current is None else current.id)
    due = next_action(state, now)
    waits = due if isinstance(due, WaitUntil) else None
    return RunView(
        run_id=entry.run_id,
        runsheet=state.sheet.name,
        version=state.sheet.version,
        digest=state.digest,
        status=state.status,
        held=state.held,
        node="" if current is None else current.id,
        verdict=str(progress.verdict or "") if state.held else "",
        reason=progress.reason if state.held else state.reason,
        owner=progress.owner if state.held else "",
        waits_until=None if waits is None else iso(waits.at),
        waits_for="" if waits is None else waits.why,
        share=state.share,
        settled=sum(one.status in ("done", "skipped", "waived") for one in state.progress.values()),
        nodes_total=len(state.plan),
        review=state.review,
        forced=state.forced,
        created_by=entry.created_by,
        created_at=iso(state.created_at),
        changed_at=iso(entry.changed_at),
        ended_at=None if state.ended_at is None else iso(state.ended_at),
        driver=state.driver,
        epoch=state.epoch,
        migrated_from=state.migrated_from,
        clean=state.clean,
        left=state.left,
        passed_by=passed_by(state),
        nodes=tuple(_node(state, node) for node in state.plan) if nodes else (),
    )


def passed_by(state: State) -> tuple[PassedBy, ...]:
    """Everything that was skipped or waived, in order."""
    found = ((node.id, state.of(node.id)) for node in state.plan)
    return tuple(
        PassedBy(
            node=name, status=one.status, by=one.by, why=one.why, grounds=str(one.grounds or "signoff"),
            signoff=one.signoff,
        )
        for name, one in found
        if one.status in (NodeStatus.SKIPPED, NodeStatus.WAIVED)
    )  # fmt: skip


def _node(state: State, node: PlanNode) -> NodeView:
    one = state.of(node.id)
    part = node.gate or node.step
    title = part.title if part is not None else "" if node.signoff is None else node.signoff.about
    return NodeView(
        node=node.id, kind=node.kind, title=title, status=one.status, attempt=one.attempt,
        verdict=str(one.verdict or ""), reason=one.reason, owner=one.owner,
        earliest=None if node.earliest is None else iso(node.earliest),
        deadline=iso(one.deadline) if one.deadline else None,
        by=one.by, why=one.why, grounds=str(one.grounds or ""), signoff=one.signoff, waiver=one.waiver,
        asked=one.asked, evidence=one.evidence, digest=one.digest,
    )  # fmt: skip
