"""DeepAR, variant="compat", with neuralforecast's weights: forecasts, teacher-forced numbers, losses and gradients."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import peer_deepar as p

from ndiv.interop.peers.deepar import convert

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md


def close(got, wanted, bound, what=""):
    off = np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-30)
    assert got.shape == wanted.shape and off <= bound, f"{what}: {off:.1e}"


@pytest.mark.parametrize("seed", range(21))
def test_random_configurations(seed):
    options, loss, scaler = p.random_case(seed)
    data = p.used(options, p.batch(seed))
    peer, m = p.peer(options, loss, scaler, data), p.ours(options, loss, scaler)
    found = convert(peer["state"], m)
    assert set(found) == set(m.state_dict())
    assert len(found) == len([n for n in peer["state"] if "loss." not in n])
    m.load_state_dict(found)
    m.eval()
    given = {k: v for k, v in data.items() if not k.startswith("outsample")}
    close(p.exact_columns(loss, m.forecast(given)), peer["forecast"], 2e-5, "forecast")
    assert float(m.compute_loss(data).data) == pytest.approx(peer["loss"], rel=2e-5)
    forced = m._forced(m.scale(data)[0], options["h_train"])
    close(forced.numpy(), peer["forced"], 2e-5, "numbers")
    (forced * p.projection(forced.shape)).sum().backward()
    named = dict(m.named_parameters())
    for name, gradient in convert(peer["gradients"], m).items():
        close(named[name].grad.numpy(), gradient, 1e-4, name)
