"""``doctor``: whether everything is in place on this machine, at the hub, and with your credential."""

import os
import sys
from typing import Final

from crossfade import __version__
from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Options, call, credential, hub_url, settings
from crossfade.cli.output import Output
from crossfade.config import ConfigError

FIELDS: Final = ("check", "result", "what", "try")
PYTHON: Final = (3, 11)
DESCRIPTORS: Final = 4_096
Line = dict[str, object]


def doctor(*, options: Options = PLAIN) -> int:
    """Check this machine, the hub and your credential. Exit code 1 if something is wrong."""
    lines = [_python(), _descriptors(), *_local(options), *_remote(options)]
    Output(options).table(lines, FIELDS)
    return Exit.ERRORED if any(line["result"] == "wrong" for line in lines) else Exit.OK


def _line(check: str, result: str, what: str, hint: str = "") -> Line:
    return {"check": check, "result": result, "what": what, "try": hint}


def _python() -> Line:
    found = ".".join(str(part) for part in sys.version_info[:3])
    fine = sys.version_info >= PYTHON
    return _line(
        "python", "ok" if fine else "wrong", f"{found}, crossfade {__version__}", "" if fine else "Python 3.11+"
    )


def _descriptors() -> Line:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fine = soft >= DESCRIPTORS
    return _line(
        "descriptors", "ok" if fine else "poor", f"{soft} open files", "" if fine else f"ulimit -n {DESCRIPTORS}"
    )


def _local(options: Options) -> list[Line]:
    try:
        config = settings(options)
    except ConfigError as error:
        return [_line("config", "wrong", error.message, error.hint)]
    folder = config.data_path
    lines = [_line("config", "ok", f"valid, data folder {folder}")]
    if folder.is_dir() and not os.access(folder, os.W_OK):
        lines.append(_line("data", "wrong", f"{folder} is not writable", "run as the user who owns it"))
    if config.kill_path.exists():
        lines.append(_line("kill file", "poor", f"{config.kill_path} holds the share at 0", f"rm {config.kill_path}"))
    if config.operator_token_path.exists() and config.operator_token_path.stat().st_mode & 0o077:
        path = config.operator_token_path
        lines.append(_line("operator token", "wrong", f"others can read {path}", f"chmod 600 {path}"))
    return lines


def _remote(options: Options) -> list[Line]:
    try:
        url = hub_url(options)
        me = call(options, lambda api: api.me())
    except ConfigError:
        return []
    except CommandError as error:
        check = "credential" if error.exit_code is Exit.AUTHENTICATION else "hub"
        return [_line(check, "wrong", error.message, error.hint)]
    kind = "with a token" if credential(options, url) else "as a guest"
    return [
        _line("hub", "ok", url),
        _line("credential", "ok", f"{me.name} {kind}, scopes {', '.join(me.scopes) or 'none'}"),
    ]
