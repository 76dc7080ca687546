"""The programme's view: the rollout's state, who is on which lane, and the credentials by digest."""

from typing import Final

from crossfade.core import credentials, rollouts
from crossfade.core.values import AgentName, Lane
from crossfade.engine.views.talk import Talk

SERVICE_NAME: Final = AgentName("programme")
"""The service that asks for sign-offs. It reads its answers itself, and moves to no lane, so it binds no cluster."""
ROLLOUT: Final = rollouts.STREAM
"""The one rollout of a hub."""


class Programme:
    """Lanes and credentials, as the log says; ``killed`` comes before the log says anything."""

    def __init__(self) -> None:
        self.rollout = rollouts.State()
        self.killed = False
        """The kill switch was thrown and the log may not have it yet: everybody is on polling."""
        self.killed_by_file = False
        """The kill file is there; the rollout cannot go forward until it is removed."""
        self.since: dict[str, int] = {}
        """Status of the rollout → instant at which it was reached last."""
        self.tokens: dict[str, tuple[str, credentials.State]] = {}
        """Digest of a token → its id and state."""
        self.holders: set[str] = set()
        """Names that ever had a token."""
        self.talk = Talk()
        """Questions and messages between identities, for computing clusters."""

    def lane_of(self, name: AgentName, label: str) -> Lane:
        """The lane of an identity now."""
        return Lane.POLLING if self.killed else rollouts.lane_of_agent(self.rollout, name, label)

    def has_token(self, name: str) -> bool:
        """A token was issued under this name at some time."""
        return name in self.holders

    def cluster_of(self, name: AgentName, label: str) -> str:
        """The cluster whose lane the identity shares."""
        return self.rollout.clusters.get(name) or label or name
