"""What can be asked of a run: by its driver, who carries an epoch, and by operators, who carry a name.

What is accepted, and when, is in runs.py.
"""

import msgspec

from crossfade.core.run_events import EMPTY, Grounds, Verdict
from crossfade.core.values import Instant

READY = "production_ready"
"""The overall outcome of a review that lets a run be created or migrated."""


# --- operators ----------------------------------------------------------------------------------------


class Create(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: msgspec.Raw
    """Canonical JSON (RFC 8785)."""
    digest: str
    review: str = ""
    forced: str = ""
    """Why it is created although it is not ready."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    reason: str


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    reason: str = ""
    digest: str = ""
    """Of the runsheet that the operator holds; empty: not compared."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    by: str
    reason: str = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    by: str
    reason: str
    grounds: Grounds
    signoff: str = ""


class AskWaiver(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    by: str
    reason: str
    signoff: str


class Abort(msgspec.Struct, frozen=True, kw_only=True):
    by: str
    reason: str


class Migrate(msgspec.Struct, frozen=True, kw_only=True):
    runsheet: msgspec.Raw
    digest: str
    review: str
    by: str
    reason: str


# --- the driver -----------------------------------------------------------------------------------------


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """Become the driver."""

    driver: str
    until: Instant
    sole: bool = False
    """No other process can write to this log, so whoever held the lease is gone."""


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """A command of the driver."""

    epoch: int = 0
    """Of the lease under which it acts; stamped by the runner."""


class Renew(Driven, frozen=True, kw_only=True):
    until: Instant


class Begin(Driven, frozen=True, kw_only=True):
    node: str
    deadline: Instant


class Ask(Driven, frozen=True, kw_only=True):
    node: str
    items: dict[str, str]
    deadline: Instant
    round: int = 0


class Finish(Driven, frozen=True, kw_only=True):
    node: str
    evidence: msgspec.Raw = EMPTY


class Fail(Driven, frozen=True, kw_only=True):
    node: str
    reason: str
    evidence: msgspec.Raw = EMPTY
    final: bool = False
    """Trying again is no use, or not safe."""


class Hold(Driven, frozen=True, kw_only=True):
    node: str
    verdict: Verdict
    reason: str
    evidence: msgspec.Raw = EMPTY


class Reopen(Driven, frozen=True, kw_only=True):
    node: str
    signoff: str


class GrantWaiver(Driven, frozen=True, kw_only=True):
    node: str


class RefuseWaiver(Driven, frozen=True, kw_only=True):
    node: str
    reason: str


class RecordUndo(Driven, frozen=True, kw_only=True):
    node: str
    verified: bool
    reason: str = ""
    evidence: msgspec.Raw = EMPTY


class FinishAbort(Driven, frozen=True, kw_only=True):
    """Everything that can be undone was tried."""


class Complete(Driven, frozen=True, kw_only=True):
    """Every node is settled."""


DriverCommand = (
    Renew
    | Begin
    | Ask
    | Finish
    | Fail
    | Hold
    | Reopen
    | GrantWaiver
    | RefuseWaiver
    | RecordUndo
    | FinishAbort
    | Complete
)
Operation = Take | Pause | Resume | Release | Skip | AskWaiver | Abort | Migrate
"""What is done to a run from outside, once there is one."""
Command = Create | Operation | DriverCommand
