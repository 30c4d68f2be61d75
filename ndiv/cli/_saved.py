"""What the commands share that look ahead with a saved folder: their arguments, reading, writing.

Contract: `add_saved` declares DIR, FILE, --futr, --static and --out; `opened` gives the forecaster and the arguments of its
methods; `written` writes a frame of either library.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ndiv.forecast import NeuralForecast

__all__ = ["add_saved", "opened", "written"]


def add_saved(parser: argparse.ArgumentParser) -> None:
    """DIR, FILE, --futr, --static and --out."""
    parser.add_argument("folder", metavar="DIR", help="folder written by 'ndiv fit' or NeuralForecast.save")
    parser.add_argument("file", metavar="FILE", nargs="?", help="CSV or Parquet with the history to forecast from "
                        "(default: the series saved with the models)")
    parser.add_argument("--futr", metavar="FILE", help="CSV or Parquet with future values of covariates")
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write (default: CSV on standard output)")


def opened(args: argparse.Namespace) -> tuple[NeuralForecast, dict[str, Any]]:
    """(the forecaster saved in DIR, df, static_df and futr_df for its methods); a path that could not be written is refused."""
    from ndiv.forecast import NeuralForecast

    from ._io import check_output, read_static

    check_output(args.out)
    nf = NeuralForecast.load(args.folder)
    return nf, {"df": args.file, "static_df": read_static(args.static), "futr_df": args.futr}


def written(frame: Any, path: str | None) -> None:
    """Write a frame to --out, or to standard output."""
    from ._io import write_frame

    write_frame(frame.to_pandas() if hasattr(frame, "to_pandas") else frame, path)
