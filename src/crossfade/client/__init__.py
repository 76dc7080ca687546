"""The Python SDK: ask in five lines, answer in ten. Speaks HTTP only and imports nothing of the server."""

from crossfade.client.agent import Agent, Answer, Options
from crossfade.client.api import Api, Ask, Reply, Send
from crossfade.client.errors import (
    AuthenticationError,
    ConflictError,
    CrossfadeError,
    Decline,
    ProtocolError,
    RefusedError,
    UnreachableError,
)
from crossfade.client.transport import Transport
from crossfade.client.views import Item, QuestionView

__all__ = [
    "Agent",
    "Answer",
    "Api",
    "Ask",
    "AuthenticationError",
    "ConflictError",
    "CrossfadeError",
    "Decline",
    "Item",
    "Options",
    "ProtocolError",
    "QuestionView",
    "RefusedError",
    "Reply",
    "Send",
    "Transport",
    "UnreachableError",
]
