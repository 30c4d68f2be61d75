"""Prints test errors on ETTh1 of ndiv's models beside neuralforecast's, trained with the same settings.

    python asv_bench/compare/accuracy.py --data ETTh1.csv.gz [--h 96] [--seeds 1] [--max-epochs N] [MODEL ...]

Needs torch and neuralforecast (see tests/peers). Both get the settings of `ndiv.bench.settings`, the same windows in the same
order, and the protocol of `ndiv.bench.etth`: the best epoch by validation loss, every test window. ndiv trains its paper
variant. The peer is neuralforecast's own module with its own window scaler, trained by the loop below in place of its trainer,
which samples windows differently: Adam, or whatever optimizer the setting names, the same learning rates, no clipping. The
weights that each begins with are its own. One thread each; the minutes are of training alone.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import time
import warnings
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("models", nargs="*")
parser.add_argument("--data", required=True)
parser.add_argument("--h", type=int, default=96)
parser.add_argument("--seeds", type=int, nargs="+", default=[1])
parser.add_argument("--max-epochs", type=int)
os.environ.update(NDIV_NUM_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from peers import PEERS  # noqa: E402

from ndiv.bench import accuracy, etth, settings  # noqa: E402
from ndiv.models import get_model  # noqa: E402

MODELS = ["Transformer", "Informer", "Autoformer", "FEDformer", "TFT", "TimesNet"]
LOSSES = {"MSE": torch.nn.functional.mse_loss, "MAE": torch.nn.functional.l1_loss}


class Peer:
    """neuralforecast's module of one setting, and its forecasts of windows."""

    def __init__(self, name: str, setting: settings.Setting, n_series: int, h: int, seed: int) -> None:
        warnings.filterwarnings("ignore")
        logging.disable(logging.CRITICAL)
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        import neuralforecast.models as peers

        options = {k: v for k, v in setting.model.items() if k not in ("optimizer", "optimizer_kwargs")}
        shape = {"n_series": n_series} if get_model(name).MULTIVARIATE else {}
        self.module = getattr(peers, PEERS.get(name, name))(h=h, input_size=setting.input_size, max_steps=1, random_seed=seed,
                                                            **shape, **options)
        self.multivariate, self.h = bool(shape), h

    def scaled(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """The window [B, L, n] and, where there is one, what follows it, by the module's scaler, which sees the window
        alone."""
        y = torch.tensor(batch["insample_y"])
        after = torch.tensor(batch["outsample_y"]) if "outsample_y" in batch else y.new_zeros(len(y), self.h, y.shape[2])
        both = torch.cat([y, after], 1)
        mask = torch.ones_like(both)
        mask[:, -self.h:] = 0
        if self.multivariate:  # its scalers take [windows, steps, columns, series]
            z = self.module.scaler.transform(x=both[:, :, None], mask=mask[:, :, None])[:, :, 0]
        else:
            z = self.module.scaler.transform(x=both, mask=mask)
        return z[:, :-self.h], z[:, -self.h:]

    def numbers(self, y: Any) -> Any:
        return self.module({"insample_y": y, "insample_mask": torch.ones_like(y), "hist_exog": None, "futr_exog": None,
                            "stat_exog": None})

    def loss(self, batch: dict[str, Any], name: str) -> Any:
        y, target = self.scaled(batch)
        return LOSSES[name](self.numbers(y), target)

    @torch.no_grad()
    def forecast(self, batch: dict[str, Any]) -> np.ndarray:
        """[B, h, n], in units."""
        self.module.eval()
        found = self.numbers(self.scaled({"insample_y": batch["insample_y"]})[0])
        shift, scale = self.module.scaler.x_shift, self.module.scaler.x_scale
        if self.multivariate:
            shift, scale = shift[:, :, 0], scale[:, :, 0]
        back: np.ndarray = self.module.scaler.inverse_transform(z=found, x_shift=shift, x_scale=scale).numpy()
        return back


def optimizer_of(peer: Peer, setting: settings.Setting) -> Any:
    name, more = setting.model.get("optimizer", "Adam"), setting.model.get("optimizer_kwargs", {})
    return getattr(torch.optim, name)(peer.module.parameters(), lr=setting.learning_rate, **more)


def mean_squared_error(peer: Peer, batches: Any) -> float:
    errors = [(peer.forecast(batch) - batch["outsample_y"]) ** 2 for batch in batches]
    return float(sum(e.sum(dtype=np.float64) for e in errors) / sum(e.size for e in errors))


def run_peer(name: str, setting: settings.Setting, data: etth.Panel, h: int, seed: int,
             max_epochs: int | None) -> dict[str, Any]:
    """What `ndiv.bench.accuracy.run` does, with the peer."""
    train, valid, steps = accuracy.loaders(setting, data, h, seed, get_model(name).MULTIVARIATE)
    peer = Peer(name, setting, len(data.names), h, seed)
    optimizer, epochs = optimizer_of(peer, setting), max_epochs or setting.epochs
    falling = torch.optim.lr_scheduler.StepLR(optimizer, steps, setting.decay)
    best, best_epoch, weights, begun = np.inf, 0, None, time.perf_counter()
    torch.manual_seed(seed)
    for epoch in range(epochs):
        peer.module.train()
        for step in range(epoch * steps, (epoch + 1) * steps):
            optimizer.zero_grad()
            peer.loss(train.batch(step), setting.loss).backward()
            optimizer.step()
            falling.step()
        value = mean_squared_error(peer, valid.batches())
        if value < best:
            best, best_epoch, weights = value, epoch + 1, copy.deepcopy(peer.module.state_dict())
        elif epoch + 1 - best_epoch >= setting.patience:
            break
    seconds = time.perf_counter() - begun
    peer.module.load_state_dict(weights)

    def some(x: np.ndarray) -> np.ndarray:
        windows, length, n = x.shape
        if peer.multivariate:
            return peer.forecast({"insample_y": np.ascontiguousarray(x)})
        columns = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(windows * n, length, 1)
        return peer.forecast({"insample_y": columns}).reshape(windows, n, h).transpose(0, 2, 1)

    def every(x: np.ndarray) -> np.ndarray:
        return np.concatenate([some(x[k:k + 32].astype(np.float32)) for k in range(0, len(x), 32)])

    test = etth.score(every, data, "test", setting.input_size, h)
    return {"mse": test.mse, "mae": test.mae, "valid_mse": best, "best_epoch": best_epoch, "train_seconds": seconds}


def main() -> None:
    args = parser.parse_args()
    data = etth.load("ETTh1", args.data)
    print("| model | seed | ndiv MSE | MAE | valid | best epoch | minutes | peer MSE | MAE | valid | best epoch | minutes |")
    print("|" + "---|" * 12)
    for name in args.models or MODELS:
        setting, rows = settings.setting(name, args.h), []
        for seed in args.seeds:
            mine = accuracy.run(name, setting, data, args.h, seed, max_epochs=args.max_epochs, verbose=False)
            mine["train_seconds"] = mine["seconds"] - mine["test_seconds"]
            pair = [mine, run_peer(name, setting, data, args.h, seed, args.max_epochs)]
            rows.append([r["mse"] for r in pair])
            print(f"| {name} | {seed} |", *(
                f"{r['mse']:.4f} | {r['mae']:.4f} | {r['valid_mse']:.4f} | {r['best_epoch']} | {r['train_seconds'] / 60:.1f} |"
                for r in pair), flush=True)
        if len(rows) > 1:
            print("| {} | mean | {:.4f} | | | | | {:.4f} | | | | |".format(name, *np.mean(rows, axis=0)), flush=True)


if __name__ == "__main__":
    main()
