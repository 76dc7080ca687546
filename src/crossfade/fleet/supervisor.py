"""Run a hub as a child process on a folder, and start it again on the same folder whenever it dies.

Not a service manager: one child, for demonstrations, tests and benches.

Rules
-----
1. The child sees neither the CROSSFADE_ settings of this process nor a configuration file of its folder.
2. A hub that cannot be started is an error after ``ATTEMPTS_MAX`` tries; one that was up and died is
   simply started again, however often.
"""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from crossfade.fleet.sockets import LostError, connect

HOST: Final = "127.0.0.1"
ATTEMPTS_MAX: Final = 3
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.05
"""Between looks whether the hub is ready yet."""


class HubFailedError(Exception):
    """The hub did not come up, or is gone; the message says why in one line."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        """What the hub said to try; empty if it said nothing."""


class HubProcess:
    """A supervised hub."""

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        options: tuple[str, ...] = (),
        module: str = "crossfade",
        *,
        revive: bool = True,
    ) -> None:
        """``module``: what Python runs as the hub; a bench or test may wrap the real one.

        ``revive``: start it again whenever it dies; otherwise its death is what ``failed`` raises.
        """
        self.folder = folder
        self._module = module
        self._revive = revive
        self.port = port or free_port()
        self.restarts = 0
        """Times it died and was started again."""
        self._options = options
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[None] | None = None
        self.up = asyncio.Event()
        """Set while there is a child that has said it is ready."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the present child; 0 if there is none."""
        return self._child.pid if self._child is not None else 0

    @property
    def operator_token(self) -> str:
        """The credential that the hub made for the operator of its folder."""
        return (self.folder / "operator.token").read_text("utf-8").strip()

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises HubFailedError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._spawn()
        self._failure = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep())

    async def failed(self) -> None:
        """Return never; raise HubFailedError if the hub cannot be started again."""
        assert self._failure is not None
        await asyncio.shield(self._failure)

    def kill(self) -> None:
        """SIGKILL, as by the kernel or a power cut of the process."""
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in good order, by force if it does not."""
        if self._keeper is not None:
            self._keeper.cancel()
        child = self._child
        if child is None or child.returncode is not None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    # --- inside -------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        assert self._failure is not None
        while self._child is not None:
            code = await self._child.wait()
            self.up.clear()
            if not self._revive:
                self._failure.set_exception(HubFailedError(f"the hub ended by itself, {_how(code)}"))
                return
            self.restarts += 1
            try:
                await self._spawn()
            except HubFailedError as failure:
                self._failure.set_exception(failure)
                return

    async def _spawn(self) -> None:
        for _ in range(ATTEMPTS_MAX):
            try:
                self._child = await self._begun()
            except OSError as fault:
                raise HubFailedError(f"the hub cannot be started: {fault.strerror}") from None
            if await self._ready(self._child):
                self.up.set()
                return
        raise _last_words((self.folder / "hub.out").read_text("utf-8", "replace"))

    async def _begun(self) -> asyncio.subprocess.Process:
        with (self.folder / "hub.out").open("ab") as out:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module, "serve", "--data", str(self.folder), "--port", str(self.port)),
                *self._options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")},
            )

    async def _ready(self, child: asyncio.subprocess.Process) -> bool:
        """Wait until the hub answers ``/readyz``; False if it ended, or was too slow and was ended."""
        waiting = asyncio.create_task(child.wait())
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not waiting.done():
                    if await self._says_ready():
                        return True
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            child.kill()
        finally:
            waiting.cancel()
        return False

    async def _says_ready(self) -> bool:
        try:
            line = await connect(HOST, self.port)
            try:
                reply = await line.exchange(f"GET /readyz HTTP/1.1\r\nHost: {HOST}:{self.port}\r\n\r\n".encode())
            finally:
                line.close()
        except LostError:
            return False
        return reply.status == 200


def _last_words(said: str) -> HubFailedError:
    """The last error and advice among what a hub said that did not start, else its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    error = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
    hint = next((line for line in reversed(lines) if line.startswith("try: ")), "")
    return HubFailedError(f"the hub does not start: {error.removeprefix('error: ')}", hint.removeprefix("try: "))


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
