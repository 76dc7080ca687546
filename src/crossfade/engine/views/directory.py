"""The directory: who exists, who is there, what their client can do, and what waits for them."""

from array import array
from collections.abc import Callable, Iterator
from difflib import get_close_matches

from crossfade.core.agents import State, Status
from crossfade.core.values import AgentName, Instant, Lane
from crossfade.engine.views.mailboxes import Mailbox
from crossfade.engine.views.questions import Entry


class Member:
    """One identity: its state, its mailbox and its presence."""

    __slots__ = (
        "_heard_at", "accepted", "allowance", "allowance_at", "asked_open", "lane", "lane_under", "mailbox", "open",
        "state", "watched",
    )  # fmt: skip

    def __init__(self, state: State) -> None:
        self.state = state
        self.mailbox = Mailbox()
        self.open: dict[str, Entry] = {}
        """Open questions addressed to it, oldest first."""
        self.asked_open = 0
        """Open questions that it has asked."""
        self.accepted = 0
        """Native elicitations it has accepted, ever; a client that never did may be declining by itself."""
        self._heard_at = array("q", (0, 0))
        """In place of two numbers that would be made anew among the objects of each connection (docs/adr/0036)."""
        self.watched = False
        """It is looked at when its lease may have lapsed."""
        self.lane = Lane.POLLING
        self.lane_under: object = None
        """The state of the rollout under which ``lane`` was worked out; its label never changes."""
        self.allowance = 0.0
        """Commands it may issue now (token bucket)."""
        self.allowance_at = Instant(0)

    @property
    def seen_at(self) -> Instant:
        """Last heard from; 0: not since the start."""
        return self._heard_at[0]  # type: ignore[return-value]  # ``Instant`` would be a call

    @seen_at.setter
    def seen_at(self, instant: Instant) -> None:
        self._heard_at[0] = instant

    @property
    def native_at(self) -> Instant:
        """Last heard from with a client that declared elicitation."""
        return self._heard_at[1]  # type: ignore[return-value]  # ``Instant`` would be a call

    @native_at.setter
    def native_at(self, instant: Instant) -> None:
        self._heard_at[1] = instant

    @property
    def addressable(self) -> bool:
        """Questions and messages can be addressed to it."""
        return self.state.status is not Status.RETIRED


class Directory:
    """Members by name."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        # The look-ups of the dict itself, and no methods around them: there are a dozen for each question.
        self.get: Callable[[str], Member | None] = self._members.get
        """The member, or None if the name was never registered."""
        self.member: Callable[[str], Member] = self._members.__getitem__
        """The member. Raises KeyError if the name was never registered."""

    def put(self, name: AgentName, state: State) -> Member:
        """Take over a changed state."""
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = Member(state)
        else:
            member.state = state
        return member

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def similar(self, name: str, limit: int = 3) -> list[str]:
        """Names that the writer of ``name`` may have meant, nearest first."""
        return get_close_matches(name, self._members, n=limit, cutoff=0.6)
