"""The hub: every use case one typed method. What all entry points call, and nothing else of the engine.

A Refusal is an ordinary value. The faults of engine/ports.py are raised: UnavailableError and
UnknownOutcomeError mean "come back with the same key". Identity comes from the Caller alone.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from collections.abc import Sequence as Seq
from typing import Any, TypeVar

import msgspec

from crossfade.core import questions
from crossfade.core.decider import Refusal
from crossfade.core.questions import Dismissal
from crossfade.core.records import Recorded, UnknownEventError
from crossfade.core.values import PROGRAMME, SPACE, Caller, Channel, Kind, Scope, Sequence, Shard
from crossfade.engine.asking import Asking
from crossfade.engine.baselines import Baselines
from crossfade.engine.committer import Committer
from crossfade.engine.context import Context, needs
from crossfade.engine.dispatcher import Dispatcher
from crossfade.engine.identity import Identity
from crossfade.engine.keeping import Keeping
from crossfade.engine.limits import Limits
from crossfade.engine.mail import Mail
from crossfade.engine.measures import Measures
from crossfade.engine.measuring import Measuring
from crossfade.engine.migration import Migration
from crossfade.engine.planning import Planning
from crossfade.engine.ports import Clock, CorruptLogError, Courier, Ids, Log, Signer, StoredEvent
from crossfade.engine.projector import Projector, Views
from crossfade.engine.reactions import ENDS, Reactions
from crossfade.engine.reactor import Reactor
from crossfade.engine.requests import (
    AgentView,
    AnswerRequest,
    AskRequest,
    Batch,
    IssuedToken,
    NativeReply,
    QuestionView,
    ReceiveRequest,
    RecordView,
    SendRequest,
    SentView,
    TokenView,
)
from crossfade.engine.run_steps import Work
from crossfade.engine.running import Runs
from crossfade.engine.sending import Sending
from crossfade.engine.signing_off import SigningOff
from crossfade.engine.steering import Steering
from crossfade.engine.storing import Asked
from crossfade.engine.streams import Streams, recorded
from crossfade.engine.subscriptions import Subscription
from crossfade.engine.views.instants import iso
from crossfade.engine.views.questions import view

logger = logging.getLogger("crossfade.engine")

T = TypeVar("T")
Promise = Coroutine[Any, Any, T | Refusal]
"""What a use case on the hot path comes to when it is awaited: handed on as it is, without a coroutine around it."""
REPLAY_RECORDS = 5_000
"""Records read at a time while starting."""


class Hub(Steering):
    """One hub on one log. Build it, ``start`` it, call it, ``stop`` it."""

    def __init__(
        self, log: Log, clock: Clock, ids: Ids, limits: Limits, *, guests: bool = False, signer: Signer | None = None
    ) -> None:
        """``guests``: admit callers without a token, named from their client (development on loopback only).

        ``signer``: the key of certificates; without it nobody can be asked for a sign-off.
        """
        self.limits = limits
        self._log = log
        self._views = Views()
        self._streams = Streams(log, limits.ended_questions_kept)
        self._projector = Projector(self._streams, self._views)
        self._committers = {
            shard: Committer(log, shard, limits, self._projector.committed, Sequence(0)) for shard in (PROGRAMME, SPACE)
        }
        dispatcher = Dispatcher(log, clock, ids, limits, self._streams, self._committers)
        self._c = Context(log, clock, ids, limits, self._views, dispatcher)
        self._asking = Asking(self._c)
        self._mail = Mail(self._c, self._asking)
        self._sending = Sending(self._c, self._asking)
        self._identity = Identity(self._c, guests=guests)
        self.authenticate: Callable[[str], Caller | Refusal] = self._identity.authenticate
        """The caller that a token stands for; asked with every request."""
        self._migration = Migration(self._c)
        self.measuring = Measuring(self._c, lambda: self.ready)
        self.baselines = Baselines(self._c, self.measuring)
        self.plans = Planning(self._c, self._migration, self.measuring, lambda: self.keeping.damage, lambda: self.ready)
        self.signing = SigningOff(self._c, self._asking, self._identity, signer)
        self.runs = Runs(self._c, self._asking, self._identity, self.signing)
        self.equip(Work())
        self._reactor = Reactor(self._c)
        self._subscriptions: set[Subscription] = set()
        self._started = False
        self.read_only = ""
        """Why this process only reads; empty when it is what it should be."""
        self.keeping = Keeping(self._c, self._streams, self._committers)
        self.proving = self.keeping.proving

    def equip(self, work: Work, courier: Courier | None = None) -> None:
        """Say what this process can do for runs, and who delivers; to be called before ``start``."""
        self._projector.courier = courier or self._projector.courier
        self.runs.equip(self._migration, lambda: self.ready, work, self.plans)
        self.plans.read = work.plans

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Replay the log, then go live. Raises CorruptLogError rather than serve what is false.

        A record of a later release makes the hub read-only: it shows what came before, and the log itself.
        """
        await self.keeping.before_replay()
        for shard in (PROGRAMME, SPACE):
            await self._replay(shard)
        self._c.dispatcher.go_on()
        if self.read_only:
            self._c.background.spawn(self._c.timers.run(), "timers")
            self._started = True
            return
        self._projector.listeners.append(self._reactions())
        await self.keeping.live(self._projector)
        self._c.background.spawn(self._c.timers.run(), "timers")
        self._identity.watch_present()
        self._reactor.start()
        self.signing.start()
        self._started = True
        self.measuring.start()
        self.plans.driving.start()
        self.runs.runner.start()

    def _reactions(self) -> Reactions:
        runner = self.runs.runner
        everybody = (self.plans.driving.react, self.measuring.react, self._reactor.react, runner.react)
        reactions = Reactions(self._c.tallies, everybody)
        reactions.hear(self._reactor.asked, questions.Asked)
        reactions.hear(self.signing.answered, questions.Answered, questions.Declined)
        reactions.hear(runner.stir, *ENDS)
        return reactions

    async def _replay(self, shard: Shard) -> None:
        committer = self._committers[shard]
        while rows := await self._log.read(shard, committer.head, REPLAY_RECORDS):
            known = self._known(shard, rows)
            self._projector.replay(known)
            if known:
                committer.head = known[-1].sequence
                self._c.dispatcher.seen(known[-1].at)
            if len(known) < len(rows):
                return
            await asyncio.sleep(0)

    def _known(self, shard: Shard, rows: Seq[StoredEvent]) -> list[Recorded]:
        """The rows up to the first that this release cannot read; from there on nobody may write."""
        known: list[Recorded] = []
        for row in rows:
            try:
                known.append(recorded(shard, row))
            except UnknownEventError:
                self.read_only = f"record {row.sequence} of shard {shard} is a {row.type}, of a later release"
                logger.error("hub.read_only", extra={"reason": self.read_only})  # noqa: TRY400 - the reason says it all
                for committer in self._committers.values():
                    committer.read_only = self.read_only
                break
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
                raise CorruptLogError(f"shard {shard}: sequence {row.sequence} cannot be read: {fault}") from fault
        return known

    async def stop(self) -> None:
        """End the streams, wake every wait, finish what is being written; the log stays open."""
        self.drain()
        self._mail.record_all()
        await self.measuring.finish()
        for committer in self._committers.values():
            await committer.flush()
        await self._c.background.stop()
        if self._started and not self.read_only:
            await self.keeping.finish()

    def drain(self) -> None:
        """Let go of all who wait: streams end, waits come back empty."""
        self._mail.draining = True
        for subscription in tuple(self._subscriptions):
            subscription.close()
        for member in self._views.directory:
            member.mailbox.wake()
        for entry in self._views.questions.values():
            entry.wake()

    @property
    def ready(self) -> bool:
        """The replay is done and the last write that was tried went through."""
        return (
            self._started
            and not self.read_only
            and all(committer.failed is None for committer in self._committers.values())
        )

    @property
    def stopping(self) -> bool:
        """Waits come back empty at once, because the hub is going down."""
        return self._mail.draining

    # --- questions ----------------------------------------------------------------------------------------

    def ask(
        self,
        caller: Caller,
        request: AskRequest,
        *,
        cause: str = "",
        wait_seconds: float = 0.0,
        asked: Asked | None = None,
    ) -> Promise[QuestionView]:
        """Put a question to somebody; returns once it is durable. The same key gives the first one.

        With ``wait_seconds``, returns at its end or when they are over; ``asked`` hears then that it is durable.
        """
        return self._asking.ask(caller, request, cause, wait_seconds, asked)

    def question(self, caller: Caller, question_id: str, wait_seconds: float = 0.0) -> Promise[QuestionView]:
        """Read a question, after waiting for its end at most ``wait_seconds``."""
        return self._asking.read(caller, question_id, wait_seconds)

    async def withdraw(
        self, caller: Caller, question_id: str, *, reason: str = "", key: str | None = None
    ) -> QuestionView | Refusal:
        """End one's own question."""
        return await self._asking.withdraw(caller, question_id, reason, key)

    def answer(self, caller: Caller, request: AnswerRequest, *, cause: str = "") -> Promise[QuestionView]:
        """Answer or decline a question addressed to the caller."""
        return self._asking.answer(caller, request, cause)

    async def native_reply(self, caller: Caller, reply: NativeReply, *, cause: str = "") -> QuestionView | Refusal:
        """Take what a client sent back to an elicitation."""
        return await self._asking.native_reply(caller, reply, cause)

    async def dismiss(self, caller: Caller, question_id: str, reason: Dismissal) -> QuestionView | Refusal:
        """The native channel brought no end; the question goes on as text."""
        entry = await self._asking.entry(question_id)
        return entry if isinstance(entry, Refusal) else await self._asking.dismiss(caller, entry, reason)

    async def seen(self, caller: Caller, question_id: str, channel: Channel) -> None:
        """Record that the addressee has the question in front of them on this channel."""
        await self._asking.seen(caller, question_id, channel)

    async def open_questions(self, caller: Caller, limit: int = 100) -> list[QuestionView]:
        """Open questions addressed to the caller, oldest first."""
        member = self._views.directory.get(caller.name)
        entries = [] if member is None else list(member.open.values())[: min(limit, self.limits.page_items_max)]
        return [view(entry) for entry in entries]

    # --- messages and waits -------------------------------------------------------------------------------

    async def send(self, caller: Caller, request: SendRequest, *, cause: str = "") -> SentView | Refusal:
        """Send a message, or answer a question by replying to it."""
        return await self._sending.send(caller, request, cause)

    def receive(self, caller: Caller, request: ReceiveRequest) -> Promise[Batch]:
        """Wait for what is addressed to the caller."""
        return self._mail.receive(caller, request)

    @property
    def mail(self) -> Mail:
        """Receiving without a coroutine: ``begin``, ``look`` and ``leave``."""
        return self._mail

    def acknowledge(self, caller: Caller, through: int) -> Refusal | None:
        """Say that everything up to ``through`` was received; refuses with cursor.ahead, cursor.bad, agent.unknown."""
        return self._mail.confirm(caller, through)

    def release(self, caller: Caller, question_ids: Seq[str]) -> None:
        """The carrier is gone before it replied: offer again what it had."""
        self._mail.release(caller, tuple(question_ids))

    async def subscribe(self, caller: Caller, after: int | None) -> Subscription | Refusal:
        """Open the caller's event stream after a sequence (None: after its cursor)."""
        subscription = self._mail.subscribable(caller, after)
        if isinstance(subscription, Refusal):
            return subscription
        member, position = subscription
        stream = Subscription(self._c, self._mail, member, position, on_close=self._subscriptions.discard)
        self._subscriptions.add(stream)
        return stream

    # --- identity -----------------------------------------------------------------------------------------

    async def admit(self, client_name: str, *, faces_person: bool = False) -> Caller | Refusal:
        """A guest named after its client; refused with auth.required where guests are not admitted."""
        return await self._identity.admit(client_name, faces_person=faces_person)

    def touch(self, caller: Caller, *, native: bool) -> None:
        """Note that the caller was heard from, with a client that can elicit or cannot."""
        self._identity.touch(caller, native=native)

    def forget(self) -> None:
        """A crowd has gone: let go of what is quickly worked out again."""
        self._identity.forget()

    async def agents(self, caller: Caller, query: str = "", limit: int = 100) -> list[AgentView]:
        """Who is here; present ones first."""
        return self._identity.search(query, min(limit, self.limits.page_items_max))

    def agent(self, name: str) -> AgentView | None:
        """One identity by its whole name; None if there is none."""
        member = self._views.directory.get(name)
        return None if member is None else self._identity.view(member)

    async def issue_token(
        self,
        caller: Caller,
        name: str,
        kind: Kind,
        scopes: Seq[Scope],
        *,
        expires_seconds: float | None = None,
        label: str = "",
    ) -> IssuedToken | Refusal:
        """Make a token; needs scope admin."""
        refusal = needs(caller, Scope.ADMIN)
        return refusal or await self._identity.issue(name, kind, scopes, expires_seconds, label, caller.name)

    async def revoke_token(self, caller: Caller, token_id: str) -> TokenView | Refusal:
        """End a token, and the streams and waits of whoever holds it; needs scope admin."""
        refusal = needs(caller, Scope.ADMIN)
        outcome = refusal or await self._identity.revoke(token_id, caller.name)
        if isinstance(outcome, TokenView):
            for subscription in tuple(self._subscriptions):
                if subscription.name == outcome.name:
                    subscription.close()
            self._mail.dismiss(outcome.name)
        return outcome

    async def tokens(self, caller: Caller) -> list[TokenView] | Refusal:
        """Every token without its secret; needs scope admin."""
        return needs(caller, Scope.ADMIN) or self._identity.tokens()

    async def retire(self, caller: Caller, name: str) -> AgentView | Refusal:
        """Take an identity out for good; needs scope admin."""
        return needs(caller, Scope.ADMIN) or await self._identity.retire(name, caller.name)

    # --- the log and the measures ---------------------------------------------------------------------------

    async def records(
        self, caller: Caller, shard: int, after: int, limit: int, wait_seconds: float = 0.0
    ) -> list[RecordView] | Refusal:
        """Records of a shard after a sequence; needs scope operator."""
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is not None:
            return refusal
        if shard not in self._committers or after < 0:
            what = f"There is no shard {shard} or sequence {after}."
            return Refusal("log.unknown", what, "`crossfade log head` lists the shards.")
        place = Shard(shard)
        if wait_seconds > 0:
            await self._log.wait(place, Sequence(after), min(wait_seconds, self.limits.wait_seconds_max))
        rows = await self._log.read(place, Sequence(after), max(1, min(limit, 1_000)))
        return [
            RecordView(
                shard=shard, sequence=row.sequence, stream=row.stream, version=row.version, type=row.type,
                at=iso(row.at), actor=row.actor, cause=row.cause, event=msgspec.Raw(row.payload), chain=row.chain.hex(),
                at_nanoseconds=row.at, key=row.key.hex(),
            )
            for row in rows
        ]  # fmt: skip

    async def log_head(self, caller: Caller) -> list[dict[str, int | str]] | Refusal:
        """Epoch, sequence and chain of each shard; needs scope operator."""
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is not None:
            return refusal
        return [
            {"shard": shard, "epoch": head.epoch, "sequence": head.sequence, "chain": head.chain.hex()}
            for shard, head in [(shard, await self._log.head(shard)) for shard in self._committers]
        ]

    def measures(self) -> Measures:
        """Counters and histograms since the start, the replay included."""
        return self._views.measures

    @property
    def pending_commits(self) -> int:
        """Commands waiting for the disk."""
        return sum(committer.pending for committer in self._committers.values())
