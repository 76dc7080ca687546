"""What a security architect looks for: authentication, tests, detection, a way back without holes, data.

Any finding here stops everything. Controls are what remains when all is planned well: two lanes at once, a lane
that is kept alive, a step that cannot be undone.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from crossfade.core.review.facts import first_moving, irreversible, lacking, share_text, shares_in_use, slos_of, unheld
from crossfade.core.review.findings import Cause, ControlRule, Rule, Severity
from crossfade.core.runsheets import Phase, Role, Runsheet

TESTS: Final = ("authentication", "authorisation", "injection", "replay", "flood", "isolation")
DETECTIONS: Final = ("downgrade", "cross_lane_replay", "share_tampering")
PROTECTIONS: Final = ("encryption_in_transit", "encryption_at_rest", "minimisation", "retention", "erasure")
COMPLIANCE: Final = ("GDPR", "SOC2")
SCAN_EVERY_MOST: Final = timedelta(days=1)


def authentication(runsheet: Runsheet) -> Iterator[Cause]:
    """Authentication is validated in every phase, and a gate asks for it."""
    listed = runsheet.security.authentication_checkpoints if runsheet.security else ()
    missing = [phase.id for phase in runsheet.phases if phase.id not in listed]
    if missing or not runsheet.phases:
        said = f"none in phase {', '.join(missing)}" if missing else "there is no phase to have one"
        yield Cause("security.authentication_checkpoints", said)
    open_ended = {f"phases.{index}.exit": phase.id for index, phase in enumerate(runsheet.phases) if not _ends(phase)}
    yield from lacking(open_ended, "no gate security.authentication ends phase")
    first = first_moving(runsheet)
    moved = enumerate(runsheet.phases) if first is not None else ()
    unsigned = {f"phases.{index}": phase.id for index, phase in moved if index >= (first or 0) and not _signed(phase)}
    yield from lacking(unsigned, "security does not sign for phase")


def _ends(phase: Phase) -> bool:
    return any(gate.check == "security.authentication" for gate in phase.exit)


def _scanned(phase: Phase) -> bool:
    return any(gate.check in {"security.scanned", "security.validated"} for gate in phase.exit)


def _signed(phase: Phase) -> bool:
    return any(Role.SECURITY in signoff.roles for signoff in phase.entry_signoffs)


def testing(runsheet: Runsheet) -> Iterator[Cause]:
    """All areas are tested, scans run continuously, and nothing moves before that has passed."""
    plan = runsheet.security
    missing = [area for area in TESTS if area not in (plan.tests if plan else ())]
    if missing:
        yield Cause("security.tests", f"no test of {', '.join(missing)}")
    if plan is None or plan.scanning is None or not plan.scanning.kinds:
        yield Cause("security.scanning", "no continuous scanning")
    elif not timedelta() < plan.scanning.every <= SCAN_EVERY_MOST:
        yield Cause("security.scanning.every", "scans run less than daily")
    calm = {
        f"risk_windows.{place}": window.id for place, window in enumerate(runsheet.risk_windows) if not window.scans
    }
    yield from lacking(calm, "no extra scan in risk window")
    unseen = {f"phases.{index}.exit": phase.id for index, phase in enumerate(runsheet.phases) if not _scanned(phase)}
    yield from lacking(unseen, "no scan ends phase")
    yield from unheld(runsheet, "security.validated", "all security tests passed")


def detection(runsheet: Runsheet) -> Iterator[Cause]:
    """Attacks that only a migration makes possible are looked for, and somebody hears of them."""
    plan = runsheet.security
    missing = [threat for threat in DETECTIONS if threat not in (plan.threat_detection if plan else ())]
    if missing:
        yield Cause("security.threat_detection", f"nothing detects {', '.join(missing)}")
    if plan is None or not plan.siem:
        yield Cause("security.siem", "security events are sent nowhere")


def going_back(runsheet: Runsheet) -> Iterator[Cause]:
    """A rollback restores the log, keeps every control, and is checked."""
    plan = runsheet.security
    if plan is None or not plan.rollback_keeps_controls:
        yield Cause("security.rollback_keeps_controls", "going back may drop controls that are in force")
    if plan is None or not plan.rollback_validated:
        yield Cause("security.rollback_validated", "security is not validated after a rollback")
    if runsheet.rollback is None or not runsheet.rollback.restores_event_store:
        yield Cause("rollback.restores_event_store", "the consistency of the event store is not restored")


def protection(runsheet: Runsheet) -> Iterator[Cause]:
    """Data is protected on the way, at rest and in time, under named rules."""
    plan = runsheet.security
    missing = [item for item in PROTECTIONS if item not in (plan.data_protection if plan else ())]
    if missing:
        yield Cause("security.data_protection", f"nothing about {', '.join(missing)}")
    unwatched = [rules for rules in COMPLIANCE if rules not in (plan.compliance if plan else ())]
    if unwatched:
        yield Cause("security.compliance", f"{' and '.join(unwatched)} not monitored")


def tolerated(runsheet: Runsheet) -> Iterator[Cause]:
    """No security incident is acceptable."""
    found = slos_of(runsheet, "security_incidents")
    if not found:
        yield Cause("slos", "nothing says that there may be no security incident")
    for path, slo in found:
        if slo.max != 0 or slo.kind != "minimum":
            yield Cause(f"{path}.max", "security incidents are tolerated")


def two_lanes(runsheet: Runsheet) -> Iterator[Cause]:
    """While the share is between 0 and 1, two protocols reach the same conversations."""
    between = [share for share in shares_in_use(runsheet) if share < 1]
    if between:
        said = f"two protocols are open at once from {share_text(between[0])} to {share_text(between[-1])}"
        yield Cause(f"phases.{first_moving(runsheet)}.share", said)


def kept_alive(runsheet: Runsheet) -> Iterator[Cause]:
    """Phases after the whole fleet has moved in which the way back stays open."""
    last = max((index for index, phase in enumerate(runsheet.phases) if phase.share >= 1 and phase.steps), default=None)
    if last is None:
        return
    for index, phase in enumerate(runsheet.phases[:last]):
        if phase.share >= 1:
            yield Cause(f"phases.{index}.share", f"phase {phase.id} keeps the old lane open at 100 %")


def not_undone(runsheet: Runsheet) -> Iterator[Cause]:
    """Steps that cannot be taken back."""
    for raised in irreversible(runsheet):
        yield Cause(f"{raised.path}.irreversible", f"step {raised.step.id} cannot be undone")


RULES: Final = (
    Rule(
        "security.authentication_checkpoints",
        Severity.CRITICAL,
        "authentication validation checkpoints are missing",
        "list every phase in security.authentication_checkpoints and end it with a gate security.authentication",
        authentication,
    ),
    Rule(
        "security.testing_coverage",
        Severity.CRITICAL,
        "security testing coverage is inadequate",
        f"test {', '.join(TESTS)}; scan at least daily, in every phase and more in risk windows",
        testing,
    ),
    Rule(
        "security.threat_detection",
        Severity.CRITICAL,
        "no migration-specific threat detection",
        f"detect {', '.join(DETECTIONS)}, and name where security events are sent",
        detection,
    ),
    Rule(
        "security.rollback_vulnerabilities",
        Severity.CRITICAL,
        "a rollback could reintroduce vulnerabilities",
        "keep controls when going back, validate security after it, and restore the event store",
        going_back,
    ),
    Rule(
        "security.data_protection",
        Severity.CRITICAL,
        "the data protection framework is missing",
        f"plan {', '.join(PROTECTIONS)}, and monitor {' and '.join(COMPLIANCE)}",
        protection,
    ),
    Rule(
        "security.incidents_tolerated",
        Severity.CRITICAL,
        "security incidents are not ruled out",
        "add a minimum with metric security_incidents and max 0",
        tolerated,
    ),
)

CONTROLS: Final = (
    ControlRule("security.control.two_lanes", "residual risk of two lanes", "security.authentication", two_lanes),
    ControlRule("security.control.old_lane_open", "residual risk of the old lane", "scanning.running", kept_alive),
    ControlRule("security.control.irreversible", "residual risk of removal", "compliance.monitored", not_undone),
)
