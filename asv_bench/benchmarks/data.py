"""Windows: choosing and cutting one batch."""

from __future__ import annotations

import numpy as np

from ndiv.data import SeriesStore, WindowLoader
from ndiv.data.augment import Augmenter


class Windows:
    """A batch of 1024 windows from a hundred series of a thousand steps."""

    def setup(self) -> None:
        rng = np.random.default_rng(0)
        self.store = SeriesStore.from_arrays_list(list(rng.standard_normal((100, 1000))))
        self.loader = WindowLoader(self.store, input_size=96, h=24)
        self.numbers = self.loader.numbers(0)

    def time_gather(self) -> None:
        self.loader.index.gather(self.numbers)

    def time_batch(self) -> None:
        self.loader.batch(3)

    def time_make_loader(self) -> None:
        WindowLoader(self.store, input_size=96, h=24)


class Augmented:
    """The same batch, changed at random: beside `Windows.time_batch`."""

    params = ["Jitter", "Scaling", "MagnitudeWarp", "TimeWarp"]
    param_names = ["augment"]

    def setup(self, name: str) -> None:
        rng = np.random.default_rng(0)
        store = SeriesStore.from_arrays_list(list(rng.standard_normal((100, 1000))))
        self.loader = WindowLoader(store, input_size=96, h=24, keep=1, augment=Augmenter(name, store))

    def time_batch(self, name: str) -> None:
        self.loader.batch(3)
