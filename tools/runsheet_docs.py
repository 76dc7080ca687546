"""Write what docs say about runsheets and plans from the source: fields, metrics, review rules, schema, the picture.

Usage: runsheet_docs.py [--check]     with --check, exit status 1 if a page is not what would be written.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from crossfade.core import plans, runsheets
from crossfade.core.catalogue import CHECKS, HUB_CALLS, METRICS
from crossfade.core.measurements import EDGES_MS
from crossfade.core.review import devops, performance, security
from crossfade.runsheets import Loaded, load
from crossfade.runsheets.gantt import gantt
from crossfade.runsheets.schema import schema

DOCS: Final = Path(__file__).parent.parent / "docs"
WRITTEN: Final = "Written from the source by `make docs`; a test compares. Do not edit."
HEAD: Final = f"""\
# Runsheets

{WRITTEN} An introduction is in [how to write a runsheet](../how-to/write-a-runsheet.md); what a review looks for in
[review rules](review-rules.md); names of metrics and checks in [metrics and checks](metrics.md). For editors there is a
[JSON Schema](runsheet.schema.json).

## The file

A runsheet is one YAML document in UTF-8, at most 1 MiB, nested at most 32 deep. Every scalar is text until its field
says what it is, so `12:30` is a time of day and `no` is a word. Refused, with file, line and column: anchors, aliases,
tags, a second document, a key twice in one mapping, an unknown field, a value that is not what the field needs. All
mistakes are told at once, with a suggestion where there is one.

| written | means |
|---|---|
| `true`, `yes`, `false`, `no` | yes or no; no other word does |
| `15000`, `0.5`, `99.95%` | a number; a percentage is its hundredth part |
| `P7D`, `PT20M`, `PT1H30M`, `P2W` | a duration (ISO 8601); months and years have no fixed length and are refused |
| `08:00` | a time of day, UTC; the end of the day is `00:00` |
| `2027-01-11` | a date |
| `week: 3`, `day: 2` | Tuesday of week 3; there is no week 0: week -1 is followed by week 1 |

A section without a value (`capacity:`) is not planned, as if it were not there; `{{}}` is one with nothing in it.

The **digest** is SHA-256 over the canonical JSON (RFC 8785) of the typed runsheet, as `crossfade runsheet export`
prints it. Layout and comments do not change it; every value does. Sign-offs, certificates and runs are bound to it.

## Fields

"Required" means that the section cannot be without it; all else may be left out.

"""
PLAN_HEAD: Final = f"""\
# Plans

{WRITTEN} How to use one is in [drive a rollout by a plan](../how-to/drive-a-rollout.md); what its verdicts are worth in
[gates](../explanation/gates.md); one to start from is [`examples/plan.yaml`](../../examples/plan.yaml).

A plan is one YAML document, read as strictly as a [runsheet](runsheet.md): every scalar is text until its field says
what it is, `5%` is 0.05, an unknown field or a key that stands twice is a mistake, and every mistake is told with line
and column. The **digest** is SHA-256 over the canonical JSON (RFC 8785) of the plan with every default written out. A
plan that was accepted is judged by those bytes until it ends, whatever a later release has as defaults.

Refused, beyond what a field cannot be: shares that do not rise; a metric that does not exist or cannot be judged here;
two thresholds for one metric; a threshold on the wrong side; gate, investigate and roll_back that are not from mild to
grave; a limit on latency that is not counted exactly ({", ".join(map(str, EDGES_MS))} ms); triggers sized for less time
than the stages take.

## Fields

"""
METRICS_HEAD: Final = f"""\
# Metrics and checks

{WRITTEN} These are the names that a [runsheet](runsheet.md) can use.

## Metrics

| name | unit | better | what it is |
|---|---|---|---|
"""
CHECKS_HEAD: Final = """
## Checks and measurements

A gate holds until its check passes; a step of kind `check` or `measure` makes it. A check that this release cannot make
comes out as errored, `not_measured`, and holds the run: it never passes.

| name | what it says |
|---|---|
"""
RULES_HEAD: Final = f"""\
# Review rules

{WRITTEN} `crossfade runsheet review FILE` applies all of them; [reviews](../explanation/reviews.md) explains how
findings become outcomes. A rule makes one finding, which names all of its causes.

"""


def fields() -> str:
    """Every section of a runsheet with its fields, from the source of core/runsheets.py."""
    return HEAD + _sections(runsheets, "Runsheet")


def plan_fields() -> str:
    """Every section of a plan with its fields, and what a plan gets that leaves gates and triggers out."""
    gates = "".join(
        f"| `{name}` | `{one.metric}` | {_limit('at most', one.max)}{_limit('at least', one.min)} |\n"
        for name, one in plans.GATES.items()
    )
    triggers = "".join(
        f"| `{name}` | `{one.metric}` | {one.exposure} "
        f"| {_limit('', one.investigate)} | {_limit('', one.roll_back)} |\n"
        for name, one in plans.TRIGGERS.items()
    )
    return (
        f"{PLAN_HEAD}{_sections(plans, 'Plan')}\n## Without gates\n\n| name | metric | limit |\n|---|---|---|\n{gates}"
        "\n## Without triggers\n\n| name | metric | exposure | investigate beyond | roll back beyond |\n"
        "|---|---|---|---|---|\n"
        f"{triggers}"
    )


def _limit(side: str, value: float | None) -> str:
    return "" if value is None else f"{side} {value:g}".strip()


def _sections(module: ModuleType, first: str) -> str:
    """The sections in a module of the core, the whole first."""
    source = Path(module.__file__ or "").read_text("utf-8")
    found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    parts = [node for node in found if any(ast.unparse(base) == "_Part" for base in node.bases)]
    return "\n".join(section(node) for node in sorted(parts, key=lambda node: node.name != first))


def section(node: ast.ClassDef) -> str:
    """One section as a table."""
    about = " ".join((ast.get_docstring(node) or "").split())
    head = f"### {node.name}\n\n" + (f"{about}\n\n" if about else "") + "| field | type | default | meaning |\n"
    return head + "|---|---|---|---|\n" + "".join(rows(node))


def rows(node: ast.ClassDef) -> Iterator[str]:
    """Fields with the text that follows them."""
    for field, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if not isinstance(field, ast.AnnAssign):
            continue
        said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        default = "required" if field.value is None else f"`{ast.unparse(field.value)}`"
        kind = ast.unparse(field.annotation).replace("|", "or")
        yield f"| `{ast.unparse(field.target)}` | {kind} | {default} | {' '.join(str(said).split())} |\n"


def catalogue() -> str:
    """Metrics, checks, calls of the hub."""
    metrics = "".join(f"| `{name}` | {m.unit} | {m.better} | {m.meaning} |\n" for name, m in METRICS.items())
    checks = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in CHECKS.items())
    calls = ", ".join(f"`{name}`" for name in sorted(HUB_CALLS))
    return f"{METRICS_HEAD}{metrics}{CHECKS_HEAD}{checks}\n## Calls of the hub\n\nA step of kind `hub`: {calls}.\n"


def rules() -> str:
    """Every rule of a review, by role, and the controls."""
    text = RULES_HEAD
    for role, told in (("DevOps", devops.RULES), ("Security", security.RULES), ("Performance", performance.RULES)):
        text += f"## {role}\n\n| code | severity | finding | what to do |\n|---|---|---|---|\n"
        text += "".join(f"| `{rule.code}` | {rule.severity} | {rule.about} | {rule.hint} |\n" for rule in told) + "\n"
    text += "## Controls\n\nAsked of a runsheet that security could approve; each is watched by a probe.\n\n"
    text += "| code | risk that remains | probe |\n|---|---|---|\n"
    return text + "".join(f"| `{rule.code}` | {rule.about} | `{rule.probe}` |\n" for rule in security.CONTROLS)


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with what it should say."""
    yield DOCS / "reference/runsheet.md", fields()
    yield DOCS / "reference/plan.md", plan_fields()
    yield DOCS / "reference/metrics.md", catalogue()
    yield DOCS / "reference/review-rules.md", rules()
    yield DOCS / "reference/runsheet.schema.json", json.dumps(schema(), indent=2) + "\n"
    ready = load("elicitation-v2")
    assert isinstance(ready, Loaded)
    yield DOCS / "explanation/elicitation-v2.svg", gantt(ready.runsheet)


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" not in arguments:
        for path, text in stale:
            path.write_text(text, "utf-8")
        return 0
    for path, _ in stale:
        print(f"error: {path.name} differs from the source\ntry: make docs")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
