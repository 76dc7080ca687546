"""Write the tables that hold what people read anew: ``python -m tests.core.retake``. Read the difference, then commit.

Only words are taken over, never outcomes: tables of decisions are written by hand.
"""

from collections.abc import Iterable

from tests.core import test_words
from tests.kit.tables import TABLES


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


if __name__ == "__main__":
    main()
