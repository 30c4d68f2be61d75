"""``python -m ndiv.verify ops | lint | mutate | files``: what is verified, as tables; exit status 1 when anything is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns 0 when all is well, else 1."""
    parser = argparse.ArgumentParser(prog="python -m ndiv.verify", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ops = commands.add_parser("ops", help="every op against its own derivative, first and second order")
    ops.add_argument("names", nargs="*", metavar="OP", help="ops to check (default: all)")
    commands.add_parser("lint", help="what the registry declares: samples, bad cases, layouts, exports")
    mutate = commands.add_parser("mutate", help="wrong gradient rules, made automatically; the checks must reject all")
    mutate.add_argument("names", nargs="*", metavar="OP", help="ops whose rules are changed (default: all)")
    files = commands.add_parser("files", help="model files with bytes changed: each must be refused with E0006, or be harmless")
    files.add_argument("count", nargs="?", type=int, default=10000, help="files to make (default 10000)")
    files.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.command == "files":
        return _files(args.count, args.seed)
    return {"ops": _ops, "lint": _lint, "mutate": _mutate}[args.command](getattr(args, "names", []))


def _files(count: int, seed: int) -> int:
    from . import files

    ends, findings = files.run(count, seed)
    print(f"{count} files: " + ", ".join(f"{n} {what}" for what, n in ends.most_common()) + f"; {len(findings)} findings")
    for finding in findings[:20]:
        print(f"  {finding}")
    return 1 if findings else 0


def _ops(names: Sequence[str]) -> int:
    from . import ops

    rows = ops.survey(_known(names) or None)
    head = ("op", "samples", "method", "worst first-order error", "worst second-order error", "")
    print(ops.table(head, (row.cells() for row in rows), right=(1, 3, 4)))
    wrong = [row for row in rows if not row]
    for method, bound in (("complex step", ops.BOUNDS["complex step"]), ("Richardson", ops.BOUNDS["Richardson"])):
        of = [row for row in rows if row.method == method]
        if of:
            print(f"{method}: {len(of)} ops, worst {max(r.first for r in of):.1e} and {max(r.second for r in of):.1e} "
                  f"(bound {bound:.0e})")
    print(f"{len(rows)} ops, {sum(r.samples for r in rows)} samples, {len(wrong)} wrong, none skipped")
    for row in wrong:
        print(*(f"  {fault}" for fault in row.faults), sep="\n")
    return 1 if wrong else 0


def _lint(names: Sequence[str]) -> int:
    from . import ops

    result = ops.lint()
    print(result)
    return 0 if result else 1


def _mutate(names: Sequence[str]) -> int:
    from .mutants import run

    result = run(_known(names) or None)
    print(result)
    return 0 if result else 1


def _known(names: Sequence[str]) -> list[str]:
    from ..autograd import REGISTRY
    from ..errors import closest

    for name in names:
        if name not in REGISTRY:
            sys.exit(f"ndiv.verify: there is no op {name!r}. {closest(name, REGISTRY)}")
    return list(names)


if __name__ == "__main__":
    sys.exit(main())
