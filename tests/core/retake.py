"""Write the tables that hold what people read anew: ``python -m tests.core.retake``. Read the difference, then commit.

Only words are taken over, never outcomes: tables of decisions are written by hand.
"""

from collections.abc import Iterable

from tests.core import test_findings, test_words
from tests.kit.tables import TABLES
from tests.runsheets.test_review import PLANTED, V1


def table(name: str, about: str, header: str, groups: Iterable[Iterable[tuple[str, ...]]]) -> None:
    """Write one table; groups are parted by an empty line."""
    lines = [f"# {about}", "", header]
    for group in groups:
        lines += ["", *(" | ".join(row) for row in group)]
    (TABLES / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    """Write all of them."""
    table(
        "words",
        "Every refusal of core in words; tests/core/test_words.py says how each comes about. Details: JSON, or -.",
        "subject | code | says | try | details",
        ([(subject, *row) for row in test_words.said(subject)] for subject in test_words.SUBJECTS),
    )
    table(
        "findings",
        "What a review says about version 2 with one thing changed; tests/core/test_findings.py lists the cases.",
        "change | code | at | says",
        (
            [row for changes in test_findings.RIGHT for row in test_findings.said(changes)],
            [row for changes in test_findings.WRONG for row in test_findings.said(changes)],
            [row for _, changes in PLANTED for row in test_findings.said(changes)],
            [row for name in test_findings.CONTROLS for row in test_findings.controls(name)],
            [("version 1", *finding) for finding in test_findings.findings(V1)],
        ),
    )


if __name__ == "__main__":
    main()
