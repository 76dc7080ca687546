"""Sign-offs asked and answered through the hub: quorum, refusals, restarts, and what each leaves behind."""

from collections.abc import Sequence as Seq

import msgspec
import pytest

from crossfade.core import certificates
from crossfade.core.decider import Refusal
from crossfade.core.signoff_commands import Ask
from crossfade.core.values import Kind, Scope, Shard
from crossfade.engine.collecting import SERVICE
from crossfade.engine.ports import Result, Tx, UnavailableError
from crossfade.engine.requests import AnswerRequest
from crossfade.engine.signing_views import SignoffView
from crossfade.logs.memory import MemoryLog
from tests.kit.http import FailingLog
from tests.kit.hub import ROOT, SIGNER, World, ok, refused, run
from tests.kit.signing import HOUR, OTHER, PARTS, asked, form, panel, request, shown, sign


async def statements(world: World, view: SignoffView) -> list[certificates.Statement]:
    """What the certificates of a sign-off say, in the order of their making; every one of them verifies."""
    found = []
    for listed in reversed(world.hub.signing.certificates.listed(100)):
        if listed.signoff == view.signoff_id:
            kept = ok(await world.hub.signing.certificates.certificate(listed.digest))
            verified = certificates.verify(kept.content, SIGNER.keyid, SIGNER.public.check)
            assert verified.differences == ()
            assert verified.statement is not None
            found.append(verified.statement)
    return found


@pytest.mark.requirement("P2")
@run
async def test_each_member_is_asked_with_what_they_need_and_two_of_three_are_enough() -> None:
    async with World() as world:
        dora, sam, pia = [await world.join(name) for name in ("dora", "sam", "pia")]
        view = await request(world, {"devops": panel("dora", "sam", "pia", quorum=2)})
        assert (view.status, view.missing) == ("open", {"devops": 2})
        assert [one.member for one in view.asked] == ["dora", "sam", "pia"]
        question = await form(world, dora)
        for part in ("devops", "Begin the canary?", view.subject, view.digest[:12], "p99 212 ms", view.deadline):
            assert part in question.message
        assert question.asker == "programme"
        await sign(world, dora)
        assert shown(world, view).missing == {"devops": 1}
        await sign(world, sam, "approved_with_controls", controls="siem.quiet", comment="watch it")
        done = shown(world, view)
        assert (done.status, done.outcome, done.controls) == ("approved", "approved_with_controls", ("siem.quiet",))
        assert await world.hub.open_questions(pia) == [], "nobody is asked for what is no longer needed"
        assert [(one.by, one.outcome, one.comment) for one in done.signatures] == [
            ("dora", "approved", ""),
            ("sam", "approved_with_controls", "watch it"),
        ]


@pytest.mark.requirement("P2")
@run
async def test_every_signature_and_the_whole_have_a_certificate_bound_to_the_parts_and_the_log() -> None:
    async with World() as world:
        dora, sam = await world.join("dora"), await world.join("sam")
        view = await request(world, {"devops": panel("dora"), "security": panel("sam")})
        await sign(world, dora)
        await sign(world, sam, "conditional", conditions="error_rate < 0.001\nrollback.rehearsed until 2027-02-01")
        done = shown(world, view)
        one, two, whole = await statements(world, view)
        assert [(said.predicate.kind, said.predicate.role, said.predicate.outcome) for said in (one, two, whole)] == [
            ("signature", "devops", "approved"),
            ("signature", "security", "conditional"),
            ("signoff", "", "conditional"),
        ]
        assert {subject.name: subject.digest["sha256"] for subject in whole.subject} == {
            **msgspec.structs.asdict(PARTS),
            "request": view.digest,
        }
        assert whole.predicate.signatures == tuple(signature.certificate for signature in done.signatures)
        assert two.predicate.conditions[1].startswith("rollback.rehearsed until ")
        head = whole.predicate.checkpoint
        assert head is not None
        row = (await world.log.read(0, head.sequence - 1, 1))[0]  # type: ignore[arg-type]
        assert row.chain.hex() == head.chain
        assert done.certificate in {listed.digest for listed in world.hub.signing.certificates.listed(1)}


@run
async def test_an_emergency_stop_ends_it_at_once_even_after_consent() -> None:
    async with World() as world:
        dora, sam, pia = [await world.join(name) for name in ("dora", "sam", "pia")]
        roles = {"devops": panel("dora"), "security": panel("sam", "pia", quorum=2)}
        view = await request(world, roles)
        await sign(world, dora)
        await sign(world, sam, "emergency_stop", comment="token in the log")
        stopped = shown(world, view)
        assert (stopped.status, stopped.outcome) == ("stopped", "emergency_stop")
        assert await world.hub.open_questions(pia) == []
        assert (await statements(world, view))[-1].predicate.comment == "token in the log"

        given = await request(world, {"devops": panel("dora"), "security": panel("sam")})
        await sign(world, dora)
        await sign(world, sam)
        assert shown(world, given).holds
        assert refused(await world.hub.signing.stop(pia, given.signoff_id, "?")) == "signoff.not_member"
        assert ok(await world.hub.signing.stop(sam, given.signoff_id, "seen an attack")).status == "stopped"
        kinds = [(said.predicate.kind, said.predicate.outcome) for said in await statements(world, given)]
        assert kinds.count(("signature", "emergency_stop")) == 1


@run
async def test_who_asks_and_who_made_it_are_never_asked_and_a_role_that_needs_them_is_refused() -> None:
    async with World() as world:
        dora, sam = await world.join("dora"), await world.join("sam")
        await world.join("pia")
        ops = msgspec.structs.replace(dora, scopes=frozenset({Scope.OPERATOR}))
        view = await request(world, {"devops": panel("dora", "sam", "pia")}, caller=ops, authors=("pia",))
        assert [one.member for one in view.asked] == ["sam"]
        assert await world.hub.open_questions(dora) == []
        outcome = await asked(world, {"devops": panel("dora", "pia")}, caller=ops, authors=("pia",))
        assert isinstance(outcome, Refusal)
        assert (outcome.code, outcome.details) == ("signoff.role_unfilled", {"role": "devops"})
        assert sam.name == "sam"


@run
async def test_a_role_that_nobody_holds_is_refused_by_name() -> None:
    async with World() as world:
        await world.join("dora")
        for roles, code in (
            ({"security": panel()}, "signoff.role_empty"),
            ({"security": panel("ghost")}, "signoff.role_unheld"),
            ({"security": panel("dora", "ghost", quorum=2)}, "signoff.role_unheld"),
            ({"security": panel("programme")}, "signoff.role_unheld"),
        ):
            outcome = await asked(world, roles)
            assert isinstance(outcome, Refusal)
            assert (outcome.code, outcome.details) == (code, {"role": "security"})
        assert world.hub.signing.signoffs(10) == [], "nothing starts half"


@run
async def test_a_member_of_two_roles_chooses_one_and_cannot_leave_the_other_empty() -> None:
    async with World() as world:
        dora, sam = await world.join("dora"), await world.join("sam")
        view = await request(world, {"devops": panel("dora", "sam"), "security": panel("dora")})
        assert b'"role"' in bytes((await form(world, dora)).schema)
        assert b'"role"' not in bytes((await form(world, sam)).schema)
        await sign(world, dora, role="devops")
        assert "Nobody else can sign as security" in (await form(world, dora)).message
        await sign(world, dora, role="security")
        assert [(one.by, one.role) for one in shown(world, view).signatures] == [("dora", "security")]
        assert await world.hub.open_questions(dora) == [], "one person, one role"
        await sign(world, sam)
        assert shown(world, view).status == "approved"


@run
async def test_only_the_member_can_answer_and_only_once() -> None:
    async with World() as world:
        dora, eve = await world.join("dora"), await world.join("eve")
        view = await request(world, {"devops": panel("dora")})
        question = await form(world, dora)
        yes = AnswerRequest(question_id=question.question_id, content=msgspec.Raw(b'{"outcome":"approved"}'))
        assert refused(await world.hub.answer(eve, yes)) == "question.not_addressee"
        assert refused(await world.hub.question(eve, question.question_id)) == "question.unknown"
        assert shown(world, view).status == "open"
        ok(await world.hub.answer(dora, yes))
        assert refused(await world.hub.answer(dora, yes)) == "question.closed"
        await world.clock.advance(0)
        assert len(shown(world, view).signatures) == 1


@run
async def test_an_answer_that_contradicts_itself_is_given_back_with_the_reason_and_a_bound() -> None:
    async with World() as world:
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")})
        await sign(world, dora, "conditional")
        question = await form(world, dora)
        assert question.message.startswith("Your answer could not be used: `conditional` without a condition.")
        await sign(world, dora, "approved", conditions="error_rate < 0.001")
        await sign(world, dora, "conditional", conditions="error_rate < 0.001 until tomorrow")
        assert "'tomorrow' is not a date" in (await form(world, dora)).message
        await sign(world, dora, "approved_with_controls", controls="a/b")
        await sign(world, dora, "conditional", conditions="x until 1999-01-01")
        assert await world.hub.open_questions(dora) == [], "five rounds are enough"
        now = shown(world, view)
        assert (now.status, len(now.asked)) == ("open", 5)
        assert all(one.returned for one in now.asked)


@run
async def test_a_changed_digest_makes_it_stale_before_and_after_consent_and_all_are_asked_again() -> None:
    async with World() as world:
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")})
        old = await form(world, dora)
        fresh = ok(await world.hub.signing.renew(ROOT, view.signoff_id, OTHER, "p99 250 ms"))
        assert shown(world, view).status == "stale"
        assert (fresh.status, fresh.replaces, fresh.parts) == ("open", view.signoff_id, OTHER)
        assert ok(await world.hub.signing.renew(ROOT, view.signoff_id, OTHER)).signoff_id == fresh.signoff_id
        late = AnswerRequest(question_id=old.question_id, content=msgspec.Raw(b'{"outcome":"approved"}'))
        assert refused(await world.hub.answer(dora, late)) == "question.closed"
        await sign(world, dora)
        assert (shown(world, view).signatures, shown(world, fresh).status) == ((), "approved")
        assert ok(await world.hub.signing.evaluate(fresh.signoff_id, fresh.digest)).holds
        gone = ok(await world.hub.signing.evaluate(fresh.signoff_id, "e" * 64))
        assert (gone.status, gone.holds) == ("stale", False)
        assert not ok(await world.hub.signing.evaluate(fresh.signoff_id, fresh.digest)).holds, "for good"


@run
async def test_an_answer_between_the_change_and_its_discovery_does_not_count() -> None:
    async with World() as world:
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")})
        question = await form(world, dora)
        content = msgspec.Raw(b'{"outcome":"approved"}')
        ok(await world.hub.answer(dora, AnswerRequest(question_id=question.question_id, content=content)))
        fresh = ok(await world.hub.signing.renew(ROOT, view.signoff_id, OTHER))
        assert (shown(world, view).status, fresh.status, fresh.signatures) == ("stale", "open", ())


@run
async def test_it_expires_unsigned_at_its_deadline_and_signed_at_its_end() -> None:
    async with World() as world:
        dora, sam = await world.join("dora"), await world.join("sam")
        view = await request(world, {"devops": panel("dora")})
        await world.clock.advance(HOUR - 1)
        assert shown(world, view).status == "open"
        await world.clock.advance(2)
        assert shown(world, view).status == "expired"
        assert await world.hub.open_questions(dora) == []

        given = await request(world, {"devops": panel("sam")})
        await sign(world, sam)
        await world.clock.advance(23 * HOUR)
        assert shown(world, given).holds
        await world.clock.advance(2 * HOUR)
        assert shown(world, given).status == "expired"


@run
async def test_consent_under_a_condition_ends_with_the_condition() -> None:
    async with World() as world:
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")}, valid_seconds=400 * 24 * HOUR)
        await sign(world, dora, "conditional", conditions="rollback.rehearsed until 2027-02-01")
        now = shown(world, view)
        assert (now.holds, now.valid_until) == (True, "2027-02-02T00:00:00.000000Z")
        assert [(one.expression, one.by) for one in now.conditions] == [("rollback.rehearsed", "dora")]
        await world.clock.advance(30 * 24 * HOUR)
        assert shown(world, view).status == "expired"


@run
async def test_a_failing_control_suspends_until_every_control_holds() -> None:
    async with World() as world:
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")})
        signing = world.hub.signing
        assert refused(await signing.suspend(view.signoff_id, "a", "x")) == "signoff.not_given"
        await sign(world, dora, "approved_with_controls", controls="a, b")
        assert refused(await signing.suspend(view.signoff_id, "c", "x")) == "signoff.control_unknown"
        for control in ("a", "b"):
            assert ok(await signing.suspend(view.signoff_id, control, "red")).status == "suspended"
        assert not ok(await signing.evaluate(view.signoff_id, view.digest)).holds
        assert ok(await signing.reinstate(view.signoff_id, "a")).failing == ("b",)
        assert ok(await signing.reinstate(view.signoff_id, "b")).holds


@run
async def test_declining_abstains_and_the_others_can_still_make_the_quorum() -> None:
    async with World() as world:
        dora, sam = await world.join("dora"), await world.join("sam")
        view = await request(world, {"devops": panel("dora", "sam")})
        question = await form(world, dora)
        ok(
            await world.hub.answer(
                dora, AnswerRequest(question_id=question.question_id, action="decline", reason="ill")
            )
        )
        await world.clock.advance(0)
        assert shown(world, view).abstained == {"dora": "ill"}
        await sign(world, sam)
        assert shown(world, view).status == "approved"


async def crashed(world: World, log: FailingLog, seed: int, seconds: float = 0.0) -> World:
    """The hub dies before it can write another record, and is started again after some time; keys do not repeat."""
    log.fault = UnavailableError
    await world.hub.stop()
    await world.clock.advance(seconds)
    log.fault = None
    world = await world.restart(seed)
    await world.clock.advance(0)
    return world


@run
async def test_a_crash_between_any_two_records_is_made_good_and_nothing_is_done_twice() -> None:
    log = FailingLog()
    world = World(log)
    await world.hub.start()
    dora, sam = await world.join("dora"), await world.join("sam")
    view = await request(world, {"devops": panel("dora"), "security": panel("sam")})
    question = await form(world, dora)
    content = msgspec.Raw(b'{"outcome":"approved"}')
    ok(await world.hub.answer(dora, AnswerRequest(question_id=question.question_id, content=content)))
    assert shown(world, view).signatures == (), "answered, and nothing made of it yet"
    world = await crashed(world, log, 2)
    assert [one.by for one in shown(world, view).signatures] == ["dora"]
    assert len(world.hub.signing.certificates.listed(10)) == 1
    world = await crashed(world, log, 3)
    assert [one.member for one in shown(world, view).asked] == ["dora", "sam"]
    await sign(world, sam)
    assert shown(world, view).status == "approved"
    world = await crashed(world, log, 4)
    assert len(world.hub.signing.certificates.listed(10)) == 3
    assert world.hub.measures().ended.total() == 2
    await world.hub.stop()


@run
async def test_an_answer_in_time_counts_although_the_hub_was_down_at_the_deadline() -> None:
    log = FailingLog()
    world = World(log)
    await world.hub.start()
    dora = await world.join("dora")
    view = await request(world, {"devops": panel("dora")})
    question = await form(world, dora)
    content = msgspec.Raw(b'{"outcome":"approved"}')
    answered = ok(await world.hub.answer(dora, AnswerRequest(question_id=question.question_id, content=content)))
    world = await crashed(world, log, 2, 2 * HOUR)
    assert shown(world, view).status == "approved"
    assert shown(world, view).signatures[0].at == answered.ended_at
    await world.hub.stop()


@run
async def test_a_log_that_fails_in_between_delays_and_loses_nothing() -> None:
    log = FailingLog()
    async with World(log) as world:
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")})
        question = await form(world, dora)
        content = msgspec.Raw(b'{"outcome":"approved"}')
        ok(await world.hub.answer(dora, AnswerRequest(question_id=question.question_id, content=content)))
        log.fault = UnavailableError
        await world.clock.advance(5)
        assert shown(world, view).status == "open"
        log.fault = None
        await world.clock.advance(5)
        assert shown(world, view).status == "approved"
        assert len(await statements(world, view)) == 2


@run
async def test_the_same_key_asks_for_one_sign_off_and_another_request_under_it_is_refused() -> None:
    async with World() as world:
        await world.join("dora")
        first = await request(world, {"devops": panel("dora")}, key="k")
        again = await request(world, {"devops": panel("dora")}, key="k")
        assert first.signoff_id == again.signoff_id
        assert refused(await asked(world, {"devops": panel("dora")}, key="k", parts=OTHER)) == "key.reused"


@run
async def test_what_is_not_an_operators_is_refused() -> None:
    async with World() as world:
        dora = await world.join("dora")
        assert refused(await asked(world, {"devops": panel("dora")}, caller=dora)) == "auth.scope"
        view = await request(world, {"devops": panel("dora")})
        assert refused(await world.hub.signing.withdraw(dora, view.signoff_id, "")) == "auth.scope"
        assert ok(await world.hub.signing.withdraw(ROOT, view.signoff_id, "moved")).status == "withdrawn"
        assert refused(await world.hub.signing.certificates.keep(dora, b"x", "text/plain")) == "auth.scope"
        assert refused(world.hub.signing.signoff("s_none")) == "signoff.unknown"


@run
async def test_nobody_comes_in_as_the_programme() -> None:
    async with World() as world:
        assert refused(await world.hub.admit("programme")) == "auth.required"
        await world.join("dora")
        await request(world, {"devops": panel("dora")})
        assert [one.kind for one in await world.hub.agents(ROOT, "programme")] == [Kind.SERVICE]


@run
async def test_evidence_is_kept_once_by_its_digest_and_has_a_bound() -> None:
    async with World() as world:
        certify = world.hub.signing.certificates
        digest = ok(await certify.keep(ROOT, b"facts", "text/plain"))
        assert ok(await certify.keep(ROOT, b"facts", "text/plain")) == digest
        kept = ok(await certify.evidence(digest))
        assert (kept.content, kept.media, kept.size_bytes) == (b"facts", "text/plain", 5)
        assert refused(await certify.evidence("0" * 64)) == "evidence.unknown"
        assert refused(await certify.keep(ROOT, bytes(262_145), "x")) == "evidence.too_large"
        again = await world.restart()
        assert ok(await again.hub.signing.certificates.evidence(digest)).content == b"facts"
        await again.hub.stop()


@run
async def test_open_sign_offs_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossfade.engine.signing_off.OPEN_MAX", 2)
    async with World() as world:
        dora = await world.join("dora")
        for _ in range(2):
            await request(world, {"devops": panel("dora")})
        assert refused(await asked(world, {"devops": panel("dora")})) == "limit.signoffs"
        await sign(world, dora)
        await request(world, {"devops": panel("dora")})


@run
async def test_an_answer_to_another_digest_is_not_replayed_into_a_sign_off() -> None:
    async with World() as world:
        dora = await world.join("dora")
        old = await request(world, {"devops": panel("dora")})
        await sign(world, dora)
        assert shown(world, old).holds
        fresh = await request(world, {"devops": panel("dora")}, parts=OTHER)
        collecting = world.hub.signing._collecting
        replayed = Ask(member=dora.name, question_id=old.asked[0].question_id)
        assert await collecting.run(fresh.signoff_id, replayed, "eve") is None
        await collecting.settle(fresh.signoff_id)
        assert (shown(world, fresh).status, shown(world, fresh).signatures) == ("open", ())
        assert "is not what is asked for" in shown(world, fresh).asked[1].returned


@run
async def test_whoever_asked_first_cannot_sign_what_another_renews() -> None:
    async with World() as world:
        dora = await world.join("dora")
        await world.join("sam")
        ops = msgspec.structs.replace(dora, scopes=frozenset({Scope.OPERATOR}))
        view = await request(world, {"devops": panel("dora", "sam")}, caller=ops)
        fresh = ok(await world.hub.signing.renew(ROOT, view.signoff_id, OTHER))
        assert ([one.member for one in fresh.asked], fresh.authors) == (["sam"], ("dora",))


class TornLog(MemoryLog):
    """Takes every record but those of one type, while told so."""

    without = ""

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """As the memory log, unless a record of that type is in the batch."""
        if any(event.type == self.without for tx in txs for event in tx.events):
            raise UnavailableError("torn")
        return await super().append(shard, txs)


@pytest.mark.parametrize(
    "lost", ["signoff.asked/1", "signoff.given/1", "signoff.returned/1", "evidence.kept/1", "certificate.issued/1"]
)
def test_a_crash_before_any_one_record_leaves_one_question_and_one_certificate_for_each(lost: str) -> None:
    @run
    async def scenario() -> None:
        log = TornLog()
        log.without = lost
        world = World(log)
        await world.hub.start()
        dora = await world.join("dora")
        view = await request(world, {"devops": panel("dora")})
        if lost != "signoff.asked/1":
            await sign(world, dora, "conditional")
        if lost not in ("signoff.asked/1", "signoff.returned/1"):
            await sign(world, dora)
        await world.hub.stop()
        log.without = ""
        world = await world.restart(2)
        await world.clock.advance(0)
        if shown(world, view).status == "open":
            assert len(await world.hub.open_questions(dora)) == 1
            await sign(world, dora)
        assert shown(world, view).status == "approved"
        assert [one.kind for one in world.hub.signing.certificates.listed(9)] == ["signoff", "signature"]
        await world.hub.stop()

    scenario()


@run
async def test_the_programme_has_no_mail_and_ties_no_reviewers_together() -> None:
    async with World() as world:
        dora, sam = await world.join("dora"), await world.join("sam")
        await request(world, {"devops": panel("dora", "sam")})
        await sign(world, dora)
        assert await world.hub.open_questions(sam) == []
        assert (await world.poll(SERVICE)).items == ()
        await world.rollout(0.5)
        clusters = {one.cluster for one in await world.hub.agents(ROOT) if one.name in ("dora", "sam")}
        assert len(clusters) == 2
