"""What can go wrong when talking to a hub, as exceptions that carry the hub's code, message and advice.

``str(error)`` has two lines, ``error: what`` and ``try: what to do``, as on the command line.
"""

from typing import Final

import msgspec


class CrossfadeError(Exception):
    """Something a hub refused or that failed on the way."""

    def __init__(self, code: str, message: str, hint: str = "", details: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint
        """Stable code such as ``question.closed``; what is wrong; what to do next."""
        self.details = details or {}

    def __str__(self) -> str:
        """Give both lines."""
        return f"error: {self.message}" + (f"\ntry: {self.hint}" if self.hint else "")


class AuthenticationError(CrossfadeError):
    """No credential, or one that is unknown, expired or revoked (HTTP 401)."""


class RefusedError(CrossfadeError):
    """The hub understood and said no (other HTTP 4xx)."""


class ConflictError(RefusedError):
    """Somebody else was first: a question has its end already, a name is taken (HTTP 409)."""


class UnreachableError(CrossfadeError):
    """No hub answered, or it cannot serve now. A retry may help; the same key makes it safe."""


class ProtocolError(CrossfadeError):
    """Something answered that is not a hub of this version."""


class Decline(Exception):  # noqa: N818 - an answer, not a fault
    """Raise it in a handler to decline the question, with a reason for whoever asked."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class _Error(msgspec.Struct, rename={"hint": "try"}):
    code: str = ""
    message: str = ""
    hint: str = ""
    details: dict[str, str] = {}


class _Body(msgspec.Struct):
    error: _Error


CLASSES: Final[dict[int, type[CrossfadeError]]] = {401: AuthenticationError, 409: ConflictError}
RETRIABLE: Final = frozenset({429, 502, 503, 504})
"""Surely not done, or done under the same key: the same request again is safe."""


def error_of(status: int, body: bytes, url: str) -> CrossfadeError:
    """The exception for an HTTP answer of ``status`` 400 and up."""
    try:
        said = msgspec.json.decode(body, type=_Body).error
    except msgspec.DecodeError:
        return ProtocolError(
            "client.not_a_hub", f"{url} answered {status} without a reason", "check the URL of the hub"
        )
    kind = CLASSES.get(status) or (UnreachableError if status in RETRIABLE or status >= 500 else RefusedError)
    return kind(said.code, said.message, said.hint, said.details)
