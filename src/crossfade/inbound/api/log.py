"""The log over HTTP, for operators: the head of each shard, and its records page by page."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from crossfade.core.decider import Refusal
from crossfade.engine.requests import RecordView
from crossfade.inbound.api.messages import Cursor, Wait
from crossfade.inbound.api.questions import Limit
from crossfade.inbound.api.routes import Call, Outcome, Strict


class ShardHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one shard."""

    shard: int
    epoch: int
    sequence: int
    chain: Annotated[str, Meta(description="Hex.")]


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """The end of every shard."""

    shards: list[ShardHead]


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """Records without a gap, oldest first; empty at the end of the shard."""

    records: list[RecordView]


class RecordsQuery(Strict, frozen=True, kw_only=True):
    """From where on, how many, how long to wait for the first."""

    after: Cursor | UnsetType = UNSET
    limit: Limit = 100
    wait_seconds: Wait = 0


class VerifyQuery(Strict, frozen=True, kw_only=True):
    """From where on."""

    after: Cursor | UnsetType = UNSET


async def head(call: Call[Strict, Strict]) -> Outcome:
    """Where each shard ends."""
    heads = await call.hub.log_head(call.caller)
    return heads if isinstance(heads, Refusal) else Heads(shards=msgspec.convert(heads, list[ShardHead], strict=False))


async def records(call: Call[RecordsQuery, Strict]) -> Outcome:
    """A page of a shard."""
    shard = _shard(call.name)
    if isinstance(shard, Refusal):
        return shard
    query = call.query
    after = 0 if query.after is UNSET else query.after

    async def page(wait_seconds: float) -> Records | Refusal:
        found = await call.hub.records(call.caller, shard, after, query.limit, wait_seconds)
        return found if isinstance(found, Refusal) else Records(records=found)

    return await call.wire.hold(page, min(query.wait_seconds, call.hub.limits.wait_seconds_max))


async def verify(call: Call[VerifyQuery, Strict]) -> Outcome:
    """A stretch of a shard, read again from the disk."""
    shard = _shard(call.name)
    after = 0 if call.query.after is UNSET else call.query.after
    return shard if isinstance(shard, Refusal) else await call.hub.proving.verify(call.caller, shard, after)


async def backup(call: Call[Strict, Strict]) -> Outcome:
    """A copy of the log, made while it is in use."""
    return await call.hub.proving.backup(call.caller)


async def checkpoints(call: Call[Strict, Strict]) -> Outcome:
    """The signed checkpoints of a shard."""
    shard = _shard(call.name)
    return shard if isinstance(shard, Refusal) else await call.hub.proving.checkpoints(call.caller, shard)


def _shard(name: str) -> int | Refusal:
    if name.isascii() and name.isdecimal() and len(name) <= 6:
        return int(name)
    return Refusal("log_shard.unknown", "A shard is a number.", "GET /v1/log/head lists the shards.")
