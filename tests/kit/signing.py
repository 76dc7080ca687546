"""Sign-offs in tests: a world with reviewers, requests, and answers to their forms."""

from typing import Any

import msgspec

from crossfade.core.decider import Refusal
from crossfade.core.signoff_events import Panel, Parts
from crossfade.core.values import AgentName, Caller
from crossfade.engine.requests import AnswerRequest, QuestionView
from crossfade.engine.signing_views import SignoffRequest, SignoffView
from tests.kit.hub import ROOT, World, ok

PARTS = Parts(runsheet="a" * 64, evidence="b" * 64, flags="c" * 64)
OTHER = Parts(runsheet="a" * 64, evidence="d" * 64, flags="c" * 64)
HOUR = 3_600.0


def panel(*members: str, quorum: int = 1) -> Panel:
    """A role's members."""
    return Panel(members=tuple(AgentName(name) for name in members), quorum=quorum)


async def request(world: World, roles: dict[str, Panel], *, caller: Caller = ROOT, **more: Any) -> SignoffView:
    """Ask for a sign-off that must be accepted."""
    return ok(await asked(world, roles, caller=caller, **more))


async def asked(world: World, roles: dict[str, Panel], *, caller: Caller = ROOT, **more: Any) -> SignoffView | Refusal:
    """Ask for a sign-off."""
    wanted = SignoffRequest(
        **{
            "subject": "run/r_1/phase/canary/entry",
            "about": "Begin the canary?",
            "parts": PARTS,
            "roles": roles,
            "deadline_seconds": HOUR,
            "valid_seconds": 24 * HOUR,
            "summary": "p99 212 ms of 300",
            **more,
        }
    )
    return await world.hub.signing.request(caller, wanted)


async def form(world: World, caller: Caller) -> QuestionView:
    """The newest open question of a member."""
    return (await world.hub.open_questions(caller))[-1]


async def sign(world: World, caller: Caller, outcome: str = "approved", **more: str) -> QuestionView | Refusal:
    """Answer the newest open question, and let the answer take effect."""
    question = await form(world, caller)
    content = msgspec.Raw(msgspec.json.encode({"outcome": outcome, **more}))
    answered = await world.hub.answer(caller, AnswerRequest(question_id=question.question_id, content=content))
    await world.clock.advance(0)
    return answered


def shown(world: World, view: SignoffView) -> SignoffView:
    """The sign-off as it is now."""
    return ok(world.hub.signing.signoff(view.signoff_id))
