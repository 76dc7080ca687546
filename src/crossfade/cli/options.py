"""The options that every command has, and how a command finds its hub and its credential.

The hub: ``--url``, CROSSFADE_URL, else the address in the configuration (http://127.0.0.1:8765 by default).
The credential: ``--token``, CROSSFADE_TOKEN, CROSSFADE_TOKEN_FILE, else the local operator's token in the data
folder, which is sent to a loopback address only. ``--as NAME`` sends none: a development hub admits NAME as a guest.
"""

import asyncio
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, exit_of, usage
from crossfade.client.api import Api
from crossfade.client.errors import CrossfadeError
from crossfade.client.transport import Transport
from crossfade.config import LOOPBACK, Config, load

T = TypeVar("T")
SPANS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


@Parameter(name="*", group="Every command")
@dataclass(frozen=True)
class Options:
    """Options of every command."""

    url: Annotated[str | None, Parameter(help="Hub; else CROSSFADE_URL, else the configured address.")] = None
    token: Annotated[str | None, Parameter(help="Credential; else CROSSFADE_TOKEN, else the operator's.")] = None
    acting: Annotated[str | None, Parameter(name="--as", help="Act as a guest of this name (development hub).")] = None
    data: Annotated[str | None, Parameter(help="Data folder of the hub on this machine.")] = None
    json: Annotated[bool, Parameter(negative="", help="One JSON document on stdout; errors as JSON on stderr.")] = False
    jsonl: Annotated[bool, Parameter(negative="", help="One JSON document a line, for streams.")] = False
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="", help="No notes on stderr.")] = False

    @property
    def machine(self) -> bool:
        """Output is read by a program."""
        return self.json or self.jsonl


PLAIN: Final = Options()
QuestionName = Annotated[str, Parameter(name="--question-id", help="Its id, as `ask` and `inbox ls` print it.")]
Limit = Annotated[int, Parameter(help="At most so many, up to 100.")]


def settings(options: Options, **flags: object) -> Config:
    """The configuration of the hub on this machine, as files, environment and flags give it. Raises ConfigError."""
    return load(environ=os.environ, flags={"data_folder": options.data, **flags}).config


def hub_url(options: Options) -> str:
    """Where the hub is."""
    return (options.url or os.environ.get("CROSSFADE_URL") or settings(options).url).rstrip("/")


def credential(options: Options, url: str) -> str | None:
    """The token to present at ``url``; None to go as a guest."""
    if options.acting is not None:
        return None
    if given := options.token or os.environ.get("CROSSFADE_TOKEN"):
        return given
    if path := os.environ.get("CROSSFADE_TOKEN_FILE"):
        return _read(Path(path))
    local = settings(options).operator_token_path
    if urlsplit(url).hostname in LOOPBACK and local.exists():
        return _read(local)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = f"{path}: {error.strerror if isinstance(error, OSError) else 'not a token'}"
        raise CommandError("auth.unreadable", what, "run as the user who started the hub, or give --token") from None


def call(options: Options, work: Callable[[Api], Awaitable[T]], *, patience_seconds: float = 0.0) -> T:
    """The result of ``work`` at the hub. Raises CommandError with the hub's code and advice."""
    with _interruptible():
        return asyncio.run(_call(options, work, patience_seconds))


@contextmanager
def _interruptible() -> Iterator[None]:
    """End at once on Ctrl-C: a call has nothing to clean up, and a half-made event loop would complain."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(Exit.INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _call(options: Options, work: Callable[[Api], Awaitable[T]], patience_seconds: float) -> T:
    url = hub_url(options)
    token, name = credential(options, url), options.acting or "cli"
    for flag, text in (("--as", name), ("--token", token or "")):
        if not (text.isascii() and text.isprintable()):
            raise usage(f"{flag} has characters that no name and no token has", "write it as it was given to you")
    transport = Transport(url, token=token, name=name, patience_seconds=0.0)
    try:
        async with Api(transport) as api:
            if patience_seconds:  # it is for a hub that goes away; one that is not there is said at once
                await transport.call("GET", "/livez")
                transport.patience_seconds = patience_seconds
            return await work(api)
    except CrossfadeError as error:
        kind = type(error).__name__
        raise CommandError(error.code, error.message, error.hint, exit_of(error.code, kind)) from error


def seconds(text: str) -> float:
    """A duration like ``90``, ``90s``, ``5m``, ``2h`` or ``1h30m``; raises a usage error."""
    total, rest = 0.0, text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", rest):
        return float(rest)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise usage(f"{text!r} is not a duration", "write it like 90s, 5m, 2h or 1h30m")
    for number, unit in parts:
        total += float(number) * SPANS[unit]
    return total
