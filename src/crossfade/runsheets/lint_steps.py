"""Lint rules about steps: what each kind needs, which way the share goes, what cannot be taken back."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from crossfade.core.catalogue import CHECKS, HUB_CALLS
from crossfade.core.runsheets import Phase, Runsheet, Step
from crossfade.runsheets.lint_parts import role_held
from crossfade.runsheets.plan_files import parse_plan
from crossfade.runsheets.problems import did_you_mean
from crossfade.runsheets.slips import Slip

NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "command": ("run",),
    "http": ("run",),
    "hub": ("run",),
    "wait": ("wait",),
    "measure": ("run",),
    "check": ("run",),
    "ask": ("to", "message"),
    "meeting": ("to", "message"),
    "share": ("share",),
}
"""What a step of each kind cannot do without."""
OWN: Final = ("run", "args", "wait", "to", "message", "choices", "share")
OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    "command": ("args",),
    "http": ("args",),
    "hub": ("args",),
    "ask": ("choices",),
    "meeting": ("choices",),
    "measure": ("args",),
    "check": ("args",),
}
ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def _steps(runsheet: Runsheet) -> Iterator[tuple[str, Step, Phase]]:
    for index, phase in enumerate(runsheet.phases):
        for place, step in enumerate(phase.steps):
            yield f"phases.{index}.steps.{place}", step, phase


def kinds(runsheet: Runsheet) -> Iterator[Slip]:
    """A step has what its kind needs, and nothing that its kind ignores."""
    for path, step, _ in _steps(runsheet):
        for name in NEEDS[step.kind]:
            if getattr(step, name) in ("", (), None):
                yield Slip("step_incomplete", path, f"step {step.id} of kind {step.kind} needs {name}")
        allowed = (*NEEDS[step.kind], *OPTIONAL.get(step.kind, ()), *(("share",) if step.by_plan else ()))
        for name in OWN:
            if name not in allowed and getattr(step, name) not in ("", (), None, {}):
                yield Slip("step_ignores", f"{path}.{name}", f"a step of kind {step.kind} makes no use of {name}")


def plans(runsheet: Runsheet) -> Iterator[Slip]:
    """A plan that a step lets drive makes sense, ends at the share that the step says, and has the time it needs."""
    for path, step, _ in _steps(runsheet):
        if not step.by_plan:
            continue
        if runsheet.target.kind != "hub":
            said = f"a plan drives the hub's own rollout; the target is a {runsheet.target.kind}"
            yield Slip("plan_elsewhere", f"{path}.run", said)
        read = parse_plan(step.args.get("plan", "").encode(), "args.plan")
        if isinstance(read, list):
            yield Slip("plan_wrong", f"{path}.args.plan", str(read[0]), "give the text of a plan, as lint accepts it")
            continue
        if step.args.get("digest", read.digest) != read.digest:
            said = f"the plan's digest is {read.digest}"
            yield Slip("plan_differs", f"{path}.args.digest", said, "`crossfade rollout plan show FILE` says it")
        if step.share != read.plan.stages[-1].share:
            said = f"the plan ends at {read.plan.stages[-1].share:.4g}"
            yield Slip("plan_ends_elsewhere", f"{path}.share", said, "say the share of its last stage")
        least = timedelta(seconds=sum(stage.bake_seconds or 0 for stage in read.plan.stages))
        if step.budget <= least:
            said = f"its shares have to stand for {least} at least, the budget is {step.budget}"
            yield Slip("plan_over_budget", f"{path}.budget", said, "give the longest time that it may take")


def names(runsheet: Runsheet) -> Iterator[Slip]:
    """Calls of the hub exist; checks are of the catalogue, or are named on purpose."""
    for path, step, _ in _steps(runsheet):
        if step.kind == "hub" and step.run and step.run not in HUB_CALLS:
            hint = did_you_mean(step.run, HUB_CALLS)
            yield Slip("unknown_call", f"{path}.run", f"the hub has no call {step.run!r}", hint)
        if step.kind in {"check", "measure"}:
            yield from _check(f"{path}.run", step.run)
    for index, phase in enumerate(runsheet.phases):
        for name in ("entry", "exit"):
            for place, gate in enumerate(getattr(phase, name)):
                yield from _check(f"phases.{index}.{name}.{place}.check", gate.check)


def _check(path: str, name: str) -> Iterator[Slip]:
    if name and name not in CHECKS:
        hint = did_you_mean(name, CHECKS)
        said = f"no check {name!r} is known: it will come out as not measured"
        yield Slip("unknown_check", path, said, hint, severity="warning")


def people(runsheet: Runsheet) -> Iterator[Slip]:
    """Roles that are asked are held; a quorum can be reached."""
    for path, step, _ in _steps(runsheet):
        if step.kind not in {"ask", "meeting"}:
            continue
        for name in step.to:
            if name.startswith("role:"):
                yield from role_held(runsheet, f"{path}.to", name.removeprefix("role:"))
        if not 1 <= step.quorum <= max(1, _voices(runsheet, step)):
            said = f"a quorum of {step.quorum} among {_voices(runsheet, step)} who are asked"
            yield Slip("quorum_impossible", f"{path}.quorum", said)


def _voices(runsheet: Runsheet, step: Step) -> int:
    held = {role.value: set(members.members) for role, members in runsheet.roles.items()}
    asked: set[str] = set()
    for name in step.to:
        asked |= held.get(name.removeprefix("role:"), set()) if name.startswith("role:") else {name}
    return len(asked)


def shares(runsheet: Runsheet) -> Iterator[Slip]:
    """The share never falls, and a phase ends with the share it says."""
    reached = 0.0
    for index, phase in enumerate(runsheet.phases):
        before = reached
        for place, step in enumerate(phase.steps):
            if not step.moves_share or step.share is None:
                continue
            if step.share < reached:
                said = f"the share falls from {reached:.4g} to {step.share:.4g}"
                yield Slip("share_falls", f"phases.{index}.steps.{place}.share", said, "going back is a rollback")
            reached = max(reached, step.share)
        if phase.share < before:
            said = f"the share falls from {before:.4g} to {phase.share:.4g}"
            yield Slip("share_falls", f"phases.{index}.share", said, "going back is a rollback")
        elif phase.share != reached:
            said = f"phase {phase.id} ends at {phase.share:.4g}, its steps at {reached:.4g}"
            yield Slip("share_unreached", f"phases.{index}.share", said, "add a step of kind share")


def irreversible(runsheet: Runsheet) -> Iterator[Slip]:
    """What cannot be undone is signed for; what can be says how."""
    for path, step, phase in _steps(runsheet):
        if step.irreversible and not any(signoff.roles for signoff in phase.entry_signoffs):
            said = f"step {step.id} cannot be undone, and phase {phase.id} asks for no sign-off"
            yield Slip("irreversible_unsigned", path, said, "add entry_signoffs")
        if step.kind not in {"command", "http"} or step.irreversible:
            continue
        for name in ("verify", "undo"):
            if not getattr(step, name):
                said = f"step {step.id} does not say how to {'see that it worked' if name == 'verify' else 'undo it'}"
                yield Slip(f"no_{name}", path, said, f"add {name}:, or irreversible: true", severity="warning")


def removal(runsheet: Runsheet) -> Iterator[Slip]:
    """Removing the old lane is not a reversible step, whatever the file says."""
    for path, step, _ in _steps(runsheet):
        if step.kind == "hub" and step.run == "rollout.remove" and not step.irreversible:
            yield Slip("irreversible_unmarked", path, f"step {step.id} cannot be undone", "add irreversible: true")


def ids(runsheet: Runsheet) -> Iterator[Slip]:
    """Ids are short plain words, because they stand in paths, streams and commands."""
    for path, step, _ in _steps(runsheet):
        yield from _plain(f"{path}.id", step.id)
    for index, phase in enumerate(runsheet.phases):
        yield from _plain(f"phases.{index}.id", phase.id)
        for name in ("entry", "exit"):
            for place, gate in enumerate(getattr(phase, name)):
                yield from _plain(f"phases.{index}.{name}.{place}.id", gate.id)
    yield from _plain("name", runsheet.name)
    for name in runsheet.slos:
        yield from _plain(f"slos.{name}", name)


def _plain(path: str, name: str) -> Iterator[Slip]:
    if not ID.fullmatch(name):
        yield Slip("id_not_plain", path, f"{name[:64]!r} is no id", "small letters, digits, - and _")


STEP_RULES: Final[tuple[Callable[[Runsheet], Iterator[Slip]], ...]] = (
    kinds,
    names,
    plans,
    people,
    shares,
    irreversible,
    removal,
    ids,
)
