"""Choose the settings of a model on the past: how those of ``ndiv demo`` were found.

The last twelve months of AirPassengers are put away first. Every combination below then forecasts four windows of
twelve months that end before them (`cross_validation`, trained anew for each), with three seeds; the combination with
the smallest mean absolute error is chosen. Runs for a minute or two; ``OPENBLAS_NUM_THREADS=1`` makes such small models
faster.
"""

from itertools import product

from ndiv import NeuralForecast, evaluate
from ndiv.models import NHITS, DLinear
from ndiv.utils import AirPassengersDF

known = AirPassengersDF.iloc[:-12]
SEEDS = (1, 2, 3)

CANDIDATES = [
    (NHITS, {"scaler_type": scaler, "learning_rate": rate, "max_steps": steps, "mlp_units": [[128, 128]] * 3})
    for scaler, (rate, steps) in product(("standard", "robust", "minmax"), ((1e-3, 100), (1e-3, 300), (3e-3, 100), (3e-3, 200)))
] + [
    (DLinear, {"scaler_type": scaler, "learning_rate": rate, "max_steps": steps})
    for scaler, (rate, steps) in product(("standard", "robust", "minmax"), ((1e-3, 500), (1e-3, 1000), (1e-2, 500)))
]


def score(model: type, settings: dict) -> float:
    """Mean absolute error over windows and seeds."""
    models = [model(h=12, input_size=24, windows_batch_size=64, random_seed=seed, alias=f"seed {seed}", **settings)
              for seed in SEEDS]
    windows = NeuralForecast(models, freq="ME").cross_validation(known, n_windows=4, step_size=6, refit=True)
    return float(evaluate(windows, metrics="mae")[[f"seed {seed}" for seed in SEEDS]].to_numpy().mean())


if __name__ == "__main__":
    for model in (NHITS, DLinear):
        scores = {str(settings): score(kind, settings) for kind, settings in CANDIDATES if kind is model}
        for settings, error in sorted(scores.items(), key=lambda pair: pair[1]):
            print(f"{model.__name__:8} MAE {error:6.2f}  {settings}")
