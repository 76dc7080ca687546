"""Projector: folds committed records into the views, in the order of the log.

The same code serves the replay at start and the live tail; nothing here decides, waits or fails for
a reason that is not a bug. What follows from a record (further commands) is the reactor's.
"""

from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from typing import Any, ClassVar, Final

from crossfade.core import (
    agents,
    board,
    certificates,
    credentials,
    measurements,
    messages,
    questions,
    rollouts,
    runs,
    signoff_events,
    signoffs,
    stages,
)
from crossfade.core.measurement_events import BlockRecorded
from crossfade.core.records import Event, Recorded
from crossfade.core.values import Channel, Instant, Lane
from crossfade.engine.couriers import AT_ONCE
from crossfade.engine.measures import Measures
from crossfade.engine.ports import CorruptLogError, Courier
from crossfade.engine.streams import Streams
from crossfade.engine.views.directory import Directory
from crossfade.engine.views.mailboxes import Mail, Mailbox
from crossfade.engine.views.measurements import Measurements
from crossfade.engine.views.plans import Driven
from crossfade.engine.views.programme import SERVICE_NAME, Programme
from crossfade.engine.views.questions import Entry
from crossfade.engine.views.runs import Entry as RunEntry
from crossfade.engine.views.signoffs import Entry as SignoffEntry
from crossfade.engine.views.signoffs import Signoffs

LATELY: Final = 256
"""Ended questions whose two ends may still read what was kept for them."""
_MS: Final = 1_000_000
ELICITATION: Final = Lane.ELICITATION
ANSWERED: Final = questions.Status.ANSWERED

Fold = Callable[[Any, Recorded, Any, Any], None]
"""Takes the projector, a record, and the states of its stream before and after it."""
QuestionFold = Callable[[Any, Recorded, Any], None]
"""Takes the projector, a record of a question, and the question, its state as it is after the record."""


def _without(shown: questions.Offers, channel: Channel) -> questions.Offers:
    return tuple([offer for offer in shown if offer[0] is not channel])


class Views:
    """Everything that is read, in one place."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.questions: dict[str, Entry] = {}
        """Open questions and those that ended lately."""
        self.programme = Programme()
        self.plan = Driven()
        self.signoffs = Signoffs()
        self.runs: dict[str, RunEntry] = {}
        """Every run, the oldest first."""
        self.measures = Measures()
        self.measurements = Measurements()


IMPOSSIBLE: Final = (LookupError, AssertionError, AttributeError, TypeError, ValueError)
"""What folding raises at an event that cannot follow: with a true hash, somebody has written it past the hub."""


class Projector:
    """Applies records; each exactly once."""

    def __init__(self, streams: Streams, views: Views) -> None:
        self.courier: Courier = AT_ONCE
        self._streams = streams
        self._views = views
        self._ended_lately: deque[Entry] = deque()
        self.listeners: list[Callable[[Recorded], None]] = []
        """Called after each record is in the views; they must be quick."""
        self.counting: list[Callable[[Seq[Recorded]], None]] = []
        """Called after each batch that was stored, by whom it is enough to know how far the log is."""

    def replay(self, records: Seq[Recorded]) -> None:
        """As ``apply``, of what was stored long ago. Raises CorruptLogError, naming the first that cannot be there."""
        rest = iter(records)
        try:
            self.apply(rest)
        except IMPOSSIBLE as fault:
            bad = records[len(records) - len(tuple(rest)) - 1]
            what = f"{type(bad.event).__name__} of {bad.stream} does not follow from what was before"
            raise CorruptLogError(f"shard {bad.shard}: sequence {bad.sequence} cannot be: {what}") from fault

    def committed(self, records: Seq[Recorded]) -> None:
        """As ``apply``, of a batch that was stored just now."""
        self.apply(records)
        for count in self.counting:
            count(records)

    def apply(self, records: Iterable[Recorded]) -> None:
        """Fold ``records`` into the views, then tell the listeners."""
        for record in records:
            slot, before = self._streams.evolve(record)
            of_question = self._QUESTION.get(type(record.event))
            if of_question is not None:  # nearly always
                of_question(self, record, slot)
            else:
                self._FOLDS[record.stream.partition("/")[0]](self, record, before, slot.state)
            for listener in self.listeners:
                listener(record)

    # --- identities and the programme ---------------------------------------------------------------

    def _agent(self, record: Recorded, before: agents.State, after: agents.State) -> None:
        self._views.directory.put(after.name, after)
        present = agents.Status.PRESENT
        self._views.measures.agents_present += (after.status is present) - (before.status is present)

    def _token(self, record: Recorded, before: Any, after: credentials.State) -> None:
        self._views.programme.tokens[after.digest] = (record.stream.partition("/")[2], after)
        self._views.programme.holders.add(after.name)

    def _rollout(self, record: Recorded, before: rollouts.State, after: rollouts.State) -> None:
        programme = self._views.programme
        programme.rollout = after
        if after.status is not before.status or not programme.since:
            programme.since[after.status] = record.at
        if after.share != before.share:
            self._views.measurements.share_changed(record.at)
        if isinstance(record.event, rollouts.Killed | rollouts.Restored | rollouts.RolledBack):
            programme.killed = False  # from here on the log says so
        for member in self._views.directory:
            member.mailbox.wake()

    def _plan(self, record: Recorded, before: stages.State, after: stages.State) -> None:
        self._views.plan.put(after, record.event, record.at, self._views.programme.rollout)

    def _measurement(self, record: Recorded, before: Any, after: measurements.State) -> None:
        event = record.event
        assert isinstance(event, measurements.MeasurementEvent)
        self._views.measurements.fold(event, record.at)
        if isinstance(event, BlockRecorded):
            self._views.plan.take(event)

    def _run(self, record: Recorded, before: runs.State, after: runs.State) -> None:
        run_id = record.stream.partition("/")[2]
        entry = self._views.runs.get(run_id)
        if entry is None:
            self._views.runs[run_id] = RunEntry(run_id, after, record.actor, record.at)
        else:
            entry.put(after, record.at)

    # --- consent --------------------------------------------------------------------------------------

    def _signoff(self, record: Recorded, before: signoffs.State, after: signoffs.State) -> None:
        signoff_id = record.stream.partition("/")[2]
        view = self._views.signoffs
        entry = view.entries.get(signoff_id)
        if entry is None:
            entry = view.entries[signoff_id] = SignoffEntry(signoff_id, after, record.at)
        if after.status is not before.status and after.status is not signoff_events.Status.OPEN:
            entry.ended_at = record.at
        entry.state = after
        if isinstance(record.event, signoff_events.Asked):
            view.by_question[record.event.question_id] = signoff_id

    def _certificate(self, record: Recorded, before: Any, after: certificates.State) -> None:
        assert after.issued is not None
        self._views.signoffs.put_certificate(after.issued, record.at)

    def _review(self, record: Recorded, before: Any, after: board.State) -> None:
        assert after.review is not None
        self._views.signoffs.put_review(after.review)

    # --- messages -------------------------------------------------------------------------------------

    def _mailbox(self, record: Recorded, before: messages.Cursor, after: messages.Cursor) -> None:
        member = self._views.directory.get(record.stream.partition("/")[2])
        if member is not None:
            member.mailbox.acknowledge(after.through)

    def _message(self, record: Recorded, before: Any, after: messages.State) -> None:
        views = self._views
        views.measures.messages += 1
        views.measures.fan_out.add(len(after.to))
        for name in after.to:
            mailbox = views.directory.member(name).mailbox
            mailbox.history.append(record.sequence)
            self._bring(mailbox, Mail(record.sequence, "message", record))
            views.programme.talk.add(after.sender, name)

    # --- questions ------------------------------------------------------------------------------------

    def _asked(self, record: Recorded, entry: Entry) -> None:
        views, state = self._views, entry.state
        views.questions[entry.question_id] = entry
        addressee = views.directory.member(state.addressee)
        addressee.open[entry.question_id] = entry
        views.directory.member(state.asker).asked_open += 1
        if state.asker != SERVICE_NAME:
            views.programme.talk.add(state.asker, state.addressee)
        measures = views.measures
        measures.asked[state.lane, state.exposure] += 1
        measures.open[state.lane] += 1
        if state.lane is ELICITATION and addressee.state.native:
            addressee.mailbox.shelve(entry)
            self.courier.bring(addressee.mailbox.wake, state.lane)
        else:
            entry.text_at = record.sequence
            self._bring(addressee.mailbox, Mail(record.sequence, "question", record, entry), state.lane)

    def _offer(self, record: Recorded, entry: Entry) -> None:
        event = record.event
        assert isinstance(event, questions.Offered)
        self._offered(entry, event.channel, Instant(event.shown_at or record.at))
        entry.settle()  # it was not answered at once: those who wait on may be many

    def _offered(self, entry: Entry, channel: Channel, shown_at: Instant) -> None:
        if entry.shown:
            entry.shown = _without(entry.shown, channel)
        measures = self._views.measures
        measures.offered[entry.state.lane, channel] += 1
        if entry.offered_at is None:
            entry.offered_at = shown_at
            delivery_ms = (shown_at - entry.asked_at) / _MS if shown_at > entry.asked_at else 0.0
            measures.delivery_ms[entry.state.lane].add(delivery_ms)
            measures.exposure_ms[entry.state.exposure].add(delivery_ms)

    def _seen(self, record: Recorded, entry: Entry) -> None:
        """Its state says so."""

    def _as_text(self, record: Recorded, entry: Entry) -> None:
        if isinstance(record.event, questions.Dismissed):
            self._views.measures.dismissed[record.event.reason] += 1
        else:
            self._views.measures.requeued += 1
        mailbox = self._views.directory.member(entry.state.addressee).mailbox
        if mailbox.native.pop(entry.question_id, None) is not None:  # else it is there as text already
            entry.text_at = record.sequence
            self._bring(mailbox, Mail(record.sequence, "question", record, entry), Lane.POLLING)

    def _answered(self, record: Recorded, entry: Entry) -> None:
        event = record.event
        assert isinstance(event, questions.Answered | questions.Declined)
        entry.shown = ()
        for channel, shown_at in event.offers:
            self._offered(entry, channel, shown_at)
        self._ended(record, entry)

    def _ended(self, record: Recorded, entry: Entry) -> None:
        views = self._views
        state = entry.state
        measures = views.measures
        measures.ended[state.lane, state.status] += 1
        measures.open[state.lane] -= 1
        addressee = views.directory.member(state.addressee)
        addressee.open.pop(entry.question_id, None)
        if addressee.mailbox.native:
            addressee.mailbox.native.pop(entry.question_id, None)
        if state.status is ANSWERED:
            measures.answer_ms[state.lane].add((record.at - entry.asked_at) / _MS)
            if state.ended_channel == "native":
                addressee.accepted += 1
        asker = views.directory.member(state.asker)
        asker.asked_open -= 1
        collected = entry.collectors > 0
        entry.end(record.at)
        self._ended_lately.append(entry)
        if len(self._ended_lately) > LATELY:
            self._ended_lately.popleft().settle()
        asker.mailbox.history.append(record.sequence)
        if not collected and state.asker != SERVICE_NAME:
            self._bring(asker.mailbox, Mail(record.sequence, "answer", record, entry))
        for gone in self._streams.retire(entry):
            views.questions.pop(gone, None)

    def _bring(self, mailbox: Mailbox, mail: Mail, lane: Lane | None = None) -> None:
        """Put a text item into a mailbox, and let its owner's carriers know."""
        if mailbox.put(mail):
            self.courier.bring(mailbox.wake, lane)

    def _nothing(self, record: Recorded, before: Any, after: Any) -> None:
        """Nothing is read of these streams but the streams themselves."""

    # Not bound to a projector: one that is done with is freed at once, with all that it folded.
    _QUESTION: ClassVar[dict[type[Event], QuestionFold]] = {
        questions.Asked: _asked,
        questions.Offered: _offer,
        questions.Seen: _seen,
        questions.Dismissed: _as_text,
        questions.Requeued: _as_text,
        questions.Answered: _answered,
        questions.Declined: _answered,
        questions.Withdrawn: _ended,
        questions.Expired: _ended,
    }
    """Of a question's records by event: they are nearly all."""
    _FOLDS: ClassVar[dict[str, Fold]] = {
        "agent": _agent,
        "certificate": _certificate,
        "evidence": _nothing,
        "mailbox": _mailbox,
        "measurement": _measurement,
        "message": _message,
        "plan": _plan,
        "review": _review,
        "rollout": _rollout,
        "run": _run,
        "signoff": _signoff,
        "token": _token,
    }
    """Of all others by kind of stream."""
