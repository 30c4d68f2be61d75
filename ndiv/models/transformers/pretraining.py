"""PatchFilling: a PatchTST that learns to fill in hidden patches, the self-supervised pretraining of its paper.

Nie et al. 2023, section 3.2: each patch of a window is hidden with probability ``mask_ratio``, that is, its normalized steps
are set to 0; the encoder sees the others, and a linear head D -> patch_len in place of that of the forecast gives the steps of
each patch. The loss is the mean squared error over hidden steps that were observed. It needs no target but the window itself.

Contract: `PatchTST.pretrain` makes one, trains it as any model, and takes the weights of `encoder_state` over. Patches must
not overlap, or what is hidden would be seen in the next one. Steps of the last patches that are copies of the last value are
not counted; where such a copy is seen, it tells that one value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...autograd.tape import stopped
from ...errors import ConfigError
from ...nn import Dropout, Linear
from ...random import fork
from ..base import Batch
from .patchtst import PatchTST

__all__ = ["PatchFilling", "check_mask_ratio", "encoder_state"]


class PatchFilling(PatchTST):
    """PatchTST with the head of pretraining; made by `PatchFilling.beside`."""

    mask_ratio: float

    @staticmethod
    def beside(model: PatchTST, mask_ratio: float, max_steps: int | None) -> PatchFilling:
        """One with the arguments and the encoder of a model. Raises `ConfigError` (E0010) where patches overlap, or where a
        window has a single one."""
        a, name = model.arguments, type(model).__name__
        check_mask_ratio(name, mask_ratio)
        if a["stride"] < model.patch_len:
            raise ConfigError(f"{name}: patches of {model.patch_len} steps, {a['stride']} apart, overlap: what pretraining "
                              "hides would be seen in the next one", value=a["stride"],
                              hint=f"make it with stride={model.patch_len}")
        if model.input_size <= a["stride"]:
            raise ConfigError(f"{name}: a window of {model.input_size} steps is one patch, which nothing could fill in",
                              value=model.input_size, hint=f"make it with input_size >= {2 * a['stride']}")
        changed = {"early_stop_patience_steps": -1, "max_steps": a["max_steps"] if max_steps is None else max_steps}
        found = PatchFilling(**{**a, **changed})
        found.mask_ratio = mask_ratio
        found.head_dropout = Dropout(a["fc_dropout"])
        with fork(model.random_seed):
            found.head = Linear(a["hidden_size"], model.patch_len)
        found.load_state_dict({**found.state_dict(), **encoder_state(model)})
        return found

    def compute_loss(self, batch: Batch) -> Any:
        """The mean squared error of the hidden patches of a batch."""
        scaled, _, _ = self.scale(batch)
        patches = self.patches(scaled)  # [B, P, patch_len]
        one = np.ones((), patches.dtype)
        ones = FUNCTIONS["where"](patches[:, :, :1] > 0, one, one)  # that a plan knows to depend on the batch
        seen = FUNCTIONS["dropout"](ones, self.mask_ratio, True) > 0  # [B, P, 1]
        found = self.head(self.head_dropout(self.encode(FUNCTIONS["where"](seen, patches, 0.0))))
        counted = (self.steps < self.input_size).astype(patches.dtype)  # not the copies at the end
        mask = scaled.get("insample_mask")
        if mask is not None:
            within = np.minimum(self.steps, self.input_size - 1)
            counted = mask.reshape(-1, self.input_size)[:, within] * counted
        counted = FUNCTIONS["where"](seen, 0.0, counted)
        off = found - stopped(patches)  # else trained weights of a scaler could make them small
        count = counted.sum()
        return (off * off * counted).sum() / FUNCTIONS["where"](count > 0, count, 1.0)


def check_mask_ratio(model: str, mask_ratio: Any) -> None:
    """Refuse a share of hidden patches that is not inside (0, 1): `ConfigError` (E0010)."""
    if isinstance(mask_ratio, bool) or not isinstance(mask_ratio, (int, float)) or not 0.0 < mask_ratio < 1.0:
        raise ConfigError(f"{model}: mask_ratio must be more than 0 and less than 1, not {mask_ratio!r}", value=mask_ratio,
                          hint="the paper's is 0.4")


def encoder_state(model: PatchTST) -> dict[str, np.ndarray]:
    """The state of a model without its head."""
    return {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
