"""The site's page for each model, and the page of the arguments that all take, from the package itself.

Nothing of them is kept in a file: `pages` is called at every build (docs/site_hooks.py) and by tests/test_site.py, which runs
every example. What is written here by hand is how small the examples' models are, and the two that need other data.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from docstrings import VARIANT, default_text, escaped, linked, markdown, rows, signature, table

from ndiv.models import MODELS, BaseModel, capabilities, get_model, list_models
from ndiv.models.arguments import COMMON

HERE = Path(__file__).resolve().parent
SMALL: dict[str, str] = {
    "Autoformer": "hidden_size=16, conv_hidden_size=16", "BiTCN": "hidden_size=8", "DLinear": "moving_avg_window=13",
    "DeepAR": "lstm_hidden_size=16, trajectory_samples=20", "DeepNPTS": "hidden_size=16",
    "EventNHITS": "mlp_units=[[32, 32]] * 3, event_hidden_size=16, event_list=[\"size\"]",
    "FEDformer": "hidden_size=16, conv_hidden_size=16, modes=8", "GRU": "encoder_hidden_size=16",
    "Informer": "hidden_size=16, conv_hidden_size=16", "LSTM": "encoder_hidden_size=16",
    "LSTMAttention": "lstm_hidden_size=16", "MLP": "hidden_size=64", "MLPMultivariate": "hidden_size=64",
    "MultiSeries": "hidden_size=64, group=\"carrier\", stat_exog_list=[\"carrier\"], cat_exog_list=[\"carrier\"]",
    "NBEATS": "mlp_units=[[32, 32]] * 3", "NBEATSx": "mlp_units=[[32, 32]] * 3", "NHITS": "mlp_units=[[32, 32]] * 3",
    "NLinear": "", "PatchTST": "hidden_size=16, n_heads=4, linear_hidden_size=32, patch_len=8, stride=4",
    "RNN": "encoder_hidden_size=16", "StemGNN": "multi_layer=2", "TCN": "encoder_hidden_size=16", "TFT": "hidden_size=16",
    "TSMixer": "ff_dim=16, dropout=0.1", "TiDE": "hidden_size=32, temporal_decoder_dim=16",
    "TimeLLM": "llm=llm, d_ff=16, num_tokens=16, n_heads=2",
    "TimesNet": "hidden_size=8, conv_hidden_size=8, num_kernels=2", "Transformer": "hidden_size=16, conv_hidden_size=16",
    "iTransformer": "hidden_size=32, d_ff=64"}
BEFORE = {  # what comes before the model, beyond the usual frames
    "TimeLLM": ("from ndiv.language import Backbone\n",
                "# a tiny language model with random weights; of use is a folder or a GGUF file with a pretrained one\n"
                "llm = Backbone.from_config(\"gpt2\", width=16, num_layers=1, inner=16, vocabulary_size=128,\n"
                "                           max_positions=256)\n"),
    "MultiSeries": ("", "carriers = AirPassengersStatic.assign(carrier=[\"north\", \"south\"])\n"),
    "EventNHITS": ("import pandas as pd\n",
                   "events = pd.DataFrame({\"unique_id\": [\"Airline1\", \"Airline2\"], \"size\": [1.0, 0.5],\n"
                   "                       \"ds\": pd.to_datetime([\"1958-07-20\", \"1959-03-02\"])})\n")}
FIT = {"MultiSeries": "static_df=carriers", "EventNHITS": "events_df=events"}
COVARIATES = {"futr_exog": ("futr_exog_list", "trend"), "hist_exog": ("hist_exog_list", "y_[lag12]"),
              "stat_exog": ("stat_exog_list", "airline1")}
PEER = {"Transformer": "VanillaTransformer"}  # where neuralforecast has another name


def example(name: str) -> str:
    """A program that trains the model for a few steps on two monthly series and forecasts the year after them."""
    facts = capabilities(name)
    used = [kind for kind in COVARIATES if facts[kind] and name not in FIT]
    static = "stat_exog" in used or name == "MultiSeries"
    imports, before = BEFORE.get(name, ("", ""))
    loss, options = ("DistributionLoss", "\"StudentT\", ") if name == "DeepAR" else ("MQLoss", "")
    columns = [f", \"{COVARIATES[kind][1]}\"" for kind in used if kind != "stat_exog"]
    picked = "" if len(columns) == 2 else f"[[\"unique_id\", \"ds\", \"y\"{''.join(columns)}]]"
    given = ", ".join(f"{COVARIATES[kind][0]}=[\"{COVARIATES[kind][1]}\"]" for kind in used)
    lines = [f"h=12, input_size=24, loss={loss}({options}level=[80]), scaler_type=\"standard\"", SMALL[name], given,
             "max_steps=3, windows_batch_size=16"]
    indent = ",\n" + " " * (len(name) + 9)
    call = FIT.get(name, "static_df=AirPassengersStatic" if static else "")
    return "".join([
        f"{imports}\n" if imports.startswith("import") else "", "from ndiv import NeuralForecast\n",
        imports if imports.startswith("from") else "", f"from ndiv.losses import {loss}\nfrom ndiv.models import {name}\n",
        f"from ndiv.utils import AirPassengersPanel{', AirPassengersStatic' if static else ''}\n\n",
        f"panel = AirPassengersPanel{picked}\ntrain, test = panel[panel[\"ds\"] < \"1960-01-01\"], ",
        "panel[panel[\"ds\"] >= \"1960-01-01\"]\n", before, "\n",
        f"model = {name}({indent.join(line for line in lines if line)})\n",
        "nf = NeuralForecast(models=[model], freq=\"ME\")\n",
        f"nf.fit(train{', ' + call if call else ''})\nforecast = nf.predict({'futr_df=test' if 'futr_exog' in used else ''})\n",
        "print(forecast.head().to_string())\n"])


def _yes(facts: dict[str, Any]) -> str:
    kinds = [word for key, word in (("futr_exog", "known in the future"), ("hist_exog", "historic"), ("stat_exog", "static"),
                                    ("cat_exog", "categorical ones of these kinds")) if facts[key]]
    return ", ".join(kinds) or "none"


def facts_table(name: str) -> str:
    """What `ndiv.models.capabilities` says of a model, in words."""
    facts, cls = capabilities(name), get_model(name)
    peer = f"neuralforecast's name is `{PEER[name]}`" if name in PEER else "neuralforecast's name is the same"
    if "compat" not in cls.VARIANTS:
        peer = "neuralforecast has no such model"
    kind = "all series at once (multivariate)" if facts["multivariate"] else "each series by itself (univariate)"
    return table(("", ""), [
        ["Published", escaped(facts["paper"])], ["Forecasts", kind + (", step after step" if facts["recurrent"] else "")],
        ["Covariates", _yes(facts)],
        ["Losses", "point, quantile and distribution losses" if facts["probabilistic"] else "point losses"],
        ["Long horizon", "published on hundreds of steps" if facts["long_horizon"] else "published on fewer steps"],
        ["neuralforecast", peer], ["Source", f"`{MODELS[name].replace('.', '/')}.py`"]])


def meanings(name: str) -> dict[str, str]:
    """What each argument of a model's own means: from its docstring, else from those of the models that this names."""
    cls = get_model(name)
    found = {"h": "steps of the forecast", "input_size": "steps of the window that it is made from; -1: three times `h`"}
    text = inspect.getdoc(cls) or ""
    for other in [o for o in re.findall(r"those of `(\w+)`", text) if o in MODELS]:
        found |= meanings(other)
    for names, meaning in rows(text):
        found |= {argument: escaped(meaning) for argument in names}
    return found


def own_arguments(name: str) -> list[inspect.Parameter]:
    """The parameters of a model's constructor without those that all models take."""
    return [p for p in inspect.signature(get_model(name)).parameters.values() if p.kind is not p.VAR_KEYWORD]


def arguments(name: str) -> str:
    """The table of a model's arguments, and the defaults of common ones that it changes."""
    meaning = meanings(name)
    found = [[f"`{p.name}`", "" if p.default is p.empty else f"`{default_text(p.default)}`", meaning[p.name]]
             for p in own_arguments(name)]
    changed = ", ".join(f"`{key}={default_text(value)}`" for key, value in get_model(name).DEFAULTS.items())
    after = "It also takes the [arguments of every model](arguments.md)" + (f", with {changed}." if changed else ".")
    return table(("argument", "default", "meaning"), found) + "\n\n" + after


def split_docstring(name: str) -> tuple[str, str, str]:
    """(first sentence, what it computes, its variants) of the module of a model."""
    text = inspect.cleandoc(importlib.import_module(MODELS[name]).__doc__ or "")
    head, _, rest = text.partition("\n")
    blocks = rest.strip().split("\n\n")
    variants = [b for b in blocks if VARIANT.match(b)]
    return head.partition(": ")[2], "\n\n".join(b for b in blocks if b not in variants), "\n\n".join(variants)


def accuracy(name: str) -> str:
    """The rows of docs/accuracy.md that are a model's, each table under its heading."""
    out: list[str] = []
    heading, head, shown = "", [], False
    for line in (HERE / "accuracy.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading, head = line.lstrip("# "), []
        elif line.startswith("|"):
            first = line.strip("| ").split("|")[0].strip()
            if len(head) < 2:
                head.append(line)
                shown = False
            elif "setting" not in head[0] and (first == name or first.startswith(f"{name} (")):
                out += [] if shown else [f"**{heading}**", "", *head]
                out.append(line)
                shown = True
        elif head:
            out += [""] if out and shown else []
            head = []
    return "\n".join(out)


def own_methods(name: str) -> str:
    """The methods that a model has and `BaseModel` has not, and that are for its users: those with an example."""
    cls, out = get_model(name), []
    for key in sorted(k for k in dir(cls) if not k.startswith("_") and not hasattr(BaseModel, k)):
        method = getattr(cls, key)
        if inspect.isfunction(method) and ">>>" in (method.__doc__ or ""):
            out += [f"### `{key}`", f"```text\n{signature(key, method)}\n```", markdown(method.__doc__)]
    return "\n\n".join(out)


def page(name: str) -> str:
    """The page of a model."""
    head, computes, variants = split_docstring(name)
    cls = get_model(name)
    differs = f"In short: {escaped(cls.DIFFERENCES)}." if cls.DIFFERENCES else ""
    after = (inspect.getdoc(cls) or "").split(">>>")[0].strip().split("\n\n")
    notes = [b for b in after[1:] if not any(True for _ in rows(b))]
    parts = [f"# {name}", escaped(head[:1].upper() + head[1:]), facts_table(name), "## What it computes", markdown(computes),
             "## Arguments", arguments(name), *[markdown(b) for b in notes]]
    if "compat" in cls.VARIANTS:
        parts += ["## Variants, and what differs from neuralforecast", markdown(variants) if variants else "", differs,
                  "What differs in every model is in [Two variants](../models.md#two-variants)."]
    parts += ["## Example", "Model and training are small, so that this runs in a moment; what it prints is no measure of it.",
              f"```python\n{example(name)}```"]
    methods, scores = own_methods(name), accuracy(name)
    if methods:
        parts += ["## Methods of its own", methods]
    if scores:
        parts += ["## Accuracy", "From [Accuracy](../accuracy.md), which says how it is measured.", scores]
    return linked("\n\n".join(part for part in parts if part)) + "\n"


ARGUMENTS = """\
# Arguments of every model

Names and defaults are neuralforecast's; a model's own page says which defaults it changes. An unknown argument, or a value that
no model could use, is refused when the model is made (E0010), with the nearest known name.

"""


def arguments_page() -> str:
    """The page of the arguments that all models take: their comments are where they are declared."""
    source = (HERE.parent / "ndiv" / "models" / "arguments.py").read_text(encoding="utf-8")
    said = dict(re.findall(r"^    (\w+): [^#\n]*# (.*)$", source, re.MULTILINE))
    found = [[f"`{key}`", f"`{default_text(value)}`", escaped(said.get(key, ""))] for key, value in COMMON.items()]
    return linked(ARGUMENTS) + table(("argument", "default", "meaning"), found) + "\n"


def pages() -> dict[str, str]:
    """Path on the site -> Markdown."""
    return {"models/arguments.md": arguments_page(), **{f"models/{name}.md": page(name) for name in list_models()}}
