"""Facts: what is known exactly and needs no statistics: whether anything was lost, and whether security was hurt.

Rules
-----
1. Lost is a question that has no end although its deadline passed a while ago, with the log able to record one; or a
   record that is not in the log as it was written.
2. An incident of security is an emergency stop by a member of the role since the plan began.
"""

from collections.abc import Callable
from typing import Final

from crossfade.core.plans import Plan
from crossfade.core.stage_events import Said
from crossfade.core.values import SECOND, SPACE, Instant
from crossfade.engine.context import Context

LATE_SECONDS: Final = 30.0
"""So long after its deadline, and after the start of the hub, a question without an end is lost."""
RULE_OF_THREE: Final = 3.0
"""None among n means fewer than 3/n with 95 % confidence."""
SECURITY: Final = "security"


class Facts:
    """Looks at the views; changes nothing."""

    def __init__(self, context: Context, damage: Callable[[], str], writing: Callable[[], bool]) -> None:
        """``damage``: what was found not to be as it was written; ``writing``: whether the log takes commands now."""
        self._c = context
        self._damage = damage
        self._writing = writing
        self._since = context.clock.now()

    def of(self, plan: Plan, since: Instant) -> tuple[Said, ...]:
        """What is known of the plan's exact metrics, the whole time since it was accepted."""
        wanted = {gate.metric for gate in plan.gates.values()} | {one.metric for one in plan.triggers.values()}
        loss = (self.loss(),) if "data_loss" in wanted else ()
        return (*loss, self.incidents(since)) if "security_incidents" in wanted else loss

    def loss(self) -> Said:
        """Acknowledged records that are missing, by looking at each."""
        now = self._c.clock.now()
        limit = now - int(LATE_SECONDS * SECOND)
        lost: list[str] = []
        if self._writing() and self._since < limit:
            still = (one for one in self._c.views.questions.values() if one.open)
            lost = [one.question_id for one in still if one.state.deadline < limit]
        many, damage = self._c.dispatcher.head(SPACE), self._damage()
        bad = len(lost) + bool(damage)
        if bad:
            told = "; ".join([*([damage] if damage else []), *([f"no end of {', '.join(lost[:5])}"] if lost else [])])
            return _said("data_loss", many, bad, f"{bad} lost: {told}")
        rate = RULE_OF_THREE / many if many else 1.0
        told = f"nothing lost of {many:,} records; the rate is below {rate:.2g} with 95 % confidence"
        return _said("data_loss", many, 0, told)

    def incidents(self, since: Instant) -> Said:
        """Emergency stops by security."""
        stops = [
            f"{one.signoff_id} by {one.state.stop.by}: {one.state.stop.comment or 'no comment'}"
            for one in self._c.views.signoffs.entries.values()
            if one.state.stop is not None and one.state.stop.role == SECURITY and one.state.stop.given_at >= since
        ]
        told = "; ".join(stops) if stops else "no emergency stop by security since the plan began"
        return _said("security_incidents", len(stops), len(stops), told)


def _said(metric: str, n: int, bad: int, explanation: str) -> Said:
    verdict, reason = ("failed", "found") if bad else ("passed", "none")
    guarantee = "Every record and every question is looked at; this is no estimate." if metric == "data_loss" else ""
    return Said(
        name=metric, kind="exact", verdict=verdict, reason=reason, metric=metric, limit=0.0, n=n, bad=bad,
        guarantee=guarantee, explanation=explanation,
    )  # fmt: skip
