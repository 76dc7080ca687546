"""Mailboxes: what is addressed to somebody and not yet acknowledged, in the order of the log.

Two shelves. ``mail`` is text in log order, acknowledged by cursor. ``native`` holds questions to be
elicited by the owner's client; they leave it by their end, or as text when a channel was dismissed.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile
from typing import Final, Literal, Protocol

import msgspec

from crossfade.core.messages import Sent
from crossfade.core.questions import Status
from crossfade.core.records import Recorded
from crossfade.core.values import Instant
from crossfade.engine.requests import Item
from crossfade.engine.views.instants import iso
from crossfade.engine.views.past import Past
from crossfade.engine.views.questions import OPEN, Entry, view
from crossfade.engine.views.readiness import Readiness

Kind = Literal["message", "question", "answer", "notice"]
NEVER: Final = Instant(2**63)
"""Until when a stream waits: as long as it is there."""


class Mail(msgspec.Struct, eq=False):
    """One text item: a place in the log and what to show for it."""

    sequence: int
    kind: Kind
    record: Recorded
    entry: Entry | None = None

    @property
    def stale(self) -> bool:
        """A question that has its end in the meantime need not be shown any more."""
        entry = self.entry
        return entry is not None and self.kind == "question" and entry.state.status is not OPEN


class Waker(Protocol):
    """Who is told when something comes."""

    @property
    def until(self) -> Instant:
        """It is told then in any case; NEVER: it is not."""

    def wake(self) -> None:
        """Something came. Takes nobody out of the mailbox before the next turn of the loop."""


class Mailbox:
    """What one identity has to receive."""

    __slots__ = ("cursor", "history", "mail", "native", "news", "patience", "ready", "unconfirmed", "wakers")

    def __init__(self) -> None:
        self.cursor = 0
        """Everything up to this sequence was acknowledged."""
        self.history = Past()
        """Sequences of every message to the owner, and of every end of its own questions, ever, so that a reader
        who goes back finds them without reading what the log has for others."""
        self.mail: OrderedDict[int, Mail] = OrderedDict()
        """By sequence, oldest first. Ordered, because items leave from the front and from within, at one cost."""
        self.news: dict[str, int] = {}
        """Question of the owner's → sequence of the news of its end."""
        self.native: dict[str, Entry] = {}
        self.ready = Readiness()
        """For how long carriers of the owner have waited here."""
        self.unconfirmed = 0
        """Last sequence handed out to a caller who keeps no cursor; its next call confirms it."""
        self.wakers: tuple[Waker, ...] = ()
        """Who waits, the longest first; each removes itself. Mostly one: a dict of it is four times as large."""
        self.patience = Instant(0)
        """When the first of those who wait may have waited long enough, and is looked at (``waits.Patience``): nearly
        every wait is over before its time, so it stays for the next one. 0: nobody looks."""

    def put(self, mail: Mail) -> bool:
        """Add a text item, whose sequence is above all before; whether somebody is to be told."""
        if mail.sequence <= self.cursor:
            return False
        self.mail[mail.sequence] = mail
        if mail.kind == "answer" and mail.entry is not None:
            self.news[mail.entry.question_id] = mail.sequence
        return True

    def shelve(self, entry: Entry) -> None:
        """Add a question to be elicited natively; somebody is to be told."""
        self.native[entry.question_id] = entry

    def drop_answer(self, question_id: str) -> None:
        """Take back the news of an end that the asker has read otherwise."""
        sequence = self.news.pop(question_id, None)
        if sequence is not None:
            del self.mail[sequence]

    def acknowledge(self, through: int) -> list[Entry]:
        """Forget what was received; the open questions among it, which thereby count as seen."""
        passed: list[Entry] = []
        while self.mail and next(iter(self.mail)) <= through:
            _, mail = self.mail.popitem(last=False)
            entry = mail.entry
            if entry is None:
                continue
            if mail.kind == "answer":
                self.news.pop(entry.question_id, None)
            elif mail.kind == "question" and entry.state.status is OPEN:
                passed.append(entry)
        self.cursor = max(self.cursor, through)
        return passed

    def page(self, after: int, limit: int) -> tuple[list[Mail], bool]:
        """Up to ``limit`` text items beyond ``after``, oldest first, and whether there are more."""
        found: list[Mail] = []
        for mail in self._beyond(after):
            if mail.stale:
                continue
            if len(found) == limit:
                return found, True
            found.append(mail)
        return found, False

    def _beyond(self, after: int) -> Iterable[Mail]:
        """Items above ``after``, oldest first; those that a stream has read and not acknowledged are not walked."""
        if not self.mail or next(iter(self.mail)) > after:
            return self.mail.values()
        return _above(after, self.mail)

    def enter(self, waker: Waker) -> None:
        """Tell this one too, after all others."""
        self.wakers = (*self.wakers, waker)

    def leave(self, waker: Waker) -> None:
        """Tell it no more; nothing if it was not told."""
        wakers = self.wakers
        if len(wakers) == 1 and wakers[0] is waker:  # nearly always
            self.wakers = ()
        elif waker in wakers:
            at = wakers.index(waker)
            self.wakers = wakers[:at] + wakers[at + 1 :]

    def wake(self) -> None:
        """Tell every carrier that waits."""
        for waker in self.wakers:
            waker.wake()


def _above(after: int, mails: OrderedDict[int, Mail]) -> Iterable[Mail]:
    unread = list(takewhile(lambda mail: mail.sequence > after, reversed(mails.values())))
    unread.reverse()
    return unread


def item(mail: Mail) -> Item:
    """The text item as its recipient reads it."""
    if mail.kind == "question" and mail.entry is not None:
        return _question(mail, mail.entry)
    if mail.kind == "answer" and mail.entry is not None:
        return _answer(mail, mail.entry)
    sent = mail.record.event
    assert isinstance(sent, Sent), mail.record.stream
    return Item(
        sequence=mail.sequence,
        id=mail.record.stream.partition("/")[2],
        kind="message",
        sender=sent.sender,
        content=sent.body,
        timestamp=iso(mail.record.at),
        metadata=sent.metadata,
        reply_to=sent.reply_to,
        conversation=sent.conversation or mail.record.stream.partition("/")[2],
    )


def _question(mail: Mail, entry: Entry) -> Item:
    shown = view(entry)
    return Item(
        sequence=mail.sequence,
        id=shown.question_id,
        kind="question",
        sender=shown.asker,
        content=shown.message,
        timestamp=shown.asked_at,
        metadata=shown.metadata,
        reply_to=shown.reply_to,
        conversation=shown.conversation,
        question=shown,
    )


def _answer(mail: Mail, entry: Entry) -> Item:
    state = entry.state
    content = bytes(state.content).decode() if state.status is Status.ANSWERED else str(state.status)
    return Item(
        sequence=mail.sequence,
        id=entry.question_id,
        kind="answer",
        sender=state.ended_by or state.addressee,
        content=content,
        timestamp=iso(mail.record.at),
        metadata=msgspec.Raw(b"{}"),
        reply_to=entry.question_id,
        conversation=state.conversation or entry.question_id,
        question=view(entry),
    )
