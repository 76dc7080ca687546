"""What a run asks of the world: commands, HTTP, what the share is a share of, and checks.

Implementations: outbound/steps.py and outbound/targets.py for any system, engine/hub_calls.py for our own rollout,
engine/checks.py for what the hub can measure. Fakes with a memory of their own stand in for them in tests.
"""

from typing import Protocol

import msgspec

from crossfade.core.run_events import Verdict
from crossfade.core.runsheets import Target


class StepCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the world."""

    key: str
    """The same for every attempt at the same effect, so that the other side can do it once."""
    timeout_seconds: float
    """Given up and, for a command, killed after this long."""
    args: dict[str, str] = {}
    """Filled into ``{name}`` of a command line or URL, each as one word."""


class StepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    ok: bool
    reason: str = ""
    """Short and stable: ``exit 3``, ``status 503``, ``timeout``; empty if ok."""
    output: str = ""
    """What it said, cut to a bound."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check came to, with the numbers that it rests on."""

    verdict: Verdict
    reason: str = ""
    """Short and stable; empty if passed."""
    numbers: dict[str, float | str] = {}


NOT_MEASURED = Finding(verdict=Verdict.ERRORED, reason="not_measured")
"""There is no such check or measurement here. It never passes."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one kind of exposure in one block of time."""

    at: str
    """Start of the block, as the source says it."""
    cluster: str
    exposure: str
    n: int
    bad: int


class StepRunner(Protocol):
    """Runs what a runsheet names."""

    async def command(self, line: str, call: StepCall) -> StepOutcome:
        """Run a command line without a shell; ok if it exits with 0 in time."""

    async def http(self, url: str, call: StepCall, method: str = "POST") -> StepOutcome:
        """Call a URL; ok if it answers 2xx in time."""


class SharedTarget(Protocol):
    """What the share is a share of."""

    async def set_share(self, share: float, call: StepCall) -> StepOutcome:
        """Put this share on the new way; the same share again changes nothing."""

    async def verify(self, share: float, call: StepCall) -> StepOutcome:
        """Whether exactly this share is in force; looks only."""

    async def drain(self, call: StepCall) -> StepOutcome:
        """Let what is open on the old way end."""

    async def roll_back(self, call: StepCall) -> StepOutcome:
        """Everything on the old way, by the quickest means."""

    async def counts(self) -> list[Count]:
        """What was counted so far; empty if nothing is."""


class Targets(Protocol):
    """Finds what a runsheet's target is."""

    def of(self, target: Target) -> SharedTarget | None:
        """The target; None if this process has none of its kind."""


class CheckCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a check may need to know about the run that asks."""

    run_id: str
    args: dict[str, str] = {}


class Check(Protocol):
    """One check."""

    async def __call__(self, call: CheckCall) -> Finding:
        """Look, change nothing, and say what was found."""
