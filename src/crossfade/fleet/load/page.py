"""A load report as one HTML file: figures, plots and what to be warned of. It loads nothing and runs nothing."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from crossfade.fleet.load.compare import LanesReport
from crossfade.fleet.load.plots import plot
from crossfade.fleet.load.report import LoadReport
from crossfade.fleet.load.rows import lane_rows, lanes_table, steps_table, totals

STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1b1f;--grid:#d8d8de;--first:#0b5cad;--second:#b3400e;
--third:#1f7a3d;--fourth:#6b3fa0}
@media(prefers-color-scheme:dark){:root{--paper:#17171b;--ink:#ececf1;--grid:#3a3a42;--first:#7db8f5;--second:#f0a070;
--third:#7fd29a;--fourth:#c3a3f0}}
body{font:15px/1.5 system-ui,sans-serif;background:var(--paper);color:var(--ink);max-width:72rem;margin:2rem auto;
padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .9rem .2rem 0;text-align:right}
th:first-child,td:first-child{text-align:left}
tr{border-bottom:1px solid var(--grid)}svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--ink)}
.grid{stroke:var(--grid);stroke-width:1}figure{margin:1rem 0}figcaption{font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1rem}
.wide{overflow-x:auto}.dense{font-size:12.5px;width:100%}.dense th,.dense td{padding:.2rem 0 .2rem .4rem}
.warning{border-left:4px solid var(--second);padding-left:.8rem}
"""


ROOMY_MAX: Final = 10
"""Columns that fit a window of 1,000 pixels without being made smaller."""


def load_page(reports: Sequence[LoadReport]) -> str:
    """The page of a run, or of the steps of a scenario."""
    last = reports[-1]
    title = f"Load: {last.scenario}, {last.agents:,} agents"
    parts = [f"<h1>{escape(title)}</h1>"]
    if len(reports) > 1:
        parts.append(_table(*steps_table(reports)))
        parts.append(_growth(reports))
        parts.append(f"<h2>The last step: {last.agents:,} agents</h2>")
    parts += _one(last)
    return _whole(title, parts)


def lanes_page(report: LanesReport) -> str:
    """The page of a comparison of lanes."""
    title = f"Lanes compared, {report.agents:,} agents"
    return _whole(title, [f"<h1>{escape(title)}</h1>", _table(*lanes_table(report)), _reason(report.reason)])


def _one(report: LoadReport) -> list[str]:
    parts = [_reason(report.reason)]
    parts += [f'<p class="warning">{escape(text)}</p>' for text in report.warnings]
    parts += [f'<p class="warning">refused {count} times: {escape(what)}</p>' for what, count in report.faults.items()]
    parts.append(_table(("what", "figure"), totals(report)))
    parts.append(_table(("times in ms", "what", "n", "p50", "p95", "p99", "p99.9", "max"), lane_rows(report)))
    parts.append(f'<div class="plots">{"".join(_plots(report))}</div>')
    return parts


def _plots(report: LoadReport) -> list[str]:
    rows, samples = report.rows, report.samples
    p50 = [(row.second, row.p50_ms) for row in rows if row.p50_ms is not None]
    p99 = [(row.second, row.p99_ms) for row in rows if row.p99_ms is not None]
    hub = [(sample.at_seconds, sample.hub_cpu) for sample in samples if sample.hub_cpu is not None]
    memory = [(sample.at_seconds, sample.hub_rss_mib) for sample in samples if sample.hub_rss_mib is not None]
    return [
        plot("Due to answered, each second", [("p50", p50), ("p99", p99)], x_unit="s", y_unit="ms", log=True),
        plot(
            "Due to answered, all",
            [("answers", [(part * 100, value) for part, value in report.curve])],
            x_unit="% of answers",
            y_unit="ms",
            log=True,
        ),
        plot(
            "Rate",
            [("due", [(row.second, row.asked) for row in rows]), ("answered", [(r.second, r.answered) for r in rows])],
            x_unit="s",
            y_unit="questions/s",
        ),
        plot(
            "CPU",
            [("hub", hub), ("load processes", [(sample.at_seconds, sample.client_cpu) for sample in samples])],
            x_unit="s",
            y_unit="cores",
        ),
        plot("Memory of the hub", [("RSS", memory)], x_unit="s", y_unit="MiB"),
        plot("Open questions", [("open", [(s.at_seconds, s.open) for s in samples])], x_unit="s", y_unit="questions"),
    ]


def _growth(reports: Sequence[LoadReport]) -> str:
    """What grows with the agents; with the rate, where only that differs."""
    by_rate = len({report.agents for report in reports}) == 1
    unit = "questions/s offered" if by_rate else "agents"
    figures = (
        ("Due to answered", "p99", "ms", lambda report: report.answer_ms.p99),
        ("Hub CPU for each delivery", "hub", "ms", lambda report: report.hub_cpu_ms_per_delivery),
        ("Memory of the hub", "RSS", "MiB", lambda report: report.hub_rss_mib),
    )
    plots = [
        plot(title, [(name, _points(reports, of, by_rate=by_rate))], x_unit=unit, y_unit=y_unit)
        for title, name, y_unit, of in figures
    ]
    return f'<div class="plots">{"".join(plots)}</div>'


def _points(
    reports: Sequence[LoadReport], of: Callable[[LoadReport], float | None], *, by_rate: bool
) -> list[tuple[float, float]]:
    found = ((report.offered_per_second if by_rate else report.agents, of(report)) for report in reports)
    return sorted((at, value) for at, value in found if value is not None)


def _reason(reason: str) -> str:
    return f'<p class="warning">The run was cut short: {escape(reason)}</p>' if reason else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    dense = ' class="dense"' if len(columns) > ROOMY_MAX else ""
    return f'<div class="wide"><table{dense}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _whole(title: str, parts: Sequence[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
