"""Runs a command and says what went wrong: ``error:`` and ``try:`` on stderr, or one JSON line with ``--json``."""

import errno
import json
import os
import sys
from typing import Final

from cyclopts import CycloptsError

from crossfade.cli.exits import CommandError, Exit, exit_of
from crossfade.config import ConfigError

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What the system says where nothing more can be written."""


def guarded(arguments: list[str]) -> int:
    """Run ``arguments``; the exit code."""
    from crossfade.cli.app import build

    machine = any(word in ("--json", "--jsonl") for word in arguments)
    app = build()
    try:
        _readable(arguments)
        outcome = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return report(_usage(error), machine=machine)
    except (CommandError, ConfigError) as error:
        return report(error, machine=machine)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as fault:
        return unwritten(fault, machine=machine)
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return Exit.OK  # rich ends the program when whoever reads has gone
    return int(outcome) if isinstance(outcome, int) else Exit.OK


def unwritten(fault: OSError, *, machine: bool) -> int:
    """Say that the output cannot be written; the exit code. Raises any other fault again."""
    if not isinstance(fault, BrokenPipeError) and fault.errno not in FULL:
        raise fault
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(fault, BrokenPipeError):
        return Exit.OK
    what = f"{fault.filename or 'the output'} cannot be written: {fault.strerror}"
    return report(CommandError("output", what, "make room there, or write elsewhere"), machine=machine)


def _readable(arguments: list[str]) -> None:
    """Raises CommandError for bytes that are no text: they could neither be sent nor shown."""
    for place, word in enumerate(arguments, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise CommandError(
                "usage", f"word {place} is not UTF-8: {ascii(word)[:80]}", "write it in UTF-8", Exit.USAGE
            ) from None


def report(error: CommandError | ConfigError, *, machine: bool) -> int:
    """Say it on stderr; the exit code."""
    if machine:
        said = {"code": error.code, "message": error.message, "try": error.hint}
        sys.stderr.write(json.dumps({"error": said}, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"error: {error.message}\ntry: {error.hint}\n")
    return error.exit_code if isinstance(error, CommandError) else exit_of(error.code)


def _usage(error: CycloptsError) -> CommandError:
    text = " ".join(str(error).split()).partition(" Available commands:")[0] or "the arguments cannot be understood"
    return CommandError("usage", text, " ".join(["crossfade", *(error.command_chain or ()), "--help"]), Exit.USAGE)
