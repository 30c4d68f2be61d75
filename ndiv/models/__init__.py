"""The models, and the registry that names them.

`MODELS` maps each name to the module that holds it; modules are imported when first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ConfigError, closest

__all__ = ["MODELS", "capabilities", "get_model", "list_models"]

MODELS = {
    "MLP": "ndiv.models.basic.mlp",
    "DLinear": "ndiv.models.basic.dlinear",
    "NLinear": "ndiv.models.basic.nlinear",
    "NBEATS": "ndiv.models.advanced.nbeats",
    "NBEATSx": "ndiv.models.advanced.nbeatsx",
    "NHITS": "ndiv.models.advanced.nhits",
    "DeepAR": "ndiv.models.probabilistic.deepar",
    "RNN": "ndiv.models.recurrent.rnn",
    "LSTM": "ndiv.models.recurrent.lstm",
    "GRU": "ndiv.models.recurrent.gru",
    "TCN": "ndiv.models.convolutional.tcn",
    "BiTCN": "ndiv.models.convolutional.bitcn",
    "TiDE": "ndiv.models.advanced.tide",
    "DeepNPTS": "ndiv.models.probabilistic.deepnpts",
    "MLPMultivariate": "ndiv.models.basic.mlpmultivariate",
    "TSMixer": "ndiv.models.advanced.tsmixer",
    "PatchTST": "ndiv.models.transformers.patchtst",
    "iTransformer": "ndiv.models.transformers.itransformer",
    "Transformer": "ndiv.models.transformers.transformer",
    "Informer": "ndiv.models.transformers.informer",
    "TFT": "ndiv.models.transformers.tft",
    "TimeLLM": "ndiv.models.language.timellm",
    "Autoformer": "ndiv.models.transformers.autoformer",
    "FEDformer": "ndiv.models.transformers.fedformer",
    "TimesNet": "ndiv.models.spectral.timesnet",
    "StemGNN": "ndiv.models.spectral.stemgnn",
    "EventNHITS": "ndiv.models.extensions.eventnhits",
    "MultiSeries": "ndiv.models.extensions.multiseries",
    "LSTMAttention": "ndiv.models.sequence.lstmattention",
}
OTHER_NAMES = {"VanillaTransformer": "Transformer", "AutoFormer": "Autoformer", "FedFormer": "FEDformer"}  # that users type


def list_models() -> list[str]:
    """Names of all models, sorted.

    >>> "NHITS" in list_models()
    True
    """
    return sorted(MODELS)


def get_model(name: str) -> Any:
    """The class of that name; case does not matter, and neuralforecast's VanillaTransformer is Transformer.

    >>> get_model("nhits").__name__
    'NHITS'
    """
    known = {n.lower(): n for n in MODELS} | {n.lower(): full for n, full in OTHER_NAMES.items()}
    try:
        full = known[name.lower()]
    except (KeyError, AttributeError):
        raise ConfigError(f"unknown model {name!r}", value=name, hint=closest(name, MODELS)) from None
    return getattr(importlib.import_module(MODELS[full]), full)


# fact -> the attribute of the model's class that states it
_FACTS = {"futr_exog": "EXOGENOUS_FUTR", "hist_exog": "EXOGENOUS_HIST", "stat_exog": "EXOGENOUS_STAT",
          "cat_exog": "EXOGENOUS_CAT", "multivariate": "MULTIVARIATE", "recurrent": "RECURRENT",
          "probabilistic": "PROBABILISTIC", "long_horizon": "LONG_HORIZON", "paper": "PAPER", "differences": "DIFFERENCES"}


def capabilities(name: str) -> dict[str, Any]:
    """What a model can do, as data, from the facts that its class states.

    model          its name
    univariate     forecasts each series from that series and its covariates
    multivariate   forecasts all series at once, from all of them
    recurrent      goes through the window step after step
    futr_exog      takes covariates that are known in the future (hist_exog: in the past only; stat_exog: one value a series;
                   cat_exog: categorical ones)
    probabilistic  takes quantile and distribution losses
    long_horizon   was published on horizons of hundreds of steps
    paper          where it was published
    differences    what ``variant="compat"`` does otherwise than ``variant="paper"``, and why

    Raises `ConfigError` (E0010) for an unknown name.

    >>> facts = capabilities("NHITS")
    >>> facts["futr_exog"], facts["multivariate"], facts["paper"][:18]
    (True, False, 'Challu et al. 2023')
    """
    cls = get_model(name)
    facts = {fact: getattr(cls, attribute) for fact, attribute in _FACTS.items()}
    return {"model": cls.__name__, "univariate": not cls.MULTIVARIATE, **facts}


def __getattr__(name: str) -> Any:
    if name in MODELS or name in OTHER_NAMES:
        return get_model(name)
    if name == "BaseModel":
        return importlib.import_module("ndiv.models.base").BaseModel
    raise AttributeError(f"module 'ndiv.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *MODELS, "BaseModel"])
