"""What the engine asks of the world, as protocols, and the faults the world may answer with.

A fault is not a refusal: a refusal says the command was not acceptable, a fault says the world
failed. Each fault says whether a retry may help. Implementations live in logs/ and outbound/.
"""

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from typing import Final, Protocol

import msgspec

from crossfade.core.values import Instant, Lane, Sequence, Shard, StreamName

# --- the log ---------------------------------------------------------------------------------------

START: Final = Sequence(0)
"""Before the first record."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the log. The log gives it sequence, version and chain hash."""

    stream: StreamName
    type: str
    at: Instant
    actor: str
    cause: str
    payload: bytes


class Tx(msgspec.Struct, frozen=True, gc=False):
    """One to ``events_per_tx_max`` events, stored all or none."""

    key: bytes
    """Idempotency key, 16 bytes, scoped to the shard. The same key again stores nothing."""
    expect: tuple[tuple[StreamName, int], ...]
    """Streams and the version each must have now; 0 = must not exist."""
    events: tuple[NewEvent, ...]


class Committed(msgspec.Struct, frozen=True, gc=False):
    """Stored and durable: the events took the sequences ``first`` to ``last``."""

    first: Sequence
    last: Sequence


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The key was used before; its events have the sequences ``first`` to ``last``."""

    first: Sequence
    last: Sequence


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """A stream was not at the expected version; nothing of this Tx was stored."""

    stream: StreamName
    version: int
    """The version the stream has."""


Result = Committed | Duplicate | Conflict


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """A row of the log, every column of which is covered by ``chain``."""

    sequence: Sequence
    stream: StreamName
    version: int
    type: str
    at: Instant
    actor: str
    cause: str
    key: bytes
    payload: bytes
    chain: bytes
    """SHA-256 over the previous row's chain and all columns of this row (logs/codec.py)."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The end of a shard."""

    epoch: int
    """Raised when a shard is moved or restored; a writer of an older epoch is fenced."""
    sequence: Sequence
    chain: bytes


class LogError(Exception):
    """The log failed. ``retry`` says whether the same call may succeed later."""

    retry = False


class UnknownOutcomeError(LogError):
    """It may or may not be stored: call again with the same key to find out."""

    retry = True


class UnavailableError(LogError):
    """Surely not stored; the log cannot accept writes now."""

    retry = True


class FencedError(LogError):
    """This writer's epoch is over: another process owns the shard."""


class CorruptLogError(LogError):
    """The log contradicts itself; the message names the shard and the first bad sequence."""


class LogInUseError(LogError):
    """Another process holds the data folder."""


class BackupFailedError(LogError):
    """A copy of the log, or a log from a copy, could not be made; the log itself is untouched."""


class SnapshotFailedError(LogError):
    """No snapshot could be made; the log and the snapshot before are untouched."""


class Log(Protocol):
    """An append-only, totally ordered, hash-chained record per shard.

    Narrow on purpose: no filters, no subscriptions, no consumer state. Group commit, fan-out,
    timers and views sit above it. One contract test runs against every implementation.
    """

    async def append(self, shard: Shard, txs: Seq[Tx]) -> list[Result]:
        """Store each Tx independently, in order, in one durable batch; one result for each.

        Returns only when everything is durable. Raises UnknownOutcomeError, UnavailableError or
        FencedError for the batch as a whole.
        """

    async def read(self, shard: Shard, after: Sequence, limit: int) -> list[StoredEvent]:
        """Records ``after + 1`` …, contiguous, at most ``limit``; empty at the end of the shard."""

    async def read_stream(self, shard: Shard, stream: StreamName) -> list[StoredEvent]:
        """All records of one stream, oldest first; empty if there is none."""

    async def find(self, shard: Shard, key: bytes) -> Committed | None:
        """Where the events of an earlier Tx with this key are; None if the key was never used."""

    async def wait(self, shard: Shard, after: Sequence, timeout_seconds: float) -> Sequence:
        """Wait until the head may be beyond ``after``; a hint, may be spurious. Returns the head."""

    async def head(self, shard: Shard) -> Head:
        """The end of the shard: epoch 1, sequence 0 and 32 zero bytes when it is empty."""

    async def verify(self, shard: Shard, after: Sequence = START, through: Sequence | None = None) -> Sequence | None:
        """The first sequence in (after, through] that is missing or false, read from the disk; None if all hold.

        From the first record to the head by default. Lets appends pass in between.
        """

    async def close(self) -> None:
        """Finish what is being written and release the files; further calls raise UnavailableError."""


# --- time, ids -------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, simulated in tests."""

    def now(self) -> Instant:
        """The present instant."""

    def monotonic(self) -> int:
        """Nanoseconds of a clock that never jumps; only differences mean something."""

    def not_before(self, instant: Instant) -> None:
        """Go on from ``instant`` if it is not there yet; to be called before anybody sleeps."""

    async def sleep_until(self, instant: Instant) -> None:
        """Return at ``instant`` or soon after; at once if it has passed."""


class Courier(Protocol):
    """Delivery: lets the carriers of a recipient know. What it tells late or never is found at their next look."""

    def bring(self, wake: Callable[[], None], lane: Lane | None) -> None:
        """Call ``wake`` for something in a mailbox: a question of this lane, or what belongs to no lane."""


class Ids(Protocol):
    """Randomness, seeded in tests."""

    def new(self, prefix: str) -> str:
        """``prefix``, ``_`` and 26 characters, time-ordered and unguessable."""

    def key(self) -> bytes:
        """16 unguessable bytes, later ones sorting after earlier ones, for a command whose caller gave no key."""

    def secret(self) -> str:
        """43 URL-safe characters holding 32 random bytes, for a credential."""


# --- signatures -------------------------------------------------------------------------------------


class Signer(Protocol):
    """The hub's own key."""

    @property
    def keyid(self) -> str:
        """Hex SHA-256 of the raw public key."""

    def sign(self, content: bytes) -> bytes:
        """The signature over ``content``, 64 bytes, the same each time."""


# --- the second place --------------------------------------------------------------------------------


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """A head of the log at an instant, kept where whoever changes the log does not reach."""

    shard: Shard
    epoch: int
    sequence: Sequence
    chain: bytes
    """Of the row ``sequence``, 32 bytes."""
    at: Instant


class Backups(Protocol):
    """Copies of the log while it is in use."""

    async def make(self, name: str) -> tuple[str, Mapping[Shard, Head]]:
        """Make and verify a copy; where it is, and where its shards end. Raises BackupFailedError."""


class Shelf(Protocol):
    """Where snapshots are put away: bytes that come back whole or not at all."""

    async def keep(self, place: int, content: bytes) -> None:
        """Put one away, all or nothing, and forget all but the newest few. Raises OSError."""

    async def newest(self) -> bytes | None:
        """The one with the highest place that is not damaged; None if there is none."""

    async def discard_newest(self) -> None:
        """Throw it away."""


class Folding(Protocol):
    """Makes snapshots of a log outside of the process that serves."""

    async def make(self, log: Log) -> None:
        """Fold what ``log`` has since the newest snapshot, and put the state away. Raises LogError.

        Cancelling it ends whatever was started for it.
        """


class Witness(Protocol):
    """Keeps signed checkpoints in a second place; append-only, each durable before ``keep`` returns."""

    async def keep(self, checkpoints: Seq[Checkpoint]) -> None:
        """Add checkpoints, of any shards, each newer than the ones of its shard before. Raises OSError."""

    async def last(self, shard: Shard) -> Checkpoint | None:
        """The newest that is kept; None before the first. Raises CorruptLogError if it was tampered with."""

    async def kept(self, shard: Shard) -> list[Checkpoint]:
        """All that are still kept, oldest first. Raises CorruptLogError, naming file and line."""

    async def lines(self, shard: Shard) -> list[str]:
        """The same as they are kept, signatures and all, unread."""

    def public_key(self) -> str:
        """What the signatures are checked with, as PEM."""


class Verifier(Protocol):
    """The public half of a hub's key."""

    @property
    def keyid(self) -> str:
        """Hex SHA-256 of the raw public key."""

    def check(self, content: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's over ``content``."""
