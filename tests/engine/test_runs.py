"""Runs on a simulated clock, with a world that outlives the process: every event is a place to die."""

import asyncio
from datetime import date, timedelta
from hashlib import sha256

import msgspec
import pytest

from crossfade.core.runsheets import Baseline, Freeze, Gate, Role, RoleMembers, Runsheet, SignOff, Step
from crossfade.core.values import PROGRAMME, AgentName, Caller, Kind, Scope
from crossfade.engine.ports import UnavailableError
from crossfade.engine.run_views import MigrateRequest, RunView, SkipRequest, WaiveRequest
from crossfade.engine.runner import Runner
from crossfade.runsheets import Loaded, load
from tests.kit.faulty import CutLog
from tests.kit.hub import ROOT, ok, refused, run
from tests.kit.runs import ALL, HOUR, SIGNED, Procedure, canonical, command, phase, ramp, sheet

OPERATOR = Caller(name=AgentName("op"), kind=Kind.PERSON, scopes=frozenset({Scope.OPERATOR}))

SMALL = sheet(
    phase(
        "canary",
        command("deploy"),
        *ramp(0.05),
        Step(id="soak", kind="wait", wait=HOUR),
        entry=(Gate(id="ready", check="hub.ready"),),
        entry_signoffs=(SignOff(roles=ALL[:1], about="Begin?"),),
        bake=HOUR,
        exit=(Gate(id="lost", check="questions.none_lost"),),
    ),
    phase(
        "full",
        Step(id="go", kind="meeting", to=("role:devops", "role:security"), message="Go?", quorum=2, budget=4 * HOUR),
        *ramp(1.0),
        command("announce"),
        exit_signoffs=SIGNED,
    ),
)


@run
async def test_a_run_goes_from_the_first_gate_to_the_last_sign_off() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    ok(await it.create(SMALL))
    await it.through(24)
    view = it.view()
    assert (view.status, view.held, view.node) == ("completed", False, ""), view
    assert it.outside.effects == {"deploy": 1, "announce": 1}
    assert it.outside.shares == [0.05, 1.0]
    assert {node.status for node in view.nodes} == {"done"}
    await it.die()


def outcome(it: Procedure) -> object:
    """What a run came to: everything but who drove it when."""
    view = it.view()
    nodes = [(node.node, node.status, node.attempt, node.verdict, sorted(node.asked)) for node in view.nodes]
    return view.status, view.share, nodes, it.outside.effects, it.outside.shares, len(it.hub._c.views.questions)


async def killed_at(append: int, *, stored: bool) -> tuple[object, bool]:
    """The same run, its process dead at an append, and another that goes on; and whether it came to that."""
    it = Procedure()
    await it.begin()
    await it.staff()
    await it.die()
    log = CutLog(it.log, append, "run", stored=stored)
    await it.begin(log)
    made = None
    try:
        made = await it.create(SMALL, key="once")
        while not log.cut and it.view().status != "completed":
            await it.clock.advance(600)
            while not log.cut and await it.reply():
                pass
    except UnavailableError:
        assert log.cut
    await it.die()
    await it.begin()
    if made is None:
        ok(await it.create(SMALL, key="once"))
    await it.through(30, step_hours=1 / 6)
    found = outcome(it)
    await it.die()
    return found, log.cut


@pytest.mark.slow
@pytest.mark.requirement("P3")
def test_a_run_killed_at_any_event_comes_to_the_same_end_and_does_each_thing_once() -> None:
    whole, _ = asyncio.run(killed_at(10_000, stored=True))
    for append in range(1, 200):
        cuts = [asyncio.run(killed_at(append, stored=stored)) for stored in (True, False)]
        for stored, (found, _) in zip((True, False), cuts, strict=True):
            assert found == whole, (append, stored)
        if not any(cut for _, cut in cuts):
            assert append > 25, "there are more events than that"
            return
    raise AssertionError("it never ended")


async def begun(*steps: Step, people: tuple[str, ...] = (), **more: object) -> Procedure:
    """A run of one phase, after its first moment."""
    it = Procedure()
    await it.begin()
    await it.staff()
    if people:
        await it.staff(*people)
    ok(await it.create(sheet(phase("one", *steps, **more))))  # type: ignore[arg-type]
    return it


GATED = {"exit": (Gate(id="p99", slo="p99"),)}


@run
async def test_what_is_not_measured_holds_until_all_roles_sign_a_waiver_that_every_view_shows() -> None:
    it = await begun(command("deploy"), **GATED)
    view = it.view()
    assert (view.held, view.verdict, view.reason, view.owner) == (True, "errored", "not_measured", "ops")
    written = len(it.log._shards[0].rows)  # type: ignore[attr-defined]
    await it.clock.advance(86_400)
    assert len(it.log._shards[0].rows) == written, "a hold that stays the same writes nothing"  # type: ignore[attr-defined]
    node = "one/exit/gate/p99"
    assert refused(await it.hub.runs.skip(ROOT, it.run_id, SkipRequest(node=node, reason="x"))) == "run.not_skippable"
    assert refused(await it.hub.runs.waive(ROOT, it.run_id, WaiveRequest(node=node, reason=""))) == "run.no_reason"
    assert not await it.hub.open_questions(it.people["ana"]), "nothing was asked of anybody"
    ok(await it.hub.runs.waive(ROOT, it.run_id, WaiveRequest(node=node, reason="no traffic yet")))
    assert it.view().held
    await it.reply()
    view = it.view()
    [passed] = view.passed_by
    assert (view.status, passed.node, passed.status, passed.by, passed.why) == (
        "completed", node, "waived", "root", "no traffic yet",
    )  # fmt: skip
    assert ok(it.hub.signing.signoff(passed.signoff)).holds
    assert ok(await it.hub.runs.export(ROOT, it.run_id)).run.passed_by == view.passed_by
    await it.die()


@run
async def test_a_waiver_that_one_specialist_stops_leaves_it_held() -> None:
    it = await begun(**GATED)
    it.outcome["bo"] = b'{"outcome":"emergency_stop","comment":"no"}'
    ok(await it.hub.runs.waive(ROOT, it.run_id, WaiveRequest(node="one/exit/gate/p99", reason="hurry")))
    while await it.reply():
        pass
    view = it.view()
    assert (view.status, view.held, view.passed_by) == ("running", True, ())
    await it.die()


@run
async def test_a_failed_step_is_tried_again_in_growing_pauses_then_holds_then_goes_on_when_released() -> None:
    it = Procedure()
    it.outside.failing["do deploy"] = 3
    await it.begin()
    await it.staff()
    ok(await it.create(sheet(phase("one", command("deploy", retries=2)))))
    await it.clock.advance(1)
    assert it.status("one/step/deploy") == "failed"
    await it.clock.advance(10)
    view = it.view()
    assert (view.held, view.verdict, view.reason) == (True, "failed", "exit 1")
    ok(await it.hub.runs.release(ROOT, it.run_id, "one/step/deploy", "made room"))
    await it.clock.advance(0)
    assert (it.view().status, it.outside.effects) == ("completed", {"deploy": 1})
    await it.die()


@run
async def test_an_irreversible_step_that_nobody_can_look_at_is_never_done_twice() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    await it.die()
    once = sheet(phase("one", Step(id="pay", kind="command", run="do pay", irreversible=True, retries=3)))
    log = CutLog(it.log, 4, "run", stored=False)  # created, taken, begun, and then the outcome is lost
    await it.begin(log)
    await it.create(once)
    assert log.cut
    assert it.outside.effects == {"pay": 1}
    await it.die()
    await it.begin()
    await it.clock.advance(60)
    view = it.view()
    assert (view.held, view.verdict, view.reason, it.outside.effects) == (
        True,
        "inconclusive",
        "unknown_outcome",
        {"pay": 1},
    )
    await it.die()


@run
async def test_an_abort_undoes_the_last_first_and_goes_on_past_what_cannot_be_undone() -> None:
    gone = (command("first"), *ramp(0.25, 0.5), command("second"), command("third"))
    it = Procedure()
    it.outside.failing["undo second"] = 1
    await it.begin()
    await it.staff()
    ok(await it.create(sheet(phase("one", *gone, Step(id="soak", kind="wait", wait=HOUR)))))
    ok(await it.hub.runs.abort(ROOT, it.run_id, "the wrong fleet"))
    await it.clock.advance(1)
    view = it.view()
    assert it.outside.gone == ["third", "first"]
    assert it.outside.shares == [0.25, 0.5, 0.25, 0.0]
    assert (view.status, view.clean, view.left) == ("aborted", False, ("one/step/second",))
    await it.die()


@run
async def test_an_undo_that_is_not_seen_to_have_worked_is_not_called_clean() -> None:
    it = await begun(command("blind", probe="", verify=""), Step(id="soak", kind="wait", wait=HOUR))
    ok(await it.hub.runs.abort(ROOT, it.run_id, "stop"))
    await it.clock.advance(1)
    assert it.outside.gone == ["blind"]
    assert (it.view().clean, it.view().left) == (False, ("one/step/blind",))
    await it.die()


@run
async def test_an_undo_that_says_it_worked_while_the_effect_is_still_there_is_not_believed() -> None:
    it = await begun(command("sticky", undo="shrug sticky"), Step(id="soak", kind="wait", wait=HOUR))
    ok(await it.hub.runs.abort(ROOT, it.run_id, "stop"))
    await it.clock.advance(1)
    assert (it.view().clean, it.view().left, it.view().nodes[0].reason) == (
        False, ("one/step/sticky",), "still in effect",
    )  # fmt: skip
    await it.die()


@run
async def test_a_run_goes_on_with_a_new_version_only_paused_reviewed_and_with_all_that_was_begun() -> None:
    found = load("elicitation-v2")
    assert isinstance(found, Loaded)
    it = Procedure(checks=("event_store.consistent",))
    await it.begin()
    people = {name for panel in found.runsheet.roles.values() for name in panel.members}
    await it.staff(*sorted(people))
    ok(await it.create(found.runsheet, forced=""))
    longer = msgspec.structs.replace(found.runsheet, version="2.1", title="with a longer title")
    lesser = sheet(phase("one", *ramp(0.5)), target=found.runsheet.target, roles={})

    async def migrate(to: Runsheet) -> object:
        source = canonical(to)
        digest = sha256(source.encode()).hexdigest()
        wanted = MigrateRequest(runsheet=source, digest=digest, reason="2.1")
        return await it.hub.runs.migrate(ROOT, it.run_id, wanted)

    assert refused(await migrate(longer)) == "run.not_paused"
    ok(await it.hub.runs.pause(ROOT, it.run_id, "2.1"))
    assert refused(await migrate(lesser)) == "run.not_ready"
    assert refused(await migrate(found.runsheet)) == "run.same_digest"
    before = it.view()
    view = ok(await migrate(longer))
    assert isinstance(view, RunView)
    assert (view.migrated_from, view.settled, view.version) == ((before.digest,), before.settled, "2.1")
    assert view.digest in it.hub._c.views.signoffs.reviews, "its review is on the board"
    assert refused(await it.hub.runs.resume(ROOT, it.run_id, "", before.digest)) == "run.digest_differs"
    ok(await it.hub.runs.resume(ROOT, it.run_id, "go", view.digest))
    await it.die()
    await it.begin()
    assert (it.view().digest, it.view().status) == (view.digest, "running")
    await it.die()


@run
async def test_silence_is_no_consent_the_next_in_the_chain_is_asked_and_then_it_holds() -> None:
    step = Step(id="go", kind="meeting", to=("role:devops",), message="Go?", budget=HOUR)
    it = await begun(step, people=("deputy", "director"))
    it.silent = {"ana", "deputy", "director"}
    asked = [len(await it.hub.open_questions(it.people[name])) for name in ("ana", "deputy", "director")]
    assert asked == [1, 0, 0]
    await it.clock.advance(3_601)
    asked = [len(await it.hub.open_questions(it.people[name])) for name in ("ana", "deputy", "director")]
    assert asked == [0, 1, 0]
    await it.clock.advance(3_601)
    assert it.status("one/step/go") == "asked"
    await it.clock.advance(3_601)
    view = it.view()
    assert (view.held, view.verdict, view.reason) == (True, "inconclusive", "unanswered")
    it.silent = set()
    ok(await it.hub.runs.release(ROOT, it.run_id, "one/step/go", "they are back"))
    await it.through(1)
    assert it.view().status == "completed"
    await it.die()


@run
async def test_a_meeting_says_the_facts_and_one_no_too_many_holds_it() -> None:
    step = Step(id="go", kind="meeting", to=("role:devops", "role:security"), message="Go to 50 %?", quorum=2)
    it = await begun(command("deploy"), step)
    [question] = await it.hub.open_questions(it.people["ana"])
    assert "one/step/deploy: done, evidence" in question.message
    assert "Share in force: 0%" in question.message
    it.answers["bo"] = b'{"choice":"no-go"}'
    await it.reply()
    view = it.view()
    assert (view.held, view.verdict, view.reason) == (True, "failed", "not agreed")
    await it.die()


@run
async def test_a_sign_off_waits_for_its_conditions_and_a_failing_control_suspends_the_next_share() -> None:
    it = Procedure(checks=("siem.connected",))
    await it.begin()
    await it.staff()
    signed = (SignOff(roles=(Role.SECURITY,), about="Begin?"),)
    it.outcome["bo"] = b'{"outcome":"conditional","conditions":"rollback.rehearsed until 2099-01-01"}'
    ok(await it.create(sheet(phase("one", *ramp(0.5), entry_signoffs=signed))))
    await it.reply()
    view = it.view()
    assert (view.held, view.verdict, view.reason) == (True, "errored", "condition not_measured")
    assert it.outside.shares == []
    ok(await it.hub.runs.abort(ROOT, it.run_id, "again"))
    await it.clock.advance(1)
    it.outcome["bo"] = b'{"outcome":"approved_with_controls","controls":"threats.quiet"}'
    ok(await it.create(sheet(phase("one", *ramp(0.5), entry_signoffs=signed))))
    await it.reply()
    view = it.view()
    assert (view.held, view.node, view.reason) == (True, "one/step/share-50", "signoff suspended")
    ok(await it.hub.runs.abort(ROOT, it.run_id, "again"))
    await it.clock.advance(1)
    it.outcome["bo"] = b'{"outcome":"approved_with_controls","controls":"siem.connected"}'
    ok(await it.create(sheet(phase("one", *ramp(0.5), entry_signoffs=signed))))
    await it.reply()
    assert (it.view().status, it.outside.shares) == ("completed", [0.5])
    await it.die()


@run
async def test_a_share_waits_for_the_end_of_a_freeze() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    frozen = (Freeze(id="audit", start=date(2027, 1, 11), end=date(2027, 1, 12)),)
    ok(await it.create(sheet(phase("one", *ramp(0.5)), freezes=frozen)))
    assert (it.view().waits_for, it.view().waits_until) == ("freeze audit", "2027-01-13T00:00:00.000000Z")
    await it.clock.advance(2 * 86_400 - 1)
    assert it.outside.shares == []
    await it.clock.advance(1)
    assert it.outside.shares == [0.5]
    await it.die()


@run
async def test_a_pause_begins_nothing_and_a_resume_with_an_edited_runsheet_is_refused() -> None:
    it = await begun(Step(id="soak", kind="wait", wait=HOUR), command("deploy"))
    ok(await it.hub.runs.pause(ROOT, it.run_id, "a holiday"))
    await it.clock.advance(7_200)
    assert it.outside.effects == {}
    assert refused(await it.hub.runs.resume(ROOT, it.run_id, "", "0" * 64)) == "run.digest_differs"
    ok(await it.hub.runs.resume(ROOT, it.run_id, "back", it.view().digest))
    await it.clock.advance(1)
    assert (it.view().status, it.outside.effects) == ("completed", {"deploy": 1})
    await it.die()


@run
async def test_two_drivers_race_and_only_the_newest_epoch_is_heard() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    it.hub.runs.runner.sole = False
    other = Runner(it.hub._c)
    other.acts, other.sole = it.hub.runs.runner.acts, False
    it.hub._projector.listeners.append(other.react)
    ok(await it.create(sheet(phase("one", command("deploy"), *ramp(0.5), Step(id="soak", kind="wait", wait=HOUR)))))
    assert (it.outside.effects, it.outside.shares, it.view().epoch) == ({"deploy": 1}, [0.5], 1)
    await it.clock.advance(3_700)
    assert (it.view().status, it.outside.effects) == ("completed", {"deploy": 1})
    rows = await it.log.read_stream(PROGRAMME, f"run/{it.run_id}")
    assert [row.type for row in rows].count("run.begun/1") == 3, "each was begun by one of them"
    assert it.view().epoch > 1, "the lease had lapsed, and one of them took it"
    await it.die()


@run
async def test_a_driver_that_was_fenced_while_it_worked_records_nothing() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    runner = it.hub.runs.runner
    from crossfade.core import run_commands as commands

    slow = it.outside.command

    async def taken_meanwhile(line: str, call: object) -> object:
        if line == "do deploy" and not it.outside.effects:
            take = commands.Take(driver="driver_other", until=it.hub._c.later(30), sole=True)
            await it.hub._c.dispatcher.run(f"run/{it.hub.runs.runs()[0].run_id}", take, by="driver_other")
        return await slow(line, call)  # type: ignore[arg-type]

    it.outside.command = taken_meanwhile  # type: ignore[method-assign,assignment]
    runner.sole = False
    ok(await it.create(sheet(phase("one", command("deploy")))))
    assert (it.status("one/step/deploy"), it.view().driver) == ("begun", "driver_other")
    await it.clock.advance(31)
    assert (it.view().status, it.outside.effects) == ("completed", {"deploy": 1}), "its effect was found, not repeated"
    await it.die()


@run
async def test_nothing_starts_half() -> None:
    it = Procedure()
    await it.begin()
    fine = sheet(phase("one", *ramp(0.5), entry_signoffs=SIGNED))
    assert refused(await it.create(fine)) == "run.member_unknown"
    await it.staff()
    assert refused(await it.create(fine, caller=OPERATOR)) == "auth.scope", "it acts outside the hub, and is forced"
    assert refused(await it.create(fine, forced="")) == "run.not_ready"
    roles = {Role.DEVOPS: RoleMembers(members=("ana",), quorum=2)}
    few = sheet(phase("one", *ramp(0.5), entry_signoffs=SIGNED), roles=roles)
    assert refused(await it.create(few)) == "run.role_empty"
    nobody = sheet(phase("one", Step(id="ask", kind="ask", to=("ghost",), message="?")))
    assert refused(await it.create(nobody)) == "run.member_unknown"
    assert it.hub.runs.runs() == []
    ok(await it.create(fine))
    assert refused(await it.create(fine)) == "run.contends"
    assert refused(await it.hub.runs.pause(OPERATOR, "r_none", "x")) == "run.unknown"
    await it.die()


@run
async def test_a_step_is_skipped_by_an_admin_or_with_a_sign_off_about_this_run() -> None:
    it = await begun(Step(id="soak", kind="wait", wait=timedelta(days=9)), command("deploy"))
    soak = SkipRequest(node="one/step/soak", reason="soaked elsewhere")
    assert refused(await it.hub.runs.skip(OPERATOR, it.run_id, soak)) == "auth.scope"
    foreign = msgspec.structs.replace(soak, signoff="s_none")
    assert refused(await it.hub.runs.skip(OPERATOR, it.run_id, foreign)) == "signoff.unknown"
    ok(await it.hub.runs.skip(ROOT, it.run_id, soak))
    await it.clock.advance(1)
    view = it.view()
    [passed] = view.passed_by
    assert (view.status, passed.status, passed.grounds, passed.why) == ("completed", "skipped", "admin", soak.reason)
    await it.die()


@run
async def test_a_share_that_was_taken_back_while_it_had_to_stand_does_not_pass() -> None:
    it = await begun(*ramp(0.5), bake=HOUR)
    it.outside.share = 0.0
    await it.clock.advance(3_601)
    view = it.view()
    assert (view.held, view.node, view.verdict) == (True, "one/bake", "failed")
    await it.die()


@run
async def test_a_baseline_is_complete_only_without_a_gap_and_after_its_days() -> None:
    it = Procedure()
    await it.begin()
    await it.staff()
    planned = sheet(
        phase("one", Step(id="baseline", kind="measure", run="baseline.complete")),
        baseline=Baseline(days=1, gap_seconds_max=3_600),
    )
    ok(await it.create(planned))
    ana = it.people["ana"]
    assert it.world is not None
    for gap in (3_500, 7_000, *[3_500] * 26):
        await it.world.ask(ana, "bo", f"{it.clock.now()}")
        assert (it.view().status, it.view().verdict) == ("running", "inconclusive")
        await it.clock.advance(gap)
    await it.clock.advance(61)
    assert it.view().status == "completed"
    numbers = msgspec.json.decode(bytes(it.view().nodes[0].evidence))
    assert numbers["covered_seconds"] >= 86_400
    assert numbers["longest_gap_seconds"] <= 3_600
    await it.die()


@pytest.mark.slow
@pytest.mark.requirement("P3", "P1")
@run
async def test_the_shipped_runsheet_runs_through_its_twelve_weeks_on_a_simulated_clock() -> None:
    found = load("elicitation-v2")
    assert isinstance(found, Loaded)
    names = {step.run for part in found.runsheet.phases for step in part.steps if step.kind in ("check", "measure")}
    names |= {gate.check or f"slo.{gate.slo}" for part in found.runsheet.phases for gate in (*part.entry, *part.exit)}
    it = Procedure(checks=tuple(names))
    await it.begin()
    people = {name for panel in found.runsheet.roles.values() for name in panel.members}
    people |= set(found.runsheet.operations.escalation if found.runsheet.operations else ())
    await it.staff(*sorted(people))
    ok(await it.create(found.runsheet, forced=""))
    await it.through(24 * 7 * 14, step_hours=4)
    view = it.view()
    assert (view.status, view.review, view.forced) == ("completed", "production_ready", ""), view
    assert (it.hub.rollout().status, it.hub.rollout().share) == ("removed", 1.0)
    done = {node.node: node for node in view.nodes}
    assert {node.status for node in view.nodes} == {"done"}
    assert str(view.ended_at)[:10] >= "2027-04-09"
    assert done["progressive/entry/signoff/0"].attempt == 2, "it ended by time before 75 %, and was asked for again"
    days = {"canary/step/share-5": "2027-02-02", "progressive/step/share-25": "2027-02-16"}
    days |= {"full/step/share-100": "2027-03-08", "removal/step/remove": "2027-04-05"}
    for node, day in days.items():
        assert str(done[node].earliest)[:10] == day
    await it.die()


@run
async def test_a_control_is_watched_while_the_run_waits_and_suspends_the_approval_at_once() -> None:
    it = Procedure(checks=("siem.connected",))
    await it.begin()
    await it.staff()
    signed = (SignOff(roles=(Role.SECURITY,), about="Begin?"),)
    it.outcome["bo"] = b'{"outcome":"approved_with_controls","controls":"siem.connected"}'
    waits = Step(id="calm", kind="wait", wait=timedelta(days=2))
    ok(await it.create(sheet(phase("one", waits, *ramp(0.5), entry_signoffs=signed))))
    await it.reply()
    [signoff] = it.hub.signing.signoffs(10)
    assert signoff.status == "approved"
    it.outside.checks_fail = True
    await it.clock.advance(301)
    assert ok(it.hub.signing.signoff(signoff.signoff_id)).status == "suspended"
    it.outside.checks_fail = False
    await it.clock.advance(301)
    assert ok(it.hub.signing.signoff(signoff.signoff_id)).status == "approved"
    await it.die()
