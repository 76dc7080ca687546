"""Certificates: canonical bytes, and every changed byte is found and named. Evidence: bytes under their own digest."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TypeVar

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core import certificates, evidence
from crossfade.core.certificates import Checkpoint, Claim
from crossfade.core.decider import Refusal
from crossfade.core.runsheets import Outcome
from crossfade.core.values import AgentName, Instant
from crossfade.outbound.signing import Ed25519Signer

T = TypeVar("T")
SIGNER = Ed25519Signer(bytes(range(32)))
OTHER = Ed25519Signer(bytes(32))
SUBJECTS = {"runsheet": "a" * 64, "evidence": sha256(b"facts").hexdigest()}
CLAIM = Claim(
    kind="signature",
    subject="run/r_1/phase/canary/entry",
    role="security",
    outcome=Outcome.CONDITIONAL,
    signer="sam",
    at="2026-11-23T03:54:10.273000Z",
    checkpoint=Checkpoint(0, 14, "f4" * 32),
    about="Begin? ✓",
    comment='2 < 3 & "so"\n',
    signoff="s_1",
    findings={"critical": 1, "major": 2},
    codes=("security.siem",),
    conditions=("error_rate < 0.001 until 2027-01-31T00:00:00.000000Z",),
    controls=("siem.quiet",),
    signatures=("d" * 64,),
    valid_until="2027-01-31T00:00:00.000000Z",
)
GOOD = certificates.seal(certificates.statement(SUBJECTS, CLAIM), SIGNER.keyid, SIGNER.sign)


def differing(content: bytes, evidence: dict[str, str] | None = None, signer: Ed25519Signer = SIGNER) -> list[str]:
    """Where something differs."""
    verified = certificates.verify(content, signer.keyid, signer.public.check, evidence)
    return [found.where for found in verified.differences]


@pytest.mark.requirement("P2")
def test_what_was_sealed_verifies_and_says_what_was_claimed() -> None:
    verified = certificates.verify(GOOD, SIGNER.keyid, SIGNER.public.check, SUBJECTS)
    assert (verified.differences, verified.matched) == ((), ("runsheet", "evidence"))
    assert verified.statement is not None
    assert verified.statement.predicate == CLAIM
    assert differing(GOOD + b"\n") == []


def test_the_format_is_an_in_toto_statement_in_a_dsse_envelope() -> None:
    envelope = json.loads(GOOD)
    payload = b64decode(envelope["payload"])
    said = json.loads(payload)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert (said["_type"], said["predicateType"]) == ("https://in-toto.io/Statement/v1", "urn:crossfade:certificate:1")
    assert said["subject"][0] == {"name": "runsheet", "digest": {"sha256": "a" * 64}}
    assert certificates.to_sign(b"hello world").startswith(b"DSSEv1 28 application/vnd.in-toto+json 11 hello world")
    kind = b"application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    assert SIGNER.public.check(signed, b64decode(envelope["signatures"][0]["sig"]))


def test_the_bytes_are_canonical() -> None:
    payload = b64decode(json.loads(GOOD)["payload"])
    assert rfc8785.dumps(json.loads(GOOD)) == GOOD
    assert rfc8785.dumps(json.loads(payload)) == payload


@given(
    st.text(max_size=40), st.dictionaries(st.sampled_from(["critical", "major", "minor"]), st.integers(0, 2**53 - 1))
)
def test_any_text_and_number_in_a_claim_is_written_canonically(text: str, findings: dict[str, int]) -> None:
    claim = msgspec.structs.replace(CLAIM, comment=text, findings=findings)
    try:
        payload = certificates.statement(SUBJECTS, claim)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    assert rfc8785.dumps(json.loads(payload)) == payload


PLACES = {"envelope", "payload", "payloadSha256", "signature", "key"}


@pytest.mark.parametrize("flip", [1, 2, 32, 128])
def test_no_byte_can_be_changed_without_being_found(flip: int) -> None:
    seen = set()
    for place in range(len(GOOD)):
        changed = bytearray(GOOD)
        changed[place] ^= flip
        found = differing(bytes(changed))
        assert found, place
        seen |= set(found)
    assert seen <= PLACES


def region(name: str, value: str) -> int:
    """Where a value stands in the file."""
    return GOOD.index(f'"{name}":"{value[:20]}'.encode()) + len(name) + 4


def test_a_changed_byte_is_named_after_what_it_belongs_to() -> None:
    parts = json.loads(GOOD)
    [signature] = parts["signatures"]
    payload = b64decode(parts["payload"])

    def repacked(changed: bytes) -> bytes:
        return GOOD.replace(parts["payload"].encode(), b64encode(changed))

    assert differing(repacked(payload.replace(b"conditional", b"approved"))) == ["payload"]
    assert differing(repacked(payload.replace(b"siem.quiet", b"siem.quies"))) == ["payload"]
    assert differing(repacked(payload.replace(b'"role"', b'"rule"'))) == ["payload"]
    assert differing(repacked(payload.replace(b'{"_type"', b'{ "_type"'))) == ["payload"]
    digest = region("payloadSha256", parts["payloadSha256"])
    assert differing(swapped(digest)) == ["payloadSha256"]
    assert differing(swapped(region("sig", signature["sig"]))) == ["signature"]
    assert differing(swapped(region("keyid", signature["keyid"]))) == ["key"]
    assert differing(GOOD.replace(b"payloadType", b"payloadTypo")) == ["envelope"]
    assert differing(GOOD.replace(b"vnd.in-toto", b"vnd.in-tota")) == ["envelope"]
    assert differing(b" " + GOOD) == ["envelope"]
    assert differing(b"") == ["envelope"]
    assert differing(b"\xff" * 9) == ["envelope"]
    assert differing(GOOD + b" " * 300_000) == ["envelope"]


def swapped(place: int) -> bytes:
    """The file with another hexadecimal digit or letter at one place."""
    changed = bytearray(GOOD)
    changed[place] = ord("b") if changed[place] == ord("a") else ord("a")
    return bytes(changed)


def test_a_subject_whose_file_has_another_digest_is_named() -> None:
    assert differing(GOOD, {"evidence": sha256(b"other").hexdigest(), "runsheet": "a" * 64}) == ["subject evidence"]
    other = certificates.verify(GOOD, SIGNER.keyid, SIGNER.public.check, {"evidence": "e" * 64, "flags": "f" * 64})
    assert [found.message for found in other.differences] == [
        f"has the digest eeeeeeeeeeee…, signed was {SUBJECTS['evidence'][:12]}…",
        "is none of the subjects: runsheet, evidence",
    ]
    payload = b64decode(json.loads(GOOD)["payload"]).replace(b"aaaa", b"aaab", 1)
    forged = GOOD.replace(json.loads(GOOD)["payload"].encode(), b64encode(payload))
    assert differing(forged, SUBJECTS) == ["payload", "subject runsheet"]


def test_another_key_is_told_from_a_forgery() -> None:
    assert differing(GOOD, signer=OTHER) == ["key"]
    forged = certificates.seal(certificates.statement(SUBJECTS, CLAIM), SIGNER.keyid, OTHER.sign)
    assert differing(forged) == ["signature"], "it claims our key and was made with another"


def test_base64_that_decodes_to_the_same_bytes_is_a_difference() -> None:
    sig = json.loads(GOOD)["signatures"][0]["sig"]
    assert sig.endswith("==")
    loose = sig[:-3] + chr(ord(sig[-3]) + 1) + "=="
    assert b64decode(loose) == b64decode(sig)
    assert differing(GOOD.replace(sig.encode(), loose.encode())) == ["signature"]


def said(content: bytes, signer: Ed25519Signer = SIGNER) -> list[tuple[str, str]]:
    """Where something differs, and what people are told."""
    verified = certificates.verify(content, signer.keyid, signer.public.check)
    return [(found.where, found.message) for found in verified.differences]


def test_people_are_told_what_differs() -> None:
    parts = json.loads(GOOD)
    [signature] = parts["signatures"]
    payload = b64decode(parts["payload"])

    def repacked(changed: bytes) -> bytes:
        return GOOD.replace(parts["payload"].encode(), b64encode(changed))

    assert said(b"[]") == [("envelope", "not an envelope: Expected `object`, got `array`")]
    assert said(b" " + GOOD) == [("envelope", "the bytes around payload and signature are not canonical")]
    assert said(GOOD.replace(parts["payload"].encode(), b"!!!!")) == [("payload", "not base64")]
    assert said(repacked(b"[]")) == [("payload", "not a statement: Expected `object`, got `array`")]
    assert said(repacked(payload + b" ")) == [("payload", "the statement is not canonical JSON")]
    assert said(repacked(payload.replace(b"siem.quiet", b"siem.quies"))) == [
        ("payload", "the statement is not what was signed")
    ]
    assert said(swapped(region("payloadSha256", parts["payloadSha256"]))) == [
        ("payloadSha256", "the noted digest was changed; payload and signature fit")
    ]
    assert said(GOOD.replace(signature["sig"].encode(), b"!!!!")) == [("signature", "not base64")]
    assert said(swapped(region("sig", signature["sig"]))) == [
        ("signature", "the signature is not the key's over this statement")
    ]
    assert said(swapped(region("keyid", signature["keyid"]))) == [
        ("key", "the noted key id was changed; payload and signature are as they were signed")
    ]
    assert said(GOOD, OTHER) == [("key", f"it was signed with another key, {SIGNER.keyid[:16]}…")]
    assert said(rfc8785.dumps({**parts, "signatures": []})) == [("signature", "there are 0 signatures, not one")]


def test_a_file_is_read_up_to_its_greatest_size_and_not_beyond() -> None:
    payload = certificates.statement(SUBJECTS, CLAIM)
    room = certificates.FILE_BYTES_MAX - len(certificates.seal(payload, "", SIGNER.sign))
    within, beyond = (certificates.seal(payload, "k" * length, SIGNER.sign) for length in (room, room + 1))
    assert not isinstance(certificates.read(within + b"\n"), certificates.Difference)
    assert said(beyond) == [("envelope", "more than 262144 bytes are no certificate")]


def test_a_subject_is_named_by_its_sha256_and_one_without_is_another() -> None:
    payload = certificates.statement(SUBJECTS, CLAIM)
    assert [one["digest"] for one in json.loads(payload)["subject"]] == [{"sha256": one} for one in SUBJECTS.values()]
    longer = payload.replace(b'"sha256":"' + b"a" * 64, b'"sha512":"' + b"a" * 64)
    strange = certificates.seal(longer, SIGNER.keyid, SIGNER.sign)
    verified = certificates.verify(strange, SIGNER.keyid, SIGNER.public.check, {"runsheet": "a" * 64, "x": "b" * 64})
    assert [(found.where, found.message) for found in verified.differences] == [
        ("subject runsheet", "has the digest aaaaaaaaaaaa…, signed was …"),
        ("subject x", "is none of the subjects: runsheet, evidence"),
    ]


def test_two_signatures_or_none_are_no_certificate() -> None:
    envelope = json.loads(GOOD)
    for signatures in ([], envelope["signatures"] * 2):
        assert differing(rfc8785.dumps({**envelope, "signatures": signatures})) == ["signature"]


# --- the machines ---------------------------------------------------------------------------------------


def test_evidence_is_kept_under_its_own_digest_only_and_once() -> None:
    digest = sha256(b"facts").hexdigest()
    keep = evidence.Keep(digest=digest, media="text/plain", content=b"facts")
    [event] = ok(evidence.decide(evidence.State(), keep, Instant(1)))
    assert event.content == b"facts"
    state = evidence.evolve(evidence.State(), event)
    assert (state.status, state.digest, state.size_bytes, state.media) == ("kept", digest, 5, "text/plain")
    assert ok(evidence.decide(state, keep, Instant(2))) == ()
    for content, code in ((b"other", "evidence.digest_differs"), (bytes(262_145), "evidence.too_large")):
        outcome = evidence.decide(evidence.State(), msgspec.structs.replace(keep, content=content), Instant(1))
        assert isinstance(outcome, Refusal)
        assert outcome.code == code
    with pytest.raises(KeyError):
        evidence.evolve(state, event)
    assert evidence.deadline(state) is None


def test_evidence_is_kept_up_to_its_greatest_size() -> None:
    content = bytes(evidence.SIZE_BYTES_MAX)
    keep = evidence.Keep(digest=sha256(content).hexdigest(), media="", content=content)
    [event] = ok(evidence.decide(evidence.State(), keep, Instant(1)))
    assert event.size_bytes == evidence.SIZE_BYTES_MAX


def test_a_certificate_is_issued_once() -> None:
    issue = certificates.Issue(
        digest="d" * 64,
        kind="signature",
        subject="x",
        role="security",
        outcome=Outcome.APPROVED,
        signer=AgentName("sam"),
        signoff="s_1",
        keyid="k",
    )
    [event] = ok(certificates.decide(certificates.State(), issue, Instant(1)))
    state = certificates.evolve(certificates.State(), event)
    assert (state.status, state.issued) == (certificates.Status.ISSUED, event)
    assert ok(certificates.decide(state, issue, Instant(2))) == ()
    assert {name: getattr(event, name) for name in issue.__struct_fields__} == msgspec.structs.asdict(issue)
    with pytest.raises(KeyError):
        certificates.evolve(state, event)
    assert certificates.deadline(state) is None


def ok(value: T | Refusal) -> T:
    """The value."""
    assert not isinstance(value, Refusal)
    return value
