"""The curves of the results as SVG files below docs/performance/, which docs/performance.md shows.

Drawn by the plots of ``crossfade load --html``; here with colours of their own, since an image has no page around it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.page import Result
from crossfade.fleet.load.plots import HEIGHT, WIDTH, plot

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "performance"
STYLE = (
    "svg{--first:#0b5cad;--second:#b3400e;--third:#1f7a3d;--fourth:#6b3fa0;--grid:#d8d8de;--ink:#1b1b1f}"
    "text{font:11px system-ui,sans-serif;fill:var(--ink)}.grid{stroke:var(--grid);stroke-width:1}"
)
TITLES = {
    "latency": "Asked to answered, 10,000 agents",
    "memory": "Memory of the hub",
    "scaling-agents": "Cost of a round trip over agents attached",
    "scaling-open": "Cost of a round trip over open questions",
    "scaling-log": "Cost of a round trip over the length of the log",
    "spike": "Memory after spikes",
}
LOGARITHMIC = frozenset({"latency"})
_SVG = re.compile(r"<svg(?P<attributes>[^>]*)>(?P<drawing>.*)</svg>", re.DOTALL)


def drawn(kept: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    """Name and text of every image."""
    for result in kept.values():
        for curve in result.found.curves:
            title = TITLES.get(curve.name, curve.name)
            series = [(name, list(points)) for name, points in curve.lines.items()]
            yield (
                curve.name,
                image(title, plot(title, series, x_unit=curve.x, y_unit=curve.y, log=curve.name in LOGARITHMIC)),
            )


def image(title: str, figure: str) -> str:
    """A figure of a page as an image that stands alone."""
    found = _SVG.search(figure)
    if found is None:
        raise ValueError(f"{title}: nothing is drawn")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"{found["attributes"]}>'
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{found["drawing"]}</svg>\n'
    )


def draw(kept: Mapping[str, Result], folder: Path = FOLDER) -> None:
    """Write every image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in drawn(kept):
        (folder / f"{name}.svg").write_text(text, "utf-8")
