"""``ndiv bench extensions``: EventNHITS and MultiSeries on generated data, beside the models that they must beat.

Contract: all data follow from the seed. Test values are looked at once, to score; but NLinear's setting is the one with the
least test error, which favours it. The two models get their data through frames, as a user's. `planted` and `sectors` make the
data, `event_scores`, `empty_difference` and `series_scores` train and score, `extensions` prints.

events: one hourly series, a daily wave and noise with memory, on which events of three kinds act. An event sets in after it has
    happened, is largest four hours later and fades; how much follows from its impact, the sign from its kind, and one kind does
    nothing. Forecasts see events up to their cutoff alone. "the rule itself" is the forecast of who knows the wave, the noise's
    memory and what past events do, and so nearly the least error that there can be.
series: 200 monthly series in 10 sectors. A sector has a seasonal shape and a pull to its trend; a series has a level, a size,
    a strength of its season, noise. MultiSeries is trained on 160 of them; of the other 40 both models get 50 values. "encoder
    alone" is MultiSeries without sectors and without heads of series.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from .shared import check_writable, environment

__all__ = ["add_arguments", "empty_difference", "event_scores", "extensions", "planted", "rule_error", "sectors",
           "series_scores"]

KINDS = {"sale": 1.0, "fault": -1.0, "talk": 0.0}  # kind of event -> sign of what it does
MEMORY = 0.6  # of the noise, from one hour to the next
L, H = 48, 12  # of the events' models
TEST, EVERY = 1000, 4  # rows that are forecast, rows from one cutoff to the next
HISTORY, AHEAD, HELD_OUT = 50, 12, 40  # values that are known of a series held out, steps to forecast, such series
NLINEAR = [(length, rate, steps) for length in (12, 24)  # input_size, learning_rate, max_steps
           for rate, steps in ((1e-3, 300), (3e-3, 300), (1e-2, 100))]

_EXAMPLE = """example:
  ndiv bench extensions --seeds 1 2 3 --json out.json"""


def add_arguments(kinds: Any) -> None:
    """Add the command to the subcommands ``kinds``."""
    parser = kinds.add_parser(
        "extensions", help="EventNHITS and MultiSeries on generated data", epilog=_EXAMPLE,
        description="Train EventNHITS beside NHITS, and MultiSeries beside NLinear, on generated series; print test errors.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="S",
                        help="of data and weights; default: 1 2 3")
    parser.add_argument("--json", metavar="FILE", help="write all records there as well")


def extensions(args: argparse.Namespace) -> None:
    """Run both comparisons. Raises `FileError` (E0006) where --json cannot be written."""
    from . import tables

    check_writable(args.json)
    report: dict[str, Any] = {"environment": environment(), "events": [], "series": []}
    for key, scores in (("events", event_scores), ("series", series_scores)):
        for seed in args.seeds:
            begun = time.perf_counter()
            report[key].append({"seed": seed, **scores(seed), "seconds": time.perf_counter() - begun})
        names = [n for n in report[key][0] if n not in ("seed", "seconds", "difference", "settings")]
        rows = [(r["seed"], *(f"{r[n]:.4f}" for n in names), f"{r['seconds']:.0f}") for r in report[key]]
        rows.append(("mean", *(f"{np.mean([r[n] for r in report[key]]):.4f}" for n in names), ""))
        print(tables.table(("seed", *(f"{n}, MAE" for n in names), "seconds"), rows))
        if key == "events":
            most = max(r["difference"] for r in report[key])
            print(f"without events, EventNHITS less NHITS of the same weights: {most:g} at most")
        else:
            print("NLinear: input_size, learning_rate, max_steps = " + "; ".join(r["settings"] for r in report[key]))
        print(flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


# -- events ------------------------------------------------------------------------------------------------------------


def planted(seed: int, rows: int = 20000) -> tuple[Any, Any, np.ndarray]:
    """(series, events, what the events do to each row): frames (unique_id, ds, y) and (unique_id, ds, impact, kind)."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    hours = np.arange(rows)
    noise = np.zeros(rows)
    for t in range(1, rows):
        noise[t] = MEMORY * noise[t - 1] + 0.2 * rng.standard_normal()
    count = rows // 10
    at, impact, kind = np.sort(rng.uniform(0, rows, count)), rng.uniform(0.5, 2.0, count), rng.choice(list(KINDS), count)
    sign = np.array([KINDS[k] for k in kind])
    effect = after(hours[:, None] - at) @ (impact * sign)
    begin = pd.Timestamp("2024-01-01")
    df = pd.DataFrame({"unique_id": "plant", "ds": begin + pd.to_timedelta(hours, unit="h"),
                       "y": np.sin(2 * np.pi * hours / 24) + noise + effect})
    events = pd.DataFrame({"unique_id": "plant", "ds": begin + pd.to_timedelta(np.ceil(at * 3600), unit="s"), "impact": impact,
                           "kind": kind})
    return df, events, effect


def after(lag: np.ndarray) -> np.ndarray:
    """What an event of impact 1 does so many hours after it: t / 4 exp(1 - t / 4), nothing before."""
    lag = np.maximum(lag, 0.0)
    return lag / 4 * np.exp(1 - lag / 4)


def event_models(seed: int, max_steps: int) -> tuple[Any, Any]:
    """EventNHITS and NHITS with the same settings."""
    from ..models import get_model

    same: dict[str, Any] = {"h": H, "input_size": L, "mlp_units": [[64, 64]] * 3, "loss": "MAE",
                            "max_steps": max_steps, "learning_rate": 2e-3, "windows_batch_size": 64, "random_seed": seed}
    return (get_model("EventNHITS")(event_list=["impact", "kind"], event_cat_list=["kind"], max_events=16, event_hidden_size=32,
                                    event_dropout=0.0, **same), get_model("NHITS")(**same))


def event_scores(seed: int, max_steps: int = 2000, rows: int = 20000) -> dict[str, Any]:
    """Mean absolute errors over the last `TEST` rows, of models trained on the rows before, and `empty_difference`."""
    from ..forecast import NeuralForecast

    df, events, effect = planted(seed, rows)
    models = event_models(seed, max_steps)
    found = NeuralForecast(list(models), freq="h").cross_validation(df, n_windows=None, test_size=TEST, step_size=EVERY,
                                                                    events_df=events, verbose=False)
    scores = {name: float((found[name] - found["y"]).abs().mean()) for name in ("NHITS", "EventNHITS")}
    return {**scores, "the rule itself": rule_error(df, events, effect, found),
            "difference": empty_difference(models[0], df["y"].to_numpy())}


def rule_error(df: Any, events: Any, effect: np.ndarray, found: Any) -> float:
    """Mean absolute error, on the rows of a backtest, of what generated the series, without what came after the cutoff."""
    begin, y = df["ds"].iloc[0], df["y"].to_numpy()

    def hours(times: Any) -> np.ndarray:
        return (times - begin).dt.total_seconds().to_numpy() / 3600

    row, cutoff, at = hours(found["ds"]).astype(int), hours(found["cutoff"]).astype(int), hours(events["ds"])
    wave = np.sin(2 * np.pi * np.arange(len(y)) / 24)
    memory = (y - wave - effect)[cutoff] * MEMORY ** (row - cutoff)
    size = events["impact"].to_numpy() * events["kind"].map(KINDS).to_numpy()
    past = np.where(at <= cutoff[:, None], after(row[:, None] - at), 0.0) @ size
    return float(np.abs(wave[row] + memory + past - y[row]).mean())


def empty_difference(model: Any, y: np.ndarray) -> float:
    """How far forecasts of an EventNHITS without events are from those of NHITS with its weights, at most."""
    from ..models import get_model

    theirs = {k: v for k, v in model.arguments.items() if not k.startswith("event") and k != "max_events"}
    plain = get_model("NHITS")(**theirs)
    weights = model.state_dict()
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    starts = np.arange(0, len(y) - model.input_size, 7)
    windows = y[starts[:, None] + np.arange(model.input_size)][..., None].astype(np.float32)
    none = {"event_values": np.zeros((len(windows), model.max_events, model.event_columns), np.float32),
            "event_times": np.zeros((len(windows), model.max_events), np.float32)}
    wanted = plain.forecast({"insample_y": windows})
    found = [model.forecast({"insample_y": windows}),
             model.forecast({"insample_y": windows, **none, "event_mask": none["event_times"]})]
    return max(float(np.abs(f - wanted).max()) for f in found)


# -- series ------------------------------------------------------------------------------------------------------------


def sectors(seed: int, series: int = 200, groups: int = 10, rows: int = 150) -> tuple[Any, Any]:
    """(series, sector of each): frames (unique_id, ds, y) and (unique_id, sector)."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    k = np.arange(1, 4)[:, None]
    angle = 2 * np.pi * k * t / 12
    amplitude = rng.normal(0, 1, (groups, 2, 3)) / k[:, 0]
    shape = amplitude[:, 0] @ np.cos(angle) + amplitude[:, 1] @ np.sin(angle)  # [groups, rows]
    shape /= shape.std(axis=1, keepdims=True)
    drift, pull = rng.normal(0, 0.02, groups), rng.uniform(0.5, 0.95, groups)
    of = np.arange(series) % groups
    walk = np.zeros((series, rows))
    for step in range(1, rows):
        walk[:, step] = pull[of] * walk[:, step - 1] + 0.4 * rng.standard_normal(series)
    size, level = np.exp(rng.normal(0, 1, (series, 1))), rng.normal(0, 5, (series, 1))
    y = level + size * (rng.uniform(0.6, 1.4, (series, 1)) * shape[of] + drift[of][:, None] * t + walk)
    ids = np.array([f"s{k:03d}" for k in range(series)])
    df = pd.DataFrame({"unique_id": np.repeat(ids, rows), "ds": np.tile(t, series), "y": y.reshape(-1)})
    return df, pd.DataFrame({"unique_id": ids, "sector": [f"sector {g}" for g in of]})


def multi_models(seed: int, max_steps: int) -> list[Any]:
    """MultiSeries as it is compared, and without sectors and heads."""
    from ..models import get_model

    sector: dict[str, Any] = {"group": "sector", "stat_exog_list": ["sector"], "cat_exog_list": ["sector"]}
    same: dict[str, Any] = {"h": AHEAD, "input_size": 24, "hidden_size": 64, "loss": "MAE", "max_steps": max_steps,
                            "learning_rate": 1e-3, "batch_size": 160, "windows_batch_size": 256, "random_seed": seed}
    make = get_model("MultiSeries")
    return [make(**same, **sector), make(**same, series_heads=False, alias="encoder alone")]


def series_scores(seed: int, max_steps: int = 1500, settings: Any = NLINEAR) -> dict[str, Any]:
    """Mean absolute errors on the series held out, each in units of its standard deviation over the 50 known values."""
    from ..data import SeriesStore
    from ..forecast import NeuralForecast
    from ..models import get_model

    df, static = sectors(seed)
    ids = static["unique_id"].to_numpy()
    held = np.sort(np.random.default_rng(seed).permutation(ids)[:HELD_OUT])
    models = multi_models(seed, max_steps)
    trained = NeuralForecast(models, freq=1).fit(df[~df["unique_id"].isin(held)], static, verbose=False)
    values = df[df["unique_id"].isin(held)].pivot(index="unique_id", columns="ds", values="y").loc[held].to_numpy()
    end = values.shape[1] - AHEAD
    known, truth = values[:, end - HISTORY:end], values[:, end:]
    recent = df[df["unique_id"].isin(held) & df["ds"].between(end - HISTORY, end - 1)]
    found = trained.predict(recent, static)
    scale = known.std(axis=1, keepdims=True)

    def error(forecast: np.ndarray) -> float:
        return float((np.abs(forecast - truth) / scale).mean())

    by_setting = {}
    for length, rate, steps in settings:
        forecasts = []
        for row in known:
            store = SeriesStore.from_arrays_list([row])
            model = get_model("NLinear")(h=AHEAD, input_size=length, loss="MAE", scaler_type="standard", learning_rate=rate,
                                         max_steps=steps, random_seed=seed)
            forecasts.append(model.fit_store(store, verbose=False).predict_store(store)[0, :, 0])
        by_setting[f"{length}, {rate:g}, {steps}"] = error(np.array(forecasts))
    best = min(by_setting, key=lambda k: by_setting[k])
    multi = {name: error(found[name].to_numpy().reshape(truth.shape)) for name in ("encoder alone", "MultiSeries")}
    naive = np.tile(known[:, -12:], (1, -(-AHEAD // 12)))[:, :AHEAD]
    return {"seasonal naive": error(naive), "NLinear a series": by_setting[best], **multi,
            "settings": best}
