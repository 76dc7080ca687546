"""Tallying: counts what happens while measurements are recorded, in the block of time that is under way.

Everything is counted where it happens, once, from what the hub itself does and sees; docs/reference/measurements.md
has every figure. While nothing is recorded each call returns at once. Not here: when a block ends (measuring.py).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from crossfade.core import histograms, messages, questions
from crossfade.core.decider import Refusal
from crossfade.core.measurements import EDGES_MS, Compact, Coordination, Exposure, HubCounts, Slice
from crossfade.core.records import Recorded
from crossfade.core.values import MILLISECOND, SECOND, AgentName, Channel, Lane
from crossfade.engine.ports import Clock
from crossfade.engine.projector import Views
from crossfade.engine.views.directory import Member
from crossfade.engine.views.questions import Entry

OVERDUE: Final = SECOND
"""A question is overdue when a carrier of its addressee has waited so long in its presence."""
UNITS_MAX: Final = 512
"""Slices of one block; beyond it clusters are joined, always the same ones, into ``JOINED`` units."""
JOINED: Final = 128
_EDGES: Final = tuple(edge * MILLISECOND for edge in EDGES_MS)
_OVER_ALL: Final = len(EDGES_MS)


class Cell:
    """The counts of one cluster and exposure."""

    __slots__ = (
        "answered", "asked", "beyond", "declined", "delivered", "dismissed", "expired_seen", "expired_unseen",
        "fallback", "faults", "requests", "undelivered", "withdrawn",
    )  # fmt: skip

    def __init__(self) -> None:
        self.asked = self.delivered = self.undelivered = self.requests = self.faults = 0
        self.answered = self.declined = self.withdrawn = self.expired_seen = self.expired_unseen = 0
        self.dismissed = self.fallback = 0
        self.beyond = [0] * (len(EDGES_MS) + 1)
        """How many were beyond exactly so many of the edges."""

    def slice(self, cluster: str, exposure: Exposure) -> Slice:
        """The same as it is recorded."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "beyond"}
        over = tuple(sum(self.beyond[place + 1 :]) for place in range(len(EDGES_MS)))
        return Slice(cluster=cluster, exposure=exposure, timed=sum(self.beyond), over=over, **plain)

    def add(self, other: "Cell") -> None:
        """Take in another one."""
        for name in self.__slots__:
            if name != "beyond":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.beyond = [one + more for one, more in zip(self.beyond, other.beyond, strict=True)]


class Part:
    """What is told of an exposure, for reports."""

    __slots__ = ("answer", "causes", "delivery", "empty_polls", "items", "polls", "wake_levels")

    def __init__(self) -> None:
        self.delivery = histograms.Histogram()
        self.answer = histograms.Histogram()
        self.polls = self.empty_polls = self.items = 0
        self.wake_levels: dict[str, int] = {}
        self.causes: dict[str, int] = {}

    def coordination(self, exposure: Exposure) -> Coordination:
        """The same as it is recorded."""
        return Coordination(
            exposure=exposure, delivery=compact(self.delivery), answer=compact(self.answer), polls=self.polls,
            empty_polls=self.empty_polls, items=self.items, wake_levels=self.wake_levels,
            causes=self.causes,
        )  # fmt: skip


class Followed:
    """An open question: from where its delivery is timed, and how far it is."""

    __slots__ = ("block", "cell", "entry", "judged", "key", "member", "part", "shown", "start", "stream")

    def __init__(self, stream: str, entry: Entry, member: Member, start: int, key: tuple[str, Exposure]) -> None:
        self.stream = stream
        self.entry = entry
        self.member = member
        self.key = key
        """Where it is counted: its addressee's cluster, its own exposure."""
        self.block = -1
        """The block of ``cell`` and ``part``, which are looked up once in each."""
        self.cell: Cell
        self.part: Part
        self.start = start
        """What the addressee's readiness showed when it was asked."""
        self.shown = entry.offered_at is not None or bool(entry.shown)
        self.judged = self.shown
        """Its latency is in the counts."""


class Tallies:
    """The counts of the block under way."""

    def __init__(self, views: Views, clock: Clock) -> None:
        self.on = False
        self._views = views
        self._clock = clock
        self._block = 0
        self._followed: dict[str, Followed] = {}
        """Open questions, by stream."""
        self._unshown: dict[str, dict[str, Followed]] = {}
        """Addressee → those that were not shown yet, by stream."""
        self._handlers: dict[type, Callable[[Recorded], None]] = {
            questions.Asked: self._asked,
            questions.Offered: self._offered,
            questions.Dismissed: self._dismissed,
            questions.Requeued: lambda record: self._cause(record, "requeued"),
            messages.Sent: self._sent,
            **dict.fromkeys(
                (questions.Answered, questions.Declined, questions.Withdrawn, questions.Expired), self._ended
            ),
        }
        self._clear()

    def _clear(self) -> None:
        self._block += 1
        self._cells: dict[tuple[str, Exposure], Cell] = {}
        self._parts: dict[Exposure, Part] = {}
        self._callers: dict[str, tuple[Cell, Part]] = {}
        self._registration = histograms.Histogram()
        self._fan_out: Counter[int] = Counter()
        self._late = 0

    # --- on and off -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Count from now on; what is open already is timed from now."""
        self.on = True
        self._clear()
        now = self._clock.monotonic()
        for question_id, entry in self._views.questions.items():
            if entry.open and f"question/{question_id}" not in self._followed:
                member = self._views.directory.member(entry.state.addressee)
                self._follow(f"question/{question_id}", entry, member, member.mailbox.ready.at(now))

    def end(self) -> None:
        """Count no more."""
        self.on = False
        self._clear()
        self._followed.clear()
        self._unshown.clear()

    # --- what happens -----------------------------------------------------------------------------------------

    def react(self, record: Recorded) -> None:
        """Count a live record of the space; only while ``on``."""
        handler = self._handlers.get(type(record.event))
        if handler is not None:
            handler(record)

    def lanes_moved(self) -> None:
        """Whoever calls may be on another lane now."""
        self._callers.clear()

    def shown(self, entry: Entry, channel: Channel) -> None:
        """The question is shown on a channel of a carrier for the first time."""
        followed = self._followed.get(f"question/{entry.question_id}") if self.on else None
        if followed is None:
            return
        cell, part = self._place(followed)
        part.wake_levels[channel] = part.wake_levels.get(channel, 0) + 1
        if channel is Channel.POLL and entry.state.lane is Lane.ELICITATION:
            cell.fallback += 1
        if followed.shown:
            return
        self._see(followed)
        cell.delivered += 1
        latency = followed.member.mailbox.ready.at(self._clock.monotonic()) - followed.start
        part.delivery.add(latency / MILLISECOND)
        if not followed.judged:
            followed.judged = True
            cell.beyond[bisect_left(_EDGES, latency)] += 1

    def served(self, name: str, cause: str, question_id: str = "") -> None:
        """A request of this caller, about this question if any, is over; ``cause`` of the server's fault, or empty."""
        if self.on:
            found = (question_id and self._between(name, question_id)) or self._callers.get(name) or self._caller(name)
            if found is not None:
                found[0].requests += 1
                if cause:
                    found[0].faults += 1
                    found[1].causes[cause] = found[1].causes.get(cause, 0) + 1

    def polled(self, name: str, items: int) -> None:
        """A wait of this caller is over, and brought so many items."""
        if self.on:
            found = self._callers.get(name) or self._caller(name)
            if found is not None:
                part = found[1]
                part.polls += 1
                part.empty_polls += not items
                part.items += items

    def streamed(self, name: str, items: int) -> None:
        """So many items were put on the caller's stream."""
        if self.on and items:
            found = self._callers.get(name) or self._caller(name)
            if found is not None:
                found[1].items += items

    def registered(self, milliseconds: float) -> None:
        """An unknown identity was registered."""
        if self.on:
            self._registration.add(max(0.0, milliseconds))

    def refused(self, command: object, refusal: Refusal) -> None:
        """A command to a question was refused: it is late if it came after the deadline."""
        if self.on and isinstance(command, questions.Answer | questions.Decline):
            self._late += refusal.details.get("status") == questions.Status.EXPIRED

    # --- records ----------------------------------------------------------------------------------------------

    def _asked(self, record: Recorded) -> None:
        entry = self._views.questions.get(questions.question_id(record.stream))
        if entry is None:
            return
        member = self._views.directory.member(entry.state.addressee)
        ago = max(0, self._clock.now() - record.at)
        start = member.mailbox.ready.before(self._clock.monotonic(), ago)
        self._place(self._follow(record.stream, entry, member, start))[0].asked += 1

    def _offered(self, record: Recorded) -> None:
        """What a carrier showed is counted already; what is left was looked at in the console."""
        followed = self._followed.get(record.stream)
        if followed is not None and not followed.shown:
            self._see(followed)
            self._place(followed)[0].delivered += 1

    def _dismissed(self, record: Recorded) -> None:
        assert isinstance(record.event, questions.Dismissed)
        followed = self._followed.get(record.stream)
        if followed is not None:
            self._place(followed)[0].dismissed += 1
            self._cause(record, record.event.reason)

    def _cause(self, record: Recorded, cause: str) -> None:
        followed = self._followed.get(record.stream)
        if followed is not None:
            causes = self._place(followed)[1].causes
            causes[cause] = causes.get(cause, 0) + 1

    def _ended(self, record: Recorded) -> None:
        followed = self._followed.pop(record.stream, None)
        if followed is None:
            return
        cell, part = self._place(followed)
        unseen = not followed.shown
        if unseen:
            self._see(followed)
        match record.event:
            case questions.Answered():
                cell.answered += 1
                part.answer.add(max(0, record.at - followed.entry.asked_at) / MILLISECOND)
            case questions.Declined():
                cell.declined += 1
            case questions.Withdrawn():
                cell.withdrawn += 1
            case _ if unseen:
                cell.expired_unseen += 1
            case _:
                cell.expired_seen += 1
        if unseen and isinstance(record.event, questions.Answered | questions.Declined):
            cell.delivered += 1  # in a way that this hub did not see, but it got there
        elif unseen and self._waited(followed) > OVERDUE:
            cell.undelivered += 1
            self._judge(followed)

    def _sent(self, record: Recorded) -> None:
        assert isinstance(record.event, messages.Sent)
        self._fan_out[len(record.event.to)] += 1

    # --- the end of a block -------------------------------------------------------------------------------------

    def overdue(self) -> None:
        """Count what should have been shown by now; whoever waits for it is woken once more, in case that was lost."""
        for stream in tuple(self._unshown):
            waiting = self._unshown[stream]
            late = [one for one in waiting.values() if self._waited(one) > OVERDUE]
            for one in late:
                self._judge(one)
            if late:
                late[0].member.mailbox.wake()

    def _judge(self, followed: Followed) -> None:
        if not followed.judged:
            followed.judged = True
            self._place(followed)[0].beyond[_OVER_ALL] += 1

    def _waited(self, followed: Followed) -> int:
        return followed.member.mailbox.ready.at(self._clock.monotonic()) - followed.start

    @property
    def idle(self) -> bool:
        """Nothing happened in this block."""
        return not (self._cells or self._parts or self._fan_out or self._registration.n or self._late)

    def take(self) -> tuple[tuple[Slice, ...], tuple[Coordination, ...], HubCounts]:
        """The counts of the block, which ends here; the next one begins with none."""
        cells = self._cells if len(self._cells) <= UNITS_MAX else _joined(self._cells)
        slices = tuple(cell.slice(*key) for key, cell in sorted(cells.items(), key=lambda pair: pair[0]))
        parts = tuple(part.coordination(exposure) for exposure, part in sorted(self._parts.items()))
        counts = HubCounts(
            registration=compact(self._registration),
            fan_out=dict(sorted(self._fan_out.items())),
            late=self._late,
            open_questions=dict(sorted(Counter(one.entry.state.exposure for one in self._followed.values()).items())),
            agents_present=self._views.measures.agents_present,
            streams_open=self._views.measures.streams_open,
        )
        self._clear()
        return slices, parts, counts

    # --- where it is counted --------------------------------------------------------------------------------------

    def _place(self, followed: Followed) -> tuple[Cell, Part]:
        """Where a question is counted in this block."""
        if followed.block != self._block:
            followed.block = self._block
            followed.cell, followed.part = self._at(*followed.key), self._part(followed.key[1])
        return followed.cell, followed.part

    def _at(self, cluster: str, exposure: Exposure) -> Cell:
        cell = self._cells.get((cluster, exposure))
        if cell is None:
            cell = self._cells[cluster, exposure] = Cell()
        return cell

    def _part(self, exposure: Exposure) -> Part:
        part = self._parts.get(exposure)
        if part is None:
            part = self._parts[exposure] = Part()
        return part

    def _between(self, name: str, question_id: str) -> tuple[Cell, Part] | None:
        """Where a request about a mixed conversation of this caller counts; None for every other."""
        state = entry.state if (entry := self._views.questions.get(question_id)) is not None else None
        if state is None or state.exposure is not Exposure.MIXED or name not in (state.addressee, state.asker):
            return None
        return self._at(self._cluster(state.addressee), state.exposure), self._part(state.exposure)

    def _cluster(self, name: AgentName) -> str:
        return self._views.programme.cluster_of(name, self._views.directory.member(name).state.label)

    def _caller(self, name: str) -> tuple[Cell, Part] | None:
        """Of a request: its caller's cluster, and the exposure that the caller's lane makes."""
        member = self._views.directory.get(name)
        if member is None:
            return None
        programme, label = self._views.programme, member.state.label
        lane = programme.lane_of(member.state.name, label)
        exposure = Exposure.NEW if lane is Lane.ELICITATION else Exposure.OLD
        cell = self._at(programme.cluster_of(member.state.name, label), exposure)
        self._callers[name] = found = cell, self._part(exposure)
        return found

    def _follow(self, stream: str, entry: Entry, member: Member, start: int) -> Followed:
        name = entry.state.addressee
        key = self._cluster(name), entry.state.exposure
        followed = self._followed[stream] = Followed(stream, entry, member, start, key)
        if not followed.shown:
            self._unshown.setdefault(name, {})[stream] = followed
        return followed

    def _see(self, followed: Followed) -> None:
        """It has been shown, or has its end: there is nothing more to wait for."""
        followed.shown = True
        name = followed.entry.state.addressee
        waiting = self._unshown[name]
        del waiting[followed.stream]
        if not waiting:
            del self._unshown[name]


def compact(histogram: histograms.Histogram) -> Compact | None:
    """The form for events; None for an empty one."""
    return histogram.compact() if histogram.n else None


def _joined(cells: dict[tuple[str, Exposure], Cell]) -> dict[tuple[str, Exposure], Cell]:
    """The same counts in fewer units: a cluster always goes to the same one."""
    units: dict[tuple[str, Exposure], Cell] = {}
    for (cluster, exposure), cell in cells.items():
        unit = int.from_bytes(blake2b(cluster.encode(), digest_size=8).digest()) % JOINED
        units.setdefault((f"~{unit:03d}", exposure), Cell()).add(cell)
    return units
