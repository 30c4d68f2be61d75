"""``ndiv check``: verify the gradients of a model or function in a Python file, op by op and as a whole.

The file defines ``model`` and ``batch``, or ``f`` and ``inputs``, or a function ``check()`` that returns such a pair.
Status 0: every gradient is right; 1: one is wrong; 2: the file gives nothing to check.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ndiv.errors import ConfigError, FileError, NdivError

EXAMPLE = "ndiv check my_model.py --html certificate.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="Python file that defines model and batch, or f and inputs, or check()")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", metavar="PATH", help="write a page with the certificate")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random directions (default 0)")


def run(args: argparse.Namespace) -> int:
    from ndiv.verify.model import verify

    if args.html is not None and not Path(args.html).resolve().parent.is_dir():
        raise FileError(f"the folder of {args.html} does not exist", value=args.html, hint="Create it first.")
    certificate = verify(*load(args.file), seed=args.seed)
    print(certificate.to_json() if args.json else certificate)
    if args.html is not None:
        try:
            certificate.to_html(args.html)
        except OSError as error:
            raise FileError(f"{args.html} could not be written: {error.strerror}", value=args.html,
                            hint="Choose another place.") from None
    return 0 if certificate else 1


def load(path: str) -> tuple[Any, Any]:
    """(model, batch) or (f, inputs) of a user's file, which is run as a script that is not ``__main__``.

    Raises `FileError` (E0006) when the file cannot be read, `ConfigError` (E0010) when it fails or defines no pair.
    """
    import runpy

    file = Path(path)
    if not file.is_file():
        raise FileError(f"{path} is not a file", value=path, hint="Give a Python file that defines model and batch.")
    sys.path.insert(0, str(file.resolve().parent))  # what lies beside it can be imported, as when it is run
    try:
        names = runpy.run_path(str(file), run_name="__ndiv_check__")
        pair = names["check"]() if callable(names.get("check")) else None
    except NdivError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's own code raises is bad input here
        raise ConfigError(f"{path} failed{_place(error, file)}: {type(error).__name__}: {error}", value=path,
                          hint="It must run on its own: python FILE.") from None
    finally:
        sys.path.remove(str(file.resolve().parent))
    if pair is None:
        for first, second in (("model", "batch"), ("f", "inputs")):
            if first in names and second in names:
                pair = names[first], names[second]
                break
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ConfigError(f"{path} does not define model and batch, f and inputs, or check() that returns two of them",
                          value=path, hint="Add, for example: batch = {'insample_y': ..., 'outsample_y': ...}.")
    return pair


def _place(error: BaseException, file: Path) -> str:
    """" in line N", N being the last line of the user's file in the traceback."""
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    line, step = "", error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename) == file:
            line = f" in line {step.tb_lineno}"
        step = step.tb_next
    return line
