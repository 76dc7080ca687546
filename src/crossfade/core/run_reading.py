"""A runsheet's canonical JSON as the nodes of a run, or why no run can be made of it, or go on with it."""

from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.run_commands import READY, Migrate
from crossfade.core.run_events import Migrated, Status
from crossfade.core.run_plan import PlanNode, duplicate, plan_of
from crossfade.core.run_state import NOTHING, State
from crossfade.core.runsheets import Runsheet

NODES_MAX: Final = 1_000
REASON_LENGTH_MAX: Final = 1_000


def read_plan(source: msgspec.Raw, digest: str) -> tuple[PlanNode, ...] | Refusal:
    """The nodes of a runsheet that a run can be made of."""
    if sha256(bytes(source)).hexdigest() != digest:
        return Refusal("run.bad_digest", "The digest is not that of the runsheet.", "Load the runsheet again.")
    try:
        runsheet = msgspec.json.decode(bytes(source), type=Runsheet)
    except msgspec.DecodeError as error:
        return Refusal("run.bad_runsheet", f"The runsheet cannot be read: {error}.", "Run `crossfade runsheet lint`.")
    plan = plan_of(runsheet)
    twice = duplicate(plan)
    if twice or not 1 <= len(plan) <= NODES_MAX:
        what = f"has {twice} twice" if twice else f"has {len(plan)} nodes, not 1 to {NODES_MAX}"
        return Refusal("run.bad_runsheet", f"The runsheet {what}.", "Run `crossfade runsheet lint`.")
    return _roles(runsheet, plan) or plan


def _roles(runsheet: Runsheet, plan: tuple[PlanNode, ...]) -> Refusal | None:
    """Why a role that the runsheet calls on cannot do its part; None if all can."""
    wanted = {str(role) for node in plan if node.signoff is not None for role in node.signoff.roles}
    addressed = (name for node in plan if node.step is not None for name in node.step.to)
    wanted |= {name.removeprefix("role:") for name in addressed if name.startswith("role:")}
    held = {str(role): members for role, members in runsheet.roles.items()}
    for role in sorted(wanted):
        if role not in held or len(held[role].members) < max(1, held[role].quorum):
            return Refusal(
                "run.role_empty",
                f"Not enough people hold the role {role!r} for its quorum.",
                f"Name members under roles.{role}.",
                {"role": role},
            )
    return None


def not_ready(review: str) -> Refusal:
    """The refusal of a runsheet whose review does not let it be run."""
    return Refusal(
        "run.not_ready",
        f"The review of this runsheet says {review or 'nothing'}.",
        "`crossfade runsheet review` lists the findings.",
        {"review": review},
    )


def migrated(state: State, command: Migrate) -> tuple[Migrated, ...] | Refusal:
    """Let a paused run go on with another runsheet, or refuse it."""
    if state.status is not Status.PAUSED:
        return Refusal("run.not_paused", f"The run is {state.status}.", "Pause it first.")
    if command.digest == state.digest:
        return Refusal("run.same_digest", "That is the runsheet it has already.", "Resume it.")
    if command.review != READY:
        return not_ready(command.review)
    plan = unreasoned(command.reason) or read_plan(command.runsheet, command.digest)
    if isinstance(plan, Refusal):
        return plan
    ids = {node.id for node in plan}
    dropped = [node for node, progress in state.progress.items() if progress != NOTHING and node not in ids]
    if dropped:
        return Refusal(
            "run.drops_nodes",
            f"The new runsheet lacks {dropped[0]}, which was begun.",
            "Keep what was begun, under its id.",
            {"node": dropped[0]},
        )
    return (
        Migrated(
            runsheet=command.runsheet, digest=command.digest, replaces=state.digest, by=command.by,
            nodes=tuple(node.id for node in plan), review=command.review,
            reason=command.reason.strip()[:REASON_LENGTH_MAX],
        ),
    )  # fmt: skip


def unreasoned(reason: str) -> Refusal | None:
    """Refuse what nobody gave a reason for."""
    return None if reason.strip() else Refusal("run.no_reason", "This takes a reason.", "Say why; it is recorded.")
