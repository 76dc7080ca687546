"""Read histories from files: JSON lines as docs/reference/history.md describes, or the fleet's own journals.

Not the checks (core/histories.py). A journal says when a fact was certain but not when its call was made, so
the calls of a history made from journals are as long as they can have been: what is found broken is broken.
"""

from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from crossfade.core.histories import ALWAYS, KINDS, NEVER, OPEN, Ask, End, Line, Piece, Read, Receive
from crossfade.core.values import Instant
from crossfade.fleet.journal import Entry, Step

_LINES: Final = msgspec.json.Decoder(Line)
_ENTRIES: Final = msgspec.json.Decoder(Entry)
LINE_BYTES_MAX: Final = 16_777_216


class BadHistoryError(Exception):
    """A line is neither a history's nor a journal's; the message begins with ``file:line``."""


def read_history(paths: Iterable[Path]) -> list[Line]:
    """The operations of all files, folders standing for the ``.jsonl`` files in them.

    Raises BadHistoryError for a line that is not one, OSError for a file that cannot be read.
    """
    history: list[Line] = []
    journals: dict[str, list[Entry]] = {}
    for path in paths:
        for file in sorted(path.glob("*.jsonl")) if path.is_dir() else (path,):
            _read(file, history, journals)
    for entries in journals.values():
        history += from_journal(entries)
    return history


def _read(file: Path, history: list[Line], journals: dict[str, list[Entry]]) -> None:
    with file.open("rb") as lines:
        if lines.peek(len(BOM_UTF8)).startswith(BOM_UTF8):
            lines.read(len(BOM_UTF8))
        for number, line in enumerate(iter(lambda: lines.readline(LINE_BYTES_MAX + 1), b""), 1):
            if not line.strip():
                continue
            try:
                if b'"step"' in line and b'"op"' not in line:
                    entry = _ENTRIES.decode(line)
                    journals.setdefault(entry.agent, []).append(entry)
                    continue
                op = msgspec.structs.replace(_LINES.decode(line), line=number)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
                raise BadHistoryError(f"{file}:{number}: {fault}") from None
            if wrong := _impossible(op) or (len(line) > LINE_BYTES_MAX and "the line is too long"):
                raise BadHistoryError(f"{file}:{number}: {wrong}")
            history.append(op)


def _impossible(op: Line) -> str:
    """Why no call can have been like this; empty if one can."""
    times = (op.called_at, op.called_at if op.returned_at is None else op.returned_at, getattr(op, "deadline_at", None))
    if any(at is not None and not ALWAYS < at < NEVER for at in times):
        return "a time does not fit into 64 bits"
    if op.returned_at is not None and op.returned_at < op.called_at:
        return f"it returned at {op.returned_at}, before it was called at {op.called_at}"
    if not op.client or (isinstance(op, Ask) and not op.to):
        return "a name is empty"
    if isinstance(op, End | Read) and not (op.question and op.value):
        return "its question or its value is empty"
    if isinstance(op, End) and op.value == OPEN:
        return "an end is not open"
    return _impossible_item(op) if isinstance(op, Receive) else ""


def _impossible_item(batch: Receive) -> str:
    for piece in batch.items:
        if not piece.id:
            return "an item has no id"
        if piece.kind not in KINDS:
            return f"an item is of kind {piece.kind!r}, which is none of {', '.join(sorted(KINDS))}"
    if batch.after < 0 or any(piece.sequence < 0 for piece in batch.items):
        return "a sequence is below zero"
    return ""


def from_journal(entries: Iterable[Entry]) -> list[Line]:
    """One agent's journal as operations."""
    history: list[Line] = []
    received: dict[str, int] = {}
    asked: dict[str, int] = {}
    for entry in entries:
        question, at = entry.question, Instant(entry.at_ns)
        if entry.step is Step.ASKED:
            asked[question] = entry.since_ns
            began = Instant(entry.since_ns)
            history.append(Ask(client=entry.agent, called_at=began, returned_at=at, to=entry.peer, question=question))
        elif entry.step is Step.RECEIVED:
            received.setdefault(question, entry.at_ns)
            pieces = (Piece(id=question, sender=entry.peer, kind="question"),)
            # When its wait began is not known, so it says nothing about what was already over.
            history.append(Receive(client=entry.agent, called_at=Instant(0), returned_at=at, items=pieces))
            history.append(
                Read(client=entry.agent, called_at=Instant(0), returned_at=at, question=question, value=OPEN)
            )
        elif entry.step is Step.ANSWERED:
            history += _answered(entry, received.get(question, 0))
        else:
            value = f"answered {entry.content}" if entry.status == "answered" else entry.status
            began = Instant(asked.get(question, 0))
            history.append(Read(client=entry.agent, called_at=began, returned_at=at, question=question, value=value))
    return history


def _answered(entry: Entry, received_at: int) -> list[Line]:
    """An answer of which the hub took notice, or perhaps did."""
    made = End(
        client=entry.agent,
        called_at=Instant(received_at),
        returned_at=None if entry.status == "sent" else Instant(entry.at_ns),
        question=entry.question,
        value=f"answered {entry.content}",
    )
    if entry.status in ("accepted", "sent"):
        return [made]
    closed = entry.status in ("question.closed", "answered", "expired", "declined", "withdrawn")
    return [msgspec.structs.replace(made, accepted=False)] if closed else []
