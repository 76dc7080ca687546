"""Exit codes of the command line, and which failure gives which. The only table of them.

0 to 5 mean what they mean in the MCP Inspector; the rest is ours. Scripts may rely on all of them.
"""

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What the exit code of ``crossfade`` says."""

    OK = 0
    ERRORED = 1
    USAGE = 2
    AUTHENTICATION = 3
    UNREACHABLE = 4
    REFUSED = 5
    FAILED = 6
    INCONCLUSIVE = 7
    UNSIGNED = 8
    ABORTED = 9
    TIMED_OUT = 10
    CONFLICT = 11
    INTERRUPTED = 130


MEANING: Final = {
    Exit.OK: "done",
    Exit.ERRORED: "errored, also a gate that is not measured",
    Exit.USAGE: "wrong usage or configuration",
    Exit.AUTHENTICATION: "authentication needed, or the token lacks the scope",
    Exit.UNREACHABLE: "hub unreachable",
    Exit.REFUSED: "refused by the hub, or the question was declined or withdrawn",
    Exit.FAILED: "gate failed, attack succeeded, review not ready, or the log does not verify",
    Exit.INCONCLUSIVE: "inconclusive",
    Exit.UNSIGNED: "sign-off missing",
    Exit.ABORTED: "aborted or rolled back",
    Exit.TIMED_OUT: "wait timed out, or the question expired",
    Exit.CONFLICT: "conflict: somebody else was first, or the address or data folder is in use",
    Exit.INTERRUPTED: "interrupted",
}


class CommandError(Exception):
    """A command cannot go on. ``hint`` is what to do; shown as ``try:``."""

    def __init__(self, code: str, message: str, hint: str, exit_code: Exit = Exit.ERRORED) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.exit_code = code, message, hint, exit_code


def usage(message: str, hint: str) -> CommandError:
    """The error for arguments that cannot be meant."""
    return CommandError("usage", message, hint, Exit.USAGE)


def exit_of(code: str, kind: str = "") -> Exit:
    """The exit code for an error ``code`` of the hub or the settings, or for an SDK exception called ``kind``."""
    area = code.partition(".")[0]
    if area in ("auth", "scope") or kind == "AuthenticationError":
        return Exit.AUTHENTICATION
    if area in ("usage", "config"):
        return Exit.USAGE
    by_kind = {"UnreachableError": Exit.UNREACHABLE, "ConflictError": Exit.CONFLICT, "RefusedError": Exit.REFUSED}
    return by_kind.get(kind, Exit.ERRORED)
