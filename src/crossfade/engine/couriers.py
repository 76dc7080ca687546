"""Couriers: how the carriers of a recipient hear that something was put into its mailbox."""

from collections.abc import Callable
from typing import Final

from crossfade.core.values import Lane
from crossfade.engine.ports import Courier


class AtOnce:
    """``ports.Courier`` for one process: the carriers are woken before the next record is looked at."""

    def bring(self, wake: Callable[[], None], lane: Lane | None) -> None:
        """Wake them."""
        wake()


AT_ONCE: Final[Courier] = AtOnce()
