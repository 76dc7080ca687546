"""One event of every registered type, with no field at its default: what the golden files are read against."""

from typing import Final

import msgspec

from crossfade.core import (
    agents,
    board,
    certificates,
    credentials,
    evidence,
    measurements,
    messages,
    questions,
    rollouts,
)
from crossfade.core import run_events as runs
from crossfade.core import signoff_events as signoffs
from crossfade.core import stage_events as plans
from crossfade.core.questions import Dismissal, Exposure
from crossfade.core.records import Event
from crossfade.core.runsheets import Outcome, Role
from crossfade.core.values import AgentName, Channel, Instant, Kind, Lane, Scope, Sequence

ANA, BO = AgentName("ana"), AgentName("bo")
AT = Instant(1_800_000_000_123_456_789)
OBJECT = msgspec.Raw(b'{"build":7}')
SCHEMA = msgspec.Raw(
    b'{"type":"object","properties":{"verdict":{"type":"string","enum":["ship","hold"]}},"required":["verdict"]}'
)
ASKED = questions.Asked(
    asker=ANA,
    addressee=BO,
    message="Ship it? ✓",
    schema=SCHEMA,
    deadline=AT,
    lane=Lane.ELICITATION,
    epoch=3,
    exposure=Exposure.MIXED,
    conversation="q_0",
    hops=2,
    reply_to="m_1",
    metadata=OBJECT,
)
SAID = plans.Said(
    name="trigger.p99", kind="trigger", verdict="failed", reason="fired", metric="latency_p99_ms", limit=1000.0,
    n=4_200, bad=310, log_evidence=48.5, log_threshold=20.25, clusters=25, named=("team-7",), needed=18_000,
    eta_seconds=2_400.0, guarantee="At most 1 %.", explanation="It has risen.",
)  # fmt: skip

TIMES = ("log1.02+slo/1", ((430, 6), (447, 1)))
BLOCK = measurements.BlockRecorded(
    from_at=AT, until_at=Instant(AT + 10_000_000_000), down_seconds=1.5,
    slices=(
        measurements.Slice(
            cluster="team-7", exposure=Exposure.NEW, asked=9, delivered=7, timed=8, over=(6, 5, 4, 3, 2, 1),
            undelivered=1, requests=40, faults=2, answered=4, declined=1, withdrawn=1, expired_seen=1,
            expired_unseen=2, dismissed=1, fallback=1,
        ),
    ),
    coordination=(
        measurements.Coordination(
            exposure=Exposure.NEW, delivery=TIMES, answer=TIMES, polls=12, empty_polls=5, items=7,
            wake_levels={"native": 7}, causes={"log_unavailable": 2},
        ),
    ),
    hub=measurements.HubCounts(
        registration=TIMES, fan_out={1: 20, 12: 1}, late=1, open_questions={"new": 3}, agents_present=17,
        streams_open=4,
    ),
)  # fmt: skip

EXAMPLES: Final[tuple[Event, ...]] = (
    agents.Registered(name=ANA, kind=Kind.PERSON, label="team-1"),
    agents.Declared(client="kit", native=True, faces_person=True),
    agents.Arrived(),
    agents.Departed(seen_at=AT),
    agents.Retired(),
    credentials.Issued(
        name=ANA, kind=Kind.SERVICE, scopes=(Scope.AGENT, Scope.OPERATOR), digest="0f" * 32, expires_at=AT, label="t"
    ),
    credentials.Revoked(),
    messages.Sent(sender=ANA, to=(BO, AgentName("cy")), body="hi", conversation="q_0", hops=2, reply_to="q_1",
                  metadata=OBJECT),
    messages.Acknowledged(through=Sequence(41)),
    measurements.Begun(reason=measurements.Reason.BASELINE, check_seconds=5.0, until_at=AT),
    measurements.Joined(reason=measurements.Reason.ROLLOUT, until_at=AT),
    BLOCK,
    measurements.Left(reason=measurements.Reason.BASELINE, why="complete"),
    measurements.Ended(reason=measurements.Reason.ROLLOUT, why="polling is removed for good"),
    ASKED,
    questions.Offered(channel=Channel.NATIVE, shown_at=Instant(17)),
    questions.Seen(channel=Channel.CONSOLE),
    questions.Answered(
        by=BO, content=msgspec.Raw(b'{"verdict":"ship"}'), channel=Channel.STREAM, offers=((Channel.POLL, Instant(17)),)
    ),
    questions.Declined(by=BO, channel=Channel.INBOX, reason="busy", offers=((Channel.POLL, Instant(17)),)),
    questions.Dismissed(channel=Channel.NATIVE, reason=Dismissal.CLIENT_AUTO_DECLINE),
    questions.Requeued(reason="kill"),
    questions.Withdrawn(by=ANA, reason="settled"),
    questions.Expired(),
    rollouts.Started(name="main", salt="s", hash_version=1),
    rollouts.ClustersFrozen(
        clusters={"ana": "team-1", "bo": "team-1"},
        weights={"team-1": 2},
        method=rollouts.Method.PROPAGATION,
        oversized=("team-1",),
    ),
    rollouts.ShareSet(share=0.25, threshold=0.251, achieved=0.2, reason="stage"),
    rollouts.Completed(reason="stage"),
    rollouts.ShareLowered(share=0.05, threshold=0.051, achieved=0.04, epoch=2, reason="slow"),
    rollouts.RolledBack(epoch=2, reason="slow"),
    rollouts.Held(reason="review"),
    rollouts.Resumed(reason="reviewed"),
    rollouts.Killed(source=rollouts.Source.FILE, epoch=2, reason="drill"),
    rollouts.Deprecated(sunset_at=AT, notice="Polling ends."),
    rollouts.Removed(undo_until=AT),
    rollouts.Restored(source=rollouts.Source.HTTP, reason="somebody still polls"),
    signoffs.Requested(
        subject="run/r_1/phase/canary/entry",
        about="Begin?",
        digest="0f" * 32,
        parts=signoffs.Parts(runsheet="a1" * 32, evidence="b2" * 32, flags="c3" * 32),
        requested_by=ANA,
        authors=(BO,),
        roles={"security": signoffs.Panel(members=(ANA, BO), quorum=2)},
        deadline=AT,
        valid_until=AT,
        summary="p99 212 ms",
        replaces="s_0",
    ),
    signoffs.Asked(member=BO, question_id="q_1"),
    signoffs.Given(
        by=BO,
        role="security",
        outcome=Outcome.CONDITIONAL,
        given_at=AT,
        question_id="q_1",
        conditions=(signoffs.Condition(expression="error_rate < 0.001", expires_at=AT),),
        controls=("siem.quiet",),
        comment="watch it",
    ),
    signoffs.Returned(by=BO, question_id="q_1", code="signoff.no_controls", message="Name the controls."),
    signoffs.Abstained(by=BO, question_id="q_1", reason="ill"),
    signoffs.Approved(outcome=Outcome.CONDITIONAL),
    signoffs.Stopped(by=BO, role="security", given_at=AT, question_id="q_1", comment="leak"),
    signoffs.Superseded(digest="0e" * 32),
    signoffs.Suspended(control="siem.quiet", reason="red"),
    signoffs.ControlRecovered(control="siem.quiet"),
    signoffs.Reinstated(control="siem.quiet"),
    signoffs.Withdrawn(by=ANA, reason="moved"),
    signoffs.Expired(),
    evidence.EvidenceKept(digest="0d" * 32, media="text/plain", size_bytes=5, content=b"facts"),
    certificates.CertificateIssued(
        digest="0c" * 32,
        kind="signature",
        subject="run/r_1/phase/canary/entry",
        role="security",
        outcome=Outcome.CONDITIONAL,
        signer=BO,
        signoff="s_1",
        keyid="0b" * 32,
    ),
    board.ReviewRecorded(
        runsheet="elicitation",
        version="2.0",
        digest="0a" * 32,
        roles={
            Role.SECURITY: board.RoleOutcome(
                outcome=Outcome.APPROVED_WITH_CONTROLS, findings={"minor": 1}, codes=("security.siem",)
            )
        },
        overall="production_ready",
    ),
    runs.Created(
        runsheet=OBJECT, digest="a1" * 32, nodes=("canary/step/deploy",), at=AT, review="not_ready", forced="d"
    ),
    runs.Taken(driver="driver_1", epoch=2, until=AT),
    runs.Renewed(until=AT),
    runs.Begun(node="canary/step/deploy", attempt=2, at=AT, deadline=AT),
    runs.Asked(node="full/step/go", items={"bo": "q_1"}, deadline=AT, round=1),
    runs.Done(node="canary/step/deploy", at=AT, evidence=OBJECT, digest="b2" * 32),
    runs.Failed(node="canary/step/deploy", at=AT, reason="exit 3", again=True, evidence=OBJECT),
    runs.Held(
        node="canary/exit/gate/p99", verdict=runs.Verdict.ERRORED, reason="not_measured", at=AT, owner="ana",
        evidence=OBJECT,
    ),
    runs.Released(node="canary/step/deploy", by="ana", reason="disk was full"),
    runs.Reopened(node="canary/entry/signoff/0", signoff="s_1"),
    runs.Skipped(
        node="canary/step/deploy", by="ana", reason="done by hand", grounds=runs.Grounds.SIGNOFF, signoff="s_1"
    ),
    runs.WaiverAsked(node="canary/exit/gate/p99", by="ana", reason="no traffic", signoff="s_1"),
    runs.Waived(node="canary/exit/gate/p99", by="ana", reason="no traffic", signoff="s_1"),
    runs.WaiverRefused(node="canary/exit/gate/p99", signoff="s_1", reason="signoff stopped"),
    runs.Undone(node="canary/step/deploy", verified=True, reason="exit 1", evidence=OBJECT),
    runs.Paused(by="ana", reason="holiday"),
    runs.Resumed(by="ana", reason="back"),
    runs.AbortBegun(by="ana", reason="wrong fleet"),
    runs.Aborted(clean=True, left=("removal/step/remove",)),
    runs.Migrated(
        runsheet=OBJECT, digest="c3" * 32, replaces="a1" * 32, nodes=("canary/step/deploy",),
        review="production_ready", by="ana", reason="longer bake",
    ),
    runs.Completed(at=AT),
    plans.Accepted(number=1, plan=OBJECT, digest="d4" * 32, epoch=2, at=AT),
    plans.StageEntered(stage=1, share=0.25, at=AT),
    plans.BakeBegun(stage=1, at=AT),
    plans.Judged(at=AT, said=(SAID,)),
    plans.Held(
        cause=plans.Cause.GATES, reason="not proven yet", owner="on-call", at=AT, deadline=AT, eta_seconds=60.0,
        said=(SAID,),
    ),
    plans.Resumed(cause=plans.Cause.GATES, reason="proven", at=AT, looked=True),
    plans.Overdue(at=AT),
    plans.Promoted(stage=1, at=AT, from_at=AT, until_at=AT, said=(SAID,)),
    plans.RolledBack(stage=1, share=0.25, at=AT, until_at=AT, said=SAID),
    plans.Returned(at=AT),
    plans.Aborted(reason="killed", share=0.25, at=AT),
    plans.Finished(at=AT),
)  # fmt: skip
