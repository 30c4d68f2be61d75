"""neuralforecast's TCN and BiTCN by the names of its state_dict: the committed figures, through `convert`."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ndiv.models import get_model

HERE = Path(__file__).parent


def peer_models():
    spec = importlib.util.spec_from_file_location("peer_models", HERE.parent / "peers" / "peer_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(model):
    """Modules of neuralforecast's model of the same configuration, in its order."""
    if type(model).__name__ == "TCN":
        return [*(f"hist_encoder.tcn.{i}.conv" for i in range(len(model.convs))), "context_adapter",
                *(f"mlp_decoder.layers.{3 * i}" for i in range(len(model.decoder)))]
    cells = lambda net, n: [f"{net}.{i}.{conv}" for i in range(n) for conv in ("conv1", "conv2")]  # noqa: E731
    ahead = ["lin_futr", *cells("net_fwd", len(model.net_fwd))] if model.futr_exog_list else []
    return ["lin_hist", *cells("net_bwd", len(model.net_bwd)), *ahead, "temporal_lin1", "temporal_lin2", "output_lin"]


@pytest.mark.parametrize("case", ["tcn", "tcn-exog", "bitcn", "bitcn-exog"])
def test_forecasts_of_converted_weights(case):
    peers = peer_models()
    name, options = peers.CASES[case]
    arrays = load_file(str(HERE / "figures" / f"{case}.safetensors"))
    model = get_model(name)(h=peers.H, input_size=peers.L, variant="compat", **options)
    keys = [f"{n}.{part}" for n in names(model) for part in ("weight", "bias")]
    state = dict(zip(keys, (arrays[k] for k in sorted(arrays) if k.startswith("weight.")), strict=True))
    convert = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert
    model.load_state_dict(convert({**state, "loss.quantiles": np.ones(1)}, model))
    np.testing.assert_allclose(model.eval().forward(peers.batch()).numpy(), arrays["forecast"], rtol=2e-5, atol=2e-6)
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != keys[0]}, model)
