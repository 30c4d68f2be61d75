"""Both kinds of frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pytest


@pytest.fixture(params=["pandas", "polars"])
def like(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    """Turns a pandas frame into the library under test."""
    return (lambda frame: frame) if request.param == "pandas" else pl.from_pandas
