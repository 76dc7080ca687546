"""What measuring costs: CPU of a question asked, delivered to an open wait and answered, with and without it.

    python -m bench.measuring [--questions 2000] [--rounds 9] [--json]

One process, log in memory, so that as little as possible hides the difference. CPU time, not wall time. ``none``
replaces every hook by nothing, as if it had never been written; ``off`` is a hub that measures nothing; ``on`` one
that measures a baseline. Prints the median of the repeats, which alternate.
"""

import argparse
import asyncio
import time
from unittest.mock import patch

import msgspec

from bench.found import Found, Measured, Ratio
from crossfade.core.values import AgentName, Caller, Channel, Kind, Scope
from crossfade.engine.hub import Hub
from crossfade.engine.limits import Limits
from crossfade.engine.requests import AnswerRequest, AskRequest, ReceiveRequest
from crossfade.engine.tallying import Tallies
from crossfade.engine.views.readiness import Readiness
from crossfade.logs.memory import MemoryLog
from crossfade.outbound.host import HostClock, HostIds

ROOT = Caller(name=AgentName("root"), kind=Kind.PERSON, scopes=frozenset(Scope))
SHIP = msgspec.Raw(b'{"choice":"yes"}')
HOOKS = ((Tallies, ("react", "shown", "served", "polled", "streamed", "begin")), (Readiness, ("enter", "leave")))


async def rounds(count: int, *, measured: bool) -> float:
    """CPU seconds for so many questions."""
    hub = Hub(MemoryLog(), HostClock(), HostIds(), Limits(commands_per_second_max=1e9), guests=True)
    await hub.start()
    callers = []
    for name in ("ana", "bo"):
        issued = await hub.issue_token(ROOT, name, Kind.PROGRAM, [Scope.AGENT])
        callers.append(hub.authenticate(issued.token))  # type: ignore[union-attr]
    ana, bo = callers
    if measured:
        await hub.baselines.start(ROOT, 3_600.0)
    request = hub.measuring.request
    began = time.process_time()
    for number in range(count):
        wait = asyncio.ensure_future(
            request("bo", hub.receive(bo, ReceiveRequest(channel=Channel.POLL, wait_seconds=30)))  # type: ignore[arg-type]
        )
        await asyncio.sleep(0)
        asked = AskRequest(to="bo", message=f"{number}?", choices=("yes", "no"))
        view = await request("ana", hub.ask(ana, asked))  # type: ignore[arg-type]
        await wait
        answer = AnswerRequest(question_id=view.question_id, content=SHIP, channel=Channel.POLL)  # type: ignore[union-attr]
        ended = await request("bo", hub.answer(bo, answer))  # type: ignore[arg-type]
        assert ended.status == "answered", ended  # type: ignore[union-attr]
    took = time.process_time() - began
    await hub.stop()
    return took


def once(count: int, how: str) -> float:
    """CPU microseconds a question."""
    patches = [
        patch.object(kind, name, lambda *_, **__: None) for kind, names in HOOKS for name in names if how == "none"
    ]
    for one in patches:
        one.start()
    try:
        return asyncio.run(rounds(count, measured=how == "on")) / count * 1e6
    finally:
        for one in patches:
            one.stop()


def main() -> None:
    """Measure the three in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, list[float]] = {"none": [], "off": [], "on": []}
    once(given.questions // 4, "on")
    for _ in range(given.rounds):
        for how, times in found.items():
            times.append(once(given.questions, how))
    measured = tuple(Measured(name=f"a question, {how}", unit="µs", each=tuple(each)) for how, each in found.items())
    ratios = tuple(
        Ratio(name=f"{how} / none", each=tuple(a / b for a, b in zip(found[how], found["none"], strict=True)))
        for how in ("off", "on")
    )
    Found(measured=measured, ratios=ratios).show(as_json=given.json)


if __name__ == "__main__":
    main()
