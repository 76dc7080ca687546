"""Steps outside the hub: command lines and URLs, in bounds of time and output.

Rules
-----
1. A command line is split into words as a shell would, and run without one; whoever wants a shell writes ``sh -c``.
   What is filled into ``{name}`` stays one word. Unknown names are left as they are.
2. A command gets a process group of its own. When its time is over the whole group is killed.
3. It finds the same ``CROSSFADE_KEY`` at every attempt at the same effect; a URL gets it as ``Idempotency-Key``.
4. Of output, ``OUTPUT_BYTES_MAX`` are kept; the rest is read and dropped, so nothing blocks.
"""

import asyncio
import os
import re
import shlex
import signal
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import httpx2

from crossfade.engine.run_ports import StepCall, StepOutcome

OUTPUT_BYTES_MAX: Final = 8_192
BODY_BYTES_MAX: Final = 1 << 20
"""Of an answer over HTTP; more is not read."""
DRAIN_SECONDS: Final = 2.0
"""After the command has ended, how long its output may still come from what it left behind."""
PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER")
"""Variables of our environment that a command finds; none of ours holds a secret for it."""
_NAME: Final = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class HostSteps:
    """Runs commands in a folder, and calls URLs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def command(self, line: str, call: StepCall) -> StepOutcome:
        """Run a command line; ok if it exits with 0 in time."""
        try:
            words = [filled(word, call.args) for word in shlex.split(line)]
        except ValueError as fault:
            return StepOutcome(ok=False, reason="bad command line", output=str(fault))
        if not words:
            return StepOutcome(ok=False, reason="bad command line", output="it is empty")
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment["CROSSFADE_KEY"] = call.key
        reader, writer = os.pipe()  # our own, since asyncio's would be waited for as long as anything holds them
        said = bytearray()
        reading = asyncio.ensure_future(_read(reader, said))
        try:
            process = await asyncio.create_subprocess_exec(
                *words, cwd=self._folder, env=environment, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=writer, stderr=writer,
            )  # fmt: skip
            os.close(writer)
            writer = -1
            return await self._ended(process, call.timeout_seconds, reading, said)
        except (OSError, ValueError) as fault:
            return StepOutcome(ok=False, reason="not started", output=str(fault))
        finally:
            if writer >= 0:
                os.close(writer)
            await asyncio.wait((reading,), timeout=DRAIN_SECONDS)
            reading.cancel()

    async def _ended(
        self, process: asyncio.subprocess.Process, seconds: float, reading: "asyncio.Future[None]", said: bytearray
    ) -> StepOutcome:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await process.wait()
        except TimeoutError:
            return StepOutcome(ok=False, reason="timeout", output=_text(said))
        finally:
            _kill(process)
            await process.wait()
            await asyncio.wait((reading,), timeout=DRAIN_SECONDS)
        code = process.returncode
        return StepOutcome(ok=code == 0, reason="" if code == 0 else f"exit {code}", output=_text(said))

    async def http(self, url: str, call: StepCall, method: str = "POST") -> StepOutcome:
        """Call a URL; ok if it answers 2xx in time. Redirects are not followed."""
        where = filled(url, {name: quote(value, safe="") for name, value in call.args.items()})
        place = urlsplit(where)
        if place.scheme not in ("http", "https") or not place.hostname:
            return StepOutcome(ok=False, reason="bad url", output=f"{place.scheme}: only http and https are called")
        secure = ssl.create_default_context() if place.scheme == "https" else False
        seconds = max(call.timeout_seconds, 0.001)
        try:
            async with (
                asyncio.timeout(seconds),
                httpx2.AsyncClient(verify=secure, trust_env=False, timeout=seconds) as http,
                http.stream(method, where, headers={"idempotency-key": call.key}) as response,
            ):
                body = await _body(response)
        except (httpx2.TimeoutException, TimeoutError):
            return StepOutcome(ok=False, reason="timeout")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as fault:
            return StepOutcome(ok=False, reason="unreachable", output=str(fault))
        ok = 200 <= response.status_code < 300
        return StepOutcome(ok=ok, reason="" if ok else f"status {response.status_code}", output=_text(body))


def filled(text: str, args: dict[str, str]) -> str:
    """The text with ``{name}`` replaced; names without a value stay."""
    return _NAME.sub(lambda found: args.get(found[1], found[0]), text)


async def _read(descriptor: int, said: bytearray) -> None:
    """Read a pipe to its end, keep what may be kept, and close it."""
    stream = asyncio.StreamReader()
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), pipe
        )
        try:
            while chunk := await stream.read(4_096):
                said += chunk[: max(0, OUTPUT_BYTES_MAX - len(said))]
        finally:
            transport.close()


async def _body(response: httpx2.Response) -> bytearray:
    said, seen = bytearray(), 0
    async for chunk in response.aiter_bytes():
        seen += len(chunk)
        said += chunk[: max(0, OUTPUT_BYTES_MAX - len(said))]
        if seen >= BODY_BYTES_MAX:
            break
    return said


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the process and everything it started that is still in its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _text(said: bytes | bytearray) -> str:
    return bytes(said).decode("utf-8", "replace")
