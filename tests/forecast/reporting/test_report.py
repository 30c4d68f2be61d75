"""The report: one file that asks for nothing, with every section, that says what is missing instead of leaving it out silently."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast, backtest, report
from ndiv.errors import ConfigError, EmptyDataError, FileError, NotFittedError
from ndiv.forecast.reporting.page import Page
from ndiv.losses import MQLoss

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Checker(HTMLParser):
    """Tags that close in order, ids that differ, and what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.handle(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle(attrs)

    def handle(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("src", "href", "xlink:href"):
                self.links.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "pre"):
            self.words.append(data)


def read(path: Path) -> tuple[Checker, str]:
    text = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert all(link.startswith("#") for link in checker.links)  # nothing is fetched
    assert {link[1:] for link in checker.links} <= set(checker.ids)
    assert {i[1:] for i in re.findall(r"url\((#[^)]*)\)", text)} <= set(checker.ids)
    assert "<script" not in text
    return checker, " ".join(checker.words)


def test_whole_report(df: pd.DataFrame, small: Any, tmp_path: Path) -> None:
    models = [small("NLinear", loss=MQLoss(level=[80]), alias="<b>fast</b>"), small("DLinear")]
    found = backtest(models, df, "D", n_windows=3)
    path = report(found, path=tmp_path / "r.html", title="Shops & <more>", target_unit="EUR")
    page, words = read(path)
    for section in ("summary", "data", "models", "training", "backtest", "forecasts", "residuals", "coverage"):
        assert section in page.ids
    text = path.read_text(encoding="utf-8")
    assert "<b>fast" not in text  # a name is text, whatever it holds
    assert "Shops & <more>" in words
    assert text.count("<svg") == 6  # learning, windows, steps, forecasts, residuals, coverage
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"#0072b2", text.partition("</style>")[2], re.IGNORECASE)  # pictures have the page's colours
    for sentence in ("2 series of 57 rows", "SeasonalNaive", "y (EUR)", "values inside", "of the values lie in its 80 % intervals",
                     "jarque_bera", "Holm"):
        assert sentence in words, sentence


def test_parts_that_are_missing_are_named(df: pd.DataFrame, small: Any, tmp_path: Path) -> None:
    nf = NeuralForecast([small("NLinear")], "D").fit(df)
    nf.save(tmp_path / "m", save_dataset=False)
    _, words = read(report(NeuralForecast.load(tmp_path / "m"), path=tmp_path / "r.html"))
    assert "series were not saved with the models" in words
    assert "Loss during training" in words
    assert "how good the forecasts are is not known" in words
    cv = nf.cross_validation(df, n_windows=2)
    _, words = read(report(cv=cv, path=tmp_path / "r.html"))
    assert "no two columns of forecasts" in words
    assert "No model has intervals" in words
    covariate = NeuralForecast([small("MLP", futr_exog_list=["x"])], "D").fit(df.assign(x=1.0))
    _, words = read(report(covariate, path=tmp_path / "r.html"))
    assert "No forecasts:" in words


def test_polars_and_other_columns(df: pd.DataFrame, small: Any, tmp_path: Path) -> None:
    renamed = pl.from_pandas(df.rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"}))
    found = backtest(small("NLinear"), renamed, n_windows=2, id_col="shop", time_col="day", target_col="sales")
    _, words = read(report(found, path=tmp_path / "r.html"))
    assert "sales" in words


def test_refused(df: pd.DataFrame, small: Any, tmp_path: Path) -> None:
    nf = NeuralForecast([small("NLinear")], "D")
    with pytest.raises(NotFittedError):
        report(nf, path=tmp_path / "r.html")
    nf.fit(df)
    for path, kind, text in ((tmp_path / "r.pdf", ConfigError, "HTML"), (tmp_path / "no" / "r.html", FileError, "folder")):
        with pytest.raises(kind, match=text):
            report(nf, path=path)
    with pytest.raises(EmptyDataError, match="nothing to report"):
        report(path=tmp_path / "r.html")


def test_page_escapes() -> None:
    page = Page("a<b", "c&d")
    page.section("S < T")
    page.paragraph("<script>")
    page.bullets(["<i>"])
    page.table(["<h>", "v"], [["<r>", "<c>"]], "<cap>", best=[(0, 1)])
    page.hidden("<s>", "<t>")
    text = page.text()
    for bad in ("<script>", "<i>", "<h>", "<r>", "<c>", "<cap>", "<s>", "<t>", "a<b", "S < T"):
        assert bad not in text.partition("</style>")[2]
