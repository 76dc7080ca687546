"""Runs of runsheets: the use cases. Create, look, pause, resume, release, skip, waive, abort, migrate, export.

A run is created only when everything is in order: the runsheet makes sense, its review says ready (or an admin
forces it and says why), the people it calls on exist. Nothing starts half. A runsheet that runs programs or
calls URLs needs an admin, because it does so in the name of the hub's process.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core import run_commands as commands
from crossfade.core import runs
from crossfade.core.decider import Refusal
from crossfade.core.review import review
from crossfade.core.run_events import Grounds
from crossfade.core.run_next import WaitUntil, next_action
from crossfade.core.runsheets import Runsheet
from crossfade.core.values import PROGRAMME, SECOND, Caller, Scope, Sequence, stream_of
from crossfade.engine.asking import Asking, scoped_key
from crossfade.engine.checks import Checks
from crossfade.engine.context import Context, needs
from crossfade.engine.hub_calls import HubCalls, HubTarget
from crossfade.engine.identity import Identity
from crossfade.engine.migration import Migration
from crossfade.engine.phase_checks import PhaseChecks
from crossfade.engine.planning import Planning
from crossfade.engine.run_acts import Acts
from crossfade.engine.run_consent import Consent
from crossfade.engine.run_people import People, members_of
from crossfade.engine.run_plans import PlanSteps
from crossfade.engine.run_steps import Steps, Work
from crossfade.engine.run_views import (
    CreateRequest,
    MigrateRequest,
    RunExport,
    RunView,
    SkipRequest,
    WaiveRequest,
    view_of,
)
from crossfade.engine.runner import Runner
from crossfade.engine.signing_off import SigningOff
from crossfade.engine.views.instants import iso
from crossfade.engine.views.runs import Entry

OUTSIDE: Final = frozenset({"command", "http"})
"""Kinds of steps and targets that act outside the hub."""


class Runs:
    """Everything about runs that entry points call; ``equip`` it before the hub starts."""

    def __init__(self, context: Context, asking: Asking, identity: Identity, signing: SigningOff) -> None:
        self._c = context
        self._signing = signing
        self._work = Work()
        self._people = People(context, asking, identity)
        self._consent: Consent | None = None
        self.runner = Runner(context)

    def equip(self, migration: Migration, ready: Callable[[], bool], work: Work, plans: Planning) -> None:
        """Say what this process can do for a run."""
        self._work = work
        checks = Checks(self._c, migration, ready, work.checks)
        checks.phase, checks.stored_plan = PhaseChecks(self._c, plans.facts), work.stored_plan
        calls = HubCalls(self._c, migration)
        steps = Steps(self._c, calls, HubTarget(self._c, migration))
        steps.work, steps.plans = work, PlanSteps(self._c, plans)
        self._consent = Consent(self._c, self._signing, checks)
        acts = Acts(self._c, self.runner.send, steps, self._people, self._consent)
        acts.checks, acts.calls = checks, calls
        self.runner.acts = acts
        self.runner.sole = work.sole

    # --- create -------------------------------------------------------------------------------------------

    async def create(self, caller: Caller, request: CreateRequest) -> RunView | Refusal:
        """Begin a run of a runsheet. Needs scope operator; admin to force one, or for one that acts outside."""
        read = needs(caller, Scope.OPERATOR) or self._sound(caller, request.runsheet, request.digest)
        if isinstance(read, Refusal):
            return self._c.refuse(read)
        if request.forced:
            refusal = needs(caller, Scope.ADMIN)
            if refusal is not None:
                return self._c.refuse(refusal)
        overall = review(read).overall
        command = commands.Create(
            runsheet=msgspec.Raw(request.runsheet.encode()), digest=request.digest, review=overall,
            forced=request.forced,
        )  # fmt: skip
        key = scoped_key(caller, "run", request.key)
        known = None if key is None else await self._c.log.find(PROGRAMME, key)
        contends = None if known is not None else self._contends(read)
        if contends is not None:
            return self._c.refuse(contends)
        # Decided once without writing: a review is recorded only for what can be run.
        tried = runs.decide(runs.State(), command, self._c.dispatcher.now())
        if isinstance(tried, Refusal):
            return self._c.refuse(tried)
        recorded = await self._signing.reviews.record(caller, request.runsheet)
        if isinstance(recorded, Refusal):
            return recorded
        run_id = self._c.ids.new("r")
        stream = stream_of("run", run_id)
        outcome = await self._c.dispatcher.run(stream, command, by=caller.name, key=key)
        if isinstance(outcome, Refusal):
            return self._c.refuse(outcome)
        if outcome.duplicate:
            row = (await self._c.log.read(PROGRAMME, Sequence(outcome.first - 1), 1))[0]
            run_id = row.stream.partition("/")[2]
        return self.run(run_id)

    def _sound(self, caller: Caller, source: str, digest: str) -> Runsheet | Refusal:
        """The runsheet, if a run of it can be wanted by this caller."""
        content = source.encode()
        if sha256(content).hexdigest() != digest:
            return Refusal("run.bad_digest", "The digest is not that of the runsheet.", "Load the runsheet again.")
        try:
            read = msgspec.json.decode(content, type=Runsheet)
        except (msgspec.DecodeError, RecursionError) as error:
            hint = "Run `crossfade runsheet lint`."
            return Refusal("run.bad_runsheet", f"The runsheet cannot be read: {error}.", hint)
        wrong = "" if self._work.lint is None else self._work.lint(read)
        if wrong:
            return Refusal("run.bad_runsheet", wrong, "Run `crossfade runsheet lint`.")
        return self._allowed(caller, read) or self._present(read) or read

    def _contends(self, read: Runsheet) -> Refusal | None:
        """Refuse a second run of the same name, or of the hub's one rollout."""
        for run_id, entry in self._c.views.runs.items():
            sheet = entry.state.sheet
            both = sheet.target.kind == read.target.kind == "hub"
            if entry.state.active and (both or sheet.name == read.name):
                return Refusal(
                    "run.contends",
                    f"{run_id} of {sheet.name!r} has not ended.",
                    "Go on with that one, or abort it first.",
                    {"run": run_id},
                )
        return None

    def _allowed(self, caller: Caller, read: Runsheet) -> Refusal | None:
        kinds = {read.target.kind, *(step.kind for phase in read.phases for step in phase.steps)}
        return needs(caller, Scope.ADMIN) if kinds & OUTSIDE else None

    def _present(self, read: Runsheet) -> Refusal | None:
        """Refuse a runsheet that calls on people whom the hub does not know."""
        state = runs.State(runsheet=read)
        steps = [step for phase in read.phases for step in phase.steps if step.to]
        wanted = {name: step.id for step in steps for name in members_of(state, step)}
        for role, panel in read.roles.items():
            held = sum(self._known(name) for name in panel.members)
            if held < min(panel.quorum, len(panel.members)):
                return _absent(f"the role {role}", next(name for name in panel.members if not self._known(name)))
        named = [name for step in steps for name in step.to if not name.startswith("role:")]
        absent = next((name for name in named if not self._known(name)), "")
        return _absent(f"the step {wanted[absent]}", absent) if absent else None

    def _known(self, name: str) -> bool:
        member = self._c.views.directory.get(name)
        return member is not None and member.addressable

    # --- look ---------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> RunView | Refusal:
        """One run as it is now."""
        entry = self._entry(run_id)
        return entry if isinstance(entry, Refusal) else view_of(entry, self._c.clock.now())

    def runs(self, limit: int = 100) -> list[RunView]:
        """The newest runs, newest first, without their nodes."""
        newest = list(reversed(self._c.views.runs.values()))[:limit]
        return [view_of(entry, self._c.clock.now(), nodes=False) for entry in newest]

    def seconds_to_wait(self, run_id: str) -> float:
        """How long until the next date at which a run goes on by itself; 0 if it is at work."""
        entry = self._c.views.runs[run_id]
        now = self._c.clock.now()
        due = next_action(entry.state, now)
        return (due.at - now) / SECOND if isinstance(due, WaitUntil) else 0.0

    async def export(self, caller: Caller, run_id: str) -> RunExport | Refusal:
        """The whole run: the runsheet, every record, and what they came to. Needs scope operator."""
        entry = needs(caller, Scope.OPERATOR) or self._entry(run_id)
        if isinstance(entry, Refusal):
            return self._c.refuse(entry)
        rows = await self._c.log.read_stream(PROGRAMME, stream_of("run", run_id))
        records = tuple(
            msgspec.Raw(
                msgspec.json.encode(
                    {
                        "sequence": row.sequence, "version": row.version, "type": row.type, "at": iso(row.at),
                        "actor": row.actor, "cause": row.cause, "event": msgspec.Raw(row.payload),
                        "chain": row.chain.hex(),
                    }
                )
            )
            for row in rows
        )  # fmt: skip
        digest = sha256(b"\n".join(bytes(record) for record in records)).hexdigest()
        view = view_of(entry, self._c.clock.now())
        return RunExport(run=view, runsheet=entry.state.source, records=records, digest=digest)

    def _entry(self, run_id: str) -> Entry | Refusal:
        entry = self._c.views.runs.get(run_id)
        return entry or Refusal("run.unknown", "There is no such run.", "`crossfade runsheet status` lists them.")

    # --- operate ------------------------------------------------------------------------------------------

    async def pause(self, caller: Caller, run_id: str, reason: str) -> RunView | Refusal:
        """Begin nothing more; what is begun ends."""
        return await self._operate(caller, run_id, commands.Pause(by=caller.name, reason=reason))

    async def resume(self, caller: Caller, run_id: str, reason: str, digest: str = "") -> RunView | Refusal:
        """Go on; refused if ``digest`` is given and is not that of the run's runsheet."""
        return await self._operate(caller, run_id, commands.Resume(by=caller.name, reason=reason, digest=digest))

    async def release(self, caller: Caller, run_id: str, node: str, reason: str) -> RunView | Refusal:
        """Try what is held again from the beginning."""
        return await self._operate(caller, run_id, commands.Release(node=node, by=caller.name, reason=reason))

    async def abort(self, caller: Caller, run_id: str, reason: str) -> RunView | Refusal:
        """Stop, and undo what can be undone, the last first."""
        entry = self._entry(run_id)
        outcome = await self._operate(caller, run_id, commands.Abort(by=caller.name, reason=reason))
        if not isinstance(entry, Refusal) and not isinstance(outcome, Refusal):
            current = entry.state.current()
            if current is not None and current.step is not None:
                await self._people.withdraw(entry.state.of(current.id), "the run is aborted")
        return outcome

    async def skip(self, caller: Caller, run_id: str, request: SkipRequest) -> RunView | Refusal:
        """Leave out a step: with an approved sign-off about this run, or as an admin."""
        entry = self._entry(run_id)
        if isinstance(entry, Refusal):
            return self._c.refuse(entry)
        refusal = self._consented(run_id, request.signoff) if request.signoff else needs(caller, Scope.ADMIN)
        if refusal is not None:
            return self._c.refuse(refusal)
        grounds = Grounds.SIGNOFF if request.signoff else Grounds.ADMIN
        before = entry.state.of(request.node)
        command = commands.Skip(
            node=request.node, by=caller.name, reason=request.reason, grounds=grounds, signoff=request.signoff
        )
        outcome = await self._operate(caller, run_id, command)
        if not isinstance(outcome, Refusal) and "signoff" not in before.asked:
            await self._people.withdraw(before, "the step is skipped")
        return outcome

    def _consented(self, run_id: str, signoff_id: str) -> Refusal | None:
        view = self._signing.signoff(signoff_id)
        if isinstance(view, Refusal):
            return view
        if view.holds and view.subject.startswith(f"run/{run_id}/"):
            return None
        return Refusal(
            "run.skip_unsigned",
            f"The sign-off is {view.status}, about {view.subject}.",
            f"Ask for one about run/{run_id}/NODE, and wait until it is approved.",
        )

    async def waive(self, caller: Caller, run_id: str, request: WaiveRequest) -> RunView | Refusal:
        """Ask roles to sign that what is held may be passed; it is once they all have."""
        entry = needs(caller, Scope.OPERATOR) or self._entry(run_id)
        if isinstance(entry, Refusal):
            return self._c.refuse(entry)
        ask = commands.AskWaiver(node=request.node, by=caller.name, reason=request.reason, signoff="-")
        tried = runs.decide(entry.state, ask, self._c.dispatcher.now())
        node = entry.state.node(request.node)
        if isinstance(tried, Refusal) or node is None or self._consent is None:
            return self._c.refuse(tried) if isinstance(tried, Refusal) else self.run(run_id)
        signoff = await self._consent.waiver(entry, node, caller, request.reason, request.roles)
        if isinstance(signoff, Refusal):
            return signoff
        return await self._operate(caller, run_id, msgspec.structs.replace(ask, signoff=signoff.signoff_id))

    async def migrate(self, caller: Caller, run_id: str, request: MigrateRequest) -> RunView | Refusal:
        """Go on with another runsheet: paused, reviewed as ready, the review recorded."""
        read = needs(caller, Scope.OPERATOR) or self._sound(caller, request.runsheet, request.digest)
        entry = self._entry(run_id)
        if isinstance(read, Refusal):
            return self._c.refuse(read)
        if isinstance(entry, Refusal):
            return self._c.refuse(entry)
        command = commands.Migrate(
            runsheet=msgspec.Raw(request.runsheet.encode()), digest=request.digest, review=review(read).overall,
            by=caller.name, reason=request.reason,
        )  # fmt: skip
        tried = runs.decide(entry.state, command, self._c.dispatcher.now())
        if isinstance(tried, Refusal):
            return self._c.refuse(tried)
        recorded = await self._signing.reviews.record(caller, request.runsheet)
        return recorded if isinstance(recorded, Refusal) else await self._operate(caller, run_id, command)

    async def _operate(self, caller: Caller, run_id: str, command: commands.Operation) -> RunView | Refusal:
        refusal = needs(caller, Scope.OPERATOR) or self._entry(run_id)
        if isinstance(refusal, Refusal):
            return self._c.refuse(refusal)
        outcome = await self._c.dispatcher.run(stream_of("run", run_id), command, by=caller.name)
        return self._c.refuse(outcome) if isinstance(outcome, Refusal) else self.run(run_id)


def _absent(where: str, name: str) -> Refusal:
    return Refusal(
        "run.member_unknown",
        f"{name} is called on by {where} and is not registered here.",
        "Make a token with `crossfade token new`, or name somebody else.",
        {"name": name},
    )
