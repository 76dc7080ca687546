"""Sign-offs: specialists consent to exactly what they were shown, in time, or one of them stops it.

Rules
-----
1. Only members of a role sign in it, one role each, once; never who asks, nor who made what is signed.
2. Each role needs its quorum; all roles together make the consent. The most careful outcome is the whole's.
3. One emergency stop ends it at once: from any member of a role, also after consent, without a quorum.
4. It is bound to a digest. Another digest makes it stale, also when it was given already.
5. It ends: by its deadline while it is open, by ``valid_until`` or the first end of a condition once given.
6. A control that fails suspends the consent until every control holds again.
"""

from collections.abc import Mapping
from typing import Final, assert_never

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event
from crossfade.core.runsheets import Outcome
from crossfade.core.signoff_commands import (
    Abstain,
    Ask,
    Command,
    Expire,
    Give,
    Reinstate,
    Request,
    Return,
    Supersede,
    Suspend,
    Withdraw,
)
from crossfade.core.signoff_events import (
    Abstained,
    Approved,
    Asked,
    Condition,
    ControlRecovered,
    Expired,
    Given,
    Panel,
    Parts,
    Reinstated,
    Requested,
    Returned,
    SignoffEvent,
    Status,
    Stopped,
    Superseded,
    Suspended,
    Withdrawn,
    digest_of,
)
from crossfade.core.values import AgentName, Instant

ROLES_MAX: Final = 16
MEMBERS_MAX: Final = 64
"""Of one role."""
CONDITIONS_MAX: Final = 100
"""And controls, of all signatures together."""
ROUNDS_MAX: Final = 5
"""Questions put to one member; whose answers were unusable so often is not asked again."""


_LIVE: Final = (Status.OPEN, Status.APPROVED, Status.SUSPENDED)
NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {
    (Status.ABSENT, Requested): Status.OPEN,
    (Status.OPEN, Asked): Status.OPEN,
    (Status.OPEN, Given): Status.OPEN,
    (Status.OPEN, Returned): Status.OPEN,
    (Status.OPEN, Abstained): Status.OPEN,
    (Status.OPEN, Approved): Status.APPROVED,
    (Status.APPROVED, Suspended): Status.SUSPENDED,
    (Status.SUSPENDED, Suspended): Status.SUSPENDED,
    (Status.SUSPENDED, ControlRecovered): Status.SUSPENDED,
    (Status.SUSPENDED, Reinstated): Status.APPROVED,
    **dict.fromkeys(((status, Stopped) for status in _LIVE), Status.STOPPED),
    **dict.fromkeys(((status, Superseded) for status in _LIVE), Status.STALE),
    **dict.fromkeys(((status, Withdrawn) for status in _LIVE), Status.WITHDRAWN),
    **dict.fromkeys(((status, Expired) for status in _LIVE), Status.EXPIRED),
}
"""The whole machine."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-off as its history says."""

    status: Status = Status.ABSENT
    subject: str = ""
    about: str = ""
    digest: str = ""
    parts: Parts = Parts(runsheet="", evidence="", flags="")
    requested_by: AgentName = AgentName("")
    authors: tuple[AgentName, ...] = ()
    roles: dict[str, Panel] = {}
    deadline: Instant = Instant(0)
    valid_until: Instant = Instant(0)
    summary: str = ""
    replaces: str = ""
    asked: dict[str, AgentName] = {}
    """Question → member, in the order of asking."""
    signatures: tuple[Given, ...] = ()
    returned: dict[str, str] = {}
    """Question whose answer could not be used → why."""
    abstained: dict[AgentName, str] = {}
    """Who declined → why."""
    outcome: Outcome | None = None
    """Of the whole, once it is given."""
    failing: tuple[str, ...] = ()
    """Controls that fail now."""
    stop: Stopped | None = None
    reason: str = ""
    """Why it was withdrawn, or what superseded it."""

    @property
    def live(self) -> bool:
        """Something can still happen to it."""
        return self.status in _LIVE

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every extra gate."""
        return tuple(condition for signature in self.signatures for condition in signature.conditions)

    @property
    def controls(self) -> tuple[str, ...]:
        """Every probe that has to hold, once each."""
        return tuple(dict.fromkeys(control for signature in self.signatures for control in signature.controls))

    @property
    def lasts_until(self) -> Instant:
        """When the consent ends by time."""
        return min([self.valid_until, *(condition.expires_at for condition in self.conditions)])

    @property
    def said(self) -> tuple[Given | Stopped, ...]:
        """Every signature, and the stop."""
        return self.signatures if self.stop is None else (*self.signatures, self.stop)

    def signed(self, name: str) -> Given | None:
        """What somebody gave; None if nothing."""
        return next((signature for signature in self.signatures if signature.by == name), None)

    def candidates(self, role: str) -> tuple[AgentName, ...]:
        """Members of the role who may sign: not who asks, nor who made it."""
        return tuple(name for name in self.roles[role].members if name not in (self.requested_by, *self.authors))

    def roles_of(self, name: str) -> tuple[str, ...]:
        """The roles in which somebody may sign."""
        return tuple(role for role in self.roles if name in self.candidates(role))

    def missing(self) -> dict[str, int]:
        """Role → signatures that it still needs; roles that have theirs are left out."""
        needed = {role: panel.quorum for role, panel in self.roles.items()}
        for signature in self.signatures:
            needed[signature.role] -= 1
        return {role: number for role, number in needed.items() if number > 0}


# --- decide -------------------------------------------------------------------------------------------


def decide(state: State, command: Command, now: Instant) -> tuple[SignoffEvent, ...] | Refusal:
    """Accept ``command`` as events, or refuse it; no events where there is nothing new to record.

    Refuses with: signoff.exists, signoff.bad_digest, signoff.deadline_past, signoff.validity_short,
    limit.signoff, signoff.no_roles, signoff.bad_quorum, signoff.role_empty, signoff.role_unfilled,
    signoff.unknown, signoff.closed, signoff.not_due, signoff.not_member, signoff.self_signed,
    signoff.digest_differs, signoff.given_already, signoff.role_needed, signoff.no_conditions,
    signoff.no_controls, signoff.contradicts, signoff.condition_past, signoff.not_given, signoff.control_unknown.
    """
    if isinstance(command, Request):
        return _request(state, command, now)
    if state.status is Status.ABSENT:
        return Refusal("signoff.unknown", "There is no such sign-off.", "`crossfade signoff ls` lists them.")
    if not state.live:
        return closed(state)
    match command:
        case Give():
            return _give(state, command)
        case Supersede(digest=digest):
            return () if digest == state.digest else (Superseded(digest=digest),)
        case Withdraw():
            return (Withdrawn(by=command.by, reason=command.reason),)
        case Expire() if now >= (deadline(state) or now):
            return (Expired(),)
        case Expire():
            return Refusal("signoff.not_due", "Its end is still ahead.")
        case Suspend() | Reinstate():
            return _control(state, command)
        case _:
            return closed(state) if state.status is not Status.OPEN else _open(state, command)


def closed(state: State) -> Refusal:
    """Why nothing can be given to a sign-off that is no longer open."""
    return Refusal(
        "signoff.closed",
        f"The sign-off is {state.status} already.",
        "Ask for a new one; `crossfade signoff show` says how this one ended.",
        {"status": str(state.status)},
    )


def _request(state: State, command: Request, now: Instant) -> tuple[SignoffEvent, ...] | Refusal:
    if state.status is not Status.ABSENT:
        return Refusal("signoff.exists", "A sign-off with this id exists.")
    if command.digest != digest_of(command.parts):
        return Refusal("signoff.bad_digest", "The digest is not that of its parts.", "Take digest_of(parts).")
    if command.deadline <= now:
        return Refusal("signoff.deadline_past", "The deadline is not in the future.", "Give a later deadline.")
    if command.valid_until <= command.deadline:
        return Refusal("signoff.validity_short", "The consent would end before it may be given.", "Let it last longer.")
    event = Requested(**{name: getattr(command, name) for name in Request.__struct_fields__})
    return _seats(evolve(state, event)) or (event,)


def _seats(state: State) -> Refusal | None:
    """Why the roles cannot all be filled; None if they can."""
    if len(state.roles) > ROLES_MAX or any(len(panel.members) > MEMBERS_MAX for panel in state.roles.values()):
        return Refusal("limit.signoff", f"At most {ROLES_MAX} roles of {MEMBERS_MAX} members.", "Ask fewer.")
    if not state.roles:
        return Refusal("signoff.no_roles", "No role is asked to sign.", "Name at least one role.")
    for role, panel in state.roles.items():
        if panel.quorum < 1:
            return Refusal("signoff.bad_quorum", f"The quorum of {role} is {panel.quorum}.", "Give 1 or more.")
        if not panel.members:
            return Refusal("signoff.role_empty", f"Nobody holds the role {role}.", "Name its members.", {"role": role})
    role = unfilled(state)
    if role:
        return Refusal(
            "signoff.role_unfilled",
            f"The role {role} cannot reach its quorum: who asks and who made it do not count, and nobody counts twice.",
            f"Name more members for {role}, or lower its quorum.",
            {"role": role},
        )
    return None


def unfilled(state: State) -> str:
    """A role that cannot reach its quorum any more with people who have not signed; empty if all can."""
    seats: dict[str, str] = {}

    def seat(role: str, tried: set[str]) -> bool:
        for name in state.candidates(role):
            if name in tried or state.signed(name):
                continue
            tried.add(name)
            if name not in seats or seat(seats[name], tried):
                seats[name] = role
                return True
        return False

    wanted = (role for role, number in state.missing().items() for _ in range(number))
    return next((role for role in wanted if not seat(role, set())), "")


def _give(state: State, command: Give) -> tuple[SignoffEvent, ...] | Refusal:
    until = state.deadline if state.status is Status.OPEN else state.lasts_until
    if command.given_at >= until:
        return closed(msgspec.structs.replace(state, status=Status.EXPIRED))
    if command.digest != state.digest:
        return Refusal(
            "signoff.digest_differs",
            f"What was signed ({command.digest[:12]}) is not what is asked for ({state.digest[:12]}).",
            "Look at the present evidence and answer the newest question.",
        )
    if command.role not in state.roles or command.by not in state.roles[command.role].members:
        return Refusal("signoff.not_member", f"{command.by} does not hold the role {command.role}.")
    if command.outcome is Outcome.EMERGENCY_STOP:
        names = ("by", "role", "given_at", "question_id", "comment")
        return (Stopped(**{name: getattr(command, name) for name in names}),)
    if command.by not in state.candidates(command.role):
        return Refusal("signoff.self_signed", "Nobody signs what they made or asked for.", "Let another member sign.")
    if state.signed(command.by):
        return Refusal("signoff.given_already", f"{command.by} has signed already.", "One person, one role, once.")
    if state.status is not Status.OPEN:
        return closed(state)
    return _contradiction(state, command) or _given(state, command)


def _contradiction(state: State, command: Give) -> Refusal | None:
    outcome = command.outcome
    if max(len(state.conditions + command.conditions), len(state.controls + command.controls)) > CONDITIONS_MAX:
        return Refusal("limit.signoff", f"At most {CONDITIONS_MAX} conditions and controls in all.", "Write fewer.")
    if outcome is Outcome.CONDITIONAL and not command.conditions:
        return Refusal("signoff.no_conditions", "`conditional` without a condition.", "Write one condition a line.")
    if outcome is Outcome.APPROVED_WITH_CONTROLS and not command.controls:
        return Refusal("signoff.no_controls", "`approved_with_controls` without a control.", "Name the controls.")
    if (command.conditions and outcome is not Outcome.CONDITIONAL) or (
        command.controls and outcome is Outcome.APPROVED
    ):
        return Refusal(
            "signoff.contradicts",
            f"`{outcome}` does not go with the conditions or controls that were written.",
            "Choose `conditional` for conditions and `approved_with_controls` for controls, or leave them out.",
        )
    if any(condition.expires_at <= command.given_at for condition in command.conditions):
        return Refusal("signoff.condition_past", "A condition ends before it begins.", "Give it an end that is ahead.")
    return None


def _given(state: State, command: Give) -> tuple[SignoffEvent, ...] | Refusal:
    names = (name for name in Give.__struct_fields__ if name != "digest")
    given = Given(**{name: getattr(command, name) for name in names})
    after = evolve(state, given)
    needed = unfilled(after)
    if needed and not unfilled(state):
        return Refusal("signoff.role_needed", f"Nobody else can sign as {needed}.", f"Sign as {needed}.")
    if after.missing():
        return (given,)
    order = list(Outcome)
    return given, Approved(outcome=max((one.outcome for one in after.signatures), key=order.index))


def _open(state: State, command: Ask | Return | Abstain) -> tuple[SignoffEvent, ...] | Refusal:
    match command:
        case Ask():
            if not state.roles_of(command.member):
                return Refusal("signoff.not_member", f"{command.member} does not hold a role.")
            known = command.question_id in state.asked
            return () if known else (Asked(member=command.member, question_id=command.question_id),)
        case Return():
            if state.asked.get(command.question_id) != command.by:
                return Refusal("signoff.not_member", f"{command.by} was not asked that.")
            done = command.question_id in state.returned
            return () if done else (Returned(**{name: getattr(command, name) for name in Return.__struct_fields__}),)
        case Abstain():
            if state.asked.get(command.question_id) != command.by:
                return Refusal("signoff.not_member", f"{command.by} was not asked that.")
            done = command.by in state.abstained
            return () if done else (Abstained(by=command.by, question_id=command.question_id, reason=command.reason),)
        case _:
            assert_never(command)


def _control(state: State, command: Suspend | Reinstate) -> tuple[SignoffEvent, ...] | Refusal:
    if state.status is Status.OPEN:
        return Refusal("signoff.not_given", "It is not given yet.", "Wait until it is approved.")
    if command.control not in state.controls:
        return Refusal("signoff.control_unknown", f"{command.control!r} is none of its controls.", "Check the name.")
    fails = command.control in state.failing
    if isinstance(command, Suspend):
        return () if fails else (Suspended(control=command.control, reason=command.reason),)
    if not fails:
        return ()
    last = len(state.failing) == 1
    return (Reinstated(control=command.control) if last else ControlRecovered(control=command.control),)


# --- evolve, deadline -----------------------------------------------------------------------------------


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    change = msgspec.structs.replace
    match event:
        case Requested():
            return State(status=status, **{name: getattr(event, name) for name in Requested.__struct_fields__})
        case Asked():
            return change(state, asked={**state.asked, event.question_id: event.member})
        case Given():
            return change(state, signatures=(*state.signatures, event))
        case Returned():
            return change(state, returned={**state.returned, event.question_id: event.message})
        case Abstained():
            return change(state, abstained={**state.abstained, event.by: event.reason})
        case Approved():
            return change(state, status=status, outcome=event.outcome)
        case Stopped():
            return change(state, status=status, outcome=Outcome.EMERGENCY_STOP, stop=event)
        case Suspended():
            return change(state, status=status, failing=(*state.failing, event.control))
        case ControlRecovered() | Reinstated():
            left = tuple(control for control in state.failing if control != event.control)
            return change(state, status=status, failing=left)
        case Superseded():
            return change(state, status=status, reason=event.digest)
        case Withdrawn():
            return change(state, status=status, reason=event.reason)
        case _:
            return change(state, status=status)


def deadline(state: State) -> Instant | None:
    """When it expires: unsigned, or signed and come to its end; None once nothing can happen any more."""
    if state.status is Status.OPEN:
        return state.deadline
    return state.lasts_until if state.live else None


DECIDER: Final[Decider[State, Command, Event]] = Decider(
    initial=State(), decide=decide, evolve=evolve, deadline=deadline
)
