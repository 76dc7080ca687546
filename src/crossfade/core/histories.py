"""Histories: what clients saw of a hub, checked without believing the hub.

Not the hub's log and not a view of it: a history holds what calls gave and when, in anybody's clock.
Its format as JSON lines is docs/reference/history.md.

Rules
-----
1. A question is a write-once register. Each history of one must be linearizable: there is one instant
   within the call that ended it, before which every read says open and after which every call sees that end.
2. A call without ``returned_at`` may have had its effect at any instant after it was made, or never.
3. A question may expire by itself, at its deadline or later; no call shows that.
4. Intervals that touch are concurrent: what cannot be told apart is not called a violation.

Sources: Herlihy and Wing, "Linearizability" (1990); that single objects can be checked one by one is
their locality theorem. Checking a write-once register needs no search, because its one effect is one instant.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from crossfade.core.values import Instant

NEVER: Final = Instant(2**63 - 1)
OPEN: Final = "open"
EXPIRED: Final = "expired"


class Operation(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", omit_defaults=True):
    """One call of one client."""

    client: str
    called_at: Instant
    returned_at: Instant | None = None
    """None: no reply was seen, so nobody knows whether it had its effect."""
    line: int = 0
    """Where it stands in its file, from 1; filled in by whoever reads the file."""

    @property
    def until(self) -> Instant:
        """The last instant at which it may have had its effect."""
        return NEVER if self.returned_at is None else self.returned_at


class Ask(Operation, frozen=True, kw_only=True, tag="ask"):
    """The client asked ``to``; ``question`` is empty when no reply told its id."""

    to: str
    question: str = ""
    deadline_at: Instant | None = None
    """On the clock of this history; None: it may expire whenever it was asked."""


class End(Operation, frozen=True, kw_only=True, tag="end"):
    """The client tried to end the question as ``value``; ``accepted`` says whether the hub took it."""

    question: str
    value: str
    """What the end would be, e.g. ``answered {"ok":true}``, ``declined``, ``withdrawn``."""
    accepted: bool = True
    """False: refused because the question had its end already."""


class Read(Operation, frozen=True, kw_only=True, tag="read"):
    """The client was shown the question as ``value``: ``open``, or how it ended."""

    question: str
    value: str


class Send(Operation, frozen=True, kw_only=True, tag="send"):
    """The client sent a message to each of ``to``; ``message`` is empty when no reply told its id."""

    to: tuple[str, ...]
    message: str = ""


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"sender": "from"}):
    """One item of a batch."""

    id: str
    sender: str
    kind: str = "message"
    """``message``, ``question`` or ``answer``."""
    sequence: int = 0
    """Its place in the log; 0 if it came on a channel that does not say."""


class Receive(Operation, frozen=True, kw_only=True, tag="receive"):
    """The client was handed ``items``; it had acknowledged everything up to ``after``."""

    items: tuple[Piece, ...] = ()
    after: int = 0


class Settle(Operation, frozen=True, kw_only=True, tag="settle"):
    """Everything was healed and waited for: what has not arrived by now is lost."""


Line = Ask | End | Read | Send | Receive | Settle


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that the history shows broken."""

    rule: str
    """``answered_twice``, ``not_linearizable``, ``lost``, ``unfinished``, ``repeated``, ``disordered``, ``phantom``."""
    subject: str
    """Id of the question or message."""
    message: str
    lines: tuple[int, ...]
    """The lines that contradict each other."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, and what is wrong with it."""

    operations: int
    questions: int
    messages: int
    settled: bool
    """Losses were looked for: the history says that everything had time to arrive."""
    violations: tuple[Violation, ...]


def check(history: Sequence[Line]) -> Account:
    """Check every promise that the history can show broken."""
    asks = {op.question: op for op in history if isinstance(op, Ask) and op.question}
    sends = {op.message: op for op in history if isinstance(op, Send) and op.message}
    settled = any(isinstance(op, Settle) for op in history)
    found = [*answered_once(history), *_delivered(history, asks, sends)]
    if settled:
        found += _lost(history, asks, sends)
    return Account(
        operations=len(history), questions=len(asks), messages=len(sends), settled=settled, violations=tuple(found)
    )


# --- answered once ------------------------------------------------------------------------------------


def answered_once(history: Iterable[Line]) -> list[Violation]:
    """Questions whose history is not that of a write-once register."""
    asks: dict[str, Ask] = {}
    ends: defaultdict[str, list[End]] = defaultdict(list)
    reads: defaultdict[str, list[Read]] = defaultdict(list)
    for op in history:
        if isinstance(op, Ask) and op.question:
            asks[op.question] = op
        elif isinstance(op, End):
            ends[op.question].append(op)
        elif isinstance(op, Read) and op.returned_at is not None:
            reads[op.question].append(op)
    found: list[Violation] = []
    for question in dict.fromkeys((*asks, *ends, *reads)):
        accepted = [op for op in ends[question] if op.accepted and op.returned_at is not None]
        if len(accepted) > 1:
            ways = " and ".join(op.value for op in accepted)
            found.append(_violation("answered_twice", question, f"it was ended as {ways}", accepted))
        elif not linearizable(asks.get(question), ends[question], reads[question]):
            said = "no one instant of its end explains what everybody saw"
            found.append(_violation("not_linearizable", question, said, (*ends[question], *reads[question])))
    return found


def linearizable(ask: Ask | None, ends: Sequence[End], reads: Sequence[Read]) -> bool:
    """Whether one instant can be the end of the question, or it can still be open.

    With at most one accepted end. Linear in the number of operations: whichever call was the end, its
    instant lies after its call and after the call of every read that said open, and before its own
    return and the return of everything that saw the end.
    """
    asked_at = ask.called_at if ask is not None else Instant(0)
    saw_open = [op.called_at for op in reads if op.value == OPEN]
    saw_end = [op.until for op in reads if op.value != OPEN]
    saw_end += [op.until for op in ends if not op.accepted]
    values = {op.value for op in reads if op.value != OPEN}
    accepted = [op for op in ends if op.accepted and op.returned_at is not None]
    if not accepted and not saw_end:
        return True
    latest_start = max(saw_open, default=asked_at)
    earliest_stop = min(saw_end, default=NEVER)
    deadline = ask.deadline_at if ask is not None and ask.deadline_at is not None else asked_at
    candidates = [(op.value, op.called_at, op.until) for op in accepted]
    if not accepted:
        candidates += [(op.value, op.called_at, NEVER) for op in ends if op.accepted]
        candidates.append((EXPIRED, deadline, NEVER))
    return any(
        values <= {value} and max(called_at, asked_at, latest_start) <= min(until, earliest_stop)
        for value, called_at, until in candidates
    )


# --- delivery -----------------------------------------------------------------------------------------


def _delivered(history: Sequence[Line], asks: dict[str, Ask], sends: dict[str, Send]) -> list[Violation]:
    """Repeated, disordered and phantom items, recipient by recipient."""
    receipts: defaultdict[str, list[Receive]] = defaultdict(list)
    for op in history:
        if isinstance(op, Receive) and op.returned_at is not None:
            receipts[op.client].append(op)
    ended = _ended_at(history)
    found: list[Violation] = []
    for batches in receipts.values():
        batches.sort(key=lambda op: op.until)
        found += _repeated(batches, ended)
        found += _misplaced(batches)
        found += _disordered(batches, sends)
    return found + _phantoms(history, receipts, asks.keys() | sends.keys())


def _repeated(batches: Iterable[Receive], ended: dict[str, End]) -> list[Violation]:
    """What came although it was acknowledged: by cursor, or as a question by its end."""
    found: list[Violation] = []
    for batch in batches:
        for piece in batch.items:
            if piece.sequence and piece.sequence <= batch.after:
                said = f"{batch.client} had acknowledged {batch.after}, and got {piece.sequence} again"
                found.append(_violation("repeated", piece.id, said, (batch,)))
            end = ended.get(piece.id) if piece.kind == "question" else None
            if end is not None and end.until < batch.called_at:
                said = f"{batch.client} was asked again after {end.client} had ended it"
                found.append(_violation("repeated", piece.id, said, (end, batch)))
    return found


def _ended_at(history: Iterable[Line]) -> dict[str, End]:
    """The accepted end of each question that has one."""
    return {op.question: op for op in history if isinstance(op, End) and op.accepted and op.returned_at is not None}


def _misplaced(batches: Iterable[Receive]) -> list[Violation]:
    """Batches out of order, and sequences that held two things."""
    found: list[Violation] = []
    held: dict[int, tuple[str, Receive]] = {}
    for batch in batches:
        places = [piece.sequence for piece in batch.items if piece.sequence]
        if places != sorted(set(places)):
            found.append(_violation("disordered", batch.items[0].id, f"a batch has the order {places}", (batch,)))
        for piece in batch.items:
            before, earlier = held.setdefault(piece.sequence, (piece.id, batch))
            if piece.sequence and before != piece.id:
                said = f"sequence {piece.sequence} held {before} before"
                found.append(_violation("disordered", piece.id, said, (earlier, batch)))
    return found


def _disordered(batches: Iterable[Receive], sends: dict[str, Send]) -> list[Violation]:
    """Messages of one sender that first arrived against the order in which they were sent."""
    found: list[Violation] = []
    last: dict[str, tuple[Send, Receive]] = {}
    seen: set[str] = set()
    for batch in batches:
        for piece in batch.items:
            send = sends.get(piece.id)
            if send is None or piece.id in seen:
                continue
            seen.add(piece.id)
            newest = last.get(send.client)
            if newest is not None and send.until < newest[0].called_at:
                said = f"{batch.client} got it after {newest[0].message}, which was sent later"
                found.append(_violation("disordered", piece.id, said, (send, newest[0], newest[1], batch)))
            if newest is None or newest[0].called_at < send.called_at:
                last[send.client] = (send, batch)
    return found


def _phantoms(
    history: Iterable[Line], receipts: dict[str, list[Receive]], known: AbstractSet[str]
) -> list[Violation]:
    """Things that arrived and that nobody put: of one sender, more than it has calls without a reply."""
    silent: defaultdict[str, int] = defaultdict(int)
    clients: set[str] = set()
    for op in history:
        if isinstance(op, Ask | Send):
            clients.add(op.client)
            silent[op.client] += not (op.question if isinstance(op, Ask) else op.message)
    strange: defaultdict[str, dict[str, Receive]] = defaultdict(dict)
    for batches in receipts.values():
        for batch in batches:
            for piece in batch.items:
                if piece.kind != "answer" and piece.id not in known and piece.sender in clients:
                    strange[piece.sender].setdefault(piece.id, batch)
    return [
        _violation("phantom", identifier, f"{sender} did not put it, or put it once and it is there twice", (batch,))
        for sender, pieces in strange.items()
        for identifier, batch in list(pieces.items())[silent[sender] :]
    ]


def _lost(history: Iterable[Line], asks: dict[str, Ask], sends: dict[str, Send]) -> list[Violation]:
    """What was acknowledged to its sender and is nowhere, in a history that says that it had the time."""
    arrived: defaultdict[str, set[str]] = defaultdict(set)
    finished: set[str] = set()
    without_answer: set[str] = set()
    for op in history:
        if isinstance(op, Receive):
            arrived[op.client] |= {piece.id for piece in op.items}
        elif isinstance(op, Read) and op.value != OPEN:
            finished.add(op.question)
            if not op.value.startswith("answered"):
                without_answer.add(op.question)
    found = [
        _violation("lost", message, f"it never reached {name}", (send,))
        for message, send in sends.items()
        for name in send.to
        if send.returned_at is not None and message not in arrived[name]
    ]
    for question, ask in asks.items():
        if ask.returned_at is None:
            continue
        if question not in finished:
            found.append(_violation("unfinished", question, f"{ask.client} never saw its end", (ask,)))
        if question not in arrived[ask.to] and question not in without_answer:
            found.append(_violation("lost", question, f"it never reached {ask.to}", (ask,)))
    return found


def _violation(rule: str, subject: str, message: str, operations: Iterable[Line]) -> Violation:
    return Violation(rule=rule, subject=subject, message=message, lines=tuple(op.line for op in operations))
