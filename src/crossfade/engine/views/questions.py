"""The questions that are open or ended lately, and who waits for their end."""

import asyncio
from typing import Any, Final

from msgspec.structs import replace

from crossfade.core.questions import Offers, State, Status
from crossfade.core.values import Channel, Instant, QuestionId
from crossfade.engine.requests import Delivery, QuestionView
from crossfade.engine.slots import Slot
from crossfade.engine.timers import Timer
from crossfade.engine.views.instants import iso

OPEN: Final = Status.OPEN
ANSWERED: Final = Status.ANSWERED
"""Looked up once: to find a member in its class takes longer than to compare it."""


class Entry(Slot[State], eq=False, gc=True):
    """One question: the slot of its stream, and what only this process knows about it.

    A thousand that have their end are held: all that is not needed then is None, and shared where it is the same.
    """

    question_id: QuestionId
    sequence: int
    asked_at: Instant
    kept_view: QuestionView | None = None
    """The view of it that was made last, for a while: both ends read the same, and most of it never changes."""
    text_at: int = 0
    """Sequence under which the addressee finds it as text; 0 while it waits to be elicited."""
    offered_at: Instant | None = None
    shown: Offers = ()
    """Where it was shown, that no record tells of yet: the end, or a record of its own, will."""
    ended_at: Instant | None = None
    claimed_at: Instant | None = None
    """A carrier took it natively at this instant and has not given it back."""
    waiters: dict[asyncio.Future[Any], None] | None = None
    """Whom the end wakes, in the order in which they came."""
    collectors: int = 0
    """Waits of the asker itself: it will read the end there and needs no news of it in its mailbox."""
    deadline_timer: Timer | None = None
    patience: Timer | None = None
    reclaim: Timer | None = None
    """When another carrier may take what one took natively."""

    @property
    def open(self) -> bool:
        """It has no end yet."""
        return self.state.status is OPEN

    def end(self, at: Instant) -> None:
        """Note the end and wake who waits for it."""
        self.ended_at = at
        self.shown = ()  # what the end does not tell of was shown for less than a blink, and is not claimed
        if self.deadline_timer is not None:
            self.deadline_timer.cancel()
            self.deadline_timer = None
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None
        if self.reclaim is not None:
            self.reclaim.cancel()
            self.reclaim = None
        self.wake()

    def settle(self) -> None:
        """Let go of what was kept for those who read it at once."""
        self.kept_view = None

    def wait(self, waiter: "asyncio.Future[Any]", *, collect: bool) -> None:
        """Be told of the end; ``collect``: by the asker, who will then have read it."""
        if self.waiters is None:
            self.waiters = {}
        self.waiters[waiter] = None
        self.collectors += collect

    def forget(self, waiter: "asyncio.Future[Any]", *, collect: bool) -> None:
        """Wait no more; to be called once for each ``wait``."""
        if self.waiters is not None:
            self.waiters.pop(waiter, None)
        self.collectors -= collect

    def wake(self) -> None:
        """Let go of whoever waits for the end."""
        if self.waiters is None:
            return
        waiters, self.waiters = self.waiters, None
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def delivery(entry: Entry) -> Delivery:
    """How far the question verifiably got."""
    state = entry.state
    if state.status is ANSWERED:
        return "answered"
    if state.seen:
        return "seen"
    return "offered" if state.offered or entry.shown else "queued"


def channels(entry: Entry) -> tuple[Channel, ...]:
    """Where it was shown, in order of the first time."""
    offered, shown = entry.state.offered, entry.shown
    if not shown:
        return offered
    if not offered and len(shown) == 1:  # nearly always
        return (shown[0][0],)
    return (*offered, *_others(offered, shown))


def _others(offered: tuple[Channel, ...], shown: Offers) -> list[Channel]:
    return [channel for channel, _ in shown if channel not in offered]


def view(entry: Entry) -> QuestionView:
    """The question as users read it."""
    kept = entry.kept_view
    if kept is None:
        kept = entry.kept_view = _first(entry)
    elif kept.ended_at is None:  # what is true of it while it is open changes
        kept = entry.kept_view = _now(entry, kept)
    return kept


def _first(entry: Entry) -> QuestionView:
    """All of it, as it is now."""
    state = entry.state
    return QuestionView(
        question_id=entry.question_id,
        status=state.status,
        delivery=delivery(entry),
        asker=state.asker,
        addressee=state.addressee,
        message=state.message,
        schema=state.schema,
        asked_at=iso(entry.asked_at),
        deadline=iso(state.deadline),
        lane=state.lane,
        exposure=state.exposure,
        channels=channels(entry) if entry.shown else state.offered,
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


def _now(entry: Entry, kept: QuestionView) -> QuestionView:
    """An earlier view with all that may have changed."""
    state = entry.state
    return replace(
        kept,
        status=state.status,
        delivery=delivery(entry),
        channels=channels(entry) if entry.shown else state.offered,
        dismissals=state.dismissals,
        content=state.content,
        reason=state.reason,
        ended_at=None if entry.ended_at is None else iso(entry.ended_at),
        ended_by=state.ended_by,
    )


TEXT_CHANNELS = frozenset({Channel.POLL, Channel.INBOX, Channel.STREAM, Channel.CONSOLE})
"""Channels on which a question is shown as data rather than elicited by the client."""
