"""EventNHITS: NHITS, and what a transformer reads in events beside the series.

NHITS is Challu et al. 2023 (see nhits.py), attention Vaswani et al. 2017, "Attention Is All You Need", NeurIPS. Joining them is
ndiv's own, with the equations here. Event i stands at t_i steps from the window's last row (0; its first row is 1 - L, the
forecast's steps are 1 ... h) and has features x_i; p(t) are sines and cosines of t at wavelengths from 4 to 8 (L + h) steps.
    e = encoder(W_x [x_i, p(t_i)])          self-attention among the events of the window (its layers normalize first, so that
                                            the size of x_i reaches e_i)
    q_j = W_q [y_j, p(j)]                   y_j: NHITS's forecast of step j
    c_j = sum_i a_ji W_v e_i,   a_j = softmax over {0} and the events of (k_0 q_j, W_k e_i q_j) / sqrt(d), in each head
    forecast_j = y_j + W_o (W_c c_j * (W_g q_j + b_g))
W_v, W_c and W_o have no bias, and the key k_0 has the value zero: it takes the attention that no event deserves. So without
events c_j = 0, and the forecast is NHITS's, exactly. The product with W_g q_j lets an event that all steps see do to each step
what its distance in time asks for. W_o starts at zero: training starts from NHITS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import random
from ...autograd.ops import FUNCTIONS
from ...data.categories import ordered
from ...data.events import Events, EventWindows
from ...data.store import SeriesStore
from ...errors import ConfigError, FeatureError, ShapeError, closest
from ...nn import Linear, Module, ModuleList, Parameter, TransformerEncoderLayer, init
from ..advanced.nhits import NHITS
from ..arguments import check_count
from ..base import Batch
from ..categories import CategoryTables, learn, moved, recode

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

_OWN_STREAM = 1 << 32  # initial weights of the events' layers come from there, so that NHITS's are those of NHITS alone


class EventFusion(Module):
    """Events [B, E, F], their times and mask [B, E], a forecast [B, h, outputs] -> what is added to it, [B, h, outputs]."""

    def __init__(self, owner: EventNHITS, features: int) -> None:
        super().__init__()
        hidden, heads, dropout = owner.event_hidden_size, owner.event_n_head, owner.event_dropout
        self.h, self.heads, self.hidden = owner.h, heads, hidden
        span = 8.0 * (owner.input_size + owner.h)
        self.pace = 2 * math.pi / np.geomspace(4.0, span, hidden // 2)  # radians a step
        self.token = Linear(features + hidden, hidden)
        self.layers = ModuleList(TransformerEncoderLayer(hidden, heads, 2 * hidden, dropout, "gelu", batch_first=True,
                                                         norm_first=True) for _ in range(owner.event_encoder_layers))
        self.query = Linear(owner.n_out + hidden, hidden)
        self.no_event = Parameter(init.normal((hidden,), 0.02))
        self.key_value = Linear(hidden, 2 * hidden, bias=False)
        self.context = Linear(hidden, hidden, bias=False)
        self.gate = Linear(hidden, hidden)
        self.out = Linear(hidden, owner.n_out, bias=False)
        self.out.weight.data[...] = 0.0

    def clock(self, t: Any) -> Any:
        """p(t): [*, 1] -> [*, hidden]"""
        angle = t * self.pace.astype(t.dtype)
        return FUNCTIONS["cat"]([FUNCTIONS["sin"](angle), FUNCTIONS["cos"](angle)], dim=-1)

    def forward(self, x: Any, times: Any, mask: Any, y: Any) -> Any:
        (b, n), cat, expand = times.shape, FUNCTIONS["cat"], FUNCTIONS["expand"]
        absent = mask == 0
        clock = self.clock(times.reshape(b, n, 1))
        e = self.token(clock if x is None else cat([x, clock], dim=2))
        for layer in self.layers:
            e = layer(e, src_key_padding_mask=absent)
        steps = np.arange(1, self.h + 1).astype(y.dtype).reshape(1, self.h, 1)
        q = self.query(cat([y, expand(self.clock(steps), (b, self.h, self.hidden))], dim=2))  # [B, h, hidden]
        kv = self.key_value(e)
        first = expand(self.no_event.reshape(1, 1, -1), (b, 1, self.hidden))
        k = cat([first, kv[..., :self.hidden]], dim=1)
        v = cat([first * 0.0, kv[..., self.hidden:]], dim=1)
        seen = cat([mask[:, :1] * 0.0 + 1.0, mask], dim=1).reshape(b, 1, 1, n + 1) != 0
        c = FUNCTIONS["scaled_dot_product_attention"](*map(self._split, (q, k, v)), seen)
        c = c.permute(0, 2, 1, 3).reshape(b, self.h, self.hidden)
        return self.out(self.context(c) * self.gate(q))

    def _split(self, x: Any) -> Any:
        """[B, n, hidden] -> [B, heads, n, hidden / heads]"""
        return x.reshape(*x.shape[:2], self.heads, self.hidden // self.heads).permute(0, 2, 1, 3)


class EventNHITS(NHITS):
    """NHITS with events.

    event_list            columns of ``events_df`` that describe an event; None: no events, which is NHITS. An event that has
                          nothing but its time gets a column that is always 1
    event_cat_list        those of them that hold categories
    event_sizes           those that hold vectors, and how long they are: {"text": 384}
    events_known_ahead    False: a window sees events up to its last row. True: those of its horizon too, for events that are
                          announced before
    max_events            events that a window sees at most, the latest
    event_hidden_size     width of the events' layers
    event_n_head          heads of attention, event_hidden_size // event_n_head features each
    event_encoder_layers  layers of the encoder
    event_dropout         dropout in them
    all others            those of `NHITS`

    Numbers of events enter as they are, and are best near 1 in size. A batch holds events as ``event_values`` [B, E, F] (the
    numbers and vectors of event_list, then codes of categories), ``event_times`` [B, E] and ``event_mask`` [B, E]; without
    them it is forecast as NHITS does.

    >>> import numpy as np
    >>> m = EventNHITS(h=24, input_size=96, mlp_units=[[32, 32]] * 3, event_list=["impact"])
    >>> y, none = np.ones((2, 96, 1), np.float32), np.zeros((2, 5), np.float32)
    >>> m.forward({"insample_y": y, "event_values": none[..., None], "event_times": none, "event_mask": none}).shape
    (2, 24, 1)
    """

    PAPER = "Challu et al. 2023 and Vaswani et al. 2017, N-HiTS, and attention to events as ndiv joins them"
    DIFFERENCES = "neuralforecast has no such model: paper alone"
    VARIANTS = ("paper",)

    def __init__(self, h: int, input_size: int = -1, event_list: Sequence[str] | None = None,
                 event_cat_list: Sequence[str] | None = None, event_sizes: Mapping[str, int] | None = None,
                 events_known_ahead: bool = False, max_events: int = 32, event_hidden_size: int = 64, event_n_head: int = 4,
                 event_encoder_layers: int = 1, event_dropout: float = 0.1, stack_types: Sequence[str] = ("identity",) * 3,
                 n_blocks: Sequence[int] = (1, 1, 1), mlp_units: Sequence[Sequence[int]] = ((512, 512),) * 3,
                 n_pool_kernel_size: Sequence[int] = (2, 2, 1), n_freq_downsample: Sequence[int] = (4, 2, 1),
                 pooling_mode: str = "MaxPool1d", interpolation_mode: str = "linear", dropout_prob_theta: float = 0.0,
                 activation: str = "ReLU", **common: Unpack[CommonArguments]) -> None:
        super().__init__(h, input_size, stack_types, n_blocks, mlp_units, n_pool_kernel_size, n_freq_downsample, pooling_mode,
                         interpolation_mode, dropout_prob_theta, activation)
        _check(event_list, event_cat_list, event_sizes, event_hidden_size, event_n_head, event_dropout, events_known_ahead)
        check_count("EventNHITS", max_events=max_events, event_hidden_size=event_hidden_size, event_n_head=event_n_head)
        check_count("EventNHITS", 0, event_encoder_layers=event_encoder_layers)
        self.event_cat_list = list(event_cat_list or [])
        plain = [n for n in event_list or [] if n not in self.event_cat_list]
        self.event_list = [*plain, *self.event_cat_list]  # as they stand in a batch
        self.event_sizes = {n: int((event_sizes or {}).get(n, 0)) for n in plain}  # 0: a number
        self.events_known_ahead, self.max_events = events_known_ahead, max_events
        self.event_hidden_size, self.event_n_head, self.event_dropout = event_hidden_size, event_n_head, event_dropout
        self.event_encoder_layers = event_encoder_layers
        if not self.event_list:
            return
        with random.fork(self.random_seed, _OWN_STREAM):
            columns = [f"{n}[{k}]" for n in plain for k in range(max(self.event_sizes[n], 1))]
            sizes = {n: max(len(self.categories.get(n, ())), 1) for n in self.event_cat_list}
            self.event_columns = len(columns) + len(sizes)
            self.event_tables = CategoryTables([*columns, *sizes], sizes, self.arguments["cat_emb_dim"], "paper", False)
            self.fusion = EventFusion(self, self.event_tables.size)

    def blockwise(self, batch: Batch) -> list[Any]:
        """Forecast of each block, and what events add, [B, h, outputs]; they add up to `forward`."""
        parts = super().blockwise(batch)
        if not self.sees_events(batch):
            return parts
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        values, times, mask = (batch[f"event_{key}"] for key in ("values", "times", "mask"))
        return [*parts, self.fusion(self.event_tables(values), times, mask, total)]

    def part_names(self, batch: Batch) -> list[str]:
        return [*super().part_names(batch), *(["events"] if self.sees_events(batch) else [])]

    def sees_events(self, batch: Batch) -> bool:
        """Whether a batch has events for this model. Raises `ShapeError` (E0002) where their arrays do not fit together."""
        if not self.event_list or batch.get("event_values") is None:
            return False
        shapes = [tuple(getattr(batch.get(f"event_{key}"), "shape", ())) for key in ("values", "times", "mask")]
        rows = len(batch["insample_y"])
        n = shapes[0][1] if len(shapes[0]) == 3 else 0
        if shapes != [(rows, n, self.event_columns), (rows, n), (rows, n)]:
            raise ShapeError(f"EventNHITS: event_values, event_times and event_mask have shapes {[list(s) for s in shapes]}",
                             value=shapes, hint=f"they must be [{rows}, E, {self.event_columns}], [{rows}, E], [{rows}, E]")
        return n > 0

    # -- data ------------------------------------------------------------------------------------------------------

    def adopted(self, store: SeriesStore, futr: np.ndarray | None = None, learn_from: np.ndarray | None = None,
                ) -> tuple[SeriesStore, np.ndarray | None]:
        if not self.event_list:
            return super().adopted(store, futr, learn_from)
        if store.events is None:
            raise FeatureError(f"EventNHITS reads {', '.join(self.event_list)} of events, and there are none given",
                               value=self.event_list, hint="Pass events_df; an empty frame says that nothing happened.")
        missing = [n for n in self.event_list if n not in store.events.names]
        if missing:
            raise FeatureError(f"the events have no column {missing[0]!r}", value=missing[0],
                               hint=closest(missing[0], store.events.names, "Columns"))
        events = store.events.select(self.event_list)
        widths = [*(max(size, 1) for size in self.event_sizes.values()), *[1] * len(self.event_cat_list)]
        if events.sizes != widths:
            raise ShapeError(f"EventNHITS takes events of {widths} numbers a column, and they have {events.sizes}",
                             value=events.sizes, hint="event_sizes says how long the vectors of each column are")
        if learn_from is not None:
            found = learn(self, store, learn_from)
            self._categorize(found if self.fitted else {**found, **self._vocabulary(events, store, learn_from)})
        if self.cat_exog_list:
            store, futr = recode(self, store, futr)
        if not len(events):  # nothing to see: windows without events, and a program without their layers
            return store, futr
        return replace(store, extras=(EventWindows(self._recoded(events), self.max_events, self.events_known_ahead),)), futr

    def _vocabulary(self, events: Events, store: SeriesStore, last: np.ndarray) -> dict[str, list[Any]]:
        """The categories of events that windows within the first ``last`` [S] rows of each series can see, by column."""
        if not self.event_cat_list:
            return {}
        windows = EventWindows(events, self.max_events, self.events_known_ahead)
        placed = windows.placed(store, self.h)
        series, row = np.divmod(placed.above, placed.stride)
        rows = np.unique(placed.rows[row < last[series] + (self.h if self.events_known_ahead else 0)])
        found = {}
        for name in self.event_cat_list:
            codes = np.unique(events.column(name)[rows, 0]).astype(int)
            found[name] = ordered([events.categories[name][c - 1] for c in codes if c], f"column {name!r}")
        return found

    def _recoded(self, events: Events) -> Events:
        """The events with codes of this model."""
        values = events.values
        for k, name in enumerate(self.event_cat_list, values.shape[1] - len(self.event_cat_list)):
            new = moved(values[:, k], self.categories.get(name, []), events.categories[name])
            if new is not None:
                values = values.copy()
                values[:, k] = new
        return replace(events, values=values)

    def export(self, path: Any, batch_size: int = 1) -> None:
        """As every model's; refused with ``event_list``, since a model file takes windows and covariates alone."""
        if self.event_list:
            raise ConfigError("EventNHITS: a model file takes no events", value=self.event_list,
                              hint="use NeuralForecast.save, which keeps the whole model")
        super().export(path, batch_size)


def _check(names: Any, cats: Any, sizes: Any, hidden: Any, heads: Any, dropout: Any, ahead: Any) -> None:
    """Arguments on events that fit together: `ConfigError` (E0010)."""
    for key, value in (("event_list", names), ("event_cat_list", cats)):
        if value is not None and (isinstance(value, str) or not all(isinstance(n, str) for n in value)):
            raise ConfigError(f"EventNHITS: {key} must be a list of column names", value=value, hint=f"{key}=['column']")
    known = list(names or ())
    if len(set(known)) < len(known) or len(set(cats or ())) < len(cats or ()):
        raise ConfigError("EventNHITS: a column of events is named twice", value=known, hint="name it once")
    if sizes is not None and not isinstance(sizes, Mapping):
        raise ConfigError(f"EventNHITS: event_sizes must be a dict, not {sizes!r}", value=sizes, hint="{'column': 384}")
    for key, columns in (("event_cat_list", cats or ()), ("event_sizes", sizes or ())):
        for name in columns:
            if name not in known:
                raise ConfigError(f"EventNHITS: {name!r} of {key} is not in event_list", value=name,
                                  hint=closest(str(name), known) if known else "name it in event_list too")
    check_count("EventNHITS", **{f"event_sizes[{name!r}]": size for name, size in (sizes or {}).items()})
    both = [n for n in cats or () if n in (sizes or {})]
    if both:
        raise ConfigError(f"EventNHITS: {both[0]!r} is in event_cat_list and in event_sizes", value=both[0],
                          hint="a column holds categories or vectors")
    if not isinstance(ahead, bool):
        raise ConfigError(f"EventNHITS: events_known_ahead must be True or False, not {ahead!r}", value=ahead,
                          hint="True where events are announced before they happen")
    if isinstance(hidden, int) and isinstance(heads, int) and heads > 0 and (hidden % heads or hidden % 2):
        raise ConfigError(f"EventNHITS: event_hidden_size {hidden} must be even and a multiple of event_n_head {heads}",
                          value=hidden, hint=f"for example event_hidden_size={2 * heads * max(hidden // (2 * heads), 1)}")
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise ConfigError(f"EventNHITS: event_dropout must be in [0, 1), not {dropout!r}", value=dropout, hint="0.1 is common")
