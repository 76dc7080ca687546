"""A log as lines of JSON that anybody can read and check without a hub (``crossfade-verify``).

The first line holds format, public key, the end of each shard and the signed checkpoints. Each further line is
one record with all its columns, shard by shard, in order: key and chain in hex, ``at`` in nanoseconds, the
payload as text exactly as it was hashed (``payload_base64`` if it is no text).
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from typing import Final

import msgspec

from crossfade.core.values import Shard
from crossfade.engine.ports import Head, StoredEvent

FORMAT: Final = "crossfade-export/1"
_ENCODER: Final = msgspec.json.Encoder()


def first_line(heads: Mapping[Shard, Head], checkpoints: Seq[str], public_key: str) -> bytes:
    """What stands at the top; ``checkpoints`` as they are kept, ``public_key`` as PEM or empty."""
    ends = [
        {"shard": shard, "epoch": head.epoch, "sequence": head.sequence, "chain": head.chain.hex()}
        for shard, head in heads.items()
    ]
    top = {"format": FORMAT, "public_key": public_key, "shards": ends, "checkpoints": checkpoints}
    return _ENCODER.encode(top) + b"\n"


def record_lines(shard: Shard, rows: Iterable[StoredEvent]) -> Iterator[bytes]:
    """One line a record."""
    for row in rows:
        columns = {"shard": shard, **msgspec.structs.asdict(row), "key": row.key.hex(), "chain": row.chain.hex()}
        try:
            columns["payload"] = row.payload.decode()
        except UnicodeDecodeError:
            del columns["payload"]
            columns["payload_base64"] = b64encode(row.payload).decode()
        yield _ENCODER.encode(columns) + b"\n"
