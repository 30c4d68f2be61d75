"""`report`: from a trained forecaster and a backtest to one HTML file.

Contract: a part that cannot be made (no backtest, no stored series, a future covariate that is missing, a package that is not
installed) is left out and the report says so; nothing is trained and nothing is changed.
"""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import Any

from ndiv._version import __version__
from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FileError

from ..core import NeuralForecast
from ..evaluation.backtests import Backtest
from ..evaluation.columns import opened
from ..reading import ColumnNames
from .page import Page
from .sections import Case

__all__ = ["check_report_path", "report"]


def report(nf: NeuralForecast | Backtest | None = None, cv: Any = None, path: Any = "report.html", *, futr_df: Any = None,
           level: Any = None, title: str = "Forecast report", max_series: int = 4, season: int | None = None,
           target_unit: str | None = None) -> Path:
    """Write a report as one HTML file without requests to anywhere: data, models, training, backtest with baselines and
    Diebold-Mariano tests, forecasts with intervals, residuals, coverage, and what to be careful about.

    nf           a trained `NeuralForecast`, or a `Backtest`, whose forecaster and windows then count
    cv           a `Backtest`, or the frame of ``cross_validation``; None: no backtest in the report
    path         file to write, .html
    futr_df      future covariates, for models that need them; level: intervals to ask `predict` for, in percent
    max_series   series that are drawn
    season       steps of a season, for mase; default: by the step between times
    target_unit  of the target, for axes

    Returns the path. Raises `EmptyDataError` (E0003) where there is nothing to report, `NotFittedError` (E0001), `ConfigError`
    (E0010) for a path that is not .html, `FileError` (E0006), `MissingExtraError` without matplotlib.

    >>> import tempfile, os
    >>> from ndiv import NeuralForecast
    >>> from ndiv.models import NLinear
    >>> from ndiv.utils import AirPassengersDF
    >>> nf = NeuralForecast([NLinear(h=12, input_size=24, max_steps=5)], freq="ME").fit(AirPassengersDF)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report(nf, path=os.path.join(folder, "r.html")).stat().st_size > 10_000
    True
    """
    need("matplotlib", extra="plot")
    target = check_report_path(path)
    if isinstance(nf, Backtest):
        nf, cv = nf.nf, nf if cv is None else cv
    if nf is None and cv is None:
        raise EmptyDataError("there is nothing to report", value=None,
                             hint="Pass a trained NeuralForecast, a Backtest, or both.")
    if nf is not None:
        nf._check_fitted()
    if cv is not None and not isinstance(cv, Backtest):
        columns = nf.columns if nf is not None else ColumnNames()
        cv = opened(cv, "cv", (columns.id_col, columns.time_col, columns.target_col)).to_native()
    case = Case(nf, cv, season, max_series, target_unit)
    now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    page = Page(title, f"{now} · ndiv {__version__}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        body = Page(title, "")
        for part in (case.data, case.models, case.training, case.scores):
            part(body)
        case.forecasts(body, futr_df, level)
        case.residuals(body)
        case.coverage(body)
    told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    page.section("Summary")
    page.bullets(case.summary)
    page.heading("Be careful")
    careful = list(dict.fromkeys([*case.careful, *told]))
    if careful:
        page.bullets(careful, warning=True)
    else:
        page.paragraph("No check found anything to warn of.")
    page.parts.append("</section>")
    page.parts += body.parts
    page.sections += body.sections
    try:
        target.write_text(page.text(), encoding="utf-8")
    except OSError as error:
        raise FileError(f"{target} could not be written: {error.strerror or error}", value=str(target),
                        hint="Check the folder and the free space.") from None
    return target


def check_report_path(path: Any) -> Path:
    """The path as a `Path`; `ConfigError` (E0010) where it is not .html, `FileError` (E0006) without its folder."""
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"a report is an HTML file, not {str(path)!r}", value=str(path),
                          hint="Give a path that ends in .html.")
    if not target.resolve().parent.is_dir():
        raise FileError(f"the folder of {target} does not exist", value=str(target), hint="Create it first.")
    return target
