"""Backlog: items that were acknowledged and are asked for again, read back from the log.

The cold path of a wait: a reader that lost its own cursor begins at an earlier sequence. Memory holds
only what is not acknowledged, so what came before is found by reading on from there, a bounded
stretch at a time.
"""

from typing import Final

from crossfade.core import messages, questions
from crossfade.core.decider import Refusal
from crossfade.core.records import Recorded
from crossfade.core.values import SPACE, Sequence
from crossfade.engine.asking import Asking
from crossfade.engine.context import Context
from crossfade.engine.requests import Batch
from crossfade.engine.streams import recorded
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import Mail, item

CHUNK: Final = 1_000
"""Records read at a time; the loop serves others in between."""

TEXTS: Final = (questions.Asked, questions.Dismissed, questions.Requeued)
"""What may have put a question into the addressee's mailbox as text; the view knows which one did."""
ENDS: Final = (questions.Answered, questions.Declined, questions.Withdrawn, questions.Expired)


class Backlog:
    """Finds the items of one mailbox between an old sequence and its cursor."""

    def __init__(self, context: Context, asking: Asking) -> None:
        self._c = context
        self._asking = asking

    async def page(self, member: Member, after: int, limit: int) -> Batch:
        """Up to ``limit`` items in (after, cursor], oldest first; ``has_more`` whenever later ones may exist."""
        found, position = await self.pieces(member, after, limit)
        more = bool(found) and (position < member.mailbox.cursor or bool(member.mailbox.mail))
        cursor = found[-1].sequence if found else after
        return Batch(items=tuple(item(mail) for mail in found), has_more=more, cursor=cursor)

    async def pieces(self, member: Member, after: int, limit: int) -> tuple[list[Mail], int]:
        """Up to ``limit`` items in (after, cursor], oldest first, and the sequence read up to."""
        found: list[Mail] = []
        last = member.mailbox.cursor
        position = after
        while position < last and len(found) < limit:
            rows = await self._c.log.read(SPACE, Sequence(position), min(CHUNK, last - position))
            if not rows:
                break
            for row in rows:
                position = row.sequence
                mail = await self._mail(member.state.name, recorded(SPACE, row))
                if mail is not None:
                    found.append(mail)
                    if len(found) == limit:
                        break
        return found, position

    async def _mail(self, name: str, record: Recorded) -> Mail | None:
        """The record as an item of ``name``; None if it was nothing for it."""
        event = record.event
        if isinstance(event, messages.Sent):
            return Mail(record.sequence, "message", record) if name in event.to else None
        if isinstance(event, TEXTS):
            return await self._question(name, record)
        if isinstance(event, ENDS):
            entry = await self._asking.entry(questions.question_id(record.stream))
            if not isinstance(entry, Refusal) and entry.state.asker == name:
                return Mail(record.sequence, "answer", record, entry)
        return None

    async def _question(self, name: str, record: Recorded) -> Mail | None:
        entry = await self._asking.entry(questions.question_id(record.stream))
        if isinstance(entry, Refusal) or entry.state.addressee != name or entry.text_at != record.sequence:
            return None
        mail = Mail(record.sequence, "question", record, entry)
        return None if mail.stale else mail
