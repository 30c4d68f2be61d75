"""Figures of papers on ETTh1 (all columns) and M4's hourly series, to be read beside one's own: data and nothing else.

Contract: `PUBLISHED` maps a model to its sources, each with (MSE, MAE) by horizon; None stands for "not given". Many of
these left out the last partial batch of test windows, which moves a figure by up to several percent; "fixed" are re-runs
that did not. The lookback is part of a figure. `M4_OWA` maps a model to its sources, each with OWA.
"""

from __future__ import annotations

__all__ = ["M4_OWA", "PUBLISHED", "published", "published_owa"]

Pair = tuple[float, float | None]
_H = (96, 192, 336, 720)


def _row(source: str, *pairs: Pair) -> tuple[str, dict[int, Pair]]:
    return source, dict(zip(_H, pairs, strict=True))


PUBLISHED: dict[str, list[tuple[str, dict[int, Pair]]]] = {
    "NLinear": [_row("L336, paper", (.374, .394), (.408, .415), (.429, .427), (.440, .453)),
                _row("TFB", (.385, .403), (.422, .426), (.431, .429), (.439, .452))],
    "DLinear": [_row("L336, paper", (.375, .399), (.405, .416), (.439, .443), (.472, .490)),
                _row("L336 fixed, FITS", (.384, None), (.443, None), (.446, None), (.504, None)),
                _row("TFB", (.379, .403), (.408, .419), (.440, .440), (.471, .493))],
    "NHITS": [_row("HPO, L about 7h", (.378, .393), (.427, .436), (.458, .484), (.561, .501))],
    "NBEATS": [_row("Time-MoE", (.383, .405), (.453, .447), (.517, .493), (.594, .546))],
    "PatchTST": [_row("L336, paper", (.375, .399), (.414, .421), (.431, .436), (.449, .466)),
                 _row("fixed, FITS", (.385, None), (.413, None), (.440, None), (.456, None))],
    "iTransformer": [_row("L96", (.386, .405), (.441, .436), (.487, .458), (.503, .491))],
    "TimesNet": [_row("L96", (.384, .402), (.436, .429), (.491, .469), (.521, .500))],
    "TiDE": [_row("L720, paper", (.375, .398), (.412, .422), (.435, .433), (.454, .465))],
    "TSMixer": [_row("L512", (.361, .392), (.404, .418), (.420, .431), (.463, .472))],
    "TFT": [_row("Time-MoE", (.478, .476), (.510, .486), (.548, .505), (.549, .515))],
    "FEDformer": [_row("L96", (.376, .419), (.420, .448), (.459, .465), (.506, .507))],
    "Autoformer": [_row("L96", (.449, .459), (.500, .482), (.521, .496), (.514, .512))],
    "Informer": [_row("L96", (.865, .713), (1.008, .792), (1.107, .809), (1.181, .865))],
    "LSTM": [_row("L96, TimesNet's paper", (1.044, .773), (1.217, .832), (1.259, .841), (1.271, .838))],
    "TCN": [_row("TFB", (.917, .754), (.962, .759), (1.012, .788), (1.126, .848))],
    "RNN": [_row("TFB", (1.696, .986), (1.849, 1.049), (1.927, 1.082), (1.949, 1.094))],
}


def published(model: str, h: int) -> str:
    """The figures for a model and a horizon as one cell of a table; "-" where there are none.

    >>> published("NHITS", 96)
    '.378/.393 (HPO, L about 7h)'
    """
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}".removeprefix("0")

    found = [f"{number(rows[h][0])}/{number(rows[h][1])} ({source})" for source, rows in PUBLISHED.get(model, []) if h in rows]
    return ", ".join(found) or "-"


M4_OWA: dict[str, list[tuple[str, float]]] = {
    "NBEATS": [("one model", .409), ("GIFT-Eval", .606)],
    "NHITS": [("407 series", .800)],
    "DeepAR": [("GIFT-Eval", 1.18)],
    "TimesNet": [("407 series", .572)],
    "PatchTST": [("GIFT-Eval", .681)],
    "iTransformer": [("GIFT-Eval", .703)],
    "DLinear": [("GIFT-Eval", .851)],
    "TFT": [("GIFT-Eval", 1.065)],
    "MLP": [("M4 benchmark", .921)],
    "RNN": [("M4 benchmark", 1.036)],
}


def published_owa(model: str) -> str:
    """The OWA that others had on M4's hourly series as one cell of a table; "-" where there is none.

    >>> published_owa("NBEATS")
    '0.409 (one model), 0.606 (GIFT-Eval)'
    """
    return ", ".join(f"{owa:.3f} ({source})" for source, owa in M4_OWA.get(model, [])) or "-"
