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
        "_shown_instants", "asked_at", "claimed_at", "collectors", "end_view", "ended_at", "expiry", "offered_at",
        "offering", "patience", "question_id", "reclaim", "sequence", "shown", "state", "text_at", "waiters",
    )  # fmt: skip

    def __init__(self, question_id: QuestionId, state: State, sequence: int, asked_at: Instant) -> None:
        self.question_id = question_id
        self.state = state
        self.sequence = sequence
        self.asked_at = asked_at
        self._shown_instants: tuple[str, str] | None = None
        self.end_view: tuple[State, QuestionView] | None = None
        """The view of a question that has its end, with the state it shows: both ends read the same."""
        self.text_at = 0
        """Sequence under which the addressee finds it as text; 0 while it waits to be elicited."""
        self.offered_at: Instant | None = None
        self.shown: dict[Channel, Instant] = {}
        """Channels on which it was shown, that no record tells of yet: the end, or a record of their own, will."""
        self.ended_at: Instant | None = None
        self.claimed_at: Instant | None = None
        """A carrier took it natively at this instant and has not given it back."""
        self.waiters: set[asyncio.Future[None]] = set()
        self.collectors = 0
        """Waits of the asker itself: it will read the end there and needs no news of it in its mailbox."""
        self.expiry: Timer | None = None
        self.patience: Timer | None = None
        self.reclaim: Timer | None = None
        """When another carrier may take what one took natively."""
        self.offering: Timer | None = None
        """When ``shown`` is recorded."""

    @property
    def open(self) -> bool:
        """It has no end yet."""
        return self.state.status is Status.OPEN

    @property
    def instants(self) -> tuple[str, str]:
        """When it was asked and when it expires, as readers are shown it: neither ever changes."""
        if self._shown_instants is None:
            self._shown_instants = iso(self.asked_at), iso(self.state.deadline)
        return self._shown_instants

    def end(self, at: Instant) -> None:
        """Note the end and wake who waits for it."""
        self.ended_at = at
        self.shown = {}  # what the end does not tell of was shown for less than a blink, and is not claimed
        for timer in (self.expiry, self.patience, self.reclaim, self.offering):
            if timer is not None:
                timer.cancel()
        self.expiry = self.patience = self.reclaim = self.offering = None
        self.wake()

    def wake(self) -> None:
        """Let go of whoever waits for the end."""
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def delivery(entry: Entry) -> Delivery:
    """How far the question verifiably got."""
    state = entry.state
    if state.status is Status.ANSWERED:
        return "answered"
    if state.seen:
        return "seen"
    return "offered" if state.offered or entry.shown else "queued"


def channels(entry: Entry) -> tuple[Channel, ...]:
    """Where it was shown, in order of the first time."""
    if not entry.shown:
        return entry.state.offered
    return (*entry.state.offered, *(channel for channel in entry.shown if channel not in entry.state.offered))


def view(entry: Entry) -> QuestionView:
    """The question as users read it."""
    if entry.ended_at is None:
        return _view(entry)
    kept = entry.end_view
    if kept is None or kept[0] is not entry.state:
        kept = entry.end_view = entry.state, _view(entry)
    return kept[1]


def _view(entry: Entry) -> QuestionView:
    state = entry.state
    asked_at, deadline = entry.instants
    return QuestionView(
        question_id=entry.question_id,
        status=state.status,
        delivery=delivery(entry),
        asker=state.asker,
        addressee=state.addressee,
        message=state.message,
        schema=state.schema,
        asked_at=asked_at,
        deadline=deadline,
        lane=state.lane,
        exposure=state.exposure,
        channels=channels(entry),
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
