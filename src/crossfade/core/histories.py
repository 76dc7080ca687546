"""Histories: what clients saw of a hub, checked without believing the hub.

Not the hub's log and not a view of it: a history holds what calls gave and when, in anybody's clock.
Its format as JSON lines is docs/reference/history.md.

Rules
-----
1. A question is a write-once register. Each history of one must be linearizable: there is one instant
   within the call that ended it, before which every read says open and after which every call sees that end.
2. A call without ``returned_at`` may have had its effect at any instant after it was made, or never.
3. A question may expire by itself, at its deadline or later; no call shows that. No call ends it that was made later.
4. Intervals that touch are concurrent: what cannot be told apart is not called a violation.

Sources: Herlihy and Wing, "Linearizability" (1990); that single objects can be checked one by one is
their locality theorem. Checking a write-once register needs no search, because its one effect is one instant.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from crossfade.core.values import Instant

NEVER: Final = Instant(2**63 - 1)
ALWAYS: Final = Instant(-(2**63))
"""Before every instant of a history, as ``NEVER`` is after it."""
OPEN: Final = "open"
EXPIRED: Final = "expired"
PUT: Final = frozenset({"message", "question"})
KINDS: Final = PUT | {"answer", "notice"}
"""Of items: what somebody put, the end of a question as its asker is told it, and what the hub says by itself."""


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
    """On the clock of this history; None: it may expire, or be ended, at any time after it was asked."""


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
    """One of ``KINDS``."""
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
    """``answered_twice``, ``not_linearizable``, ``late``, ``confused``, ``repeated``, ``disordered``, ``phantom``,
    ``misdelivered``, ``lost``, ``unfinished``."""
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
    settled_at = max((op.called_at for op in history if isinstance(op, Settle)), default=None)
    found = [*answered_once(history), *_late(history, asks), *_confused(history), *_delivered(history, asks, sends)]
    if settled_at is not None:
        found += _lost(history, asks, sends, settled_at)
    return Account(
        operations=len(history), questions=len(asks), messages=len(sends), settled=settled_at is not None,
        violations=tuple(found),
    )  # fmt: skip


# --- answered once ------------------------------------------------------------------------------------


def answered_once(history: Iterable[Line]) -> list[Violation]:
    """Questions whose history is not that of a write-once register."""
    asks: dict[str, Ask] = {}
    ends: defaultdict[str, list[End]] = defaultdict(list)
    reads: defaultdict[str, list[Read]] = defaultdict(list)
    news: defaultdict[str, list[Receive]] = defaultdict(list)
    for op in history:
        if isinstance(op, Ask) and op.question:
            asks[op.question] = op
        elif isinstance(op, End):
            ends[op.question].append(op)
        elif isinstance(op, Read) and op.returned_at is not None:
            reads[op.question].append(op)
        elif isinstance(op, Receive) and op.returned_at is not None:
            for piece in op.items:
                if piece.kind == "answer":
                    news[piece.id].append(op)
    found: list[Violation] = []
    for question in dict.fromkeys((*asks, *ends, *reads, *news)):
        accepted = [op for op in ends[question] if op.accepted and op.returned_at is not None]
        if len(accepted) > 1:
            ways = " and ".join(op.value for op in accepted)
            found.append(_violation("answered_twice", question, f"it was ended as {ways}", accepted))
        elif not linearizable(asks.get(question), ends[question], reads[question], news[question]):
            said = "no one instant of its end explains what everybody saw"
            saw: tuple[Line, ...] = (*ends[question], *reads[question], *news[question])
            found.append(_violation("not_linearizable", question, said, saw))
    return found


def linearizable(ask: Ask | None, ends: Sequence[End], reads: Sequence[Read], news: Sequence[Receive] = ()) -> bool:
    """Whether one instant can be the end of the question, or it can still be open.

    With at most one accepted end; ``news`` tells of the end, but not which. Linear in the number of operations:
    whichever call was the end, its instant lies after its call and after the call of every read that said open, and
    before its own return and the return of everything that saw the end.
    """
    asked_at = ask.called_at if ask is not None else ALWAYS
    saw_open = [op.called_at for op in reads if op.value == OPEN]
    saw_end = [op.until for op in reads if op.value != OPEN]
    saw_end += [op.until for op in news] + [op.until for op in ends if not op.accepted]
    values = {op.value for op in reads if op.value != OPEN}
    accepted = [op for op in ends if op.accepted and op.returned_at is not None]
    if not accepted and not saw_end:
        return True
    latest_start = max(saw_open, default=asked_at)
    earliest_stop = min(saw_end, default=NEVER)
    deadline = None if ask is None else ask.deadline_at
    candidates = [(op.value, op.called_at, op.until) for op in accepted]
    if not accepted:
        in_time = [op for op in ends if op.accepted and (deadline is None or op.called_at <= deadline)]
        candidates += [(op.value, op.called_at, NEVER) for op in in_time]
        candidates.append((EXPIRED, asked_at if deadline is None else deadline, NEVER))
    return any(
        values <= {value} and max(called_at, asked_at, latest_start) <= min(until, earliest_stop)
        for value, called_at, until in candidates
    )


def _late(history: Iterable[Line], asks: dict[str, Ask]) -> list[Violation]:
    """Ends that were taken although they were called for after the deadline, and reads of what was not asked yet."""
    found: list[Violation] = []
    for op in history:
        ask = asks.get(op.question) if isinstance(op, End | Read) and op.returned_at is not None else None
        if ask is None or not isinstance(op, End | Read):
            continue
        if isinstance(op, End) and op.accepted and ask.deadline_at is not None and op.called_at > ask.deadline_at:
            found.append(_violation("late", op.question, f"{op.client} ended it after its deadline", (ask, op)))
        if isinstance(op, Read) and op.until < ask.called_at:
            found.append(_violation("phantom", op.question, f"{op.client} read it before it was asked", (ask, op)))
    return found


def _confused(history: Iterable[Line]) -> list[Violation]:
    """Ids that were told to two callers, or to one for two different things."""
    first: dict[str, Ask | Send] = {}
    found: list[Violation] = []
    for op in history:
        if isinstance(op, Ask | Send) and (identifier := op.question if isinstance(op, Ask) else op.message):
            before = first.setdefault(identifier, op)
            if (before.client, before.to) != (op.client, op.to):
                said = f"{before.client} and {op.client} were told the same id for different things"
                found.append(_violation("confused", identifier, said, (before, op)))
    return found


# --- delivery -----------------------------------------------------------------------------------------


def _delivered(history: Sequence[Line], asks: dict[str, Ask], sends: dict[str, Send]) -> list[Violation]:
    """Repeated, disordered and phantom items, recipient by recipient."""
    receipts: defaultdict[str, list[Receive]] = defaultdict(list)
    for op in history:
        if isinstance(op, Receive) and op.returned_at is not None:
            receipts[op.client].append(op)
    ended = {op.question: op for op in history if isinstance(op, End) and op.accepted and op.returned_at is not None}
    found: list[Violation] = []
    for batches in receipts.values():
        batches.sort(key=lambda op: op.until)
        found += _repeated(batches, ended)
        found += _twice(batches)
        found += _misplaced(batches)
        found += _astray(batches, {**sends, **asks})
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


def _twice(batches: Iterable[Receive]) -> list[Violation]:
    """What one batch holds twice, and messages that the log holds twice."""
    found: list[Violation] = []
    places: dict[str, tuple[int, Receive]] = {}
    for batch in batches:
        seen: set[tuple[str, str]] = set()
        for piece in batch.items:
            if (piece.kind, piece.id) in seen:
                found.append(_violation("repeated", piece.id, f"{batch.client} got it twice in one batch", (batch,)))
            seen.add((piece.kind, piece.id))
            if piece.kind != "message" or not piece.sequence:
                continue
            place, before = places.setdefault(piece.id, (piece.sequence, batch))
            if place != piece.sequence:
                said = f"{batch.client} got it as sequence {piece.sequence}, and as {place} before"
                found.append(_violation("repeated", piece.id, said, (before, batch)))
    return found


def _astray(batches: Iterable[Receive], put: Mapping[str, Ask | Send]) -> list[Violation]:
    """What came to somebody else, under another name, or before it was put."""
    found: list[Violation] = []
    for batch in batches:
        for piece in batch.items:
            op = put.get(piece.id)
            if op is None or piece.kind == "notice":
                continue
            to = (op.client,) if piece.kind == "answer" else (op.to,) if isinstance(op, Ask) else op.to
            if batch.client not in to:
                said = f"{batch.client} got it, to whom it was not put"
                found.append(_violation("misdelivered", piece.id, said, (op, batch)))
            if piece.kind in PUT and (piece.sender != op.client or batch.until < op.called_at):
                said = f"{batch.client} got it from {piece.sender} before or otherwise than {op.client} put it"
                found.append(_violation("phantom", piece.id, said, (op, batch)))
    return found


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


def _phantoms(history: Sequence[Line], receipts: dict[str, list[Receive]], known: AbstractSet[str]) -> list[Violation]:
    """Things that arrived and that nobody put: of one sender, more than it has calls without a reply."""
    silent: defaultdict[str, int] = defaultdict(int)
    clients = {op.client for op in history}
    for op in history:
        if isinstance(op, Ask | Send):
            silent[op.client] += not (op.question if isinstance(op, Ask) else op.message)
    strange: defaultdict[str, dict[str, Receive]] = defaultdict(dict)
    for batches in receipts.values():
        for batch in batches:
            for piece in batch.items:
                if piece.kind in PUT and piece.id not in known and piece.sender in clients:
                    strange[piece.sender].setdefault(piece.id, batch)
    return [
        _violation("phantom", identifier, f"{sender} did not put it, or put it once and it is there twice", (batch,))
        for sender, pieces in strange.items()
        for identifier, batch in list(pieces.items())[silent[sender] :]
    ]


def _lost(history: Iterable[Line], asks: dict[str, Ask], sends: dict[str, Send], by: Instant) -> list[Violation]:
    """What was acknowledged to its sender by then and is nowhere, although it had the time."""
    arrived: defaultdict[str, set[str]] = defaultdict(set)
    finished: set[tuple[str, str]] = set()
    without_answer: set[str] = set()
    for op in history:
        if isinstance(op, Receive) and op.returned_at is not None:
            arrived[op.client] |= {piece.id for piece in op.items if piece.kind != "answer"}
            finished |= {(op.client, piece.id) for piece in op.items if piece.kind == "answer"}
        elif isinstance(op, Read) and op.value != OPEN and op.returned_at is not None:
            finished.add((op.client, op.question))
            if not op.value.startswith("answered"):
                without_answer.add(op.question)
    found = [
        _violation("lost", message, f"it never reached {name}", (send,))
        for message, send in sends.items()
        for name in send.to
        if send.until <= by and message not in arrived[name]
    ]
    for question, ask in asks.items():
        if ask.until > by:
            continue
        if (ask.client, question) not in finished:
            found.append(_violation("unfinished", question, f"{ask.client} never saw its end", (ask,)))
        if question not in arrived[ask.to] and question not in without_answer:
            found.append(_violation("lost", question, f"it never reached {ask.to}", (ask,)))
    return found


def _violation(rule: str, subject: str, message: str, operations: Iterable[Line]) -> Violation:
    return Violation(rule=rule, subject=subject, message=message, lines=tuple(op.line for op in operations))
