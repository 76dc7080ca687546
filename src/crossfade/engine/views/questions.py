"""The questions that are open or ended lately, and who waits for their end."""

import asyncio

from crossfade.core.questions import State, Status
from crossfade.core.values import Channel, Instant, QuestionId
from crossfade.engine.requests import Delivery, QuestionView
from crossfade.engine.timers import Timer
from crossfade.engine.views.instants import iso


class Entry:
    """One question: its state and what only this process knows about it."""

    __slots__ = (
        "asked_at", "claimed_at", "collectors", "ended_at", "expiry", "offered_at", "patience", "question_id",
        "sequence", "state", "text_at", "waiters",
    )  # fmt: skip

    def __init__(self, question_id: QuestionId, state: State, sequence: int, asked_at: Instant) -> None:
        self.question_id = question_id
        self.state = state
        self.sequence = sequence
        self.asked_at = asked_at
        self.text_at = 0
        """Sequence under which the addressee finds it as text; 0 while it waits to be elicited."""
        self.offered_at: Instant | None = None
        self.ended_at: Instant | None = None
        self.claimed_at: Instant | None = None
        """A carrier took it natively at this instant and has not given it back."""
        self.waiters: set[asyncio.Future[None]] = set()
        self.collectors = 0
        """Waits of the asker itself: it will read the end there and needs no news of it in its mailbox."""
        self.expiry: Timer | None = None
        self.patience: Timer | None = None

    @property
    def open(self) -> bool:
        """It has no end yet."""
        return self.state.status is Status.OPEN

    def end(self, at: Instant) -> None:
        """Note the end and wake who waits for it."""
        self.ended_at = at
        for timer in (self.expiry, self.patience):
            if timer is not None:
                timer.cancel()
        self.expiry = self.patience = None
        self.wake()

    def wake(self) -> None:
        """Let go of whoever waits for the end."""
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def delivery(state: State) -> Delivery:
    """How far the question verifiably got."""
    if state.status is Status.ANSWERED:
        return "answered"
    if state.seen:
        return "seen"
    return "offered" if state.offered else "queued"


def view(entry: Entry) -> QuestionView:
    """The question as users read it."""
    state = entry.state
    return QuestionView(
        question_id=entry.question_id,
        status=state.status,
        delivery=delivery(state),
        asker=state.asker,
        addressee=state.addressee,
        message=state.message,
        schema=state.schema,
        asked_at=iso(entry.asked_at),
        deadline=iso(state.deadline),
        lane=state.lane,
        exposure=state.exposure,
        channels=state.offered,
        dismissals=state.dismissals,
        content=state.content,
        reason=state.reason,
        ended_at=None if entry.ended_at is None else iso(entry.ended_at),
        ended_by=state.ended_by,
        conversation=state.conversation or entry.question_id,
        reply_to=state.reply_to,
        sequence=entry.sequence,
        metadata=state.metadata,
    )


TEXT_CHANNELS = frozenset({Channel.POLL, Channel.INBOX, Channel.STREAM, Channel.CONSOLE})
"""Channels on which a question is shown as data rather than elicited by the client."""
