"""neuralforecast's DeepAR beside ndiv's: configurations, weights by name, and what its recursion gives.

There a window has ``input_size + 1`` values, so that its model gets ``input_size = L - 1`` here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

H, L, B = 5, 14, 3
FUTR, HIST, STAT = ["f1", "f2"], ["p1", "p2", "p3"], ["s1", "s2"]
EXOG = {"futr_exog_list": FUTR, "hist_exog_list": HIST, "stat_exog_list": STAT}
ACTIVATIONS = (None, "ReLU", "Tanh", "SELU", "Sigmoid", "GELU", "ELU", "SiLU", "Softplus", "LeakyReLU")
LOSSES = ("MAE", "MQLoss", "Normal", "StudentT", "NegativeBinomial", "Poisson", "GMM")
# of the everyday suite: name -> (options, loss, scaler)
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "student": ({"lstm_hidden_size": 6}, "StudentT", "identity"),
    "normal-exog": ({"lstm_hidden_size": 5, "lstm_n_layers": 1, "lstm_dropout": 0.0, "decoder_hidden_layers": 2,
                     "decoder_hidden_size": 4, "decoder_activation": "Tanh", "h_train": 3, **EXOG}, "Normal", "standard"),
    "counts": ({"lstm_hidden_size": 4, "h_train": 2, "stat_exog_list": STAT}, "NegativeBinomial", "identity"),
    "point": ({"lstm_hidden_size": 4, "futr_exog_list": FUTR}, "MAE", "standard"),
    "quantiles": ({"lstm_hidden_size": 4, "hist_exog_list": HIST}, "MQLoss", "identity"),
}


def random_case(seed: int) -> tuple[dict[str, Any], str, str]:
    """A configuration drawn over every architecture argument."""
    draw = np.random.default_rng(seed)
    layers = int(draw.integers(0, 4))
    options: dict[str, Any] = {
        "h_train": int(draw.integers(1, H + 1)), "lstm_n_layers": int(draw.integers(1, 4)),
        "lstm_hidden_size": int(draw.integers(1, 12)), "lstm_dropout": float(draw.choice([0.0, 0.3])),
        "decoder_hidden_layers": layers,
        "decoder_hidden_size": int(draw.integers(1, 9)) if layers else 0,
        "decoder_activation": ACTIVATIONS[draw.integers(0, len(ACTIVATIONS))] if layers else None,
        "trajectory_samples": int(draw.integers(1, 9))}
    options |= {k: v for k, v in EXOG.items() if draw.uniform() < 0.5}
    return options, LOSSES[seed % len(LOSSES)], ("identity", "standard")[int(draw.integers(0, 2))]


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    """Counts, with every kind of covariate, some values missing."""
    draw = np.random.default_rng(seed)
    y = draw.poisson(6, (B, L + H, 1)).astype(np.float32)
    mask = (draw.uniform(size=y.shape) > 0.1).astype(np.float32)
    mask[:, L - 1:L + 1] = 1
    y *= mask
    return {"insample_y": y[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:],
            "hist_exog": draw.normal(size=(B, L, len(HIST))).astype(np.float32),
            "futr_exog": draw.normal(size=(B, L + H, len(FUTR))).astype(np.float32),
            "stat_exog": draw.normal(size=(B, len(STAT))).astype(np.float32)}


def used(options: dict[str, Any], data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The batch with the covariates that the options name."""
    drop = {k for k in ("hist_exog", "futr_exog", "stat_exog") if not options.get(f"{k}_list")}
    return {k: v for k, v in data.items() if k not in drop}


def our_loss(name: str) -> Any:
    from ndiv import losses

    if name in ("MAE", "MQLoss"):
        return getattr(losses, name)()
    if name == "GMM":
        return losses.GMM(n_components=2, return_params=True)
    return losses.DistributionLoss(name, return_params=True)


def ours(options: dict[str, Any], loss: str, scaler: str) -> Any:
    from ndiv.models import get_model

    return get_model("DeepAR")(h=H, input_size=L, variant="compat", loss=our_loss(loss), scaler_type=scaler, **options)


def peer(options: dict[str, Any], loss: str, scaler: str, data: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of neuralforecast's model with random weights: state (arrays by name), forecast (mean and parameters of each step, or the
    point forecast, [B, H, *], in the units of the data), forced (numbers of h_train steps), loss, and gradients by name of a
    random projection of forced. data is `used`, and is scaled here, with mean and standard deviation of the observed values."""
    import torch
    from neuralforecast.losses import pytorch as losses
    from neuralforecast.models import DeepAR

    torch.manual_seed(7)
    made = (getattr(losses, loss)() if loss in ("MAE", "MQLoss")
            else losses.GMM(n_components=2, return_params=True) if loss == "GMM"
            else losses.DistributionLoss(loss, return_params=True))
    model = DeepAR(h=H, input_size=L - 1, loss=made, scaler_type=scaler, max_steps=1,
                   valid_loss=losses.MQLoss() if loss == "MQLoss" else losses.MAE(), **options)
    model.eval()
    y = np.concatenate([data["insample_y"], data["outsample_y"]], axis=1)
    mask = np.concatenate([data["insample_mask"], data["outsample_mask"]], axis=1)
    past = {k: v.copy() for k, v in data.items()}
    loc, scale = np.zeros((B, 1, 1), np.float32), np.ones((B, 1, 1), np.float32)
    z = y.copy()
    if scaler == "standard":
        def stats(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            on = np.broadcast_to(mask[:, :L], x.shape)
            mean = (x * on).sum(1, keepdims=True) / on.sum(1, keepdims=True)
            return mean, np.sqrt((((x - mean) * on) ** 2).sum(1, keepdims=True) / on.sum(1, keepdims=True)) + 1e-6

        loc, scale = stats(y[:, :L])
        z = (y - loc) / scale  # there the zeros of missing values are scaled like any other
        for key in ("hist_exog", "futr_exog"):
            if key in past:
                m, s = stats(past[key][:, :L])
                past[key] = (past[key] - m) / s
    hist = past.get("hist_exog")
    if hist is not None:
        hist = np.concatenate([hist, np.zeros((B, H, hist.shape[2]), np.float32)], axis=1)[:, 1:]
    futr = past["futr_exog"][:, 1:] if "futr_exog" in past else None
    shifted = {"hist_exog": hist, "futr_exog": futr, "stat_exog": past.get("stat_exog")}
    exog = {k: None if v is None else torch.tensor(v) for k, v in shifted.items()}
    model.scaler.x_shift, model.scaler.x_scale = torch.tensor(loc)[..., None], torch.tensor(scale)[..., None]
    model.predict_horizon = H
    with torch.no_grad():
        found = model._predict_step_recurrent_batch(
            insample_y=torch.tensor(z[:, :L + H - 1]), insample_mask=torch.tensor(mask[:, :L + H - 1]), y_idx=0, **exog).numpy()
    if made.is_distribution_output:  # the columns between are quantiles of samples
        params = len(made.param_names) if loss != "GMM" else made.outputsize_multiplier
        found = np.concatenate([found[..., :1], found[..., -params:]], axis=-1)
    k = options.get("h_train", 1)
    model.h = k
    steps = L + k - 1
    exog = {n: v if v is None or n == "stat_exog" else v[:, :steps] for n, v in exog.items()}
    forced = model({"insample_y": torch.tensor(z[:, :steps]), "insample_mask": torch.tensor(mask[:, :steps]), **exog})
    mapped = made.domain_map(forced)
    target, on = torch.tensor(y[:, L:L + k]), torch.tensor(mask[:, L:L + k])
    if made.is_distribution_output:
        params = made.scale_decouple(output=mapped, loc=torch.tensor(loc), scale=torch.tensor(scale))
        value = made(y=target, distr_args=params, mask=on)
    else:
        value = made(y=torch.tensor(z[:, L:L + k]), y_hat=mapped, y_insample=torch.tensor(z[:, :steps]), mask=on)
    direction = projection(forced.shape)
    (forced * torch.tensor(direction)).sum().backward()
    return {"state": {n: v.numpy().copy() for n, v in model.state_dict().items()}, "forecast": found,
            "forced": forced.detach().numpy(), "loss": float(value),
            "gradients": {n: p.grad.numpy().copy() for n, p in model.named_parameters() if p.grad is not None}}


def projection(shape: Any) -> np.ndarray:
    return np.random.default_rng(11).normal(size=tuple(shape)).astype(np.float32)


def exact_columns(loss: str, forecast: np.ndarray) -> np.ndarray:
    """Of ndiv's columns those that neuralforecast does not sample."""
    if loss in ("MAE", "MQLoss"):
        return forecast
    quantiles = len(our_loss(loss).quantiles)
    return np.concatenate([forecast[..., :1], forecast[..., 1 + quantiles:]], axis=-1)
