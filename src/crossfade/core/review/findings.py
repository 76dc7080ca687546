"""What a review says: findings and controls by role, outcomes, and the overall verdict.

Rules
-----
1. Any critical finding is an emergency stop; any major one is a condition; controls that remain are controls;
   else approved.
2. Ready is what has no emergency stop and no condition.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from crossfade.core.runsheets import Outcome, Role, Runsheet


class Severity(StrEnum):
    """How bad a finding is."""

    CRITICAL = "critical"
    """Nothing may start."""
    MAJOR = "major"
    """Has to be put right first."""
    MINOR = "minor"
    """Stays, and is watched: the finding that a control answers."""


class Cause(NamedTuple):
    """One value, or missing value, that a rule objects to."""

    path: str
    said: str


class Rule(NamedTuple):
    """One thing that a role looks for. All its causes make one finding."""

    code: str
    severity: Severity
    about: str
    """The finding in a few words; the causes follow it."""
    hint: str
    causes: Callable[[Runsheet], Iterator[Cause]]


class ControlRule(NamedTuple):
    """A risk that remains although everything is planned well, and the probe that watches it."""

    code: str
    about: str
    probe: str
    """A check of the catalogue, run continuously; when it fails the approval is suspended."""
    causes: Callable[[Runsheet], Iterator[Cause]]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, where, and what to do."""

    code: str
    severity: Severity
    path: str
    """Dotted place of the first cause in the runsheet."""
    message: str
    hint: str
    """Shown as ``try``."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """A probe that has to hold for as long as an approval is relied on."""

    code: str
    path: str
    message: str
    probe: str


class RoleReview(msgspec.Struct, frozen=True, kw_only=True):
    """What one role says."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    controls: tuple[Control, ...] = ()
    """Each also stands among the findings, as a minor one."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What all roles say."""

    roles: dict[Role, RoleReview]
    overall: Literal["production_ready", "not_ready"]


def reviewed(runsheet: Runsheet, rules: tuple[Rule, ...], controls: tuple[ControlRule, ...] = ()) -> RoleReview:
    """Apply the rules of one role; controls are only asked of a runsheet that could be approved."""
    findings = tuple(finding for rule in rules if (finding := _found(rule, runsheet)) is not None)
    severities = {finding.severity for finding in findings}
    if Severity.CRITICAL in severities:
        return RoleReview(outcome=Outcome.EMERGENCY_STOP, findings=findings)
    if Severity.MAJOR in severities:
        return RoleReview(outcome=Outcome.CONDITIONAL, findings=findings)
    demanded = tuple(control for rule in controls if (control := _demanded(rule, runsheet)) is not None)
    outcome = Outcome.APPROVED_WITH_CONTROLS if demanded else Outcome.APPROVED
    return RoleReview(outcome=outcome, findings=tuple(map(_as_finding, demanded)), controls=demanded)


def _found(rule: Rule, runsheet: Runsheet) -> Finding | None:
    causes = tuple(rule.causes(runsheet))
    if not causes:
        return None
    message = f"{rule.about}: {'; '.join(cause.said for cause in causes)}"
    return Finding(code=rule.code, severity=rule.severity, path=causes[0].path, message=message, hint=rule.hint)


def _demanded(rule: ControlRule, runsheet: Runsheet) -> Control | None:
    causes = tuple(rule.causes(runsheet))
    if not causes:
        return None
    message = f"{rule.about}: {'; '.join(cause.said for cause in causes)}"
    return Control(code=rule.code, path=causes[0].path, message=message, probe=rule.probe)


def _as_finding(control: Control) -> Finding:
    hint = f"keep {control.probe} passing; when it fails the approval is suspended"
    return Finding(code=control.code, severity=Severity.MINOR, path=control.path, message=control.message, hint=hint)


def readiness(roles: dict[Role, RoleReview]) -> Literal["production_ready", "not_ready"]:
    """Ready if no role stops it or makes a condition."""
    approving = (Outcome.APPROVED, Outcome.APPROVED_WITH_CONTROLS)
    return "production_ready" if all(role.outcome in approving for role in roles.values()) else "not_ready"
