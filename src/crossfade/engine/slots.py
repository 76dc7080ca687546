"""Slots: what memory has of a stream. A question's is its entry (views/questions.py): one object for both."""

from typing import Any, Generic, TypeVar

import msgspec

from crossfade.core.decider import Decider
from crossfade.core.values import Shard

S = TypeVar("S")


class Slot(msgspec.Struct, Generic[S], eq=False, gc=False):
    """A stream's version and state. Not tracked by the collector: a state is data and holds no slot."""

    version: int
    state: S
    decider: Decider[S, Any, Any]
    """The machine that rules it."""
    shard: Shard
    """Where its records are."""
