"""What a gate says in words that somebody understands who was asleep a minute ago. Words only; judging.py decides."""

from datetime import UTC, datetime
from typing import Final

from crossfade.core.gates.sample_ratio import Phase
from crossfade.core.gates.specs import Count, Ruling, Spec, Verdict
from crossfade.core.values import SECOND, Instant

SPANS: Final = ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def time(seconds: float) -> str:
    """A duration in the unit that fits: ``40 min``, ``2.5 days``."""
    span, unit = next((one for one in SPANS if seconds >= 2 * one[0]), SPANS[-1])
    return f"{seconds / span:.{0 if seconds / span >= 10 else 1}f}".removesuffix(".0") + f" {unit}"


def percent(rate: float | None) -> str:
    """A rate with as many digits as say something."""
    return "no rate" if rate is None else f"{rate * 100:.3g} %"


def instant(at: Instant) -> str:
    """An instant to the second, UTC."""
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def place(count: Count) -> str:
    """Where a count is: its line, or its instant."""
    return f"line {count.line}" if count.line else f"the count of {instant(count.at)}"


def errored(why: str) -> str:
    """A gate that could not be judged."""
    return f"Not judged: {why}. This is no verdict about the service; until it is measured, nothing may go on."


def _subject(spec: Spec) -> str:
    return f"{spec.metric or 'the rate of bad events'} of {spec.exposure.value}"


def _observed(result: Ruling) -> str:
    return f"{result.bad:,} bad of {result.n:,} ({percent(result.rate)}), {result.clusters:,} clusters"


def _between(result: Ruling) -> str:
    low, high = result.interval or (None, None)
    return f"The true rate lies between {percent(low)} and {percent(high)}." if high is not None else ""


def more(result: Ruling) -> str:
    """What is needed for a verdict."""
    if result.needed is None:
        return "At the rate observed so far it will never be proven."
    eta = f", {time(result.eta_seconds)} at this traffic" if result.eta_seconds is not None else ""
    return f"Needs about {result.needed:,} more observations at this rate{eta}."


def promotion(spec: Spec, result: Ruling) -> str:
    """A promotion's verdict."""
    what, bound = _subject(spec), percent(spec.max_rate)
    told = {
        "proven": f"It is proven that {what} is below {bound}: {_observed(result)}. This gate lets the rollout go on.",
        "proven_worse": f"It is proven that {what} is above {bound}: {_observed(result)}. Do not go on.",
        "no_traffic": f"Nothing was observed of {spec.exposure.value}: the counts are all 0. Hold.",
        "too_few_clusters": (
            f"The rate is low enough, but only {result.clusters} clusters were seen and the gate asks for"
            f" {spec.min_clusters}. Hold."
        ),
        "not_enough": (
            f"Not proven that {what} is below {bound}, nor that it is above: {_observed(result)}. Hold; nothing is"
            f" known to be wrong. {_open_block(spec, result) or more(result)}"
        ),
    }[result.reason]
    return f"{told} {_between(result)}".strip()


def _open_block(spec: Spec, result: Ruling) -> str:
    if result.needed is None and spec.block_seconds and not result.blocks:
        return f"The first block of {time(spec.block_seconds)} is not over yet."
    return ""


def promotion_guarantee(spec: Spec) -> str:
    """What a promotion promises."""
    units = (
        f"Observations of one cluster within {time(spec.block_seconds)} may depend on each other in any way;"
        " clusters are taken to fail independently of each other."
        if spec.block_seconds
        else "Observations are independent of each other, as block_seconds: 0 declares."
    )
    return (
        f"If the rate were {percent(spec.max_rate)} or more, this gate would pass with probability at most"
        f" {percent(spec.alpha)}, however often it is looked at. {units}"
    )


def trigger(spec: Spec, result: Ruling, breadth: int) -> str:
    """A trigger's verdict."""
    what, line, who = _subject(spec), percent(spec.max_rate), ", ".join(result.named)
    return {
        "fired": (
            f"{_when(result)}{what} has risen above {line}, and {breadth} or more clusters are hurt, worst: {who}."
            f" Go back. The evidence is {_times(result)}."
        ),
        "quiet": f"{what} has not risen above {line}: {_observed(result)}. Nothing to do.",
        "narrow": (
            f"{who or 'One cluster'} is above {line}, but the others are not: that is not the release. Hold, and look"
            f" at {who or 'it'}. Fires if {breadth} clusters are hurt."
        ),
        "shared": (
            f"{what} is above {line}, but the old side is hurt alike: the release is not to blame and going back would"
            " not help. Hold, and look at what both sides share."
        ),
        "too_few_clusters": (
            f"{what} has risen above {line}, but only {result.clusters} clusters were seen and the gate asks for"
            f" {spec.min_clusters}. Hold."
        ),
        "no_traffic": f"Nothing was observed of {spec.exposure.value}: the counts are all 0. Hold.",
    }[result.reason]


def _when(result: Ruling) -> str:
    return f"At {instant(result.at)}: " if result.at is not None else ""


def _times(result: Ruling) -> str:
    assert result.threshold, "a verdict has a threshold"
    return f"{result.evidence:.3g}, and {result.threshold:.3g} is enough"


def trigger_guarantee(spec: Spec, spacing_seconds: float) -> str:
    """What a trigger promises."""
    looks = time(spec.check_seconds or spacing_seconds or 60.0)
    return (
        f"While the rate is at most {percent(spec.max_rate)}, the probability that any of {spec.triggers} triggers"
        f" fires in {time(spec.horizon_seconds)} of looking every {looks} is at most {percent(spec.alpha)}."
        f" Observations are taken as independent; for those that are not, at least {spec.breadth} clusters have to"
        " be hurt, if so many are exposed."
    )


def comparison(spec: Spec, result: Ruling, n: list[int], bad: list[int]) -> str:
    """An A/B's verdict."""
    rates = [percent(b / a) if a else "nothing" for a, b in zip(n, bad, strict=True)]
    seen = f"new {bad[0]:,} of {n[0]:,} ({rates[0]}), old {bad[1]:,} of {n[1]:,} ({rates[1]}) in the same instants"
    bound = f"{1 + spec.margin_or_default:g} times the old one's"
    who = ", ".join(result.named)
    return {
        "proven": f"It is proven that the new side's rate is below {bound}: {seen}.",
        "proven_worse": f"It is proven that the new side's rate is above {bound}: {seen}. Do not go on.",
        "not_enough": f"Not proven that the new side's rate is below {bound}, nor above: {seen}. Hold. {more(result)}",
        "narrow": f"Only {who} makes a difference: {seen}. Without them nothing is proven. Hold, and look at them.",
        "too_few_clusters": f"Fewer than {spec.min_clusters} clusters on one side: {seen}. Hold.",
        "no_traffic": f"There is no instant with observations of both sides: {seen}. Hold.",
    }[result.reason]


def comparison_guarantee(spec: Spec) -> str:
    """What an A/B promises."""
    units = (
        f"Bad events of one cluster within {time(spec.block_seconds)} may be one burst; bursts are alike on both sides."
        if spec.block_seconds
        else "Bad events are independent of each other, as block_seconds: 0 declares."
    )
    return (
        f"Each end, better or worse than {1 + spec.margin_or_default:g} times, is said falsely with probability at most"
        f" {percent(spec.alpha)}, however often one looks, and whatever hurts both sides. {units}"
    )


def sample_ratio(result: Ruling, phase: Phase) -> str:
    """A sample ratio's verdict."""
    on_new, units = phase.counted
    unit = "clusters" if phase.by_cluster else "observations"
    rates = f"{percent(result.rate)}; {percent(phase.share)} expected"
    seen = f"{on_new:,} of {units:,} {unit} are on the new side ({rates})"
    why = "" if phase.by_cluster else (
        " Most clusters stand on both sides, so observations are taken as what was assigned, each by itself."
    )  # fmt: skip
    if phase.by_cluster and phase.both:
        why = f" {len(phase.both):,} clusters stand on both sides; each counts by its first."
    if result.verdict is Verdict.FAILED:
        return f"The split is not as it was meant to be: {seen}. Trust no comparison until it is explained.{why}"
    if result.verdict is Verdict.PASSED:
        return f"The split is as it was meant to be: {seen}.{why}"
    return f"Too few to tell: {seen}. No split of so few would be evidence; needs {result.needed:,} more.{why}"


def sample_ratio_guarantee(spec: Spec, phases: int) -> str:
    """What a sample ratio promises."""
    each = f", each of {phases} phases with the same part of it" if phases > 1 else ""
    return (
        f"If every unit is assigned by chance as expected, this fires with probability at most {percent(spec.alpha)},"
        f" however often it is looked at{each}."
    )
