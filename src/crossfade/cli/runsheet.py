"""``runsheet``: write, check, review, plan, compare and draw runsheets. Needs no hub; running one is ``run.py``.

A runsheet is named by its file, or by the name of one that ships: ``elicitation-v2``.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Options, call
from crossfade.cli.output import Output, Row
from crossfade.core.review import Review, review
from crossfade.runsheets import Loaded, Problem, load, parse

File = Annotated[str, Parameter(name="--file", help="A YAML file, or the name of a runsheet that ships.")]
PROBLEM_FIELDS: Final = ("severity", "code", "file", "line", "column", "path", "message", "try")
REVIEW_FIELDS: Final = ("role", "outcome", "severity", "code", "line", "message", "try")


def loaded(file: str) -> Loaded:
    """The runsheet; raises CommandError with the first problem, and how many more there are."""
    found = load(file)
    if isinstance(found, Loaded):
        return found
    first, more = found[0], len(found) - 1
    what = str(msgspec.structs.replace(first, hint="")) + (f" (and {more} more)" if more else "")
    hint = f"crossfade runsheet lint {file}" if more else first.hint or f"put line {first.line} right"
    raise CommandError(f"runsheet.{first.code}", what, hint, Exit.USAGE)


def new(
    file: Annotated[str, Parameter(name="--file", help="The file to write; it must not exist.")],
    *,
    start: Annotated[str, Parameter(help="Monday of the first week, YYYY-MM-DD.")],
    name: Annotated[str, Parameter(help="Name of the runsheet; else that of the file.")] = "",
    options: Options = PLAIN,
) -> int:
    """Write a small runsheet to start from."""
    from crossfade.runsheets.starting import starting

    path = Path(file)
    text = starting(name or path.stem.lower(), start, file)
    wrong = parse(text.encode(), file)
    if isinstance(wrong, list):
        raise CommandError("usage", wrong[0].message, wrong[0].hint, Exit.USAGE)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as fault:
        raise CommandError("usage.file", f"{file}: {fault.strerror}", "name another file", Exit.USAGE) from None
    found = loaded(file)
    Output(options).one({"file": file, "digest": found.digest, "next": f"crossfade runsheet lint {file}"})
    return Exit.OK


def lint(file: File, *, options: Options = PLAIN) -> int:
    """Check that a runsheet makes sense: every problem with its place. Exit code 2 if there is an error."""
    from crossfade.runsheets.lint import lint as linted

    found = load(file)
    problems = linted(found) if isinstance(found, Loaded) else found
    output = Output(options)
    if problems and not options.machine:
        for problem in problems:
            print(f"{problem}" if problem.severity == "error" else f"{problem} (warning)")
    elif options.machine:
        output.table([_problem_row(problem) for problem in problems], PROBLEM_FIELDS)
    errors = sum(problem.severity == "error" for problem in problems)
    output.note(f"{file}: {errors} error(s), {len(problems) - errors} warning(s)")
    return Exit.USAGE if errors else Exit.OK


def _problem_row(problem: Problem) -> Row:
    row = msgspec.to_builtins(problem)
    return {name: row["hint" if name == "try" else name] for name in PROBLEM_FIELDS}


def review_file(
    file: File,
    *,
    record: Annotated[bool, Parameter(negative="", help="Have the hub review, record and certify it, too.")] = False,
    options: Options = PLAIN,
) -> int:
    """Review a runsheet as DevOps, Security and Performance would. Exit code 6 if it is not ready."""
    found = loaded(file)
    result = review(found.runsheet)
    if record:
        from crossfade.runsheets.export import as_json

        text = as_json(found.runsheet).decode()
        call(options, lambda api: api.review(text))
        Output(options).note("recorded: crossfade board")
    document = review_document(found, result)
    if options.machine:
        print(msgspec.json.encode(document).decode())
    else:
        output = Output(options)
        output.table(_review_rows(document), REVIEW_FIELDS)
        output.note(f"{found.file}: {result.overall}")
    return Exit.OK if result.overall == "production_ready" else Exit.FAILED


def review_document(found: Loaded, result: Review) -> dict[str, object]:
    """What ``--json`` prints; lines are those of the value that a finding is about."""
    roles = {
        role.value: {
            "outcome": told.outcome,
            "findings": [
                {
                    "code": finding.code,
                    "severity": finding.severity,
                    "line": found.place(finding.path).line,
                    "message": finding.message,
                    "try": finding.hint,
                }
                for finding in told.findings
            ],
        }
        for role, told in result.roles.items()
    }
    return {"roles": roles, "overall": result.overall}


def _review_rows(document: dict[str, object]) -> list[Row]:
    rows: list[Row] = []
    roles = msgspec.convert(document["roles"], dict[str, dict[str, object]])
    for role, told in roles.items():
        findings = msgspec.convert(told["findings"], list[dict[str, object]])
        whole: dict[str, object] = {**dict.fromkeys(REVIEW_FIELDS, ""), "role": role, "outcome": told["outcome"]}
        rows += [{**whole, **finding} for finding in findings or [{}]]
    return rows


def plan(
    file: File,
    *,
    svg: Annotated[str, Parameter(help="Also draw it into this file.")] = "",
    options: Options = PLAIN,
) -> int:
    """Show what is planned for which day; with ``--svg FILE`` also as a picture."""
    from crossfade.runsheets.gantt import gantt
    from crossfade.runsheets.plan import FIELDS, rows

    found = loaded(file)
    output = Output(options)
    if svg:
        try:
            Path(svg).write_text(gantt(found.runsheet), "utf-8")
        except OSError as fault:
            raise CommandError("usage.file", f"{svg}: {fault.strerror}", "name another file", Exit.USAGE) from None
        output.note(f"drawn into {svg}")
    output.table(rows(found.runsheet), FIELDS)
    return Exit.OK


def diff(
    before: Annotated[str, Parameter(name="--before", help="A YAML file, or the name of a runsheet that ships.")],
    after: Annotated[str, Parameter(name="--after", help="What to compare it with.")],
    *,
    options: Options = PLAIN,
) -> int:
    """Show what differs between two runsheets, by value; layout and comments do not count."""
    from crossfade.runsheets.diff import FIELDS, differences

    Output(options).table(differences(loaded(before).runsheet, loaded(after).runsheet), FIELDS)
    return Exit.OK


def graph(
    file: File,
    *,
    dot: Annotated[bool, Parameter(negative="", help="In the DOT language of Graphviz.")] = False,
    options: Options = PLAIN,
) -> int:
    """Show phases, and the gates and sign-offs that hold the way from one to the next."""
    from crossfade.runsheets import graph as graphs

    runsheet = loaded(file).runsheet
    text = graphs.dot(runsheet) if dot else "\n".join(graphs.words(runsheet)) + "\n"
    if options.machine:
        Output(options).one({"file": file, "graph": text})
    else:
        print(text, end="")
    return Exit.OK


def schema(*, options: Options = PLAIN) -> int:
    """Print the JSON Schema of runsheets, for editors."""
    import json

    from crossfade.runsheets.schema import schema as described

    print(json.dumps(described(), indent=None if options.machine else 2))
    return Exit.OK


def export(
    file: File,
    *,
    md: Annotated[bool, Parameter(negative="", help="As a page of Markdown; else canonical JSON.")] = False,
    options: Options = PLAIN,
) -> int:
    """Print a runsheet as the canonical JSON that its digest is taken of, or as Markdown."""
    from crossfade.runsheets.export import as_json, as_markdown

    found = loaded(file)
    print(as_markdown(found.runsheet, found.digest) if md else as_json(found.runsheet).decode(), end="" if md else "\n")
    Output(options).note(f"digest {found.digest}")
    return Exit.OK
