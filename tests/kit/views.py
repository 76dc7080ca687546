"""The views of a hub as plain data, to compare two hubs on one log, or one with what was recorded.

Only what the log decides: what a process alone knows (who holds a call open, when somebody was heard
from, allowances) is left out.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from crossfade.core.values import SPACE
from crossfade.engine.projector import Views
from crossfade.engine.views.directory import Member
from crossfade.engine.views.mailboxes import Mailbox, item
from crossfade.engine.views.questions import view


def snapshot(views: Views, *, collected: Collection[str] = ()) -> Any:
    """Everything that is read, as JSON types.

    ``collected``: questions whose asker read the end otherwise. The news of it leaves the asker's
    mailbox then, which no record says, so it comes again after a restart; here it is left out.
    """
    directory = {member.state.name: _member(member, collected) for member in views.directory}
    programme, measures = views.programme, views.measures
    whole = {
        "directory": directory,
        "questions": {question_id: view(entry) for question_id, entry in views.questions.items()},
        "as_text": sorted(question_id for question_id, entry in views.questions.items() if entry.state.as_text),
        "rollout": programme.rollout,
        "since": programme.since,
        "tokens": dict(programme.tokens.values()),
        "talk": {f"{sender} to {recipient}": count for (sender, recipient), count in programme.talk},
        "measures": {
            name: {"/".join(key) if isinstance(key, tuple) else str(key): n for key, n in sorted(counter.items()) if n}
            for name in ("asked", "ended", "offered", "dismissed", "open")
            for counter in (getattr(measures, name),)
        },
        "counts": {name: getattr(measures, name) for name in ("requeued", "messages", "agents_present")},
        "delivery_ms": {lane: histogram.counts for lane, histogram in measures.delivery_ms.items()},
        "answer_ms": {lane: histogram.counts for lane, histogram in measures.answer_ms.items()},
        "fan_out": measures.fan_out.counts,
    }
    if views.measurements.kept.whole is not None:  # keys that are numbers cannot be sorted in the same go
        whole["measurements"] = msgspec.to_builtins(views.measurements.kept, str_keys=True)
        whole["blocks"] = [msgspec.to_builtins(block, str_keys=True) for block in views.measurements.recent]
    return msgspec.json.decode(msgspec.json.encode(whole, order="sorted"))


def _member(member: Member, collected: Collection[str]) -> dict[str, Any]:
    return {
        "state": member.state,
        "open": list(member.open),
        "asked_open": member.asked_open,
        "accepted": member.accepted,
        **_mailbox(member.mailbox, collected),
    }


def _mailbox(mailbox: Mailbox, collected: Collection[str]) -> dict[str, Any]:
    found, _ = mailbox.page(0, 1_000_000)
    mail = [item(one) for one in found]
    return {
        "shard": SPACE,
        "cursor": mailbox.cursor,
        "mail": [one for one in mail if one.kind != "answer" or one.id not in collected],
        "native": list(mailbox.native),
    }
