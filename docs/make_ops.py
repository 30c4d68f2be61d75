"""Prints docs/ops.md: the frozen list of ops, from the registry. ``python docs/make_ops.py > docs/ops.md``."""

from __future__ import annotations

from ndiv.autograd import REGISTRY, ops


def table() -> str:
    """The page's text."""
    composed = sorted(n for n in ops.FUNCTIONS if n not in REGISTRY)
    lines = [
        "# The ops",
        "",
        f"{len(REGISTRY)} primitives, frozen: a new one needs a reason in `docs/design.md`. Each is one record in",
        "`ndiv/autograd/ops/`, checked by `tests/autograd/test_registry.py` on its own samples. Functions that are",
        "composed of primitives and have no record of their own are listed below the table.",
        "",
        "| op | arguments | gradient | checked by | export |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, prim in sorted(REGISTRY.items()):
        if prim.vjp is None:
            gradient = "its decomposition's"
        elif isinstance(prim.vjp, tuple) and not any(prim.vjp):
            gradient = "none"
        else:
            gradient = "a rule"
        check = "values" if gradient == "none" else "complex step" if prim.analytic else "Richardson"
        export = prim.onnx or ("decomposition" if prim.decompose else "expression")
        lines.append(f"| `{name}` | {', '.join(prim.args)} | {gradient} | {check} | {export} |")
    lines += ["", "Composed: " + ", ".join(f"`{n}`" for n in composed) + "."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
