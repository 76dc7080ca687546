"""A runsheet's canonical JSON as the nodes of a run, or why no run can be made of it."""

from hashlib import sha256
from typing import Final

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.run_plan import PlanNode, duplicate, plan_of
from crossfade.core.runsheets import Runsheet

NODES_MAX: Final = 1_000


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
