"""Crossfade: a hub through which agents and people ask each other structured questions.

``from crossfade import Agent, Decline`` is the SDK (crossfade.client). Nothing is imported until it is used, so
that the command line starts quickly.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossfade.client import Agent, Answer, Decline

__version__ = "0.1.0"
__all__ = ["Agent", "Answer", "Decline", "__version__"]


def __getattr__(name: str) -> object:
    """Import the SDK when one of its names is first used."""
    if name not in __all__:
        message = f"module 'crossfade' has no attribute {name!r}"
        raise AttributeError(message)
    from crossfade import client

    return getattr(client, name)
