"""A comparison of lanes as Markdown: what was run, one table, what to bear in mind. For a page that is kept."""

from typing import Final

from crossfade.fleet.load.compare import LanesReport
from crossfade.fleet.load.rows import lanes_table

LEFT: Final = 1
"""Columns of words before those of figures."""


def lanes_markdown(report: LanesReport) -> str:
    """The text of the file."""
    columns, rows = lanes_table(report)
    table = [_row(columns), _row(["---"] * LEFT + ["---:"] * (len(columns) - LEFT)), *map(_row, rows)]
    agent = report.agent
    head = (
        f"{report.rounds} pairs of runs, {report.agents:,} agents, {report.offered_per_second:g} questions a second for"
        f" {report.seconds:g} s each, carrier `{report.carrier}`; {report.lost} lost, {report.doubled} doubled."
    )
    who = (
        f"The agent, `{report.model}` on both lanes: thinks {agent.think_seconds:g} s about a question, works"
        f" {agent.work_seconds:g} s between two waits, waits up to {agent.poll_timeout_seconds} s on polling and"
        f" {agent.attend_wait_seconds} s on elicitation."
    )
    foot = (
        "Less is better in every row. The ratio is elicitation to polling: the median of the pairs, with an interval"
        " that presumes nothing about their distribution. Where it holds 1, no difference is shown."
    )
    said = ["# Lanes compared", "", head, "", who, "", *table, "", foot]
    said += ["", f"Cut short: {report.reason}."] if report.reason else []
    said += ["", "Bear in mind:", "", *(f"* {text}" for text in report.warnings)] if report.warnings else []
    return "\n".join(said) + "\n"


def _row(cells: "tuple[str, ...] | list[str]") -> str:
    return f"| {' | '.join(cells)} |"
