"""Prints docs/models.md: the models, from the registry. ``python docs/make_models.py > docs/models.md``."""

from __future__ import annotations

from ndiv.cli.models import MARKS
from ndiv.models import capabilities, list_models

ABOUT = """\
# The models

Every model is `get_model(name)` or a name in `ndiv.models`; `ndiv models` prints the first table, and
`ndiv.models.capabilities(name)` gives it as data. All take the same common arguments, with neuralforecast's names.

```python
from ndiv.models import capabilities, list_models

print([name for name in list_models() if capabilities(name)["stat_exog"]])
```

## What each can do

Future, historic, static and categorical are the covariates that a model takes. A multivariate model forecasts all series at
once, the others each series by itself. Probabilistic models take quantile and distribution losses. Long horizon: published on
horizons of hundreds of steps.
"""

CATEGORIES = """\
## Categorical covariates

Name a column in `cat_exog_list` as well as in `futr_exog_list`, `hist_exog_list` or `stat_exog_list`, and its values are
categories: text, whole numbers or booleans, pandas or polars categories of them, with gaps where a value is missing. Every
model that takes covariates of a kind takes categorical ones of that kind.

```python
import numpy as np
import pandas as pd

from ndiv.models import MLP

rows = pd.date_range("2024-01-01", periods=120)
df = pd.DataFrame({"unique_id": "shop", "ds": rows, "event": np.tile(["none", "none", "sale", "fair"], 30)})
df["y"] = df["event"].map({"none": 1.0, "sale": 5.0, "fair": 3.0})

model = MLP(h=3, input_size=8, hidden_size=32, max_steps=200, futr_exog_list=["event"], cat_exog_list=["event"])
model.fit(df, freq="D")
print(model.categories)  # {'event': ['fair', 'none', 'sale']}
ahead = pd.DataFrame({"unique_id": "shop", "ds": pd.date_range("2024-04-30", periods=3), "event": ["sale", "none", "opening"]})
print(model.predict(futr_df=ahead))  # with a warning: 'opening' was not in the training data
```

- Each column has a table with a trained row for each category, and its rows take the place of the column. `cat_emb_dim` says
  how wide they are: "fastai" (1.6 n^0.56 for n categories), "sqrt", "half" (both of n), at most 50 each, or a number.
- `fit` counts the categories in the training rows, those that validate or come after a cutoff left out. The vocabulary is
  `model.categories`, in rising order, and it is saved with the model. `categorical_cardinalities={"event": 5}` sets the size
  of a table; with more categories than that `fit` refuses (E0010).
- Values that training has not seen, and missing ones, have a row of their own, and `predict` counts the unseen ones in a
  warning. In `paper` that row is trained: training hides the column of one window in fifty, and one value in fifty of the
  other windows. In `compat` it is the mean of the others.
- Batches (`model.forward`, `model.forecast`) hold codes: k for the k-th category, 0 for unseen. A file of `model.export` takes
  the values themselves.
- A second `fit` keeps the vocabulary of the first, and warns of new categories; `use_init_models=True` starts again.
"""

VARIANTS = """\
## Two variants

`variant="paper"`, the default, is the published architecture. `variant="compat"` computes what neuralforecast 3.3 computes
from the same weights, known defects included. What differs in every model:

- **Levels.** A model that adds a level (the last value, say) adds it in `paper` to the outputs that forecast the level, and in
  `compat` to all outputs of a step, the scale of a distribution among them.
- **`scaler_type="revin"`.** In `paper` the affine map is trained on the way in and undone on the way out (Kim et al. 2022). In
  `compat` the input is standardized only, and weight and bias change the statistics on the way back; a point loss, which is
  taken before the way back, does not train them.

- **Missing values.** Both mask them in the statistics of a window. In `paper` they are 0 after scaling, in `compat` before it,
  so that they reach the network as any other 0 would.
- **Quantiles that cross** are put in order in a forecast in `paper` (`non_crossing` of `MQLoss` and `HuberMQLoss`), and left
  as they are in `compat`.
- **Unseen categories.** They have a trained row in `paper`, and in `compat` the mean of the rows of the others.

What differs in one:
"""

WEIGHTS = """\
## Weights from neuralforecast

`ndiv.interop.from_neuralforecast(source)` takes a trained model, a `NeuralForecast` object, or the path of what `model.save`
or `NeuralForecast.save` of neuralforecast 3.3 wrote. Objects are read by their attributes and files with the safetensors
library: PyTorch is not imported, and nothing in a file is executed. A model comes back as the model of the same name
(VanillaTransformer as Transformer, under its old name in columns), `variant="compat"`; a forecaster or a folder as an
`ndiv.NeuralForecast` with frequency, column names, covariates, categories, scalers and, where they were saved, the series. A
single model comes without the names of its categories, and takes codes.

```text
nf = ndiv.interop.from_neuralforecast("saved_by_neuralforecast")
nf.predict()                # the numbers that neuralforecast gives, to float32 rounding
nf.save("saved_by_ndiv")
```

- Columns of a distribution differ: neuralforecast estimates its quantiles and mean from samples, ndiv computes them.
- Local scalers follow neuralforecast's rule: covariates are scaled too, and a frame passed to `predict` gets statistics of its
  own. `fit` and `cross_validation` then go by ndiv's rule, under which only the target is scaled.
- An argument, loss or model that ndiv does not have and that forecasts depend on is refused (E0010); `loss=...` and other
  arguments can be given in place of the translated ones. What only further training depends on is left out, and a warning names
  it. Folders of versions that wrote pickles are refused (E0006); `python -m neuralforecast.migrate` converts them.
"""


def page() -> str:
    """The page's text."""
    facts = [capabilities(name) for name in list_models()]
    lines = [ABOUT, "| model | " + " | ".join(MARKS.values()) + " |", "| --- |" + " --- |" * len(MARKS)]
    lines += ["| " + " | ".join([f["model"], *("yes" if f[key] else "" for key in MARKS)]) + " |" for f in facts]
    lines += ["", CATEGORIES, VARIANTS, "| model | paper | what differs |", "| --- | --- | --- |"]
    lines += [f"| {f['model']} | {f['paper']} | {f['differences']} |" for f in facts]
    return "\n".join([*lines, "", WEIGHTS.rstrip()])


if __name__ == "__main__":
    print(page())
