"""The load processes as their parent sees them: started, given orders, listened to, ended whatever happens."""

import asyncio
import contextlib
import os
import signal
import sys
from typing import Final

import msgspec

from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.orders import REPORTS, UNWRITABLE, Finish, Go, Halt, Last, Order, State

WORKER: Final = "crossfade.fleet.load.worker"
LINE_BYTES_MAX: Final = 4 * 1_048_576
FINISH_SECONDS: Final = 15.0
SILENT_NS: Final = 60_000_000_000
"""A load process that lives says something several times a second."""
END_SECONDS: Final = 5.0
"""From its last word to its end."""
NOTHING: Final = State(
    attached=0, due=0, acknowledged=0, answered=0, received=0, open=0, unacknowledged=0, answering=0, waiting=0,
    finished=False, cpu_seconds=0.0, bytes_in=0, bytes_out=0, requests=0, empty=0, failed=0, at_ns=0,
)  # fmt: skip


class LoadChildError(Exception):
    """A load process died; the message says how."""


class LoadChild:
    """One load process."""

    def __init__(self) -> None:
        self.state = NOTHING
        self.last: Last | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._started_ns = 0
        self._reading: asyncio.Task[None] | None = None

    async def start(self, order: Order) -> None:
        """Start it and tell it everything. Raises LoadChildError."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", WORKER,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                limit=LINE_BYTES_MAX, start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")},
            )  # fmt: skip
        except OSError as fault:
            raise LoadChildError(f"a load process could not be started: {fault.strerror}") from None
        self._started_ns = monotonic_ns()
        self._reading = asyncio.create_task(self._read(self._process))
        await self.tell(order)

    async def tell(self, order: Order | Go | Halt | Finish) -> None:
        """Give an order; one to a dead process is lost."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            await self._process.stdin.drain()

    async def finish(self) -> None:
        """Let it say its last word, and see that it is gone. Never started: nothing."""
        if self._process is None:
            return
        await self.tell(Finish())
        if self._reading is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await asyncio.shield(self._reading)
        await self.end()

    async def end(self) -> None:
        """See that it is gone, by force if need be. Again: nothing."""
        if self._process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS if self.last is not None else 0):
                await self._process.wait()
        self.kill()
        await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()

    def kill(self) -> None:
        """SIGKILL, without waiting."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    def check(self) -> None:
        """Raises LoadChildError if it died before its last word, or says nothing any more."""
        if self._process is None or self.last is not None:
            return
        code = self._process.returncode
        if code == UNWRITABLE:
            raise LoadChildError("a load process could not write its journals: is the disk full?")
        if code is not None:
            raise LoadChildError(f"a load process ended by itself, exit code {code}")
        if monotonic_ns() - max(self.state.at_ns, self._started_ns) > SILENT_NS:
            raise LoadChildError(f"a load process has said nothing for {SILENT_NS // 10**9} s")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            report = REPORTS.decode(line)
            if isinstance(report, Last):
                self.last, self.state = report, report.state
            else:
                self.state = report
