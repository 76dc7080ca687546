"""The one thread that touches the file, and the way to it and back from an event loop.

Everything that is queued is taken at once: all appends become one durable write, whatever their
shard, and each caller hears of its own. Reads run between writes, so their callers ask for little
at a time. What the thread has to say goes back in one call to the event loop.
"""

import asyncio
import threading
from collections.abc import Callable
from collections.abc import Sequence as Seq
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import msgspec

from crossfade.core.values import Shard
from crossfade.engine.ports import Head, LogError, Result, Tx, UnavailableError, UnknownOutcomeError
from crossfade.logs.audit import recover
from crossfade.logs.batch import Resolved
from crossfade.logs.database import Database

P = ParamSpec("P")
T = TypeVar("T")

JOBS_WAITING_MAX: Final = 10_000
"""More callers than that are turned away with UnavailableError."""
RECOVER_SECONDS: Final = 1.0
"""Time between a fault of the disk and the next attempt to open the file anew."""
TXS_PER_COMMIT_MAX: Final = 10_000
"""Nothing more is added to a commit that has so many; one append more may already be in it."""
PAYLOAD_BYTES_PER_COMMIT_MAX: Final = 32 * 1024 * 1024


class Append(msgspec.Struct, frozen=True, eq=False):
    """Transactions for one shard; the future gets a ``list[Result]``."""

    shard: Shard
    txs: Seq[Tx]
    payload_bytes: int
    future: "asyncio.Future[list[Result]]"


class Call(msgspec.Struct, frozen=True, eq=False):
    """Work on the file that stores nothing; the future gets what it returns."""

    work: Callable[[Database], Any]
    future: "asyncio.Future[Any]"


class _Recover(msgspec.Struct, frozen=True, eq=False):
    pass


class _Stop(msgspec.Struct, frozen=True, eq=False):
    pass


Job = Append | Call | _Recover | _Stop


class Writer:
    """Takes jobs from one event loop; ``stored`` is called there after each write, before its callers hear.

    After a fault of the disk the thread opens the file anew every ``RECOVER_SECONDS`` until that succeeds, and
    ``recovered`` gets the heads it has then: they may lie beyond the last ones that were told.
    """

    def __init__(
        self,
        database: Database,
        stored: Callable[[list[Resolved]], None],
        recovered: Callable[[dict[Shard, Head]], None],
    ) -> None:
        self._database = database
        self._stored = stored
        self._recovered = recovered
        self._recovering: threading.Timer | None = None
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outstanding: set[asyncio.Future[Any]] = set()
        """Of those whom the thread has not told; a caller that was cancelled counts until then."""
        self._refusal = ""
        self._stopped: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name="crossfade-log", daemon=True)
        self._thread.start()

    def append(self, shard: Shard, txs: Seq[Tx], payload_bytes: int) -> "asyncio.Future[list[Result]]":
        """Store ``txs``. Who cancels the future does not hear, but its transactions may be stored."""
        future = self._future()
        self._jobs.put(Append(shard, txs, payload_bytes, future))
        return future

    async def call(self, work: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` returns, run on the thread between two writes; it has to be short."""
        future = self._future()
        self._jobs.put(Call(lambda database: work(database, *args, **kwargs), future))
        answer: T = await future
        return answer

    async def close(self) -> None:
        """Finish everything queued, then release the file. More than once is the same as once."""
        if not self._refusal:
            self.refuse_if_closed()
            self._stopped = self._heard()  # however many wait
            self._refusal = "the log is closed"
            self._jobs.put(_Stop())
        if self._stopped is not None:  # who hears last; a caller that is cancelled here leaves the thread to finish
            await asyncio.wait((self._stopped,))

    def refuse_if_closed(self) -> None:
        """Raise UnavailableError if the log takes no more calls, LogError on another event loop."""
        if self._refusal:
            raise UnavailableError(self._refusal)
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise LogError("a log belongs to the event loop on which it was first used")

    def _future(self) -> "asyncio.Future[Any]":
        self.refuse_if_closed()
        if len(self._outstanding) >= JOBS_WAITING_MAX:
            raise UnavailableError(f"{JOBS_WAITING_MAX} calls are waiting for the log already")
        return self._heard()

    def _heard(self) -> "asyncio.Future[Any]":
        """What the thread will tell, or ``_give_up``."""
        future = asyncio.get_running_loop().create_future()
        self._outstanding.add(future)
        return future

    # --- on the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn(self._take()):
                pass
        finally:  # reached by _Stop, or by a bug: then nobody may be left waiting
            if self._recovering is not None:
                self._recovering.cancel()
            self._database.close()
            self._tell(self._give_up)

    def _take(self) -> list[Job]:
        jobs = [self._jobs.get()]
        txs = size_bytes = 0
        with suppress(Empty):
            while True:
                job = jobs[-1]
                if isinstance(job, Append):
                    txs += len(job.txs)
                    size_bytes += job.payload_bytes
                if txs >= TXS_PER_COMMIT_MAX or size_bytes >= PAYLOAD_BYTES_PER_COMMIT_MAX:
                    break
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _turn(self, jobs: list[Job]) -> bool:
        appends = [job for job in jobs if isinstance(job, Append)]
        if appends:
            self._write(appends)
        for job in jobs:
            if isinstance(job, Call):
                self._answer(job)
            elif isinstance(job, _Recover):
                self._recover()
        self._database.checkpoint_if_due()
        if self._database.broken and not self._database.lost and self._recovering is None:
            self._recovering = threading.Timer(RECOVER_SECONDS, self._jobs.put, (_Recover(),))
            self._recovering.daemon = True
            self._recovering.start()
        return not any(isinstance(job, _Stop) for job in jobs)

    def _recover(self) -> None:
        self._recovering = None
        with suppress(LogError):  # the disk still fails: the next attempt is armed at the end of this turn
            recover(self._database)
            self._tell(self._recovered, dict(self._database.heads))

    def _write(self, appends: list[Append]) -> None:
        work: dict[Shard, list[Tx]] = {}
        for job in appends:
            work.setdefault(job.shard, []).extend(job.txs)
        try:
            done = self._database.append(work)
        except LogError as fault:
            self._tell(self._deliver, [], [(job.future, fault) for job in appends])
            return
        told = dict.fromkeys(done, 0)
        answers = []
        for job in appends:
            start = told[job.shard]
            told[job.shard] = end = start + len(job.txs)
            answers.append((job.future, done[job.shard].results[start:end]))
        meanwhile = self._database.meanwhile()
        self._tell(self._deliver, list(done.values()), answers)
        if meanwhile is not None:
            meanwhile()

    def _answer(self, job: Call) -> None:
        answer: Any
        try:
            answer = job.work(self._database)
        except LogError as fault:
            answer = fault
        self._tell(self._deliver, [], [(job.future, answer)])

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop is closed: nobody is left to hear
                self._loop.call_soon_threadsafe(function, *arguments)

    # --- back on the event loop ----------------------------------------------------------------------

    def _deliver(self, stored: list[Resolved], answers: "list[tuple[asyncio.Future[Any], Any]]") -> None:
        self._stored(stored)
        for future, answer in answers:
            self._outstanding.discard(future)
            if future.done():
                continue  # its caller was cancelled
            if isinstance(answer, LogError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _give_up(self) -> None:
        """After the thread has ended: free ``close``, and whoever a bug of ours left waiting."""
        self._refusal = self._refusal or "the log stopped after a fault of its own"
        while self._outstanding:
            future = self._outstanding.pop()
            if future.done():
                continue
            if future is self._stopped:
                future.set_result(None)
            else:
                future.set_exception(UnknownOutcomeError(self._refusal))
