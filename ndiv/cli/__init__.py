"""The command ``ndiv``: one file for each sub-command, imported when it is asked for.

Contract: a module named in `COMMANDS` has ``add_arguments(parser)`` and ``run(args)``, which returns an exit status or
None, and optionally ``EXAMPLE``. Bad input ends with status 2 and one line on stderr, ``ndiv: [E00xx] ...``; anything
else that escapes is a defect and shows its traceback. ``ndiv --help`` imports the standard library only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn, TextIO

from ndiv._version import __version__
from ndiv.errors import ConfigError, NdivError, closest

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("ndiv.cli.demo", "forecast a built-in series with two models and compare them"),
    "validate": ("ndiv.cli.validate", "what is in a file of series, and whether fit would take it"),
    "features": ("ndiv.cli.features", "add columns made of times and target to a file"),
    "fit": ("ndiv.cli.fit", "train models on a file and save them"),
    "predict": ("ndiv.cli.predict", "forecast with saved models"),
    "simulate": ("ndiv.cli.simulate", "sample paths of the forecasts of saved models"),
    "explain": ("ndiv.cli.explain", "how much of forecasts is owed to each lag and covariate"),
    "decompose": ("ndiv.cli.decompose", "the parts that forecasts are sums of"),
    "insample": ("ndiv.cli.insample", "forecasts of the past by saved models"),
    "cv": ("ndiv.cli.cv", "cross-validate models on a file, beside naive baselines"),
    "report": ("ndiv.cli.report", "write data, models, backtest and forecasts as one HTML file"),
    "evaluate": ("ndiv.cli.evaluate", "errors of forecasts against what happened"),
    "advise": ("ndiv.cli.advise", "models for your data and a goal, with the reasons"),
    "tune": ("ndiv.cli.tune", "search the settings of a model and save the best one"),
    "reconcile": ("ndiv.cli.reconcile", "make forecasts of a hierarchy add up"),
    "models": ("ndiv.cli.models", "the models and what each can do"),
    "bench": ("ndiv.bench.cli", "measure accuracy by published protocols"),
    "show": ("ndiv.cli.show", "what a model computes: tape, program, plan, memory, profile"),
    "check": ("ndiv.cli.check", "verify the gradients of a model or function, op by op"),
    "info": ("ndiv.cli.info", "versions, backend, instruction set"),
}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are coded like all others."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(" ".join(message.split()), hint=f"See '{self.prog} --help'.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; ``argv`` defaults to that of the process. Returns the exit status, 0 or 2.

    >>> main(["--version"]) == 0  # doctest: +ELLIPSIS
    ndiv ...
    True
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a closed pipe is caught
        return status
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except NdivError as error:
        print(f"ndiv: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
          line: str | None = None) -> None:
    """A warning as one line of ours, without the place in the code that Python adds."""
    print(f"ndiv: warning: {message}", file=sys.stderr)


def _run(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        parser = Parser(prog="ndiv", formatter_class=argparse.RawDescriptionHelpFormatter, usage="ndiv COMMAND ...",
                        description="Neural forecasting on an autodiff engine of its own.", epilog=_overview())
        parser.add_argument("--version", action="version", version=f"ndiv {__version__}")
        parser.parse_args(argv)
        parser.print_help()
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise ConfigError(f"unknown command {name!r}", value=name, hint=closest(name, COMMANDS, "Commands"))
    where, summary = COMMANDS[name]
    module = importlib.import_module(where)
    example = getattr(module, "EXAMPLE", "")
    parser = Parser(prog=f"ndiv {name}", formatter_class=argparse.RawDescriptionHelpFormatter,
                    description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"example:\n  {example}" if example else None)
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(rest)) or 0)


def _overview() -> str:
    lines = [f"  {name:10}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["commands:", *lines, "", "example:", "  ndiv demo", "", "'ndiv COMMAND --help' says more."])
