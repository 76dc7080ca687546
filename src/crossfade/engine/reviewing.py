"""Reviewing: a runsheet's review, recorded and certified, and the board of all of them.

The hub reviews by itself what it is given, so a recorded outcome is what the rules say of these very bytes.
"""

from collections import Counter
from hashlib import sha256

import msgspec

from crossfade.core.board import Board, Record, RoleOutcome, table
from crossfade.core.certificates import Claim
from crossfade.core.decider import Refusal
from crossfade.core.review import RoleReview, review
from crossfade.core.runsheets import Outcome, Runsheet
from crossfade.core.signoff_events import Status
from crossfade.core.values import Caller, Scope, stream_of
from crossfade.engine.certifying import Certifying
from crossfade.engine.context import Context, needs
from crossfade.engine.signing_views import ReviewView
from crossfade.engine.views.instants import iso

MEDIA = "application/json"
NAME_SHOWN_MAX = 300
"""Characters of a runsheet's name and version in a certificate; the digest has them all."""
COUNTED = frozenset({Status.OPEN, Status.APPROVED, Status.SUSPENDED, Status.STOPPED})
"""Sign-offs whose signatures are on the board; what is stale, expired or withdrawn says nothing any more."""


class Reviewing:
    """Record, certify, show."""

    def __init__(self, context: Context, certifying: Certifying) -> None:
        self._c = context
        self._certifying = certifying

    async def record(self, caller: Caller, runsheet: str) -> ReviewView | Refusal:
        """Review a runsheet given as canonical JSON, keep it as evidence, record and certify. Needs scope operator."""
        refusal = needs(caller, Scope.OPERATOR)
        if refusal is not None:
            return self._c.refuse(refusal)
        content = runsheet.encode()
        try:
            read = msgspec.json.decode(content, type=Runsheet)
        except (msgspec.DecodeError, RecursionError) as error:
            hint = "Send what `crossfade runsheet export --json` prints."
            return self._c.refuse(Refusal("review.not_a_runsheet", f"This is not a runsheet: {error}.", hint))
        kept = await self._certifying.keep(caller, content, MEDIA)
        if isinstance(kept, Refusal):
            return kept
        command = recorded_as(read, sha256(content).hexdigest())
        outcome = await self._c.dispatcher.run(stream_of("review", command.digest), command, by=caller.name)
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        return await self._certified(command)

    async def _certified(self, found: Record) -> ReviewView:
        """The review with a certificate for each role; none on a hub without a key."""
        digests = {}
        for role, said in found.roles.items():
            claim = Claim(
                kind="review",
                subject=f"{found.runsheet} {found.version}".strip()[:NAME_SHOWN_MAX],
                role=role,
                outcome=said.outcome,
                signer="programme",
                at=iso(self._c.dispatcher.now()),
                signoff=found.digest,
                findings=said.findings,
                codes=said.codes,
            )
            digests[str(role)] = await self._certifying.issue({"runsheet": found.digest}, claim)
        return ReviewView(
            runsheet=found.runsheet,
            version=found.version,
            digest=found.digest,
            overall=found.overall,
            roles=found.roles,
            certificates=digests,
        )

    def board(self) -> Board:
        """Component by runsheet version, from the recorded reviews and what people signed."""
        return table(self._c.views.signoffs.reviews.values(), self._signed())

    def _signed(self) -> dict[tuple[str, str], Outcome]:
        """(Runsheet, role) → what was signed last about it."""
        said: dict[tuple[str, str], Outcome] = {}
        for entry in self._c.views.signoffs.entries.values():
            state = entry.state
            if state.status not in COUNTED:
                continue
            for signature in state.signatures:
                said[state.parts.runsheet, signature.role] = signature.outcome
            if state.stop is not None:
                said[state.parts.runsheet, state.stop.role] = Outcome.EMERGENCY_STOP
        return said


def recorded_as(runsheet: Runsheet, digest: str) -> Record:
    """The review of a runsheet, as it is recorded."""
    found = review(runsheet)
    roles = {role: _role(said) for role, said in found.roles.items()}
    return Record(runsheet=runsheet.name, version=runsheet.version, digest=digest, roles=roles, overall=found.overall)


def _role(said: RoleReview) -> RoleOutcome:
    severities = Counter(str(finding.severity) for finding in said.findings)
    codes = tuple(finding.code for finding in said.findings)
    return RoleOutcome(outcome=said.outcome, findings=dict(sorted(severities.items())), codes=codes)
