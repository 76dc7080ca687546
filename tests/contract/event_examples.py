"""One event of every registered type, with no field at its default: what the golden files are read against."""

from typing import Final

import msgspec

from crossfade.core import agents, credentials, messages, questions, rollouts
from crossfade.core.questions import Dismissal, Exposure
from crossfade.core.records import Event
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
    ASKED,
    questions.Offered(channel=Channel.NATIVE),
    questions.Seen(channel=Channel.CONSOLE),
    questions.Answered(by=BO, content=msgspec.Raw(b'{"verdict":"ship"}'), channel=Channel.STREAM),
    questions.Declined(by=BO, channel=Channel.INBOX, reason="busy"),
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
)  # fmt: skip
