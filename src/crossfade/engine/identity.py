"""Identity: credentials become callers, callers become members, members are present or away."""

import re
from collections.abc import Sequence as Seq
from hashlib import sha256
from sys import intern
from typing import Final

from crossfade.core import agents, credentials
from crossfade.core.decider import Refusal
from crossfade.core.values import SECOND, AgentName, Caller, Instant, Kind, Scope, stream_of
from crossfade.engine.context import Context
from crossfade.engine.leases import Leases
from crossfade.engine.requests import AgentView, IssuedToken, TokenView
from crossfade.engine.views.directory import Member
from crossfade.engine.views.instants import iso
from crossfade.engine.views.programme import SERVICE_NAME

PREFIX: Final = "cf_"
"""What a token begins with, so that scanners find leaked ones."""
TOKEN_BYTES_MAX: Final = 256
DIGESTS_MAX: Final = 50_000
"""Tokens whose digest is remembered; beyond, all are forgotten and worked out again."""
PROGRAMME_NAME: Final = SERVICE_NAME
"""No guest may call itself that."""
_UNFIT: Final = re.compile(r"[^a-z0-9._-]+")
RESERVED: Final = frozenset({SERVICE_NAME, "system", "hub", "kill-file"})
"""Actors in the log that are the hub itself; nobody else may act under these names."""


REVOKED: Final = credentials.Status.REVOKED


class Identity:
    """Tokens, guests, registration and presence."""

    def __init__(self, context: Context, *, guests: bool) -> None:
        self._c = context
        self._guests = guests
        self._callers: dict[str, Caller] = {}
        """Digest of a token → caller, for as long as the token's state is the same."""
        self._digests: dict[str, str] = {}
        """Tokens that were presented and known → digest."""
        self._scopes: dict[tuple[Scope, ...], frozenset[Scope]] = {}
        """As a set, what tokens were issued with: few are different."""
        self._leases = Leases(context.timers, self._lapsed)

    # --- who is it --------------------------------------------------------------------------------------

    def authenticate(self, token: str) -> Caller | Refusal:
        """The caller that the token stands for, or auth.missing, auth.unknown, auth.expired, auth.revoked."""
        if not token:
            return Refusal(
                "auth.missing",
                "This needs a token.",
                "Send `Authorization: Bearer TOKEN`; `crossfade token new` makes one.",
            )
        digest = self._digests.get(token)
        if digest is None:
            if len(token) > TOKEN_BYTES_MAX or not token.startswith(PREFIX):
                return _unknown_token()
            digest = self._digest(token)
        found = self._c.views.programme.tokens.get(digest)
        if found is None:
            return _unknown_token()
        state = found[1]
        if state.status is REVOKED:
            return Refusal("auth.revoked", "This token was revoked.", "Ask an operator for a new one.")
        if state.expires_at is not None and self._c.clock.now() >= state.expires_at:
            return Refusal("auth.expired", "This token has expired.", "Ask an operator for a new one.")
        caller = self._callers.get(digest)
        if caller is None:
            scopes = self._scopes.setdefault(state.scopes, frozenset(state.scopes))
            caller = self._callers[digest] = Caller(name=state.name, kind=state.kind, scopes=scopes)
        return caller

    def forget(self) -> None:
        """Let go of what is known of tokens by having seen them; whoever calls again is looked up again."""
        self._callers.clear()
        self._digests.clear()

    def _digest(self, token: str) -> str:
        """What a token is known by; kept for those that were issued."""
        digest = sha256(token.encode()).hexdigest()
        issued = self._c.views.programme.tokens.get(digest)
        if issued is not None:
            digest = issued[1].digest  # the same, and there already
            if len(self._digests) >= DIGESTS_MAX:
                self._digests.clear()
            self._digests[token] = digest
        return digest

    async def admit(self, client_name: str, *, faces_person: bool) -> Caller | Refusal:
        """A guest named after its client program: only on a development hub, never under a name with a token."""
        if not self._guests:
            return Refusal(
                "auth.required", "This hub admits nobody without a token.", "Send `Authorization: Bearer TOKEN`."
            )
        name = AgentName(_UNFIT.sub("-", client_name.lower()).strip("-._")[:64] or "guest")
        if name in RESERVED or self._c.views.programme.has_token(name):
            return Refusal("auth.required", f"{name} is somebody else's name.", "Send its token, or use another name.")
        refusal = await self.register(name, Kind.PROGRAM, "")
        if refusal is not None:
            return refusal
        return Caller(
            name=name, scopes=frozenset({Scope.AGENT}), client=client_name, faces_person=faces_person, guest=True
        )

    async def register(self, name: AgentName, kind: Kind, label: str) -> Refusal | None:
        """Make the identity addressable; nothing happens if it is already."""
        member = self._c.views.directory.get(name)
        if member is not None and member.state.kind is kind and member.addressable:
            return None
        if member is None and len(self._c.views.directory) >= self._c.limits.agents_max:
            return Refusal("limit.agents", f"There are {self._c.limits.agents_max} agents already.", "Retire some.")
        began = self._c.clock.monotonic()
        command = agents.Register(name=name, kind=kind, label=label)
        outcome = await self._c.dispatcher.run(stream_of("agent", name), command, by=name)
        took_ms = (self._c.clock.monotonic() - began) / 1e6
        self._c.views.measures.registration_ms.add(took_ms)
        self._c.tallies.registered(took_ms)
        return outcome if isinstance(outcome, Refusal) else None

    # --- tokens -------------------------------------------------------------------------------------------

    async def issue(
        self, name: str, kind: Kind, scopes: Seq[Scope], expires_seconds: float | None, label: str, by: str
    ) -> IssuedToken | Refusal:
        """Make a token for an identity and register it."""
        if not agents.NAME.fullmatch(name):
            return Refusal(
                "agent.bad_name", f"{name!r} is not a name.", "Use 1 to 64 of a-z, 0-9, dot, dash and underscore."
            )
        if name in RESERVED:
            return Refusal("agent.reserved", f"{name} is a name of the hub itself.", "Use another name.")
        token_id = self._c.ids.new("t")
        token = PREFIX + self._c.ids.secret()
        command = credentials.Issue(
            name=AgentName(name),
            kind=kind,
            scopes=tuple(sorted(set(scopes))),
            digest=sha256(token.encode()).hexdigest(),
            expires_at=None if expires_seconds is None else self._c.later(expires_seconds),
            label=label,
        )
        refusal = await self.register(AgentName(name), kind, label)
        if refusal is not None:
            return refusal
        outcome = await self._c.dispatcher.run(stream_of("token", token_id), command, by=by)
        if isinstance(outcome, Refusal):
            return outcome
        ends = None if command.expires_at is None else iso(command.expires_at)
        return IssuedToken(token_id=token_id, token=token, name=command.name, scopes=command.scopes, expires_at=ends)

    async def revoke(self, token_id: str, by: str) -> TokenView | Refusal:
        """End a token; it acts on nothing after this record."""
        outcome = await self._c.dispatcher.run(stream_of("token", token_id[:64]), credentials.Revoke(), by=by)
        if isinstance(outcome, Refusal):
            return outcome
        return next(token for token in self.tokens() if token.token_id == token_id)

    def tokens(self) -> list[TokenView]:
        """Every token, without its secret, oldest first."""
        now = self._c.clock.now()
        return [
            TokenView(
                token_id=token_id,
                name=state.name,
                kind=state.kind,
                scopes=state.scopes,
                status=_token_status(state, now),
                expires_at=None if state.expires_at is None else iso(state.expires_at),
            )
            for token_id, state in self._c.views.programme.tokens.values()
        ]

    # --- presence -------------------------------------------------------------------------------------------

    def touch(self, caller: Caller, *, native: bool) -> None:
        """The caller was heard from: renew its lease, and note what its client can do."""
        member = self._c.views.directory.get(caller.name)
        if member is None or member.state.status is agents.Status.RETIRED:
            return
        state, now = member.state, self._c.clock.now()
        member.seen_at = now
        if native:
            member.native_at = now
        if state.status is agents.Status.AWAY:
            self._post(member, agents.Arrive())
        if not member.watched:
            self._watch(member)
        known = not caller.client or (caller.client == state.client and caller.faces_person == state.faces_person)
        if not known or native is not state.native:
            self._declare(member, caller, native, now)

    def _declare(self, member: Member, caller: Caller, native: bool, now: Instant) -> None:
        """Record what the client can do when it changed; losing elicitation only after a lease without it."""
        state = member.state
        lease = self._c.limits.lease_seconds * SECOND
        still_native = native or (state.native and now - member.native_at < lease)
        client = intern(caller.client) if caller.client else state.client  # few are different, and it stays
        faces_person = caller.faces_person if caller.client else state.faces_person
        if (client, still_native, faces_person) != (state.client, state.native, state.faces_person):
            self._post(member, agents.Declare(client=client, native=still_native, faces_person=faces_person))

    def _watch(self, member: Member) -> None:
        lease = int(self._c.limits.lease_seconds * SECOND)
        self._leases.watch(member, Instant(member.seen_at + lease))

    def _lapsed(self, member: Member) -> None:
        lease = int(self._c.limits.lease_seconds * SECOND)
        if self._c.clock.now() - member.seen_at < lease:
            self._watch(member)
        elif member.mailbox.wakers:
            member.seen_at = self._c.clock.now()  # it holds a call open, so it is there
            self._watch(member)
        else:
            self._post(member, agents.Depart(seen_at=member.seen_at))

    def watch_present(self) -> None:
        """After a restart: whoever was present keeps the lease from now on, once."""
        for member in self._c.views.directory:
            if member.state.status is agents.Status.PRESENT and not member.watched:
                member.seen_at = member.native_at = self._c.clock.now()
                self._watch(member)

    def _post(self, member: Member, command: agents.Command) -> None:
        self._c.dispatcher.post(stream_of("agent", member.state.name), command, by=member.state.name)

    # --- the directory ----------------------------------------------------------------------------------------

    async def retire(self, name: str, by: str) -> AgentView | Refusal:
        """Take an identity out for good; its open questions run to their deadlines."""
        outcome = await self._c.dispatcher.run(stream_of("agent", name[:64]), agents.Retire(), by=by)
        if isinstance(outcome, Refusal):
            return outcome
        return self.view(self._c.views.directory.member(name))

    def search(self, query: str, limit: int) -> list[AgentView]:
        """Identities whose name, label or client contains ``query``; present ones first, then by name."""
        needle = query.lower()
        found = [
            member
            for member in self._c.views.directory
            if member.addressable
            and needle in f"{member.state.name} {member.state.label} {member.state.client.lower()}"
        ]
        found.sort(key=lambda member: (member.state.status is not agents.Status.PRESENT, member.state.name))
        return [self.view(member) for member in found[:limit]]

    def view(self, member: Member) -> AgentView:
        """The identity as users read it."""
        state = member.state
        seen = max(member.seen_at, state.seen_at)
        return AgentView(
            name=state.name,
            kind=state.kind,
            status=state.status,
            lane=self._c.lane_of(member),
            cluster=self._c.views.programme.cluster_of(state.name, state.label),
            native=state.native,
            client=state.client,
            seen_at=iso(seen) if seen else None,
            open_questions=len(member.open),
        )


def _unknown_token() -> Refusal:
    return Refusal(
        "auth.unknown",
        "This token is not known here.",
        "Check that it belongs to this hub; `crossfade token ls` lists them.",
    )


def _token_status(state: credentials.State, now: Instant) -> str:
    if state.status is credentials.Status.REVOKED:
        return "revoked"
    return "expired" if state.expires_at is not None and now >= state.expires_at else "valid"
