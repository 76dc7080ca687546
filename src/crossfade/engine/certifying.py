"""Certifying: evidence kept by digest, and certificates made of it, each once.

The envelope is itself kept as evidence, so a certificate can be fetched from the log for as long as there is
one; ``certificate.issued`` says that it was made.
"""

from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core import certificates, evidence
from crossfade.core.certificates import Checkpoint, Claim
from crossfade.core.decider import Refusal
from crossfade.core.records import decode
from crossfade.core.values import PROGRAMME, AgentName, Caller, Scope, stream_of
from crossfade.engine.context import Context, needs
from crossfade.engine.ports import Signer
from crossfade.engine.signing_views import CertificateView, KeptView
from crossfade.engine.views.instants import iso

NO_KEY: Final = Refusal(
    "certificate.no_key", "This hub has no key to sign with.", "Start it with a data folder, or with a key."
)


class Certifying:
    """Keep, read, issue."""

    def __init__(self, context: Context, signer: Signer | None) -> None:
        self._c = context
        self._signer = signer

    @property
    def ready(self) -> Refusal | None:
        """Why nothing can be certified; None if it can."""
        return NO_KEY if self._signer is None else None

    # --- evidence ---------------------------------------------------------------------------------------

    async def keep(self, caller: Caller, content: bytes, media: str) -> str | Refusal:
        """Keep bytes; their digest. Needs scope operator, as the programme has."""
        refusal = needs(caller, Scope.OPERATOR)
        return refusal or await self._keep(content, media, caller.name)

    async def _keep(self, content: bytes, media: str, by: str) -> str | Refusal:
        digest = sha256(content).hexdigest()
        command = evidence.Keep(digest=digest, media=media, content=content)
        outcome = await self._c.dispatcher.run(stream_of("evidence", digest), command, by=by)
        return self._c.refuse(outcome) if isinstance(outcome, Refusal) else digest

    async def evidence(self, digest: str) -> KeptView | Refusal:
        """Bytes by their digest, or evidence.unknown."""
        slot = await self._c.dispatcher.load(stream_of("evidence", digest[:64]))
        if slot.version == 0 or slot.state.digest != digest:
            what = f"No evidence is kept as {digest[:64]!r}."
            return self._c.refuse(Refusal("evidence.unknown", what, "Give all 64 digits of the digest."))
        [row] = await self._c.log.read_stream(PROGRAMME, stream_of("evidence", digest))
        event = decode(row.type, row.payload)
        assert isinstance(event, evidence.EvidenceKept)
        return KeptView(digest=digest, media=event.media, size_bytes=event.size_bytes, content=event.content)

    # --- certificates -------------------------------------------------------------------------------------

    async def issue(self, subjects: dict[str, str], claim: Claim) -> str:
        """Make the certificate that says ``claim`` of ``subjects``, unless it was made; its digest.

        Raises LogError; then it is made when this is called again.
        """
        key = (claim.kind, claim.signoff, claim.role, claim.signer, str(claim.outcome))
        made = self._c.views.signoffs.issued.get(key)
        if made is not None or self._signer is None:
            return made or ""
        head = await self._c.log.head(PROGRAMME)
        claim = msgspec.structs.replace(claim, checkpoint=Checkpoint(PROGRAMME, head.sequence, head.chain.hex()))
        content = certificates.seal(certificates.statement(subjects, claim), self._signer.keyid, self._signer.sign)
        digest = await self._keep(content, certificates.MEDIA, "system")
        if isinstance(digest, Refusal):
            raise AssertionError(digest.message)  # noqa: TRY004 - our bug: what a claim holds is bounded far below
        command = certificates.Issue(
            digest=digest,
            kind=claim.kind,
            subject=claim.subject,
            role=claim.role,
            outcome=claim.outcome,
            signer=AgentName(claim.signer),
            signoff=claim.signoff,
            keyid=self._signer.keyid,
        )
        await self._c.dispatcher.run(stream_of("certificate", digest), command, by="system")
        return digest

    def listed(self, limit: int) -> list[CertificateView]:
        """The newest certificates, newest first."""
        newest = list(self._c.views.signoffs.certificates)[: -limit - 1 : -1]
        return [self._view(digest) for digest in newest]

    def _view(self, digest: str) -> CertificateView:
        issued, at = self._c.views.signoffs.certificates[digest]
        return CertificateView(
            digest=digest,
            kind=issued.kind,
            subject=issued.subject,
            role=issued.role,
            outcome=issued.outcome,
            signer=issued.signer,
            signoff=issued.signoff,
            keyid=issued.keyid,
            issued_at=iso(at),
        )

    async def certificate(self, digest: str) -> KeptView | Refusal:
        """The certificate's bytes, or certificate.unknown."""
        if digest not in self._c.views.signoffs.certificates:
            what = f"There is no certificate {digest[:64]!r}."
            return self._c.refuse(Refusal("certificate.unknown", what, "`crossfade certificate ls` lists them."))
        return await self.evidence(digest)
