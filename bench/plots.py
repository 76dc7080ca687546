"""The curves of the results as SVG files below docs/performance/, which docs/performance.md shows.

Drawn by the plots of ``crossfade load --html``; here with colours of their own, since an image has no page around it.
"""

import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from bench.page import Result
from crossfade.fleet.load.plots import HEIGHT, WIDTH, plot

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "performance"
STYLE = (
    "svg{--first:#0b5cad;--second:#b3400e;--third:#1f7a3d;--fourth:#6b3fa0;--grid:#d8d8de;--ink:#1b1b1f}"
    "text{font:11px system-ui,sans-serif;fill:var(--ink)}.grid{stroke:var(--grid);stroke-width:1}"
    ".title{font-weight:600}"
)
TITLES = {
    "latency": "Asked to answered, 10,000 agents",
    "memory": "Memory of the hub",
    "scaling-agents": "Cost of a round trip over agents attached",
    "scaling-open": "Cost of a round trip over open questions",
    "scaling-log": "Cost of a round trip over the length of the log",
    "spike": "Memory after spikes",
}
MARGIN = 22
"""Above for the title, below for what the axis shows, and to the right for its last number."""
_SVG = re.compile(r"<svg[^>]*>(?P<drawing>.*)</svg>", re.DOTALL)


def drawn(kept: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    """Name and text of every image."""
    for result in kept.values():
        for curve in result.found.curves:
            title = TITLES.get(curve.name, curve.name)
            series = [(name, list(points)) for name, points in curve.lines.items()]
            figure = plot(title, series, x_unit="", y_unit="")
            yield curve.name, image(f"{title} ({curve.y})", curve.x, figure)


def image(title: str, below: str, figure: str) -> str:
    """A figure of a page as an image that stands alone, its title above it and below it what the axis shows."""
    found = _SVG.search(figure)
    if found is None:
        raise ValueError(f"{title}: nothing is drawn")
    wide, high = WIDTH + MARGIN, HEIGHT + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" role="img"'
        f' aria-label="{escape(title)} over {escape(below)}"><style>{STYLE}</style>'
        f'<rect width="{wide}" height="{high}" fill="#fff"/><text x="8" y="15" class="title">{escape(title)}</text>'
        f'<g transform="translate(0 {MARGIN})">{found["drawing"]}</g>'
        f'<text x="{WIDTH // 2}" y="{high - 8}" text-anchor="middle">{escape(below)}</text></svg>\n'
    )


def draw(kept: Mapping[str, Result], folder: Path = FOLDER) -> None:
    """Write every image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in drawn(kept):
        (folder / f"{name}.svg").write_text(text, "utf-8")
