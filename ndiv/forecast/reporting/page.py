"""The page: headings, tables, pictures and lists as HTML, and the style that they share.

Contract: text is escaped here and nowhere else; colours are custom properties, light or dark as the reader's system asks, so
that one picture serves both; on paper it is light.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ndiv.plot.style import THEMES, Theme

__all__ = ["Page", "picture"]


def _properties(look: Theme) -> str:
    named = {"paper": look.paper, "ink": look.ink, "grey": look.grey, "rule": look.rule,
             **{f"c{k}": colour for k, colour in enumerate(look.colours)}}
    return " ".join(f"--{name}: {value};" for name, value in named.items())


_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
@media print { :root { color-scheme: light; LIGHT } details:not([open]) { display: none; } nav { display: none; }
  section, figure, tr { break-inside: avoid; } body { font-size: 10pt; max-width: none; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--rule); } h3 { font-size: 1.02rem; margin: 1.3rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; } .quiet { color: var(--grey); font-size: .92rem; }
nav a { margin-right: 1rem; } a { color: var(--c0); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; color: var(--grey); padding: .2rem 0; }
th, td { padding: .28rem .8rem .28rem 0; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; } thead th { border-bottom: 2px solid var(--rule); }
th:first-child, td.text, th.text { text-align: left; }
td.best { font-weight: 700; } figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; display: block; }
figcaption { color: var(--grey); font-size: .92rem; }
ul { padding-left: 1.2rem; } li { margin: .2rem 0; max-width: 46rem; }
ul.warning { border-left: 4px solid var(--c1); padding: .1rem 0 .1rem 1.8rem; margin: .8rem 0; }
summary { cursor: pointer; color: var(--c0); } pre { white-space: pre-wrap; font-size: .85rem; }
text { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif !important; }
""".replace("LIGHT", _properties(THEMES["light"])).replace("DARK", _properties(THEMES["dark"]))


def picture(figure: Any, name: str) -> str:
    """A matplotlib figure, drawn in the light theme, as an ``<svg>`` element whose colours are those of the page.

    ``name``: makes its ids differ from those of the other pictures on the page.
    """
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):  # text stays text; the same file from the same data
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    light = THEMES["light"]
    for key, colour in {"paper": light.paper, "ink": light.ink, "grey": light.grey, "rule": light.rule,
                        **{f"c{k}": c for k, c in enumerate(light.colours)}}.items():
        svg = re.sub(re.escape(colour), f"var(--{key})", svg, flags=re.IGNORECASE)
    width = round(90 * figure.get_size_inches()[0])  # so that letters have one size in all pictures
    return svg.replace("<svg ", f'<svg style="max-width: {width}px" aria-hidden="true" focusable="false" ', 1)


class Page:
    """Collects sections; `text` is the file."""

    def __init__(self, title: str, subtitle: str) -> None:
        self.title, self.subtitle = title, subtitle
        self.parts: list[str] = []
        self.sections: list[tuple[str, str]] = []

    def section(self, title: str) -> None:
        """Begin a section."""
        if self.sections:
            self.parts.append("</section>")
        key = re.sub(r"\W+", "-", title.lower())
        self.sections.append((key, title))
        self.parts.append(f'<section aria-labelledby="{key}"><h2 id="{key}">{html.escape(title)}</h2>')

    def heading(self, text: str) -> None:
        """A heading inside a section."""
        self.parts.append(f"<h3>{html.escape(text)}</h3>")

    def paragraph(self, text: str, quiet: bool = False) -> None:
        """A paragraph; ``quiet``: smaller and grey."""
        self.parts.append(f"<p{' class=quiet' if quiet else ''}>{html.escape(text)}</p>")

    def bullets(self, lines: Iterable[str], warning: bool = False) -> None:
        """A list."""
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        self.parts.append(f"<ul{' class=warning' if warning else ''}>{items}</ul>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, words: Sequence[int] = (0,),
              best: Iterable[tuple[int, int]] = ()) -> None:
        """A table; columns in ``words`` are set to the left, the cells (row, column) in ``best`` are marked as the best."""
        marked = set(best)

        def cell(r: int, c: int, value: str) -> str:
            if c == 0:
                return f'<th scope="row" class="text">{html.escape(value)}</th>'
            kind = "best" if (r, c) in marked else "text" if c in words else ""
            note = '<span title="best"> ★</span>' if (r, c) in marked else ""
            return f"<td{f' class={kind}' if kind else ''}>{html.escape(value)}{note}</td>"

        head = "".join(f'<th scope="col"{" class=text" if c in words else ""}>{html.escape(h)}</th>'
                       for c, h in enumerate(header))
        body = "".join(f"<tr>{''.join(cell(r, c, v) for c, v in enumerate(row))}</tr>" for r, row in enumerate(rows))
        self.parts.append(f'<div class="wide"><table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>'
                          f"<tbody>{body}</tbody></table></div>")

    def figure(self, drawn: Any, caption: str) -> None:
        """A matplotlib figure with its caption, which also is what a screen reader reads."""
        svg = picture(drawn, f"p{len(self.parts)}")
        self.parts.append(f'<figure role="group" aria-label="{html.escape(caption, quote=True)}">{svg}'
                          f"<figcaption>{html.escape(caption)}</figcaption></figure>")

    def hidden(self, summary: str, text: str) -> None:
        """Text that opens on demand."""
        self.parts.append(f"<details><summary>{html.escape(summary)}</summary><pre>{html.escape(text)}</pre></details>")

    def text(self) -> str:
        """The HTML file."""
        links = "".join(f'<a href="#{key}">{html.escape(title)}</a>' for key, title in self.sections)
        end = "</section>" if self.sections else ""
        return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                f"<style>{_STYLE}</style></head>\n<body><header><h1>{html.escape(self.title)}</h1>"
                f'<p class="quiet">{html.escape(self.subtitle)}</p><nav aria-label="Sections">{links}</nav></header>\n<main>'
                + "\n".join(self.parts) + f"{end}</main></body></html>\n")
