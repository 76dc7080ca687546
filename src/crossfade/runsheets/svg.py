"""Text of an SVG picture: elements with escaped attributes, and a style that suits light and dark pages."""

from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

STYLE: Final = """
svg{color-scheme:light dark;--page:#fff;--ink:#1c2430;--soft:#5b6675;--line:#d8dee6;--band:#f4f6f9;--risk:#b3261e;
--freeze:#8794a5;--sign:#7a3fb0;--bar:#2f6fb4;--bake:#9cc3ea;--on:#fff;--area:#2f6fb4}
@media (prefers-color-scheme:dark){svg{--page:#12161c;--ink:#e6eaf0;--soft:#9aa6b5;--line:#2c3541;--band:#181e26;
--risk:#ff8a80;--freeze:#76849a;--sign:#cf9bff;--bar:#4c8fd6;--bake:#274a6e;--on:#0c1016;--area:#5aa0ea}}
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
.h{font-size:18px;font-weight:600}.b{font-weight:600}.s{fill:var(--soft);font-size:11px}.m{text-anchor:middle}
.e{text-anchor:end}.on{fill:var(--on);font-weight:600;font-size:11px}.r{fill:var(--risk)}
"""


def element(name: str, attributes: dict[str, object], *children: str) -> str:
    """One element; ``_`` in an attribute's name stands for ``-``; numbers are rounded to a tenth."""
    told = "".join(f" {key.replace('_', '-')}={quoteattr(_told(value))}" for key, value in attributes.items())
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def text(x: float, y: float, said: str, kind: str = "") -> str:
    """A line of text at its baseline."""
    return element("text", {"x": x, "y": y, **({"class": kind} if kind else {})}, escape(said))


def titled(tip: str, *children: str) -> str:
    """Things with a tip, which is also what a screen reader says."""
    return element("g", {}, element("title", {}, escape(tip)), *children)


def picture(size: tuple[float, float], title: str, about: str, parts: Iterable[str]) -> str:
    """A whole picture with its title and description."""
    width, height = size
    head = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width:g} {height:g}",
        "width": width,
        "height": height,
        "role": "img",
        "aria_labelledby": "title about",
    }
    told = (
        element("title", {"id": "title"}, escape(title)),
        element("desc", {"id": "about"}, escape(about)),
        element("style", {}, STYLE),
        element("rect", {"width": width, "height": height, "rx": 8, "fill": "var(--page)"}),
    )
    return "\n".join((element("svg", head, "\n", "\n".join((*told, *parts)), "\n"), ""))


def _told(value: object) -> str:
    return f"{round(value, 1):g}" if isinstance(value, int | float) else str(value)
