"""Collecting: what follows for a sign-off from its state and from the ends of its questions.

Level-triggered: each turn looks at what there is and does what is left to do: ask, take an answer, certify,
take back what is no longer needed, expire. Running it again after a crash anywhere does the rest and nothing
twice, because a question is asked under a key, and an answer is taken once by the sign-off itself.
"""

import asyncio
import logging
from typing import Any, Final

import msgspec

from crossfade.core import questions, signoff_answers
from crossfade.core.decider import Refusal
from crossfade.core.question_events import QUESTION_ID
from crossfade.core.records import Recorded
from crossfade.core.signoff_commands import Abstain, Ask, Expire, Give, Return
from crossfade.core.signoff_events import Status
from crossfade.core.signoffs import ROUNDS_MAX, deadline
from crossfade.core.values import SECOND, AgentName, Caller, Kind, Scope, stream_of
from crossfade.engine.asking import Asking
from crossfade.engine.certifying import Certifying
from crossfade.engine.context import Context
from crossfade.engine.identity import Identity
from crossfade.engine.ports import LogError
from crossfade.engine.requests import AskRequest
from crossfade.engine.signing_claims import signature_claim, subjects, whole_claim
from crossfade.engine.signing_texts import asking_text
from crossfade.engine.views.programme import SERVICE_NAME
from crossfade.engine.views.questions import Entry as Question
from crossfade.engine.views.signoffs import Entry

SERVICE: Final = Caller(name=SERVICE_NAME, kind=Kind.SERVICE, scopes=frozenset({Scope.AGENT}))
"""Who asks for sign-offs."""
RETRY_SECONDS: Final = 1.0
"""After a fault of the log, or a refusal to ask, it is tried again after this long."""
NOT_AGAIN: Final = frozenset({"signoff.closed", "signoff.given_already"})
"""Refusals of an answer after which the member is not asked again."""

logger = logging.getLogger("crossfade.engine")


class Collecting:
    """Asks members and takes their answers."""

    def __init__(self, context: Context, asking: Asking, identity: Identity, certifying: Certifying) -> None:
        self._c = context
        self._asking = asking
        self._identity = identity
        self._certifying = certifying
        self._view = context.views.signoffs
        self._turn = asyncio.Lock()
        self._due: dict[str, None] = {}
        self._working = False

    async def run(self, signoff_id: str, command: Any, by: str) -> Refusal | None:
        """Apply a command to a sign-off; why not, if it is refused."""
        outcome = await self._c.dispatcher.run(stream_of("signoff", signoff_id), command, by=by)
        return outcome if isinstance(outcome, Refusal) else None

    def addressable(self, name: str) -> bool:
        """Somebody of that name can be asked."""
        member = self._c.views.directory.get(name)
        return member is not None and member.addressable and name != SERVICE.name

    async def settle(self, signoff_id: str) -> None:
        """Do what is left to do now; after a fault of the log, again a little later."""
        try:
            async with self._turn:
                await self._reconcile(self._view.entries[signoff_id])
        except LogError:
            self._c.again(RETRY_SECONDS, lambda: self._mark(signoff_id))

    def start(self) -> None:
        """After the replay: look at every sign-off once, since a crash may have left something undone."""
        for signoff_id in self._view.entries:
            self._mark(signoff_id)

    def react(self, record: Recorded) -> None:
        """Called after each answer and decline is in the views."""
        signoff_id = self._view.by_question.get(record.stream[QUESTION_ID:])
        if signoff_id is not None:
            self._mark(signoff_id)

    def _mark(self, signoff_id: str) -> None:
        self._due[signoff_id] = None
        if not self._working:
            self._working = True
            self._c.background.spawn(self._work(), "sign-offs")

    async def _work(self) -> None:
        try:
            while self._due:
                signoff_id = next(iter(self._due))
                del self._due[signoff_id]
                await self.settle(signoff_id)
        finally:
            self._working = False

    async def _reconcile(self, entry: Entry) -> None:
        if entry.state.status is Status.OPEN:
            await self._collect(entry)
        end = deadline(entry.state)
        if end is not None and self._c.dispatcher.now() >= end:
            await self.run(entry.signoff_id, Expire(), "system")
        await self._certify(entry)
        if entry.state.status is not Status.OPEN:
            await self._let_go(entry)
        self._arm(entry)

    def _arm(self, entry: Entry) -> None:
        if entry.deadline_timer is not None:
            entry.deadline_timer.cancel()
        end = deadline(entry.state)
        entry.deadline_timer = None if end is None else self._c.timers.at(end, lambda: self._mark(entry.signoff_id))

    # --- asking and taking answers ------------------------------------------------------------------------

    async def _collect(self, entry: Entry) -> None:
        """Ask whoever was not asked, take whatever has been answered."""
        members = dict.fromkeys(name for role in entry.state.roles for name in entry.state.candidates(role))
        for member in members:
            state = entry.state
            if state.status is not Status.OPEN:
                return
            if state.signed(member) or member in state.abstained or not self.addressable(member):
                continue
            asked = [question_id for question_id, name in state.asked.items() if name == member]
            if not asked or asked[-1] in state.returned:
                await self._ask(entry, member, asked)
                continue
            question = await self._asking.entry(asked[-1])
            if not isinstance(question, Refusal) and not question.open:
                await self._take(entry, member, question)
                if asked[-1] in entry.state.returned:
                    await self._ask(entry, member, asked)

    async def _ask(self, entry: Entry, member: AgentName, asked: list[str]) -> None:
        state = entry.state
        seconds = (state.deadline - self._c.dispatcher.now()) / SECOND
        if seconds <= 0 or len(asked) >= ROUNDS_MAX:
            return
        refusal = await self._identity.register(SERVICE.name, SERVICE.kind, "")
        question = refusal or await self._asking.ask(
            SERVICE,
            AskRequest(
                to=member,
                message=asking_text(state, member, state.returned.get(asked[-1], "") if asked else ""),
                schema=signoff_answers.schema(state.roles_of(member)),
                deadline_seconds=seconds,
                key=f"{entry.signoff_id}\0{member}\0{len(asked)}",
                metadata=msgspec.Raw(msgspec.json.encode({"signoff": entry.signoff_id, "digest": state.digest})),
            ),
            entry.signoff_id,
        )
        if isinstance(question, Refusal):
            logger.warning("signoff.not_asked", extra={"signoff": entry.signoff_id, "code": question.code})
            self._c.again(RETRY_SECONDS, lambda: self._mark(entry.signoff_id))
            return
        await self.run(entry.signoff_id, Ask(member=member, question_id=question.question_id), SERVICE.name)

    async def _take(self, entry: Entry, member: AgentName, question: Question) -> None:
        """Turn the end of a question into a signature, an abstention, or a reason to ask again."""
        question_id = question.question_id
        ended = question.state
        if ended.status is questions.Status.DECLINED:
            abstain = Abstain(by=member, question_id=question_id, reason=ended.reason)
            await self.run(entry.signoff_id, abstain, member)
        if ended.status is not questions.Status.ANSWERED:
            return
        refusal = await self._give(entry, member, question)
        if refusal is not None and refusal.code not in NOT_AGAIN:
            why = f"{refusal.message} {refusal.hint}".strip()
            back = Return(by=member, question_id=question_id, code=refusal.code, message=why)
            await self.run(entry.signoff_id, back, "system")

    async def _give(self, entry: Entry, member: AgentName, question: Question) -> Refusal | None:
        state = entry.state
        said = signoff_answers.read(question.state.content, state.roles_of(member), state.valid_until)
        if isinstance(said, Refusal):
            return said
        shown = msgspec.json.decode(question.state.metadata, type=dict[str, str])
        command = Give(
            by=member,
            digest=shown.get("digest", ""),
            given_at=question.ended_at or self._c.dispatcher.now(),
            question_id=question.question_id,
            **{name: getattr(said, name) for name in said.__struct_fields__},
        )
        return await self.run(entry.signoff_id, command, member)

    async def _let_go(self, entry: Entry) -> None:
        """Take back the questions whose answers are no longer needed."""
        for question_id in entry.state.asked:
            question = self._c.views.questions.get(question_id)
            if question is not None and question.open:
                await self._asking.withdraw(SERVICE, question_id, f"the sign-off is {entry.state.status}", None)

    async def _certify(self, entry: Entry) -> None:
        """A certificate for each signature, for a stop, and for the whole once it is given."""
        state = entry.state
        for signature in state.said:
            await self._certifying.issue(subjects(state), signature_claim(entry, signature))
        if state.status is Status.APPROVED:
            await self._certifying.issue(subjects(state), whole_claim(entry, self._view))
