"""How large the things given to a log may be, and the check that they are not larger.

A value beyond a limit is a bug of the caller, who has to refuse it long before: so it raises
ValueError, at the call, and nothing of the batch is stored.
"""

from collections.abc import Sequence as Seq
from typing import Final

from crossfade.core.values import Sequence, Shard
from crossfade.engine.ports import NewEvent, StoredEvent, Tx

SHARD_MAX: Final = 2**20 - 1
SEQUENCE_BITS: Final = 40
SEQUENCE_MAX: Final = 2**SEQUENCE_BITS - 1
TXS_PER_APPEND_MAX: Final = 5_000
EVENTS_PER_TX_MAX: Final = 1_000
EXPECTED_STREAMS_PER_TX_MAX: Final = 1_000
KEY_BYTES: Final = 16
STREAM_NAME_BYTES_MAX: Final = 200
TYPE_BYTES_MAX: Final = 200
ACTOR_BYTES_MAX: Final = 200
CAUSE_BYTES_MAX: Final = 200
PAYLOAD_BYTES_MAX: Final = 2 * 1024 * 1024
READ_ROWS_MAX: Final = 10_000
"""A read answers at most so many rows, whatever its ``limit``."""
READ_BYTES_MAX: Final = 16 * 1024 * 1024
"""A read stops after the row whose payload takes it beyond this, so one row always fits."""
INSTANT_MAX: Final = 2**63 - 1


def check_txs(shard: Shard, txs: Seq[Tx]) -> int:
    """The bytes of payload in an append. Raises ValueError, naming the field that is beyond its limit."""
    check_shard(shard)
    _most("transactions in one append", len(txs), TXS_PER_APPEND_MAX)
    size_bytes = 0
    for tx in txs:
        events, expect = tx.events, tx.expect
        if len(tx.key) != KEY_BYTES or len(events) != 1 or len(expect) != 1 or expect[0][0] is not events[0].stream:
            _check_tx(tx)
        for event in events:
            payload_bytes = len(event.payload)
            size_bytes += payload_bytes
            text = f"{event.stream}{event.type}{event.actor}{event.cause}"
            if not (  # as nearly all do: far within every limit
                text.isascii()
                and len(text) <= STREAM_NAME_BYTES_MAX
                and event.stream
                and payload_bytes <= PAYLOAD_BYTES_MAX
                and 0 <= event.at <= INSTANT_MAX
            ):
                _check_event(event)
    return size_bytes


def check_shard(shard: Shard) -> None:
    """Raise ValueError unless ``shard`` is 0 to SHARD_MAX."""
    if not 0 <= shard <= SHARD_MAX:
        raise ValueError(f"shard: {shard} is not between 0 and {SHARD_MAX}")


def check_read(shard: Shard, after: Sequence, limit: int) -> int:
    """The number of rows a read may answer. Raises ValueError if the place or the limit is impossible."""
    check_shard(shard)
    if not 0 <= after <= SEQUENCE_MAX:
        raise ValueError(f"after: {after} is not between 0 and {SEQUENCE_MAX}")
    if limit < 1:
        raise ValueError(f"limit: {limit} is less than 1")
    return min(limit, READ_ROWS_MAX)


def up_to_bytes(rows: list[StoredEvent]) -> list[StoredEvent]:
    """The rows that one read may answer: as many as go, and one more, into READ_BYTES_MAX."""
    size_bytes = 0
    for count, row in enumerate(rows, 1):
        size_bytes += len(row.payload)
        if size_bytes > READ_BYTES_MAX:
            return rows[:count]
    return rows


def check_stream(stream: str) -> None:
    """Raise ValueError if ``stream`` is empty, too long or not UTF-8."""
    if not stream:
        raise ValueError("stream: empty")
    _text("stream", stream, STREAM_NAME_BYTES_MAX)


def check_key(key: bytes) -> None:
    """Raise ValueError unless ``key`` has exactly 16 bytes."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"key: {len(key)} bytes, not {KEY_BYTES}")


def _check_tx(tx: Tx) -> None:
    check_key(tx.key)
    if not tx.events:
        raise ValueError("events: a transaction has at least one")
    _most("events", len(tx.events), EVENTS_PER_TX_MAX)
    _most("expect", len(tx.expect), EXPECTED_STREAMS_PER_TX_MAX)
    for stream, _ in tx.expect:
        check_stream(stream)


def _check_event(event: NewEvent) -> None:
    check_stream(event.stream)
    _text("type", event.type, TYPE_BYTES_MAX)
    _text("actor", event.actor, ACTOR_BYTES_MAX)
    _text("cause", event.cause, CAUSE_BYTES_MAX)
    _most("payload", len(event.payload), PAYLOAD_BYTES_MAX)
    if not 0 <= event.at <= INSTANT_MAX:
        raise ValueError(f"at: {event.at} is not an instant")


def _text(field: str, text: str, most: int) -> None:
    # Plain ASCII is the ordinary case, and its length is known without encoding it.
    _most(field, len(text) if text.isascii() else len(text.encode()), most)


def _most(field: str, size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"{field}: {size} is more than {most}")
