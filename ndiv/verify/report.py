"""`Certificate`: what `verify` found, as a table, as JSON, and as a page that stands alone.

Contract: a certificate is plain data. It is truthy when no equation is wrong and the Taylor slope is 2.00 within 0.05.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from .ops import table

__all__ = ["SLOPE", "SLOPE_TOLERANCE", "Certificate", "Equation", "Taylor", "versions"]

SLOPE = 2.0
SLOPE_TOLERANCE = 0.05


def versions() -> dict[str, str]:
    """What the certificate was made with."""
    from ..backends import current

    return {"ndiv": __version__, "numpy": np.__version__, "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}", "backend": current()}


@dataclass
class Equation:
    """One distinct equation of a tape: where it is, how it was checked, and how well it agrees.

    ``count``: how often it occurs. ``kinks``: outputs on a corner, where the gradient was only bounded. ``lines``: the
    source lines that recorded it, ``file:line``.
    """

    op: str
    count: int
    shapes: list[list[int]]
    output: list[int]
    method: str
    error: float
    bound: float
    kinks: int = 0
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.faults and self.error <= self.bound

    @property
    def verdict(self) -> str:
        return "WRONG" if not self else f"{self.kinks} on kinks" if self.kinks else "ok"


@dataclass
class Taylor:
    """Remainders |f(p + h u) - f(p) - h g.u| at four steps, and the slope of their logarithms.

    ``squared``: measured on the square of the loss, since the loss itself is linear along u. ``spread``: by how much
    the three local slopes differ; ``steady`` when that is little, so that no kink lies between the steps. ``tries``:
    directions that were tried until one was steady. ``windows``: on so many windows of the batch (None: all), since
    the whole has too many kinks.
    """

    slope: float
    steps: list[float]
    remainders: list[float]
    squared: bool = False
    spread: float = math.inf
    steady: bool = False
    direction: int = 0
    tries: int = 1
    windows: int | None = None

    def __bool__(self) -> bool:
        return self.steady and abs(self.slope - SLOPE) <= SLOPE_TOLERANCE

    def __str__(self) -> str:
        what = "square of the loss (the loss is linear between its kinks)" if self.squared else "loss"
        notes = [f"direction {self.direction}"]
        if self.tries > 1:
            notes.append(f"{self.tries - 1} other direction{'s' if self.tries > 2 else ''} met kinks")
        if self.windows is not None:
            notes.append(f"on the first {self.windows} of the batch, where kinks lie further apart")
        if not self.steady:
            notes.append("no step was free of kinks or rounding")
        points = ", ".join(f"{r:.2e} at {h:.1e}" for h, r in zip(self.steps, self.remainders, strict=True))
        return f"Taylor slope {self.slope:.3f} of the {what}; remainders {points or 'none above rounding'} ({'; '.join(notes)})"


@dataclass
class Certificate:
    """Result of `verify`.

    ``equations`` holds each distinct one; ``equations_total`` counts all through which a gradient flows, ``nodes`` all
    that were recorded. ``unreached``: parameters to which no gradient flows.
    """

    model: str
    parameters: int
    loss: float
    nodes: int
    equations_total: int
    equations: list[Equation]
    taylor: Taylor
    unreached: list[str]
    seed: int
    versions: dict[str, str]
    seconds: float

    def __bool__(self) -> bool:
        return all(self.equations) and bool(self.taylor)

    @property
    def wrong(self) -> list[Equation]:
        """Equations whose gradient is wrong."""
        return [e for e in self.equations if not e]

    @property
    def checked(self) -> int:
        """Recorded equations that are covered by a check, of their own or of one that is the same."""
        return sum(e.count for e in self.equations)

    @property
    def findings(self) -> list[str]:
        """What is wrong, a sentence each."""
        said = [f"the gradient of {e.op} is wrong (error {e.error:.1e}, bound {e.bound:.0e}) at {', '.join(e.lines)}"
                + "".join(f"; {fault}" for fault in e.faults) for e in self.wrong]
        if not self.taylor.steady:
            said.append("the Taylor slope of the whole could not be measured: kinks or rounding at every step")
        elif not self.taylor:
            said.append(f"the gradient of the whole is wrong: the Taylor remainder has slope {self.taylor.slope:.2f}, not 2"
                        + ("" if said else "; each op agrees on its own, so a value leaves the tape between them "
                           "(detach(), numpy(), arithmetic on .data)"))
        return said

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the JSON file."""
        out = dataclasses.asdict(self)
        out.update(ok=bool(self), findings=self.findings, coverage={"checked": self.checked, "total": self.equations_total})
        return out

    def to_json(self, path: str | Path | None = None) -> str:
        """The certificate as JSON text, written to ``path`` when one is given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def __str__(self) -> str:
        head = ("op", "times", "inputs", "method", "error", "bound", "", "line")
        rows = [(e.op, str(e.count), " ".join("x".join(map(str, s)) or "1" for s in e.shapes), e.method, f"{e.error:.1e}",
                 f"{e.bound:.0e}", e.verdict, _more(e.lines)) for e in self.equations]
        verdict = "CERTIFIED" if self else "NOT CERTIFIED"
        lines = [table(head, rows, right=(1, 4, 5)), "",
                 f"{self.model}: {verdict}. {self.checked} of {self.equations_total} equations checked "
                 f"({len(self.equations)} distinct), {self.parameters:,} parameters, float64, seed {self.seed}.",
                 f"{self.taylor}."]
        if self.unreached:
            lines.append(f"No gradient reaches: {', '.join(self.unreached)}.")
        return "\n".join(lines + [f"WRONG: {text}." for text in self.findings])

    def to_html(self, path: str | Path | None = None) -> str:
        """A page that stands alone: verdict, table, and the Taylor remainders drawn; written to ``path`` when given."""
        text = _page(self)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def _more(lines: list[str]) -> str:
    """The first source line, short, and how many others there are."""
    short = "/".join(lines[0].replace("\\", "/").split("/")[-2:]) if lines else ""
    return short + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")


# the page ---------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6572; --line: #d5dae0; --paper: #ffffff; --good: #1a7f37;
  --bad: #c62828; --mark: #2563c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --dim: #9aa4b0; --line: #3a424c; --paper: #14181d;
  --good: #4cc26b; --bad: #ff7b72; --mark: #79b0ff; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 66rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.verdict { font-weight: 700; font-size: 1.2rem; } .good { color: var(--good); } .bad { color: var(--bad); }
.dim { color: var(--dim); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; font-weight: 600; } th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
"""


def _page(c: Certificate) -> str:
    esc = html.escape
    cells = []
    for e in c.equations:
        kind = "" if e else " class=bad"
        shapes = " ".join("×".join(map(str, s)) or "1" for s in e.shapes)
        cells.append(f"<tr{kind}><td>{esc(e.op)}<td class=n>{e.count}<td>{esc(shapes)}<td>{esc(e.method)}"
                     f"<td class=n>{e.error:.1e}<td class=n>{e.bound:.0e}<td>{esc(e.verdict)}"
                     f"<td title=\"{esc(', '.join(e.lines))}\">{esc(_more(e.lines))}")
    findings = "".join(f"<p class=bad>{esc(text[0].upper() + text[1:])}.</p>" for text in c.findings)
    unreached = f"<p>No gradient reaches: {esc(', '.join(c.unreached))}.</p>" if c.unreached else ""
    versions = ", ".join(f"{esc(k)} {esc(v)}" for k, v in c.versions.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gradient certificate: {esc(c.model)}</title><style>{_STYLE}</style></head><body>
<h1>Gradient certificate: {esc(c.model)}</h1>
<p class="verdict {'good' if c else 'bad'}">{'Certified' if c else 'Not certified'}</p>
<p>{c.checked} of {c.equations_total} recorded equations checked ({len(c.equations)} distinct), {c.parameters:,} parameters,
loss {c.loss:.6g}, in float64.</p>{findings}{unreached}
<h2>Every equation</h2>
<p class="dim">Each op's gradient rule against the derivative of its own definition, on the values that the model produced,
along two random directions. Complex step: exact to rounding. Richardson: extrapolated differences.</p>
<div class="scroll"><table><tr><th>op<th class=n>times<th>inputs<th>method<th class=n>error<th class=n>bound<th>verdict<th>line
{chr(10).join(cells)}</table></div>
<h2>The whole: Taylor slope {c.taylor.slope:.3f}</h2>
<p class="dim">If the gradient g is right, what is left of the loss after its linear part, |f(p + h u) − f(p) − h g·u|, falls
with the square of h: slope 2 in this plot. A wrong gradient gives slope 1.</p>
{_plot(c.taylor)}
<p>{esc(str(c.taylor))}.</p>
<p class="dim">Seed {c.seed}; {versions}; {c.seconds:.1f} s.</p>
</body></html>
"""


def _plot(t: Taylor) -> str:
    """The remainders over the steps, both logarithmic, beside a line of slope 2."""
    points = [(math.log10(h), math.log10(r)) for h, r in zip(t.steps, t.remainders, strict=True) if r > 0]
    if len(points) < 2:
        return ""
    width, height, left, bottom, top = 520, 260, 86, 44, 16
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x0, x1 = min(xs) - 0.15, max(xs) + 0.15
    y0, y1 = min(*ys, ys[0] - 2 * (xs[0] - xs[-1])) - 0.3, max(ys) + 0.3

    def at(x: float, y: float) -> tuple[float, float]:
        return (left + (x - x0) / (x1 - x0) * (width - left - 16), top + (y1 - y) / (y1 - y0) * (height - top - bottom))

    ideal = [at(x, ys[0] + 2 * (x - xs[0])) for x in (xs[0], xs[-1])]
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="5" fill="var(--mark)"/>' for a, b in (at(*p) for p in points))
    ticks = "".join(f'<text x="{at(x, y0)[0]:.1f}" y="{height - bottom + 18}" text-anchor="middle">{10**x:.1e}</text>'
                    f'<text x="{left - 10}" y="{at(x0, y)[1] + 4:.1f}" text-anchor="end">{10**y:.1e}</text>' for x, y in points)
    return (f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
            f'aria-label="Taylor remainders, slope {t.slope:.3f}">'
            f'<path d="M{left} {top}V{height - bottom}H{width - 16}" fill="none" stroke="var(--dim)"/>'
            f'<path d="M{ideal[0][0]:.1f} {ideal[0][1]:.1f}L{ideal[1][0]:.1f} {ideal[1][1]:.1f}" stroke="var(--good)" '
            f'stroke-width="2" stroke-dasharray="6 5"/>{dots}{ticks}'
            f'<text x="{(left + width) / 2:.0f}" y="{height - 6}" text-anchor="middle">step h</text>'
            f'<text x="16" y="{(height - bottom) / 2:.0f}" text-anchor="middle" '
            f'transform="rotate(-90 16 {(height - bottom) / 2:.0f})">remainder</text></svg>')
