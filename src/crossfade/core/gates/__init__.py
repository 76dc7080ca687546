"""Gates: what they ask for, the evidence of each kind, and verdicts that stay true while everybody looks.

``judge(spec, counts)`` is the way in for a series that is complete; ``judging(spec)`` for one that grows:
``take(count)`` each, ``ruling(now)`` at any time.
"""

from crossfade.core.gates.judging import Judging, errored, instant_of, instants_wrong, judge, judging
from crossfade.core.gates.specs import (
    Count,
    Exposure,
    Gates,
    Kind,
    Ruling,
    SharePhase,
    Spec,
    SpecSlip,
    Verdict,
    contradictions,
    slips,
)

__all__ = [
    "Count",
    "Exposure",
    "Gates",
    "Judging",
    "Kind",
    "Ruling",
    "SharePhase",
    "Spec",
    "SpecSlip",
    "Verdict",
    "contradictions",
    "errored",
    "instant_of",
    "instants_wrong",
    "judge",
    "judging",
    "slips",
]
