"""The whole folded state of a hub as bytes and back: what a snapshot holds.

Only what the log decides is in it; what a process alone knows (who waits, who was heard from, appointments) is
not. The states of streams are JSON, as their events are, because they hold JSON unread; all around them is
msgpack. ``VERSION`` changes with the release and with every field of every state and event, so a snapshot is never
read by code that would fold the log otherwise: then it is thrown away and the log folded anew.
"""

from collections import Counter
from hashlib import sha256
from typing import Any, Final

import msgspec

from crossfade.core import board, certificates, questions, stages, watching
from crossfade.core.measurements import BlockRecorded, Coordination, HubCounts, Slice
from crossfade.core.records import Recorded, decode, encode, registered, type_name
from crossfade.core.values import SPACE, Instant, QuestionId, Sequence, Shard, StreamName
from crossfade.engine.measures import Histogram, Measures
from crossfade.engine.projector import Views
from crossfade.engine.slots import Slot
from crossfade.engine.streams import DECIDERS, Streams, empty
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import Mail
from crossfade.engine.views.measurements import Baseline, Cells, Hour, Kept, Window
from crossfade.engine.views.past import SavedPast
from crossfade.engine.views.programme import ROLLOUT
from crossfade.engine.views.questions import Entry
from crossfade.engine.views.runs import Entry as RunEntry
from crossfade.engine.views.signoffs import Entry as SignoffEntry
from crossfade.engine.views.talk import SavedTalk

FORMAT: Final = 1


class SavedSlot(msgspec.Struct, frozen=True, array_like=True):
    """A stream's version and state."""

    stream: str
    version: int
    state: bytes


class SavedQuestion(msgspec.Struct, frozen=True, array_like=True):
    """A question that is open, ended lately, or still in somebody's mailbox."""

    question_id: QuestionId
    sequence: int
    asked_at: Instant
    text_at: int
    offered_at: Instant | None
    ended_at: Instant | None
    listed: bool
    """It is among the questions in memory, not only in a mailbox."""
    state: bytes


class SavedMail(msgspec.Struct, frozen=True, array_like=True):
    """An item of a mailbox with the record it came by."""

    sequence: int
    kind: Any
    stream: StreamName
    version: int
    at: Instant
    actor: str
    cause: str
    type: str
    payload: bytes
    question_id: str
    """Empty for a message."""


class SavedMember(msgspec.Struct, frozen=True, array_like=True):
    """An identity: what waits for it."""

    name: str
    accepted: int
    asked_open: int
    cursor: int
    mail: list[SavedMail]
    native: list[str]
    open: list[str]
    history: SavedPast


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, after the records up to ``ends``."""

    version: str
    ends: dict[int, tuple[int, bytes]]
    """Shard → the sequence it was folded up to, and the chain there."""
    last_at: Instant
    slots: list[SavedSlot]
    ended: list[str]
    """Questions with an end, in their order."""
    questions: list[SavedQuestion]
    members: list[SavedMember]
    since: dict[str, int]
    holders: list[str]
    talk: SavedTalk
    signoffs: list[tuple[str, Instant, Instant | None]]
    asked_for: dict[str, str]
    """Question → sign-off."""
    certificates: list[tuple[bytes, Instant]]
    reviews: list[bytes]
    runs: list[tuple[str, str, Instant]]
    watch: watching.Saved | None
    fired: dict[str, int]
    """Of the plans' triggers."""
    measures: dict[str, Any]
    measured: bytes
    """``Kept`` of the measurements."""
    blocks: list[bytes]
    """Their newest blocks."""


def dump(streams: Streams, views: Views, ends: dict[Shard, tuple[Sequence, bytes]], last_at: Instant) -> bytes:
    """The state after folding the records up to ``ends``; the same state gives the same bytes."""
    slots, ended = streams.saved()
    entries = _entries(views)
    programme, consent = views.programme, views.signoffs
    saved = Saved(
        version=VERSION,
        ends={int(shard): end for shard, end in ends.items()},
        last_at=last_at,
        slots=[
            SavedSlot(stream, slot.version, b"" if stream.removeprefix("question/") in entries else _json(slot.state))
            for stream, slot in sorted(slots.items())  # ids sort by time; shards may be folded in turns
        ],
        ended=list(ended),
        questions=[_question(entry, listed=question_id in views.questions) for question_id, entry in entries.items()],
        members=[_member(member) for member in views.directory],
        since=dict(programme.since),
        holders=sorted(programme.holders),
        talk=programme.talk.saved(),
        signoffs=[(entry.signoff_id, entry.requested_at, entry.ended_at) for entry in consent.entries.values()],
        asked_for=dict(consent.by_question),
        certificates=[(_json(issued), at) for issued, at in consent.certificates.values()],
        reviews=[_json(review) for review in consent.reviews.values()],
        runs=[(entry.run_id, entry.created_by, entry.changed_at) for entry in views.runs.values()],
        watch=None if views.plan.watch is None else views.plan.watch.dump(),
        fired=dict(views.plan.fired),
        measures=_measures(views.measures),
        measured=_json(views.measurements.kept),
        blocks=[encode(block) for block in views.measurements.recent],
    )
    return msgspec.msgpack.encode(saved)


def fill(saved: Saved, streams: Streams, views: Views) -> None:
    """Put a saved state into empty streams and views."""
    entries = {one.question_id: _entry(one) for one in saved.questions}
    views.questions.update((one.question_id, entries[one.question_id]) for one in saved.questions if one.listed)
    slots = {one.stream: _slot(one, entries) for one in saved.slots}
    streams.fill(slots, saved.ended)
    for one in saved.members:
        state = slots[f"agent/{one.name}"].state
        _fill_member(one, views.directory.put(state.name, state), entries)
    programme, consent = views.programme, views.signoffs
    if ROLLOUT in slots:
        programme.rollout = slots[ROLLOUT].state
    programme.since.update(saved.since)
    programme.holders.update(saved.holders)
    programme.talk.fill(saved.talk)
    for stream, slot in slots.items():
        if stream.startswith("token/"):
            programme.tokens[slot.state.digest] = (stream.partition("/")[2], slot.state)
    for signoff_id, requested_at, ended_at in saved.signoffs:
        signoff = SignoffEntry(signoff_id, slots[f"signoff/{signoff_id}"].state, requested_at)
        signoff.ended_at = ended_at
        consent.entries[signoff_id] = signoff
    consent.by_question.update(saved.asked_for)
    for content, at in saved.certificates:
        consent.put_certificate(msgspec.json.decode(content, type=certificates.CertificateIssued), at)
    for content in saved.reviews:
        consent.put_review(msgspec.json.decode(content, type=board.ReviewRecorded))
    for run_id, created_by, changed_at in saved.runs:
        views.runs[run_id] = RunEntry(run_id, slots[f"run/{run_id}"].state, created_by, changed_at)
    if stages.STREAM in slots and saved.watch is not None:
        views.plan.state = slots[stages.STREAM].state
        views.plan.watch = watching.Watch(views.plan.state.number, views.plan.state.plan)
        views.plan.watch.fill(saved.watch)
    views.plan.fired.update(saved.fired)
    _fill_measures(saved.measures, views.measures)
    views.measurements.kept = msgspec.json.decode(saved.measured, type=Kept)
    for block in saved.blocks:
        views.measurements.put(msgspec.json.decode(block, type=BlockRecorded))


# --- parts ----------------------------------------------------------------------------------------------------


def _entries(views: Views) -> dict[str, Entry]:
    """Every question that anything refers to."""
    entries = dict(views.questions)
    for member in views.directory:
        for mail in member.mailbox.mail.values():
            if mail.entry is not None:
                entries.setdefault(mail.entry.question_id, mail.entry)
    return entries


def _question(entry: Entry, *, listed: bool) -> SavedQuestion:
    return SavedQuestion(
        entry.question_id, entry.sequence, entry.asked_at, entry.text_at, entry.offered_at, entry.ended_at, listed,
        _json(entry.state),
    )  # fmt: skip


def _entry(one: SavedQuestion) -> Entry:
    state = msgspec.json.decode(one.state, type=questions.State)
    entry = Entry(0, state, questions.DECIDER, SPACE, one.question_id, one.sequence, one.asked_at)
    entry.text_at, entry.offered_at, entry.ended_at = one.text_at, one.offered_at, one.ended_at
    return entry


def _member(member: Member) -> SavedMember:
    box = member.mailbox
    mail = [
        SavedMail(
            one.sequence, one.kind, one.record.stream, one.record.version, one.record.at, one.record.actor,
            one.record.cause, type_name(one.record.event), encode(one.record.event),
            "" if one.entry is None else one.entry.question_id,
        )
        for one in box.mail.values()
    ]  # fmt: skip
    name, native, opened = member.state.name, list(box.native), list(member.open)
    past = box.history.saved()
    return SavedMember(name, member.accepted, member.asked_open, box.cursor, mail, native, opened, past)


def _fill_member(one: SavedMember, member: Member, entries: dict[QuestionId, Entry]) -> None:
    member.accepted, member.asked_open = one.accepted, one.asked_open
    member.open.update((question_id, entries[QuestionId(question_id)]) for question_id in one.open)
    box = member.mailbox
    box.cursor = one.cursor
    box.history.fill(one.history)
    box.native.update((question_id, entries[QuestionId(question_id)]) for question_id in one.native)
    for mail in one.mail:
        record = Recorded(
            shard=SPACE, sequence=Sequence(mail.sequence), stream=mail.stream, version=mail.version, at=mail.at,
            actor=mail.actor, cause=mail.cause, event=decode(mail.type, mail.payload),
        )  # fmt: skip
        box.put(Mail(mail.sequence, mail.kind, record, entries.get(QuestionId(mail.question_id))))


def _slot(one: SavedSlot, entries: dict[QuestionId, Entry]) -> Slot[Any]:
    if one.state:
        slot = empty(one.stream)
        slot.state = msgspec.json.decode(one.state, type=type(slot.state))
    else:
        slot = entries[questions.question_id(one.stream)]
    slot.version = one.version
    return slot


def _measures(measures: Measures) -> dict[str, Any]:
    """By name: a number, the counts of a histogram, histograms by lane, or pairs of key and count."""
    saved: dict[str, Any] = {}
    for name, value in vars(measures).items():
        match value:
            case Histogram():
                saved[name] = [value.counts, value.total]
            case Counter():
                saved[name] = sorted(([key, count] for key, count in value.items()), key=_json)
            case dict():
                saved[name] = {lane: [one.counts, one.total] for lane, one in value.items()}
            case _:
                saved[name] = value
    return saved


def _fill_measures(saved: dict[str, Any], measures: Measures) -> None:
    for name, value in vars(measures).items():
        match value:
            case Histogram():
                value.counts, value.total = saved[name]
            case Counter():
                value.update({tuple(key) if isinstance(key, list) else key: count for key, count in saved[name]})
            case dict():
                for lane, one in value.items():
                    one.counts, one.total = saved[name][lane]
            case _:
                setattr(measures, name, saved[name])


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _version() -> str:
    """Of the release's form of state: every field of every event, state and part of a snapshot."""
    events = [event for _, event in sorted(registered().items())]  # not in the order of imports, which differs
    structs = [*events, *(type(decider.initial) for decider in DECIDERS.values())]
    structs += [Saved, SavedSlot, SavedQuestion, SavedMail, SavedMember, SavedPast, SavedTalk, watching.Saved]
    structs += [Kept, Baseline, Cells, Hour, Window, Slice, Coordination, HubCounts]
    fields = [
        (struct.__qualname__, [(one.name, str(one.type)) for one in msgspec.structs.fields(struct)])
        for struct in structs
    ]
    return f"{FORMAT}-{sha256(repr(fields).encode()).hexdigest()[:16]}"


VERSION: Final = _version()
"""Of the form. A change of folding that no field shows has to raise ``FORMAT``, or wait for a release."""
