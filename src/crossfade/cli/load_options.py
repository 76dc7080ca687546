"""What ``load`` takes on the command line, and what cannot be meant together; from that, the profile that is wished."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import usage

if TYPE_CHECKING:
    from crossfade.fleet.load.profile import Profile
    from crossfade.fleet.load.scenarios import Wish

LANES: Final = {"polling": 0.0, "elicitation": 1.0}


@Parameter(name="*", group="What is asked")
@dataclass(frozen=True)
class Asked:
    """How much and by whom. What is not given is as the scenario has it."""

    agents: Annotated[int | None, Parameter(help="Simulated agents, up to 15,000 on one hub.")] = None
    questions_per_second: Annotated[float | None, Parameter(help="Rate; only the instants are random.")] = None
    seconds: Annotated[float | None, Parameter(help="How long questions are due.")] = None
    lane: Annotated[str | None, Parameter(help="polling or elicitation: --share 0 or 1.")] = None
    share: Annotated[float | None, Parameter(help="Share of the agents on the elicitation lane, 0 to 1.")] = None
    steps: Annotated[str | None, Parameter(help="Numbers of agents, a run each, like 100,1000,5000.")] = None
    rates: Annotated[str | None, Parameter(help="Questions a second, a run each, like 100,200,400.")] = None
    payload_bytes: Annotated[int, Parameter(help="Text of a question.")] = 64
    fan_out: Annotated[int, Parameter(help="Agents asked at once by one asker, a question each.")] = 1
    burst: Annotated[float, Parameter(help="Mean number of askers that begin at the same instant.")] = 1.0
    clusters: Annotated[int, Parameter(help="Groups of agents; 0: one for 25.")] = 0
    within: Annotated[float, Parameter(help="Share of questions that stay in the asker's cluster.")] = 0.8
    experts: Annotated[int | None, Parameter(help="So many are asked by all others; 0: everybody by everybody.")] = None


@Parameter(name="*", group="What agents are like")
@dataclass(frozen=True)
class Manner:
    """How they behave and connect."""

    model: Annotated[str, Parameter(help="attentive, service, assistant or visitor: see --list.")] = "attentive"
    think_seconds: Annotated[float | None, Parameter(help="Mean time for one question; not part of answer_ms.")] = None
    carrier: Annotated[str, Parameter(help="On elicitation: attend, unchanged or stream.")] = "attend"
    processes: Annotated[int, Parameter(help="Load processes; 0: as many as needed, at least two.")] = 0
    connections: Annotated[int, Parameter(help="Connections that all askers share; 0: as fit, at most 1,000.")] = 0
    sources: Annotated[int, Parameter(help="Loopback addresses to call from; 0: as many as needed.")] = 0
    seed: Annotated[int, Parameter(help="The same seed gives the same schedule.")] = 1


@Parameter(name="*", group="What comes of it")
@dataclass(frozen=True)
class Shown:
    """What is done with the result."""

    html: Annotated[Path | None, Parameter(help="Write a page with plots to this file.")] = None
    markdown: Annotated[Path | None, Parameter(help="Write what --compare-lanes found to this file.")] = None
    keep: Annotated[Path | None, Parameter(help="Keep the journals (and the hub's data) in this folder.")] = None
    compare_lanes: Annotated[bool, Parameter(negative="", help="Each lane alone, in pairs.")] = False
    rounds: Annotated[int | None, Parameter(help="Pairs of --compare-lanes, else six: an interval at 95 %.")] = None
    list: Annotated[bool, Parameter(negative="", help="List scenarios and models, and do nothing.")] = False


ASKED: Final = Asked()
MANNER: Final = Manner()
SHOWN: Final = Shown()
"""Nothing is given."""


def check_words(asked: Asked, manner: Manner, shown: Shown, steps: "Sequence[Profile]", url: str) -> None:
    """Refuse what would be ignored without a word."""
    if not shown.compare_lanes:
        if shown.rounds is not None:
            raise usage("--rounds are the pairs of a comparison of lanes", "add --compare-lanes, or leave it out")
        if manner.carrier != "attend" and not url and not any(profile.share for profile in steps):
            raise usage(
                f"--carrier {manner.carrier} is for agents on the elicitation lane, and none are",
                "add --lane elicitation or a --share",
            )
        return
    for given, flag in (
        (asked.lane, "--lane"),
        (asked.share, "--share"),
        (len(steps) > 1 or None, "several runs (--steps, --rates, the scenario scaling)"),
        (shown.keep, "--keep"),
        (url or None, "--url"),
    ):
        if given is not None:
            said = f"each lane is measured alone, on a hub of its own: --compare-lanes goes without {flag}"
            raise usage(said, "leave one of them out")


def wish_of(asked: Asked, manner: Manner) -> "Wish":
    """What of a scenario is changed. Raises ProfileError, CommandError."""
    import msgspec

    from crossfade.fleet.load.profile import Carrier, ProfileError
    from crossfade.fleet.load.scenarios import Wish
    from crossfade.fleet.model import MODELS

    if manner.model not in MODELS:
        raise ProfileError(f"there is no model {manner.model!r}", f"one of: {', '.join(MODELS)}")
    if manner.carrier not in list(Carrier):
        raise ProfileError(f"there is no carrier {manner.carrier!r}", f"one of: {', '.join(Carrier)}")
    model = MODELS[manner.model]
    if manner.think_seconds is not None:
        if not 0 <= manner.think_seconds <= 3_600:
            raise ProfileError(f"{manner.think_seconds:g} s is no time to think", "--think-seconds takes 0 to 3600")
        model = msgspec.structs.replace(model, think_seconds=manner.think_seconds)
    more: dict[str, object] = {
        "payload_bytes": asked.payload_bytes,
        "fan_out": asked.fan_out,
        "burst": asked.burst,
        "clusters": asked.clusters,
        "within": asked.within,
        "model": model,
        "carrier": Carrier(manner.carrier),
        "processes": manner.processes,
        "lines": manner.connections,
        "sources": manner.sources,
        "seed": manner.seed,
    }
    if asked.experts is not None:
        more["experts"] = asked.experts
    return Wish(
        agents=asked.agents,
        rate=asked.questions_per_second,
        seconds=asked.seconds,
        share=_share(asked),
        steps=_steps(asked.steps),
        rates=_rates(asked.rates),
        more=more,
    )


def _share(asked: Asked) -> float | None:
    if asked.lane is None:
        return asked.share
    if asked.lane not in LANES or asked.share is not None:
        raise usage(f"--lane {asked.lane} cannot be meant", "--lane polling or --lane elicitation, or --share 0 to 1")
    return LANES[asked.lane]


def _steps(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = text.replace("_", "").split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise usage(f"--steps {text!r} is not a list of numbers", "write it like 100,1000,5000")
    return tuple(int(part) for part in parts)


def _rates(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.replace("_", "").split(","))
    except ValueError:
        raise usage(f"--rates {text!r} is not a list of numbers", "write it like 100,200,400") from None
