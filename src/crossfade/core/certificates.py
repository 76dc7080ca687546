"""Certificates: signed statements that bind evidence to a claim, verified by whoever has the public key.

A statement (in-toto, v1) names its subjects by digest and says what is claimed of them; an envelope (DSSE)
carries it with a signature over its bytes. Not here: keys and signing (outbound/signing.py).

Rules
-----
1. Statement and envelope are canonical JSON (RFC 8785), so the same claim is the same bytes, and any other
   byte is a difference. Only text, whole numbers, lists and objects with ASCII names go in; for those
   msgspec's sorted encoding is canonical.
2. The envelope also notes the payload's digest. It proves nothing; it tells which side of a signature that
   does not fit was changed.
3. A certificate's name is the SHA-256 of its envelope.

Source: in-toto Attestation Framework, Statement v1; DSSE v1.0 (PAE in protocol.md); RFC 8785.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal

import msgspec

from crossfade.core.decider import Decider, Refusal
from crossfade.core.records import Event, register
from crossfade.core.runsheets import Outcome
from crossfade.core.values import AgentName, Instant

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:crossfade:certificate:1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MEDIA: Final = "application/vnd.dsse.envelope.v1+json"
FILE_BYTES_MAX: Final = 256 * 1024


class Subject(msgspec.Struct, frozen=True):
    """One thing that the claim is about."""

    name: str
    digest: dict[str, str]
    """``{"sha256": hex}``."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The end of the log when the certificate was made: what it says happened before that."""

    shard: int
    sequence: int
    chain: str
    """Hex."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of the subjects."""

    kind: Literal["signature", "signoff", "review"]
    """One specialist's signature, a sign-off as a whole, or a review of a runsheet."""
    subject: str
    """What was signed or reviewed, e.g. ``run/r_01…/phase/canary/entry`` or ``elicitation 2.0``."""
    role: str = ""
    """The signer's; empty for the whole."""
    outcome: Outcome
    signer: str
    at: str
    """When it was said; ISO 8601, UTC."""
    checkpoint: Checkpoint | None = None
    """None: made without a hub."""
    about: str = ""
    comment: str = ""
    signoff: str = ""
    """Id of the sign-off."""
    findings: dict[str, int] = {}
    """Severity → how many findings."""
    codes: tuple[str, ...] = ()
    """The findings' codes."""
    conditions: tuple[str, ...] = ()
    """``EXPRESSION until INSTANT``."""
    controls: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()
    """Of a whole: digests of the certificates of its signatures."""
    valid_until: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True, rename={"type": "_type"}):
    type: Literal["https://in-toto.io/Statement/v1"] = STATEMENT_TYPE
    subject: tuple[Subject, ...]
    predicate_type: Literal["urn:crossfade:certificate:1"] = msgspec.field(name="predicateType", default=PREDICATE_TYPE)
    predicate: Claim


class Signature(msgspec.Struct, frozen=True):
    keyid: str
    """Hex SHA-256 of the raw public key."""
    sig: str
    """Base64 of 64 bytes."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"] = msgspec.field(name="payloadType", default=PAYLOAD_TYPE)
    payload_digest: str = msgspec.field(name="payloadSha256")
    signatures: tuple[Signature, ...]


def canonical(value: msgspec.Struct) -> bytes:
    """``value`` as canonical JSON; it holds nothing but text, whole numbers, lists and objects."""
    return msgspec.json.encode(value, order="sorted")


def statement(subjects: Mapping[str, str], claim: Claim) -> bytes:
    """The bytes of the statement that says ``claim`` of ``subjects`` (name → hex SHA-256)."""
    named = tuple(Subject(name, {"sha256": digest}) for name, digest in subjects.items())
    return canonical(Statement(subject=named, predicate=claim))


def to_sign(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of the payload and its type."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, keyid: str, sign: Callable[[bytes], bytes]) -> bytes:
    """The certificate over ``payload``: the file that people keep."""
    signature = sign(to_sign(payload))
    return canonical(
        Envelope(
            payload=b64encode(payload).decode(),
            payload_digest=sha256(payload).hexdigest(),
            signatures=(Signature(keyid, b64encode(signature).decode()),),
        )
    )


# --- verifying ----------------------------------------------------------------------------------------


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it was signed."""

    where: str
    """``envelope``, ``payload``, ``payloadSha256``, ``signature``, ``key`` or ``subject NAME``."""
    message: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    statement: Statement | None
    """None if it cannot be read."""
    differences: tuple[Difference, ...]
    matched: tuple[str, ...] = ()
    """Subjects whose evidence was given and has the digest that was signed."""


Check = Callable[[bytes, bytes], bool]
"""Whether the second argument is the key's signature over the first."""


def read(content: bytes) -> tuple[Envelope, bytes, Statement] | Difference:
    """Envelope, payload and statement; or the first thing that keeps them from being read."""
    content = content.removesuffix(b"\n")
    if len(content) > FILE_BYTES_MAX:
        return Difference("envelope", f"more than {FILE_BYTES_MAX} bytes are no certificate")
    try:
        found = msgspec.json.decode(content, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Difference("envelope", f"not an envelope: {error}")
    if canonical(found) != content:
        return Difference("envelope", "the bytes around payload and signature are not canonical")
    payload = _decoded(found.payload)
    if payload is None:
        return Difference("payload", "not base64")
    try:
        said = msgspec.json.decode(payload, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Difference("payload", f"not a statement: {error}")
    if canonical(said) != payload:
        return Difference("payload", "the statement is not canonical JSON")
    return found, payload, said


def verify(content: bytes, keyid: str, check: Check, evidence: Mapping[str, str] | None = None) -> Verified:
    """Check a certificate against a key and, by name, the digests of evidence at hand.

    A name in ``evidence`` (name → hex SHA-256) that is no subject is a difference, too.
    """
    found = read(content)
    if isinstance(found, Difference):
        return Verified(statement=None, differences=(found,))
    cover, payload, said = found
    differences = list(_signed(cover, payload, keyid, check))
    signed = {subject.name: subject.digest.get("sha256", "") for subject in said.subject}
    matched = []
    for name, digest in (evidence or {}).items():
        if signed.get(name) == digest:
            matched.append(name)
        elif name in signed:
            what = f"has the digest {digest[:12]}…, signed was {signed[name][:12]}…"
            differences.append(Difference(f"subject {name}", what))
        else:
            differences.append(Difference(f"subject {name}", f"is none of the subjects: {', '.join(signed)}"))
    return Verified(statement=said, differences=tuple(differences), matched=tuple(matched))


def _signed(cover: Envelope, payload: bytes, keyid: str, check: Check) -> list[Difference]:
    noted = sha256(payload).hexdigest() == cover.payload_digest
    if len(cover.signatures) != 1:
        return [Difference("signature", f"there are {len(cover.signatures)} signatures, not one")]
    [signature] = cover.signatures
    raw = _decoded(signature.sig)
    if raw is None:
        return [Difference("signature", "not base64")]
    holds = check(to_sign(payload), raw)
    if holds and signature.keyid != keyid:
        return [Difference("key", "the noted key id was changed; payload and signature are as they were signed")]
    if holds and not noted:
        return [Difference("payloadSha256", "the noted digest was changed; payload and signature fit")]
    if holds:
        return []
    if not noted:
        return [Difference("payload", "the statement is not what was signed")]
    if signature.keyid != keyid:
        return [Difference("key", f"it was signed with another key, {signature.keyid[:16]}…")]
    return [Difference("signature", "the signature is not the key's over this statement")]


def _decoded(text: str) -> bytes | None:
    """The bytes of strict base64; None if another text would give the same bytes."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if b64encode(raw).decode() == text else None


# --- the machine: a certificate is issued once ----------------------------------------------------------


class Status(StrEnum):
    ABSENT = "absent"
    ISSUED = "issued"


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    kind: str
    subject: str
    role: str
    outcome: Outcome
    signer: AgentName
    signoff: str
    keyid: str


class CertificateIssued(Event, frozen=True, kw_only=True):
    digest: str
    """Hex SHA-256 of the envelope, which is kept as evidence; also the name of the stream."""
    kind: str
    """``signature``, ``signoff`` or ``review``."""
    subject: str
    """What was signed or reviewed."""
    role: str = ""
    """The signer's; empty for a whole."""
    outcome: Outcome
    """What was said."""
    signer: AgentName
    """Who said it."""
    signoff: str = ""
    """The sign-off it belongs to; of a review, the runsheet's digest."""
    keyid: str
    """The key it was signed with."""


register("certificate.issued/1", CertificateIssued)

NEXT: Final[Mapping[tuple[Status, type[Event]], Status]] = {(Status.ABSENT, CertificateIssued): Status.ISSUED}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a certificate without reading it."""

    status: Status = Status.ABSENT
    issued: CertificateIssued | None = None


def decide(state: State, command: Issue, now: Instant) -> tuple[CertificateIssued, ...] | Refusal:
    """Issue it; nothing happens if these very bytes were issued before."""
    if state.status is Status.ISSUED:
        return ()
    return (CertificateIssued(**{name: getattr(command, name) for name in Issue.__struct_fields__}),)


def evolve(state: State, event: Event) -> State:
    """The state after ``event``. Raises KeyError if the history is impossible."""
    status = NEXT[state.status, type(event)]
    assert isinstance(event, CertificateIssued)
    return State(status=status, issued=event)


def deadline(state: State) -> Instant | None:
    """None: what was said stays said; until when it counts stands in it."""
    return None


DECIDER: Final[Decider[State, Issue, Event]] = Decider(initial=State(), decide=decide, evolve=evolve, deadline=deadline)
