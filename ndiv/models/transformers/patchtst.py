"""PatchTST: a transformer encoder over patches of each series by itself.

Nie, Nguyen, Sinthong, Kalagnanam, "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers", ICLR
2023, section 3.1. Each series is a sample of its own (channel independence). Its window of L steps, by reversible instance
normalization (Kim et al. 2022), is followed by ``stride`` copies of its last value and cut into
    P = floor((L - patch_len) / stride) + 2 patches of patch_len steps, x_p [P, patch_len]
    x_d = x_p W_p + W_pos                                   W_pos [P, D] is trained
then ``encoder_layers`` times, with batch normalization of each feature over all windows and patches:
    x_d <- norm(x_d + attention(x_d));   x_d <- norm(x_d + W_2 act(W_1 x_d + b_1) + b_2)
and a linear head on all patches together, [P * D] -> [h * outputs], whose numbers are put back in units.

Residual attention (He et al. 2021, RealFormer), as in the authors' code: the scores of layer l are those of the layer
before plus its own, S_l = S_{l-1} + Q_l K_l' / sqrt(d). As a sum of products over features that is one product of the
queries and keys of all layers so far, side by side: S_l = [Q_1 .. Q_l] [K_1 .. K_l]' / sqrt(d). So no scores are kept or
handed on, and memory grows with P, not with P^2.

Pretraining (section 3.2): `PatchTST.pretrain` hides patches and learns to fill them in.

variant="paper": as above. A missing value counts in no statistic, stands at the level that its window is normalized to,
    and is not the last value that is repeated. With ``batch_normalization`` the norms come before attention and
    feed-forward layer, and the residual goes around them (Xiong et al. 2020). Dropout of the head is in front of it.
    Positions that are not trained are sinusoidal. Of a distribution's parameters the location alone is put back in units.
variant="compat": as neuralforecast: missing values count as zeros, norms that come before a layer also normalize the
    residual, the head's dropout zeroes forecasts, positions that are not trained are random numbers, and all parameters of
    a distribution are put back in units. Without ``res_attention`` neuralforecast drops probabilities of attention in
    forecasts, too, so that no two are equal; that is not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...data.store import SeriesStore
from ...nn import BatchNorm1d, Dropout, Linear, Module, ModuleList, Parameter, RevIN, init, sinusoidal_positions
from ...nn import activation as activation_op
from ..arguments import check_count
from ..base import BaseModel, Batch, last_observed
from .blocks_patch import check_heads, check_rates, in_units

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class TokenNorm(BatchNorm1d):
    """Batch normalization of each feature of [B, P, D] over all windows and patches. A single patch has no variance: what
    was seen before stands in for it, so that a last batch of one does not end a run."""

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, self.num_features)
        if rows.shape[0] > 1:
            return super().forward(rows).reshape(tuple(x.shape))
        return FUNCTIONS["batch_norm"](rows, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0,
                                       self.eps).reshape(tuple(x.shape))


class PatchAttention(Module):
    """Self-attention of n_heads heads [B, P, D] -> [B, P, D], which takes queries and keys of earlier layers along."""

    def __init__(self, hidden_size: int, n_heads: int, attn_dropout: float, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.head_size, self.attn_dropout = n_heads, hidden_size // n_heads, attn_dropout
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.out = Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any, before: tuple[Any, Any] | None) -> tuple[Any, tuple[Any, Any]]:
        """``before``: queries and keys [B, heads, P, features] whose scores are added to this layer's, or None."""
        b, patches, width = x.shape
        each = self.qkv(x).reshape(b, patches, 3, self.n_heads, self.head_size)
        each = FUNCTIONS["permute"](each, 2, 0, 3, 1, 4)  # [3, B, heads, P, d]
        q, k, v = each[0], each[1], each[2]
        if before is not None:
            q, k = FUNCTIONS["cat"]([before[0], q], dim=-1), FUNCTIONS["cat"]([before[1], k], dim=-1)
        z = FUNCTIONS["scaled_dot_product_attention"](q, k, v, None, self.attn_dropout if self.training else 0.0, False,
                                                      self.head_size ** -0.5)
        z = FUNCTIONS["permute"](z, 0, 2, 1, 3).reshape(b, patches, width)
        return self.dropout(self.out(z)), (q, k)


class PatchLayer(Module):
    """Attention and a feed-forward layer over the patches of each window: [B, P, D] -> [B, P, D]."""

    def __init__(self, hidden_size: int, n_heads: int, linear_hidden_size: int, dropout: float, attn_dropout: float,
                 act: str, norm_first: bool, compat: bool) -> None:
        super().__init__()
        self.norm_first, self.compat = norm_first, compat
        self.attention = PatchAttention(hidden_size, n_heads, attn_dropout, dropout)
        self.norm1, self.norm2 = TokenNorm(hidden_size), TokenNorm(hidden_size)
        self.wide = Linear(hidden_size, linear_hidden_size, activation=act)
        self.back = Linear(linear_hidden_size, hidden_size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Any, before: tuple[Any, Any] | None) -> tuple[Any, tuple[Any, Any]]:
        z = self.norm1(x) if self.norm_first else x
        out, scores = self.attention(z, before)
        x = (z if self.compat else x) + self.dropout(out)
        x = x if self.norm_first else self.norm1(x)
        z = self.norm2(x) if self.norm_first else x
        x = (z if self.compat else x) + self.dropout(self.back(self.dropout(self.wide(z))))
        return (x if self.norm_first else self.norm2(x)), scores


class PatchTST(BaseModel):
    """PatchTST.

    encoder_layers         layers of the encoder
    n_heads                heads of attention; hidden_size is a multiple of it
    hidden_size            D, features of a patch
    linear_hidden_size     width of the feed-forward layers
    dropout                on patches and in the encoder; each of these rates is at least 0 and less than 1
    fc_dropout             in front of the head of pretraining
    head_dropout           at the head
    attn_dropout           on the probabilities of attention
    patch_len, stride      steps of a patch, and from one patch to the next; patch_len is at most input_size + stride
    revin                  normalize each window, and undo that for its forecast
    revin_affine           with a trained weight and bias
    revin_subtract_last    subtract the last value in place of the mean (the paper's is the mean)
    activation             of the feed-forward layers: "gelu", "relu", ...
    res_attention          carry the scores of attention from layer to layer
    batch_normalization    neuralforecast's name for: normalize before each layer in place of after it. The norm is always
                           batch normalization
    learn_pos_embed        train the positions

    >>> import numpy as np
    >>> m = PatchTST(h=24, input_size=96, n_heads=4, hidden_size=16)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    LONG_HORIZON = True
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}
    PAPER = "Nie et al. 2023, A Time Series is Worth 64 Words: Long-term Forecasting with Transformers"
    DIFFERENCES = ("paper takes RevIN's statistics and the last value from observed steps, leads the residual around norms "
                   "that come first, puts the head's dropout in front of it, has sinusoidal positions where they are not "
                   "trained, and puts only a distribution's location back in units; compat counts missing steps as zeros, "
                   "normalizes the residual too, zeroes forecasts by the head's dropout, has random fixed positions, and "
                   "puts all parameters back in units")

    def __init__(self, h: int, input_size: int = -1, encoder_layers: int = 3, n_heads: int = 16, hidden_size: int = 128,
                 linear_hidden_size: int = 256, dropout: float = 0.2, fc_dropout: float = 0.2, head_dropout: float = 0.0,
                 attn_dropout: float = 0.0, patch_len: int = 16, stride: int = 8, revin: bool = True,
                 revin_affine: bool = False, revin_subtract_last: bool = True, activation: str = "gelu",
                 res_attention: bool = True, batch_normalization: bool = False, learn_pos_embed: bool = True,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("PatchTST", encoder_layers=encoder_layers, n_heads=n_heads, hidden_size=hidden_size,
                    linear_hidden_size=linear_hidden_size, patch_len=patch_len, stride=stride)
        check_rates("PatchTST", dropout=dropout, fc_dropout=fc_dropout, head_dropout=head_dropout,
                    attn_dropout=attn_dropout)
        check_heads("PatchTST", hidden_size, n_heads)
        act, compat = activation_op(activation), self.variant == "compat"
        self.patch_len = min(patch_len, self.input_size + stride)
        patches = (self.input_size + stride - self.patch_len) // stride + 1
        steps = stride * np.arange(patches)[:, None] + np.arange(self.patch_len)
        self.steps = np.minimum(steps, self.input_size)  # [P, patch_len] of the window and, at L, its last value
        self.norm = RevIN(1, affine=revin_affine, subtract_last=revin_subtract_last) if revin else None
        self.embed = Linear(self.patch_len, hidden_size)
        if learn_pos_embed:
            self.positions = Parameter(init.uniform((patches, hidden_size), -0.02, 0.02))
        elif compat:
            self.register_buffer("positions", init.uniform((patches, hidden_size), -0.02, 0.02))
        else:
            self.register_buffer("positions", sinusoidal_positions(patches, hidden_size))
        self.dropout = Dropout(dropout)
        self.layers = ModuleList(PatchLayer(hidden_size, n_heads, linear_hidden_size, dropout, attn_dropout, act,
                                            batch_normalization, compat) for _ in range(encoder_layers))
        self.res_attention = res_attention
        self.pretrain_trajectories: list[float] = []
        self.head_dropout = Dropout(head_dropout)
        self.head = Linear(patches * hidden_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        patches = self.patches(batch)
        z = self.encode(patches).reshape(patches.shape[0], -1)  # [B, P * D]
        y = self.head_dropout(self.head(z)) if self.variant == "compat" else self.head(self.head_dropout(z))
        y = y.reshape(-1, self.h * self.n_out, 1)
        return in_units(self, self.norm, y).reshape(-1, self.h, self.n_out)

    def patches(self, batch: Batch) -> Any:
        """The patches [B, P, patch_len] of a batch's windows, normalized."""
        y, mask, *_ = self.inputs(batch)  # [B, L, 1]
        if self.norm is not None:
            y = self.norm.norm(y, None if self.variant == "compat" else mask)
        last = y[:, -1:] if self.variant == "compat" else last_observed(y, mask)
        return FUNCTIONS["cat"]([y, last], dim=1).reshape(-1, self.input_size + 1)[:, self.steps]

    def pretrain(self, data: Any, freq: Any = None, *, mask_ratio: float = 0.4, max_steps: int | None = None,
                 verbose: bool | None = None) -> PatchTST:
        """Train the encoder to fill in hidden patches (section 3.2 of the paper), before `fit` trains it to forecast.

        data         a frame (unique_id, ds, y) as for `fit`, with its freq, or a `SeriesStore`
        mask_ratio   the probability with which a patch is hidden
        max_steps    training steps; those of the model if not given

        Learning rate, batches and optimizer are those of the model. The losses, one a step, are kept as
        ``pretrain_trajectories``. Raises `ConfigError` (E0010) where patches overlap: pretraining needs
        stride >= patch_len, and a window longer than stride.

        >>> import numpy as np
        >>> from ndiv.data.store import SeriesStore
        >>> m = PatchTST(h=2, input_size=12, n_heads=1, hidden_size=4, patch_len=4, stride=4, max_steps=3)
        >>> store = SeriesStore.from_arrays_list([np.sin(np.arange(40.0))])
        >>> len(m.pretrain(store, verbose=False).fit_store(store, verbose=False).pretrain_trajectories)
        3
        """
        from .pretraining import PatchFilling, encoder_state

        reader = PatchFilling.beside(self, mask_ratio, max_steps)
        if isinstance(data, SeriesStore):
            reader.fit_store(data, verbose=verbose)
        else:
            reader.fit(data, freq, verbose=verbose)
        self.load_state_dict({**self.state_dict(), **encoder_state(reader)})
        self.pretrain_trajectories = reader.train_trajectories
        return self

    def reset(self) -> BaseModel:
        """Fresh weights, as of a model that has seen nothing."""
        self.pretrain_trajectories = []
        return super().reset()

    def encode(self, patches: Any) -> Any:
        """Features [B, P, D] of patches [B, P, patch_len]."""
        x, scores = self.dropout(self.embed(patches) + self.positions), None
        for layer in self.layers:
            x, scores = layer(x, scores if self.res_attention else None)
        return x
