"""Parts of forecasts add up to them, and TFT's weights to 1, in frames of the kind that came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv.errors import ConfigError
from ndiv.losses import DistributionLoss, MQLoss

PARTS = {"NBEATS": ["level", "identity", "trend", "seasonality"], "DLinear": ["level", "trend", "seasonality"],
         "NHITS": ["level", "identity 1", "identity 2", "identity 3"], "Autoformer": ["level", "trend", "seasonality"],
         "FEDformer": ["level", "trend", "seasonality"]}


def added_up(parts: pd.DataFrame) -> pd.DataFrame:
    """One column for each output, as `predict` has them."""
    return parts.groupby(["unique_id", "ds", "output"])["value"].sum().unstack("output").reset_index()


@pytest.mark.parametrize("name", PARTS)
def test_parts_add_up_to_the_forecast(name: str, small: Any, ready: Any, like: Any, df: pd.DataFrame) -> None:
    nf = ready([small(name, scaler_type="standard")], like(df), "standard")
    found, wanted = nf.decompose(), nf.predict()
    assert isinstance(found, type(wanted))
    rows, wanted = (pd.DataFrame(f.to_dict(as_series=False)) if isinstance(f, pl.DataFrame) else f for f in (found, wanted))
    assert list(rows.columns) == ["unique_id", "ds", "output", "part", "value"]
    assert list(dict.fromkeys(rows["part"])) == PARTS[name]
    np.testing.assert_allclose(added_up(rows)[name], wanted[name], rtol=1e-5)
    assert rows.groupby("part")["value"].std().drop("level").gt(0).all()


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("loss", [MQLoss(level=[80]), DistributionLoss("StudentT", level=[80])], ids=["quantiles", "StudentT"])
def test_every_column_of_a_forecast_is_taken_apart(loss: Any, variant: str, small: Any, ready: Any, df: pd.DataFrame) -> None:
    models = [small(name, loss=loss, variant=variant, scaler_type="robust") for name in ("DLinear", "NHITS", "Autoformer")]
    nf = ready(models, df, "minmax")
    found, wanted = added_up(nf.decompose()), nf.predict()
    for column in wanted.columns[2:]:
        np.testing.assert_allclose(found[column], wanted[column], rtol=2e-5, err_msg=column)


def test_blocks_and_models_without_parts(small: Any, ready: Any, df: pd.DataFrame) -> None:
    nf = ready([small("NHITS", n_blocks=[2, 1, 1]), small("MLP")], df)
    with pytest.warns(UserWarning, match="MLP"):
        parts = nf.decompose(df=df.iloc[:20], by="block")
    assert list(dict.fromkeys(parts["part"]))[1:3] == ["identity 1, block 1", "identity 1, block 2"]
    assert set(parts["unique_id"]) == {"a"}
    with pytest.raises(ConfigError, match="none of these models is a sum"):
        ready([small("MLP")], df).decompose()
    with pytest.raises(ConfigError, match="by must be"), pytest.warns(UserWarning, match="left out"):
        nf.decompose(by="layer")


def test_weights_of_tft_add_up(small: Any, ready: Any, like: Any, wide_df: pd.DataFrame) -> None:
    model = small("TFT", futr_exog_list=["x"])
    nf = ready([model], like(wide_df))
    ahead = nf.make_future_dataframe()
    ahead = ahead.assign(x=0.5) if isinstance(ahead, pd.DataFrame) else ahead.with_columns(x=pl.lit(0.5))
    weights, attends = nf.feature_importances(futr_df=ahead), nf.attention_weights(futr_df=ahead)
    assert isinstance(weights, type(ahead))
    assert list(weights.columns) == ["unique_id", "model", "kind", "step", "feature", "weight"]
    rows, attends = (f if isinstance(f, pd.DataFrame) else pd.DataFrame(f.to_dict(as_series=False)) for f in (weights, attends))
    total = rows.groupby(["unique_id", "kind", "step"])["weight"].sum()
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)
    assert total.index.get_level_values("step").min() == 1 - model.input_size
    each = attends.groupby(["unique_id", "step"])["weight"].sum()
    assert len(each) == 2 * model.h
    np.testing.assert_allclose(each, 1.0, rtol=1e-5)
    assert (attends.loc[attends["attends_to"] > attends["step"], "weight"] == 0).all()
    with pytest.raises(ConfigError, match="weighs its variables"):
        ready([small()], wide_df[["unique_id", "ds", "y"]]).feature_importances()
