"""Mailboxes: what is addressed to somebody and not yet acknowledged, in the order of the log.

Two shelves. ``mail`` is text in log order, acknowledged by cursor. ``native`` holds questions to be
elicited by the owner's client; they leave it by their end, or as text when a channel was dismissed.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from crossfade.core.messages import Sent
from crossfade.core.questions import Status
from crossfade.core.records import Recorded
from crossfade.engine.requests import Item
from crossfade.engine.views.instants import iso
from crossfade.engine.views.questions import Entry, view

Kind = Literal["message", "question", "answer", "notice"]


class Mail:
    """One text item: a place in the log and what to show for it."""

    __slots__ = ("entry", "kind", "record", "sequence")

    def __init__(self, sequence: int, kind: Kind, record: Recorded, entry: Entry | None = None) -> None:
        self.sequence = sequence
        self.kind = kind
        self.record = record
        self.entry = entry

    @property
    def stale(self) -> bool:
        """A question that has its end in the meantime need not be shown any more."""
        return self.kind == "question" and self.entry is not None and not self.entry.open


class Mailbox:
    """What one identity has to receive."""

    __slots__ = ("cursor", "mail", "native", "unconfirmed", "wakers")

    def __init__(self) -> None:
        self.cursor = 0
        """Everything up to this sequence was acknowledged."""
        self.mail: deque[Mail] = deque()
        self.native: dict[str, Entry] = {}
        self.unconfirmed = 0
        """Last sequence handed out to a caller who keeps no cursor; its next call confirms it."""
        self.wakers: dict[Callable[[], None], None] = {}
        """Called when something arrives, the longest waiting first; each removes itself. A dict, because a set
        of functions has another order in every process, and a simulated run must replay exactly."""

    def put(self, mail: Mail) -> None:
        """Add a text item; its sequence is above all before."""
        if mail.sequence > self.cursor:
            self.mail.append(mail)
            self.wake()

    def shelve(self, entry: Entry) -> None:
        """Add a question to be elicited natively."""
        self.native[entry.question_id] = entry
        self.wake()

    def drop_answer(self, question_id: str) -> None:
        """Take back the news of an end that the asker has read otherwise."""
        for mail in self.mail:
            if mail.kind == "answer" and mail.entry is not None and mail.entry.question_id == question_id:
                self.mail.remove(mail)
                return

    def acknowledge(self, through: int) -> list[Entry]:
        """Forget what was received; the open questions among it, which thereby count as seen."""
        passed: list[Entry] = []
        while self.mail and self.mail[0].sequence <= through:
            mail = self.mail.popleft()
            if mail.kind == "question" and mail.entry is not None and mail.entry.open:
                passed.append(mail.entry)
        self.cursor = max(self.cursor, through)
        return passed

    def page(self, after: int, limit: int) -> tuple[list[Mail], bool]:
        """Up to ``limit`` text items beyond ``after``, oldest first, and whether there are more."""
        found: list[Mail] = []
        for mail in self.mail:
            if mail.sequence <= after or mail.stale:
                continue
            if len(found) == limit:
                return found, True
            found.append(mail)
        return found, False

    def wake(self) -> None:
        """Tell every carrier that waits."""
        for waker in tuple(self.wakers):
            waker()


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
    state = entry.state
    return Item(
        sequence=mail.sequence,
        id=entry.question_id,
        kind="question",
        sender=state.asker,
        content=state.message,
        timestamp=iso(entry.asked_at),
        metadata=state.metadata,
        reply_to=state.reply_to,
        conversation=state.conversation or entry.question_id,
        question=view(entry),
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
