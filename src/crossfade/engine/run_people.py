"""The human steps of a run: questions to identities and roles, go/no-go meetings, escalation.

Rules
-----
1. A question is asked under a key made of run, node, attempt, round and member: after a crash it is asked once.
2. With choices, the first one lets the run go on; enough others that the quorum is out of reach hold it.
3. Silence is not consent: when a round's time is over, the next in ``operations.escalation`` is asked as well;
   after the last, the run holds.
"""

from typing import Final

import msgspec

from crossfade.core import questions
from crossfade.core.decider import Refusal
from crossfade.core.run_events import Verdict
from crossfade.core.run_plan import PlanNode, span
from crossfade.core.run_state import NodeStatus, Progress, State
from crossfade.core.runsheets import Step
from crossfade.core.values import SECOND, Caller, Instant, Kind, Scope
from crossfade.engine.asking import Asking
from crossfade.engine.context import Context
from crossfade.engine.identity import PROGRAMME_NAME, Identity
from crossfade.engine.requests import AskRequest
from crossfade.engine.run_ports import Finding
from crossfade.engine.views.questions import Entry as Question

SERVICE: Final = Caller(name=PROGRAMME_NAME, kind=Kind.SERVICE, scopes=frozenset({Scope.AGENT}))
MEETING_CHOICES: Final = ("go", "no-go")
FREE: Final = msgspec.Raw(
    b'{"type":"object","properties":{"answer":{"type":"string","minLength":1}},"required":["answer"]}'
)
AGENDA_LINES_MAX: Final = 20


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked now, and until when."""

    items: dict[str, str]
    """Member → question."""
    deadline: Instant
    number: int


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Enough answers."""

    answers: dict[str, str]


class People:
    """Asks, escalates, counts."""

    def __init__(self, context: Context, asking: Asking, identity: Identity) -> None:
        self._c = context
        self._asking = asking
        self._identity = identity

    async def ask(self, run_id: str, state: State, node: PlanNode) -> Round | Finding:
        """Ask those whom the step names."""
        step = _step(node)
        return await self._round(run_id, state, node, members_of(state, step), 0)

    async def _round(
        self, run_id: str, state: State, node: PlanNode, members: tuple[str, ...], number: int
    ) -> Round | Finding:
        step, progress = _step(node), state.of(node.id)
        budget = span(step.budget)
        deadline = progress.deadline if number == 0 else Instant(self._c.clock.now() + budget)
        seconds = (deadline - self._c.clock.now()) / SECOND
        await self._identity.register(SERVICE.name, SERVICE.kind, "")
        items: dict[str, str] = {}
        for member in members:
            request = AskRequest(
                to=member,
                message=message_of(state, step),
                choices=choices_of(step) or None,
                schema=None if choices_of(step) else FREE,
                deadline_seconds=min(max(seconds, 1.0), float(self._c.limits.deadline_seconds_max)),
                key=f"{run_id}/{node.id}/{progress.attempt}/{number}/{member}",
                metadata=msgspec.Raw(msgspec.json.encode({"run": run_id, "node": node.id})),
            )
            asked = await self._asking.ask(SERVICE, request, run_id)
            if isinstance(asked, Refusal):
                return Finding(verdict=Verdict.ERRORED, reason=asked.code, numbers={"member": member})
            items[member] = asked.question_id
        return Round(items=items, deadline=deadline, number=number)

    async def collect(self, run_id: str, state: State, node: PlanNode) -> Round | Heard | Finding | None:
        """What the answers so far come to; None while they can still change it."""
        step, progress = _step(node), state.of(node.id)
        found = await self._entries(progress)
        answers = {name: _answer(entry) for name, entry in found.items() if _answered(entry)}
        choices = choices_of(step)
        yes = sum(not choices or answer == choices[0] for answer in answers.values())
        still = sum(entry.open for entry in found.values())
        if yes >= step.quorum:
            await self.withdraw(progress, "enough answers")
            return Heard(answers=answers)
        if yes + still >= step.quorum:
            return None
        if len(answers) > yes:
            await self.withdraw(progress, "decided")
            return Finding(verdict=Verdict.FAILED, reason="not agreed", numbers=dict(answers))
        return await self._escalate(run_id, state, node, progress)

    async def _escalate(self, run_id: str, state: State, node: PlanNode, progress: Progress) -> Round | Finding:
        chain = () if state.sheet.operations is None else state.sheet.operations.escalation
        for number, name in enumerate(chain[progress.round :], progress.round + 1):
            member = self._c.views.directory.get(name)
            if name not in progress.asked and member is not None and member.addressable:
                return await self._round(run_id, state, node, (name,), number)
        return Finding(verdict=Verdict.INCONCLUSIVE, reason="unanswered", numbers={"asked": ", ".join(progress.asked)})

    async def _entries(self, progress: Progress) -> dict[str, Question]:
        found = {name: await self._asking.entry(question) for name, question in progress.asked.items()}
        return {name: entry for name, entry in found.items() if not isinstance(entry, Refusal)}

    async def withdraw(self, progress: Progress, reason: str) -> None:
        """Take back what is still open of a node."""
        for question_id in progress.asked.values():
            entry = self._c.views.questions.get(question_id)
            if entry is not None and entry.open:
                await self._asking.withdraw(SERVICE, question_id, reason, None)


def members_of(state: State, step: Step) -> tuple[str, ...]:
    """Identities that a step asks, each once; a role stands for its members."""
    roles = {str(role): panel.members for role, panel in state.sheet.roles.items()}
    named = (roles.get(name[5:], ()) if name.startswith("role:") else (name,) for name in step.to)
    return tuple(dict.fromkeys(name for group in named for name in group))


def choices_of(step: Step) -> tuple[str, ...]:
    """What can be answered; empty for free text."""
    return step.choices or (MEETING_CHOICES if step.kind == "meeting" else ())


def message_of(state: State, step: Step) -> str:
    """The question; for a meeting with its agenda."""
    text = step.message or step.title or step.id
    return f"{text}\n\n{agenda(state)}" if step.kind == "meeting" else text


def agenda(state: State) -> str:
    """The facts of a run, drafted for whoever decides: last evidence, what was passed by, the share."""
    lines = [f"Share in force: {state.share:.0%}.", f"Runsheet {state.sheet.name} {state.digest[:12]}."]
    passed = [(node.id, state.of(node.id)) for node in state.plan]
    around = [(name, progress) for name, progress in passed if progress.status in ("skipped", "waived")]
    lines += [f"{name}: {progress.status} by {progress.by}: {progress.why}" for name, progress in around]
    done = [(name, progress) for name, progress in passed if progress.status is NodeStatus.DONE]
    shown = done[-AGENDA_LINES_MAX + len(around) :] if len(around) < AGENDA_LINES_MAX else []
    lines += [f"{name}: done, evidence {progress.digest[:12]} {_short(progress)}" for name, progress in shown]
    return "\n".join(lines)


def _short(progress: Progress) -> str:
    return bytes(progress.evidence).decode(errors="replace")[:200]


def _step(node: PlanNode) -> Step:
    assert node.step is not None
    return node.step


def _answered(entry: Question) -> bool:
    return entry.state.status is questions.Status.ANSWERED


def _answer(entry: Question) -> str:
    content = msgspec.json.decode(bytes(entry.state.content))
    return str(next(iter(content.values()), "")) if isinstance(content, dict) else ""
