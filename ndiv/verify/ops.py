"""Every registered op against its own derivative, as a table; and the lint of the registry.

Contract: `survey` runs every sample of every op through the first- and second-order checks and skips none; `lint`
counts what the records declare and lists what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..autograd.check import ANALYTIC_TOLERANCE, RICHARDSON_TOLERANCE, check_bad, check_sample
from ..autograd.primitive import REGISTRY, Primitive, Sample

__all__ = ["BOUNDS", "Lint", "OpRow", "layout", "lint", "survey", "table"]

BOUNDS = {"complex step": ANALYTIC_TOLERANCE, "Richardson": RICHARDSON_TOLERANCE}
LAYOUTS = ("contiguous", "strided", "broadcast", "empty", "0-d")


@dataclass
class OpRow:
    """One op: how many samples, by which method, and the worst relative error of each order."""

    op: str
    samples: int = 0
    method: str = "no gradient"
    first: float = 0.0
    second: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.faults

    def cells(self) -> tuple[str, ...]:
        graded = self.method != "no gradient"
        return (self.op, str(self.samples), self.method, f"{self.first:.1e}" if graded else "-",
                f"{self.second:.1e}" if graded else "-", "ok" if self else "WRONG")


def survey(names: Iterable[str] | None = None) -> list[OpRow]:
    """Every sample of the named ops (default: all), first and second order, and their bad cases.

    >>> [(row.op, row.method, bool(row)) for row in survey(["exp", "relu"])]
    [('exp', 'complex step', True), ('relu', 'Richardson', True)]
    """
    rows = []
    for name in REGISTRY if names is None else names:
        prim, row = REGISTRY[name], OpRow(name)
        for sample in prim.samples() if prim.samples else []:
            row.samples += 1
            for order in (1, 2):
                _check(row, prim, sample, order)
        if not row.samples:
            row.faults.append("no samples")
        row.faults += check_bad(name)
        rows.append(row)
    return rows


def _check(row: OpRow, prim: Primitive, sample: Sample, order: int) -> None:
    try:
        report = check_sample(prim, sample, order=order)
    except Exception as error:  # a rule may fail in any way; the table goes on and says so
        row.faults.append(f"{prim.name} [{sample.tag}] order {order}: {type(error).__name__}: {error}")
        return
    if report.method != "no gradient":
        row.method = report.method
    row.first, row.second = (max(row.first, report.error), row.second) if order == 1 else (
        row.first, max(row.second, report.error))
    if not report:
        row.faults.append(str(report))


def table(head: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[int] = ()) -> str:
    """Columns of text, those numbered in ``right`` aligned to the right.

    >>> print(table(("op", "n"), [("exp", "12")], right=(1,)))
    op    n
    exp  12
    """
    lines = [list(head), *(list(r) for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    aligned = set(right)
    return "\n".join("  ".join(c.rjust(w) if i in aligned else c.ljust(w)
                               for i, (c, w) in enumerate(zip(line, widths, strict=True))).rstrip() for line in lines)


@dataclass
class Lint:
    """Counts over the registry, and what is missing."""

    counts: dict[str, int]
    layouts: dict[str, int]
    missing: list[str]

    def __bool__(self) -> bool:
        return not self.missing

    def __str__(self) -> str:
        lines = [f"{name:42}{n:6,}" for name, n in self.counts.items()]
        lines += ["samples by layout or case:", *(f"  {name:40}{n:6,}" for name, n in self.layouts.items())]
        return "\n".join([*lines, f"{'skipped or incomplete':42}{len(self.missing):6,}", *self.missing])


def layout(sample: Sample) -> str:
    """The layout that a sample stands for: the first word of its tag."""
    return sample.tag.split(",")[0].strip() or "untagged"


def lint() -> Lint:
    """What the records of the registry declare: samples, bad cases, costs, a way to export; nothing skipped."""
    counts = dict.fromkeys(("ops", "samples", "bad cases", "with a gradient rule", "with a gradient by decomposition",
                            "without a gradient", "analytic (complex step)", "with an ONNX operator",
                            "with a decomposition or expression", "with their own cost", "with native kernels"), 0)
    layouts: Counter[str] = Counter()
    missing = []
    for name, prim in REGISTRY.items():
        samples, bad = prim.samples() if prim.samples else [], prim.bad() if prim.bad else []
        tags = Counter(layout(s) for s in samples)
        layouts += tags
        ruled = prim.vjp is not None and (callable(prim.vjp) or any(r is not None for r in prim.vjp))
        by_parts = prim.vjp is None and prim.decompose is not None
        facts = (1, len(samples), len(bad), ruled, by_parts, not ruled and not by_parts, prim.analytic,
                 prim.onnx is not None, bool(prim.decompose or prim.expr), prim.cost is not None, bool(prim.kernels))
        for key, n in zip(counts, facts, strict=True):
            counts[key] += int(n)
        for what, there in (("samples", samples), ("bad case", bad), ("documented shape rule", prim.rule),
                            ("ONNX operator, and no decomposition", prim.onnx or prim.decompose or prim.expr)):
            if not there:
                missing.append(f"{name}: no {what}")
        if prim.rule == "[*A] -> [*A]":
            missing += [f"{name}: no sample tagged {tag!r}" for tag in LAYOUTS if tag not in tags and tag != "broadcast"]
    return Lint(counts, dict(sorted(layouts.items(), key=lambda kv: -kv[1])), missing)
