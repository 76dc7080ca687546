"""Signing off: ask the members of roles for consent, look whether it holds, stop it, take it back.

What follows from their answers is in collecting.py.
"""

from typing import Any, Final

from crossfade.core.decider import Refusal
from crossfade.core.runsheets import Outcome
from crossfade.core.signoff_commands import Give, Reinstate, Request, Supersede, Suspend, Withdraw
from crossfade.core.signoff_events import Parts, Status, digest_of
from crossfade.core.values import PROGRAMME, SECOND, AgentName, Caller, Scope, Sequence, stream_of
from crossfade.engine.asking import REUSED, Asking, scoped_key
from crossfade.engine.certifying import Certifying
from crossfade.engine.collecting import Collecting
from crossfade.engine.context import Context, needs, too_long
from crossfade.engine.identity import Identity
from crossfade.engine.ports import Signer
from crossfade.engine.reviewing import Reviewing
from crossfade.engine.signing_texts import view_of
from crossfade.engine.signing_views import SignoffRequest, SignoffView

TEXT_BYTES_MAX: Final = 16_384
"""Of subject, question and summary together."""
OPEN_MAX: Final = 1_000
"""Sign-offs that wait for signatures."""


class SigningOff:
    """Request, evaluate, stop, withdraw; and what follows from answers."""

    def __init__(self, context: Context, asking: Asking, identity: Identity, signer: Signer | None) -> None:
        self._c = context
        self._view = context.views.signoffs
        self.certificates = Certifying(context, signer)
        self.reviews = Reviewing(context, self.certificates)
        self._collecting = Collecting(context, asking, identity, self.certificates)
        self.answered = self._collecting.react

    # --- use cases ----------------------------------------------------------------------------------------

    async def request(self, caller: Caller, request: SignoffRequest) -> SignoffView | Refusal:
        """Ask for consent; returns when the request is durable and its questions are asked. Needs scope operator."""
        refusal = needs(caller, Scope.OPERATOR) or self.certificates.ready or self._fit(request)
        if refusal is not None:
            return self._c.refuse(refusal)
        given = ("subject", "about", "parts", "roles", "summary", "replaces")
        command = Request(
            **{name: getattr(request, name) for name in given},
            digest=digest_of(request.parts),
            requested_by=caller.name,
            authors=tuple(AgentName(name) for name in request.authors),
            deadline=self._c.later(request.deadline_seconds),
            valid_until=self._c.later(request.valid_seconds),
        )
        refusal = self._unheld(command)
        if refusal is not None:
            return self._c.refuse(refusal)
        signoff_id = self._c.ids.new("s")
        key = scoped_key(caller, "signoff", request.key)
        stream = stream_of("signoff", signoff_id)
        outcome = await self._c.dispatcher.run(stream, command, by=caller.name, key=key)
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        if outcome.duplicate:
            row = (await self._c.log.read(PROGRAMME, Sequence(outcome.first - 1), 1))[0]
            signoff_id = row.stream.partition("/")[2]
            first = self._view.entries.get(signoff_id)
            if first is None or (first.state.subject, first.state.digest) != (command.subject, command.digest):
                return self._c.refuse(REUSED)
        await self._collecting.settle(signoff_id)
        return self.signoff(signoff_id)

    def _fit(self, request: SignoffRequest) -> Refusal | None:
        size = len(f"{request.subject}{request.about}{request.summary}".encode())
        if size > TEXT_BYTES_MAX:
            return too_long("about", size, TEXT_BYTES_MAX)
        if sum(entry.state.status is Status.OPEN for entry in self._view.entries.values()) >= OPEN_MAX:
            return Refusal("limit.signoffs", f"{OPEN_MAX} sign-offs are open.", "Withdraw some.")
        limit = self._c.limits.deadline_seconds_max
        if request.deadline_seconds > limit:
            return Refusal(
                "signoff.deadline_far",
                f"The deadline is {request.deadline_seconds:g} s ahead.",
                f"Give at most {limit} s; a consent may last longer than that.",
            )
        odd = next((role for role in request.roles if not role.isidentifier() or len(role) > 64), None)
        if odd is not None:
            return Refusal("signoff.bad_role", f"{odd[:64]!r} is not the name of a role.", "Write it like devops.")
        return None

    def _unheld(self, command: Request) -> Refusal | None:
        """Refuse a role that too few registered identities hold."""
        for role, panel in command.roles.items():
            absent = [name for name in panel.members if not self._collecting.addressable(name)]
            if panel.members and len(panel.members) - len(absent) < panel.quorum:
                return Refusal(
                    "signoff.role_unheld",
                    f"The role {role} needs {panel.quorum} of its members, and these are not registered: "
                    f"{', '.join(absent)[:300]}.",
                    "Make them a token with `crossfade token new`, or correct the runsheet's roles.",
                    {"role": role},
                )
        return None

    def signoff(self, signoff_id: str) -> SignoffView | Refusal:
        """One sign-off as it is now."""
        entry = self._view.entries.get(signoff_id)
        if entry is None:
            return self._c.refuse(
                Refusal("signoff.unknown", "There is no such sign-off.", "`crossfade signoff ls` lists them.")
            )
        return view_of(entry, self._view)

    def signoffs(self, limit: int, status: str = "") -> list[SignoffView]:
        """The newest sign-offs, newest first; those in ``status`` if one is given."""
        found = [one for one in reversed(self._view.entries.values()) if status in ("", one.state.status)]
        return [view_of(entry, self._view) for entry in found[:limit]]

    async def evaluate(self, signoff_id: str, digest: str) -> SignoffView | Refusal:
        """Whether the consent holds for what is there now.

        Another ``digest`` than was signed makes it stale for good; a passed end makes it expired. Look at
        ``holds``; the view's ``conditions`` are gates still to be passed.
        """
        entry = self._view.entries.get(signoff_id)
        if entry is not None and entry.state.live:
            await self._collecting.settle(signoff_id)
            if entry.state.live and digest != entry.state.digest:
                await self._collecting.run(signoff_id, Supersede(digest=digest), "system")
                await self._collecting.settle(signoff_id)
        return self.signoff(signoff_id)

    async def renew(self, caller: Caller, signoff_id: str, parts: Parts, summary: str = "") -> SignoffView | Refusal:
        """Ask the same roles again, for other parts; the old one becomes stale. The same parts again give the same."""
        outcome = needs(caller, Scope.OPERATOR) or await self.evaluate(signoff_id, digest_of(parts))
        if isinstance(outcome, Refusal):
            return outcome
        entry = self._view.entries[signoff_id]
        old = entry.state
        barred = (*old.authors, old.requested_by)
        return await self.request(
            caller,
            SignoffRequest(
                subject=old.subject,
                about=old.about,
                parts=parts,
                roles=old.roles,
                deadline_seconds=(old.deadline - entry.requested_at) / SECOND,
                valid_seconds=(old.valid_until - entry.requested_at) / SECOND,
                authors=tuple(name for name in barred if name != caller.name),
                summary=summary,
                key=f"renew\0{signoff_id}\0{digest_of(parts)}",
                replaces=signoff_id,
            ),
        )

    async def withdraw(self, caller: Caller, signoff_id: str, reason: str) -> SignoffView | Refusal:
        """Take the request, or the consent, back: whoever asked, or an operator."""
        entry = self._view.entries.get(signoff_id)
        if entry is None or entry.state.requested_by != caller.name:
            refusal = needs(caller, Scope.OPERATOR)
            if refusal is not None:
                return self._c.refuse(refusal)
        return await self._change(signoff_id, Withdraw(by=caller.name, reason=reason), caller.name)

    async def stop(self, caller: Caller, signoff_id: str, comment: str) -> SignoffView | Refusal:
        """Emergency stop by a member of any of its roles, while it is open or given."""
        entry = self._view.entries.get(signoff_id)
        roles = () if entry is None else entry.state.roles
        role = next((name for name in roles if entry and caller.name in entry.state.roles[name].members), "")
        command = Give(
            by=caller.name,
            role=role,
            outcome=Outcome.EMERGENCY_STOP,
            digest="" if entry is None else entry.state.digest,
            given_at=self._c.dispatcher.now(),
            comment=comment,
        )
        return await self._change(signoff_id, command, caller.name)

    async def suspend(self, signoff_id: str, control: str, reason: str) -> SignoffView | Refusal:
        """A control of the consent fails: it does not hold until every control does."""
        return await self._change(signoff_id, Suspend(control=control, reason=reason), "system")

    async def reinstate(self, signoff_id: str, control: str) -> SignoffView | Refusal:
        """A control that failed holds again."""
        return await self._change(signoff_id, Reinstate(control=control), "system")

    def start(self) -> None:
        """After the replay: finish what a crash left undone."""
        self._collecting.start()

    async def _change(self, signoff_id: str, command: Any, by: str) -> SignoffView | Refusal:
        if signoff_id not in self._view.entries:
            return self.signoff(signoff_id)
        outcome = await self._collecting.run(signoff_id, command, by)
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        await self._collecting.settle(signoff_id)
        return self.signoff(signoff_id)
