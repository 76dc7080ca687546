"""Backlog: items that were acknowledged and are asked for again, read back from the log.

The cold path of a wait: a reader that lost its own cursor begins at an earlier sequence, some with every
call. Memory holds the items that are not acknowledged, and of the others where they are: so only their
records are read, and the cost of a page does not grow with what the log has for others (docs/adr/0022).
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

NEAR: Final = 8
"""Wanted records that lie this near each other are read at once."""

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
        while len(found) < limit:
            wanted = _wanted(member, after, limit - len(found))
            if not wanted:
                return found, max(after, member.mailbox.cursor)
            for record in await self._records(wanted):
                mail = await self._mail(member.state.name, record)
                if mail is not None:
                    found.append(mail)
            after = wanted[-1]
        return found, after

    async def _records(self, wanted: list[int]) -> list[Recorded]:
        """The records with these sequences, which are in order."""
        records: list[Recorded] = []
        begin = 0
        for index in range(1, len(wanted) + 1):
            if index < len(wanted) and wanted[index] - wanted[index - 1] <= NEAR:
                continue
            records += await self._stretch(wanted[begin:index])
            begin = index
        return records

    async def _stretch(self, wanted: list[int]) -> list[Recorded]:
        among, after = set(wanted), wanted[0] - 1
        records: list[Recorded] = []
        while after < wanted[-1]:
            rows = await self._c.log.read(SPACE, Sequence(after), wanted[-1] - after)
            if not rows:
                break
            records += [recorded(SPACE, row) for row in rows if row.sequence in among]
            after = rows[-1].sequence
        return records

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


def _wanted(member: Member, after: int, limit: int) -> list[int]:
    """Sequences in (after, cursor] that hold something for the member, in order: at most ``limit``, the first ones."""
    mailbox = member.mailbox
    past = [sequence for sequence in mailbox.history.beyond(after, limit) if sequence <= mailbox.cursor]
    asked = (entry.text_at for entry in member.open.values())
    return sorted([*past, *(sequence for sequence in asked if after < sequence <= mailbox.cursor)])[:limit]
