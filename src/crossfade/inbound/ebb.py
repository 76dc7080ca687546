"""The ebb: when most of those who were connected have gone, so that memory they used can be given back.

Not a measure of memory: connections are what a crowd costs, and their number is known at no price.

Rules
-----
1. Once for each crowd: what is left when it is over is what the next one is measured from.
2. Not in the middle of it: a few looks later, when what the last ones held has been let go.
"""

from typing import Final

LEAST: Final = 500
"""Connections; fewer that go are no crowd."""
SHARE_LEFT: Final = 0.5
"""It is over when at most this share of the most is left."""
CALM_LOOKS: Final = 2
"""Looks from there until it is said."""


class Ebb:
    """Watches the number of connections."""

    __slots__ = ("_calm", "_most")

    def __init__(self) -> None:
        self._most = 0
        self._calm = 0

    def over(self, connections: int) -> bool:
        """Look: so many are there now. Whether a crowd has gone, and not been told of."""
        self._most = max(self._most, connections)
        if self._most - connections < LEAST or connections > self._most * SHARE_LEFT:
            self._calm = 0
            return False
        self._calm += 1
        if self._calm < CALM_LOOKS:
            return False
        self._most, self._calm = connections, 0
        return True
