"""The simulation itself: it replays exactly, gets everywhere, breaks no promise, and sees a planted fault."""

import asyncio
import gc
import os
import re
import subprocess
import sys
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from crossfade.core import questions, shapes
from crossfade.core.histories import Ask, Read
from crossfade.core.values import SECOND
from crossfade.engine import streams
from crossfade.engine.committer import Committer
from crossfade.engine.dispatcher import Dispatcher
from crossfade.engine.ports import Committed, Duplicate, Result
from crossfade.engine.reactor import Reactor
from crossfade.engine.views.mailboxes import Mailbox
from tests.kit.tree import ROOT
from tests.simulation.places import SOMETIMES, missed
from tests.simulation.schedule import Outcome, run_schedule, template

SEEDS = int(os.environ.get("CROSSFADE_TEST_SEEDS", "250"))


@pytest.fixture(autouse=True)
def _beginning() -> Iterator[None]:
    """The disk on which schedules begin is made before anything is planted."""
    template()
    with silence():
        yield


@contextmanager
def silence() -> Iterator[None]:
    """Coroutines of a life that was cut off were never awaited, and that is the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def played(seeds: range) -> list[Outcome]:
    with silence():
        return [run_schedule(seed) for seed in seeds]


def found(seeds: range, *parts: str) -> bool:
    """Whether one of the schedules, played until it is so, has a fault; one that says any of ``parts`` if given."""
    with silence():
        faults = (run_schedule(seed).fault for seed in seeds)
        return any(fault and (not parts or any(part in fault for part in parts)) for fault in faults)


@pytest.mark.requirement("P26")
def test_no_schedule_breaks_a_promise_and_together_they_get_nearly_everywhere() -> None:
    outcomes = played(range(1, SEEDS + 1))
    assert [(outcome.seed, outcome.fault) for outcome in outcomes if outcome.fault] == []
    reached: Counter[str] = Counter()
    for outcome in outcomes:
        reached.update(outcome.reached)
    assert len(missed(reached, SOMETIMES)) <= 2


def test_a_seed_gives_the_same_schedule_in_every_process() -> None:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.simulation", "--seed", "9"]
    told = {
        subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()[
            0
        ]
        for _ in range(2)
    }
    assert len(told) == 1
    assert "digest" in told.pop()


def test_the_order_that_words_have_in_a_set_decides_nothing() -> None:
    """In this seed it once did; planted faults that are looked for in this process need it not to."""
    program = "from tests.simulation.schedule import run_schedule; print(run_schedule(30).digest)"
    told = set()
    for order in ("1", "6"):
        environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONHASHSEED": order}
        command = [sys.executable, "-c", program]
        told.add(subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout)
    assert len(told) == 1


SHORT = 92
"""A seed whose schedule has two questions and some four hundred steps."""


def test_a_crash_before_any_step_of_a_schedule_breaks_no_promise() -> None:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.simulation", "--sweep", "--seed", str(SHORT)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    steps, crashes = (int(found) for found in re.findall(r"1 sweeps, (\d+) steps, (\d+) crashes", done.stdout)[0])
    assert 0.95 * steps < crashes <= steps


def test_a_campaign_that_missed_a_place_says_which() -> None:
    assert missed({"a": 1}, ("a", "b")) == ["b"]


# --- planted faults: each is found within a few hundred seeds ---------------------------------------------


def test_two_answers_to_one_question_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M4: the state is read, then somebody else is first, and nobody compares."""
    from crossfade.logs import batch

    monkeypatch.setattr(batch, "_refusal", lambda _tx, used, _ends: Duplicate(*used) if used is not None else None)
    assert found(range(1, 40))


def test_an_acknowledgement_before_the_write_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M20: told first, written later."""
    commit = Committer._commit

    async def hasty(self: Committer, batch: deque[Any]) -> None:
        head = self.head
        for tx, *_, told in batch:
            told(Committed(head + 1, head + len(tx.events)))  # type: ignore[arg-type]
        await commit(self, deque((*pending[:2], lambda _: None) for pending in batch))
        batch.clear()

    monkeypatch.setattr(Committer, "_commit", hasty)
    assert found(range(1, 20))


def test_a_view_that_is_ahead_of_the_log_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Projected first, stored later."""

    async def eager(self: Committer, batch: deque[Any]) -> None:
        head, expected = self.head, []
        for tx, *_ in batch:
            expected.append(Committed(head + 1, head + len(tx.events)))  # type: ignore[arg-type]
            head += len(tx.events)  # type: ignore[assignment]
        self._project(self._recorded(batch, expected))  # type: ignore[arg-type]
        for result in await self._log.append(self._shard, [pending[0] for pending in batch]):
            batch.popleft()[2](result)

    monkeypatch.setattr(Committer, "_commit", eager)
    assert found(range(1, 4), "I11")


def test_an_expiry_that_does_not_look_at_the_clock_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M12: the expiry trusts its timer, and the timer is early."""
    decide = questions.DECIDER.decide

    def trusting(state: Any, command: Any, now: Any) -> Any:
        return decide(state, command, now + 2 * SECOND if isinstance(command, questions.Expire) else now)

    machine = msgspec.structs.replace(questions.DECIDER, decide=trusting)
    monkeypatch.setitem(streams.DECIDERS, "question", machine)
    soon = lambda self, entry: self._c.timers.at(entry.state.deadline - SECOND // 100, lambda: self._expire(entry))  # noqa: E731
    monkeypatch.setattr(Reactor, "_arm", soon)
    assert found(range(1, 20))


def test_an_answer_of_any_shape_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M13: the shape is not looked at."""
    monkeypatch.setattr(shapes, "check_raw", lambda *_: None)  # type: ignore[attr-defined]
    assert found(range(1, 80), "I7")


def test_a_wake_up_that_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M18: the notification is lost, and waits are longer than the schedule."""
    monkeypatch.setattr(Mailbox, "put", lambda *_: None)
    assert found(range(1, 6), "I3")


def test_a_mailbox_that_forgets_what_was_not_acknowledged_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Mailbox.page

    def greedy(self: Mailbox, after: int, limit: int) -> Any:
        found, more = page(self, after, limit)
        for mail in found:
            del self.mail[mail.sequence]
        return found, more

    monkeypatch.setattr(Mailbox, "page", greedy)
    assert found(range(1, 60))


def test_a_key_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M1: the same key is taken twice."""
    transaction = Dispatcher._tx

    def careless(self: Dispatcher, stream: Any, slot: Any, events: Any, envelope: Any, key: bytes | None) -> Any:
        return transaction(self, stream, slot, events, envelope, None)

    monkeypatch.setattr(Dispatcher, "_tx", careless)
    assert found(range(1, 120), "I8", "phantom")


def test_a_log_that_drops_its_tail_at_a_crash_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """M8: what was acknowledged is gone after the restart."""
    from tests.simulation.world import World

    bury = World._bury

    def torn(self: World, life: Any) -> None:
        bury(self, life)
        rows = self.disk.rows(1)  # type: ignore[arg-type]
        if len(rows) > 12:
            rows.pop()

    monkeypatch.setattr(World, "_bury", torn)
    assert found(range(1, 40))


def test_what_the_history_checker_reads_is_what_agents_saw() -> None:
    """A schedule without asks and reads would prove nothing: each has some."""
    from tests.simulation.schedule import _Run
    from tests.simulation.world import World

    world = World(3, template())
    _Run(world).run()
    kinds = {type(op) for op in world.history}
    world.loop.end()
    assert {Ask, Read} <= kinds


def test_nothing_of_a_life_runs_after_its_end() -> None:
    import random

    from tests.simulation.loop import LIFE, SimLoop

    loop = SimLoop(random.Random(1))  # type: ignore[abstract]
    steps: list[str] = []

    async def doomed() -> Result | None:
        LIFE.set(1)
        try:
            await asyncio.sleep(1)
            steps.append("woke")
        finally:
            steps.append("cleaned up")
        return None

    async def world() -> None:
        loop.create_task(doomed())
        await asyncio.sleep(0.5)
        loop.dead.add(1)
        await asyncio.sleep(2)

    main = loop.create_task(world())
    loop.run_until(main.done, 1_000)
    assert steps == []
    loop.end()


def test_the_official_client_and_the_whole_server_keep_the_promises_through_crashes() -> None:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.simulation", "--stack", "--seeds", "12", "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "12 full-stack runs" in done.stdout


def test_a_run_of_the_full_stack_replays_exactly() -> None:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.simulation", "--stack", "--seed", "5"]
    told = {
        subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout.splitlines()[
            0
        ]
        for _ in range(2)
    }
    assert len(told) == 1
