"""Reviews a runsheet as specialists would: DevOps, Security, Performance. Pure; reads values only.

Rules
-----
1. No rule reads a name, a title, a version or a note. Ids count only where they refer to something.
2. A role's outcome follows from its findings; the overall verdict follows from the outcomes (findings.py).
"""

from crossfade.core.review import devops, performance, security
from crossfade.core.review.findings import (
    Control,
    Finding,
    Review,
    RoleReview,
    Severity,
    readiness,
    reviewed,
)
from crossfade.core.runsheets import Outcome, Role, Runsheet

__all__ = ["Control", "Finding", "Outcome", "Review", "RoleReview", "Severity", "review"]


def review(runsheet: Runsheet) -> Review:
    """What each role finds in ``runsheet``."""
    roles = {
        Role.DEVOPS: reviewed(runsheet, devops.RULES),
        Role.SECURITY: reviewed(runsheet, security.RULES, security.CONTROLS),
        Role.PERFORMANCE: reviewed(runsheet, performance.RULES),
    }
    return Review(roles=roles, overall=readiness(roles))
