"""Reading, writing and showing tables on the command line.

Contract: files that cannot be read or written raise `FileError` (E0006) with their path.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndiv.data._extras import need
from ndiv.errors import ConfigError, FileError

if TYPE_CHECKING:
    from ndiv.data.rules import DataRules

__all__ = ["add_column_options", "add_rule_options", "parse_freq", "read_forecasts", "read_static", "rules_of", "table",
           "write_frame"]

_FORMATS = (".csv", ".csv.gz", ".parquet")


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """--id-col, --time-col and --target-col."""
    for name, default in (("id", "unique_id"), ("time", "ds"), ("target", "y")):
        parser.add_argument(f"--{name}-col", default=default, metavar="NAME", help=f"column of the {name} (default {default})")


_BROKEN = {"duplicates": "rows with one id and time", "fill_gaps": "times that are left out",
           "short_series": "series too short to train on", "exog_nan": "missing values of covariates"}


def add_rule_options(parser: argparse.ArgumentParser) -> None:
    """--duplicates, --fill-gaps, --short-series, --exog-nan."""
    from ndiv.data.rules import CHOICES

    for name, choices in CHOICES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", choices=choices, default="raise",
                            help=f"{_BROKEN[name]} (default raise: refuse the data)")


def rules_of(args: argparse.Namespace) -> DataRules:
    """The choices made by the options of `add_rule_options`."""
    from ndiv.data.rules import CHOICES, DataRules

    return DataRules(**{name: getattr(args, name) for name in CHOICES})


def parse_freq(text: str | None) -> str | int | None:
    """A frequency as typed: whole numbers are steps of integer times."""
    return int(text) if text is not None and text.lstrip("+-").isdigit() else text


def read_forecasts(path: str, names: dict[str, str]) -> Any:
    """A file of forecasts; cutoffs that a CSV holds as text become times, as those of its time column are."""
    from ndiv.data.readers import read_table

    frame = read_table(path, layout="long", **names)
    if "cutoff" in frame.columns and frame[names["time_col"]].dtype.kind == "M" and frame["cutoff"].dtype.kind != "M":
        try:
            frame = frame.assign(cutoff=need("pandas").to_datetime(frame["cutoff"]).astype(frame[names["time_col"]].dtype))
        except (ValueError, TypeError) as error:
            raise FileError(f"the cutoffs of {path} could not be read: {error}", value=path,
                            hint="Give the file that 'ndiv cv --out' wrote.") from None
    return frame


def read_static(path: str | None) -> Any:
    """The CSV or Parquet file of static covariates as a frame; None for None."""
    if path is None:
        return None
    pd = need("pandas")
    try:
        if path.lower().endswith((".parquet", ".pq")):
            need("pyarrow", extra="parquet")
            return pd.read_parquet(path)
        return pd.read_csv(path)
    except (OSError, ValueError) as error:  # parser errors are ValueErrors
        raise FileError(f"{path} could not be read: {str(error).splitlines()[0]}", value=path,
                        hint="Give a CSV or Parquet file with one row a series.") from None


def check_output(path: str | None) -> None:
    """Refuse a path that `write_frame` could not write, before the work is done."""
    if path is None:
        return
    if not path.lower().endswith(_FORMATS):
        raise ConfigError(f"unknown kind of output file {path!r}", value=path, hint=f"Valid: {', '.join(_FORMATS)}.")
    if not Path(path).resolve().parent.is_dir():
        raise FileError(f"the folder of {path} does not exist", value=path, hint="Create it first.")
    if path.lower().endswith(".parquet"):
        need("pyarrow", extra="parquet")


def write_frame(frame: Any, path: str | None) -> None:
    """A pandas frame to a CSV or Parquet file, or as CSV to standard output when ``path`` is None."""
    if path is None:
        frame.to_csv(sys.stdout, index=False)
        return
    check_output(path)
    try:
        if path.lower().endswith(".parquet"):
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
    except OSError as error:
        raise FileError(f"{path} could not be written: {error.strerror or error}", value=path) from None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned text: the first column to the left, the others to the right.

    >>> print(table(["month", "y"], [["May", "1.50"]]))
    month     y
    May    1.50
    """
    widths = [max(len(line[k]) for line in (header, *rows)) for k in range(len(header))]
    lines = [[cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))]
             for line in (header, *rows)]
    return "\n".join("  ".join(line).rstrip() for line in lines)
