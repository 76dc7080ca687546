"""The sections of RESULTS.md: which program makes each, with which arguments, and about how long it takes."""

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark as it is run for RESULTS.md."""

    name: str
    title: str
    module: str
    arguments: tuple[str, ...] = ()
    rounds: int = 5
    minutes: float
    """On a quiet machine of two processors, about."""

    def words(self, rounds: int | None) -> tuple[str, ...]:
        """What Python is told to run."""
        return "-m", self.module, "--rounds", str(rounds or self.rounds), *self.arguments

    def command(self, rounds: int | None) -> str:
        """The same for a reader."""
        return " ".join(("python", *self.words(rounds)))


SECTIONS = (
    Section(
        name="calls", title="Beside the same tools on the official SDK", module="bench.run",
        arguments=("--seconds", "3"), minutes=6,  # the SDK answers in bursts of all pairs, so short windows are noisy
    ),
    Section(name="latency", title="Latency over rate", module="bench.latency", minutes=3.5),
    Section(name="fleet", title="A fleet that waits", module="bench.fleet", minutes=3),
    Section(name="scaling", title="Ten times the size", module="bench.scaling", rounds=7, minutes=4),
    Section(name="restart", title="Starts", module="bench.restart", minutes=1.5),
    Section(name="spike", title="Memory after a spike", module="bench.spike", minutes=1.5),
    Section(
        name="log_append", title="The log beside an append-only file", module="bench.log_append",
        arguments=("--seconds", "1"), minutes=1,
    ),
    Section(
        name="log_safety", title="Chain and checkpoints", module="bench.log_safety",
        arguments=("--seconds", "1"), rounds=7, minutes=1,
    ),
    Section(name="log_start", title="A log of a million records", module="bench.log_start", minutes=1.7),
    Section(name="folding", title="A snapshot is made", module="bench.folding", minutes=1.5),
    Section(name="measuring", title="What measuring costs", module="bench.measuring", rounds=7, minutes=0.5),
    Section(name="cli_start", title="The command line", module="bench.cli_start", rounds=7, minutes=0.5),
    Section(
        name="peers", title="Peers", module="bench.peers.run",
        arguments=("--seconds", "1.5"), minutes=1.5,
    ),
)  # fmt: skip
