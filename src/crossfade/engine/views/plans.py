"""The plan that drives the rollout, as the log says: its state, and the evidence folded from the measurements."""

from collections import Counter

from crossfade.core import cohorts, rollouts, stages
from crossfade.core.measurement_events import BlockRecorded
from crossfade.core.records import Event
from crossfade.core.stage_events import Accepted, BakeBegun, Cause, Held, Resumed, RolledBack
from crossfade.core.values import Instant
from crossfade.core.watching import Watch


class Driven:
    """One plan at a time: the newest."""

    def __init__(self) -> None:
        self.state = stages.State()
        self.watch: Watch | None = None
        """Its evidence; None before the first plan."""
        self.fired: Counter[str] = Counter()
        """Trigger → how often it made a plan of this log go back, or hold until somebody looks."""

    def put(self, state: stages.State, event: Event, at: Instant, rollout: rollouts.State) -> None:
        """Take the state after one more record of the plan."""
        self.state = state
        if isinstance(event, RolledBack):
            self.fired[event.said.name] += 1
        elif isinstance(event, Held) and event.cause is Cause.INVESTIGATE:
            self.fired.update(one.name for one in event.said)
        if isinstance(event, Accepted):
            self.watch = Watch(state.number, state.plan)
        elif isinstance(event, BakeBegun) and self.watch is not None:
            exposed = sum(cohorts.point(rollout.salt, cluster) < rollout.threshold for cluster in rollout.weights)
            self.watch.begin_bake(at, rollout.threshold, exposed)
        elif isinstance(event, Resumed) and event.looked and self.watch is not None:
            self.watch.relieve(event.cause, at)

    def take(self, block: BlockRecorded) -> None:
        """Take one block of measurements, while a plan may need it."""
        if self.watch is not None and self.state.live:
            self.watch.take(block)
