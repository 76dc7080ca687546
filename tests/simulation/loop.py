"""An event loop on simulated time whose every choice comes from one seed.

Not a general loop: no sockets, no threads, no subprocesses. What runs on it is real asyncio code.

Rules
-----
1. Time moves only when nothing is ready, straight to the next timer.
2. With ``shuffled`` any ready callback may run next, in an order that the dice choose; without, they run as
   asyncio promises, first come first served. A schedule is one or the other.
3. Everything belongs to a life. A life that ends, ends between two callbacks: nothing of it runs any more,
   no ``finally``, no destructor, as after SIGKILL or a power cut.
4. Tasks and futures hash by number, so that a set of them has the same order in every process.
"""

import asyncio
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

import msgspec

LIFE: ContextVar[int] = ContextVar("life", default=0)
"""The life to which the running code belongs; 0 is the world, which never ends."""


FINDERS: Final = (
    (events, "get_running_loop"),
    (events, "_get_running_loop"),
    (events, "_get_event_loop"),
    (asyncio, "get_running_loop"),
)
"""Who is asked for the running loop. Python asks the kernel for the process's number each time: a tenth of a run."""


class StuckError(AssertionError):
    """Nothing can happen any more, or too much has."""


class SimHandle(msgspec.Struct, eq=False):
    """A callback that is to run."""

    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    context: Context
    when_ns: int

    def cancel(self) -> None:
        """Do not run."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """It will not run."""
        return self.callback is None

    def when(self) -> float:
        """The loop's time at which it runs, in seconds."""
        return self.when_ns / 1e9


def wake(future: "asyncio.Future[None]") -> None:
    """Let its waiter go on."""
    if not future.done():
        future.set_result(None)


class SimFuture(asyncio.Future[Any]):
    """A future that hashes by number."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        return self.number


class SimTask(asyncio.Task[Any]):
    """A task that hashes by number, and is silent when its life ends."""

    number = 0
    _log_destroy_pending = False

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.AbstractEventLoop):
    """Runs callbacks until told to stop; see the module's rules."""

    def __init__(self, dice: random.Random, *, shuffled: bool = True) -> None:
        self.now_ns = 0
        self.step_ns = 0
        """How long a step takes."""
        self.steps = 0
        self.dead: set[int] = set()
        """Lives that have ended."""
        self.faults: list[str] = []
        """What callbacks raised, and what tasks of the living raised that nobody looked at."""
        self.tasks: list[SimTask] = []
        """Every task, so that none is destroyed while the schedule runs."""
        self.at_step: tuple[int, Callable[[], None]] | None = None
        """Call this before that step."""
        self._dice = dice
        self._shuffled = shuffled
        self._ready: list[SimHandle] | deque[SimHandle] = [] if shuffled else deque()
        self._timers: list[tuple[int, int, SimHandle]] = []
        self._count = 0
        self._closed = False

    # --- running --------------------------------------------------------------------------------------

    def run_until(self, done: Callable[[], bool], steps_max: int) -> None:
        """Run until ``done`` says so. Raises StuckError when nothing is left to run, or after ``steps_max`` steps."""
        outer = events._get_running_loop()
        events._set_running_loop(self)
        found = {(module, name): getattr(module, name) for module, name in FINDERS}
        try:
            for module, name in FINDERS:
                setattr(module, name, self._found)
            self._run(done, steps_max, self._dice.random if self._shuffled else None)
        finally:
            for (module, name), function in found.items():
                setattr(module, name, function)
            events._set_running_loop(outer)

    def _found(self, **_: object) -> "SimLoop":
        return self

    def _run(self, done: Callable[[], bool], steps_max: int, choice: Callable[[], float] | None) -> None:
        # Most of a campaign's time is here, so it is one loop on local names, and short-lived things are not named.
        ready, timers, dead, step_ns = self._ready, self._timers, self.dead, self.step_ns
        first = ready.popleft if isinstance(ready, deque) else ready.pop
        while not done():
            if not ready or (timers and timers[0][0] <= self.now_ns):
                self._pass_time()
            self.now_ns += step_ns
            if self.at_step is not None and self.steps >= self.at_step[0]:
                self._interrupt()
            if not ready:
                continue
            if choice is not None:
                place = int(choice() * len(ready))
                ready[place], ready[-1] = ready[-1], ready[place]
            handle = first()
            callback = handle.callback
            if callback is None or (dead and handle.context.get(LIFE, 0) in dead):
                continue
            self.steps += 1
            if self.steps > steps_max:
                raise StuckError(f"more than {steps_max} steps")
            try:
                handle.context.run(callback, *handle.args)
            except Exception as fault:  # noqa: BLE001 - a callback that raises is what the simulation looks for
                self.faults.append(f"a callback raised {fault!r}")

    def _interrupt(self) -> None:
        assert self.at_step is not None
        call, self.at_step = self.at_step[1], None
        call()

    def _pass_time(self) -> None:
        """Go on to the next instant at which something is due."""
        timers = self._timers
        while timers and (timers[0][2].callback is None or timers[0][2].context.get(LIFE, 0) in self.dead):
            heapq.heappop(timers)
        if not timers:
            if self._ready:
                return
            raise StuckError("everybody waits for somebody")
        if self._ready and timers[0][0] > self.now_ns:
            return
        self.now_ns = max(self.now_ns, timers[0][0])
        while timers and timers[0][0] <= self.now_ns:
            self._ready.append(heapq.heappop(timers)[2])

    def end(self) -> None:
        """Let everything go; nothing runs any more."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        self.tasks.clear()

    # --- what asyncio asks of a loop ------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the loop began."""
        return self.now_ns / 1e9

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        """Run ``callback`` in a later step."""
        handle = SimHandle(callback, args, context if context is not None else copy_context(), self.now_ns)
        if not self._closed:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def at_ns(self, when_ns: int, callback: Any, *args: Any, context: Context | None = None) -> SimHandle:
        """Run ``callback`` at an instant of the loop's time, to the nanosecond."""
        handle = SimHandle(callback, args, context if context is not None else copy_context(), when_ns)
        self._count += 1
        if not self._closed:
            heapq.heappush(self._timers, (max(when_ns, self.now_ns), self._count, handle))
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        """Run ``callback`` at ``when`` seconds of the loop's time."""
        return self.at_ns(int(when * 1e9), callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        """Run ``callback`` after ``delay`` seconds."""
        return self.at_ns(self.now_ns + int(delay * 1e9), callback, *args, context=context)

    def nap(self, seconds: float) -> Any:
        """As ``asyncio.sleep``, without the coroutine around it. An awaitable."""
        future = self.create_future()
        self.at_ns(self.now_ns + int(seconds * 1e9), wake, future)
        return future

    def create_future(self) -> Any:
        """A future of this loop."""
        future = SimFuture(loop=self)
        self._count += 1
        future.number = self._count
        return future

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> Any:
        """A task of this loop."""
        self._count += 1
        SimTask.number = self._count  # for the set in which the constructor registers the task
        task = SimTask(coro, loop=self, name=name or "simulated", context=context)
        task.number = self._count
        self.tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """What a thread would do, done in a later step."""
        future = self.create_future()

        def work() -> None:
            if not future.done():
                future.set_result(func(*args))

        self.call_later(self._dice.random() * 0.01, work)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what went wrong where nobody looks."""
        life = LIFE.get()
        if not self._closed and life not in self.dead:
            self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """As above."""
        self.call_exception_handler(context)

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As long as something asks."""
        return not self._closed

    def is_closed(self) -> bool:
        """After ``end``."""
        return self._closed

    def get_task_factory(self) -> None:
        """None."""

    def get_exception_handler(self) -> None:
        """None."""
