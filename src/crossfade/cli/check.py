"""``check``: judge a history of what clients saw. Needs no hub and believes none."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit
from crossfade.cli.options import PLAIN, Options
from crossfade.cli.output import Output


def check(
    files: Annotated[
        list[Path], Parameter(name="--file", help="Histories or journals as JSON lines; a folder stands for its files.")
    ],
    *,
    options: Options = PLAIN,
) -> int:
    """Check what clients saw: every question ended once, nothing lost, repeated, or out of order.

    Exit code: 0 no promise was broken, 6 one was, 2 a line is not part of a history.
    """
    from crossfade.core.histories import check as account_of
    from crossfade.fleet.histories import BadHistoryError, read_history

    try:
        history = read_history(files)
    except BadHistoryError as fault:
        hint = "docs/reference/history.md has the format"
        raise CommandError("history.bad_line", str(fault), hint, Exit.USAGE) from None
    except OSError as fault:
        raise CommandError(
            "usage.file", f"{fault.filename}: {fault.strerror}", "name another file", Exit.USAGE
        ) from None
    if not history:  # nothing that was looked at is not a promise that was kept
        what = f"there is no line of a history in {', '.join(map(str, files))}"
        raise CommandError(
            "history.empty", what, "name a file of JSON lines, or a folder with .jsonl files", Exit.USAGE
        )
    account = account_of(history)
    output = Output(options)
    if options.machine:
        output.line(msgspec.to_builtins(account))
    else:
        for violation in account.violations:
            places = ", ".join(str(line) for line in violation.lines if line)
            output.line(
                {"rule": violation.rule, "subject": violation.subject, "message": violation.message, "lines": places}
            )
        looked = "losses looked for" if account.settled else "no settle line: losses not looked for"
        output.note(
            f"{account.operations} operations, {account.questions} questions, {account.messages} messages,"
            f" {len(account.violations)} violations; {looked}"
        )
    return Exit.FAILED if account.violations else Exit.OK
