"""What the steps of a run printed: a JSON object on the last line that a step of kind ``command`` wrote.

Measurements that are made outside the hub come into a run this way; the step's evidence keeps them.
"""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from crossfade.core.run_state import NodeStatus, State

T = TypeVar("T")


class _Outcome(msgspec.Struct, frozen=True):
    output: str = ""


class _Evidence(msgspec.Struct, frozen=True):
    do: _Outcome


_READ_EVIDENCE = msgspec.json.Decoder(_Evidence)


def newest_printed(state: State, decoder: msgspec.json.Decoder[T]) -> tuple[str, T] | None:
    """The step and the newest object that ``decoder`` understands, of the steps that are done; None without one."""
    found = max(_printed(state, decoder), key=lambda one: one[0], default=None)
    return None if found is None else found[1:]


def _printed(state: State, decoder: msgspec.json.Decoder[T]) -> Iterator[tuple[int, str, T]]:
    """When, by which step, and what."""
    for node, progress in state.progress.items():
        if progress.status is not NodeStatus.DONE:
            continue
        try:
            said = _READ_EVIDENCE.decode(bytes(progress.evidence)).do.output.strip().rpartition("\n")[2]
            yield progress.at, node, decoder.decode(said)
        except msgspec.DecodeError:
            continue  # most steps say something else, or nothing
