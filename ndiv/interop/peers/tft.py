"""Weights of neuralforecast's TFT under the names of ``TFT(variant="compat")``.

Contract: `convert` takes its state_dict as arrays and an ndiv TFT with the same arguments, and returns that model's state. The
networks of single variables, and those of static contexts, become one array each. Each array is used once, but for those that
no forecast of neuralforecast depends on: the mask ``temporal_fusion_decoder.attention._mask``; ``lin_c`` of
``static_encoder.vsn`` and, in a model without static covariates, of all others (a context of zeros, without bias); and
``joint_grn`` where a single variable is weighted.

`arguments`: neuralforecast takes a name of an activation that it does not know, in lower case for one, as "ELU".
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["arguments", "convert"]

_KNOWN = ("ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "Sigmoid", "ELU", "GLU", "GELU")
_BOTH = ("weight", "bias")
_GATES = {  # gated linear units with the normalization after each
    "recurrent": ("temporal_encoder.input_gate.lin", "temporal_encoder.input_gate_ln"),
    "attention": ("temporal_fusion_decoder.attention_gate.lin", "temporal_fusion_decoder.attention_ln"),
    "output": ("temporal_fusion_decoder.decoder_gate.lin", "temporal_fusion_decoder.decoder_ln")}
State = dict[str, np.ndarray]


def arguments(given: dict[str, Any]) -> dict[str, Any]:
    """neuralforecast's arguments, with the activation that it takes."""
    if given.get("grn_activation", "ELU") in _KNOWN:
        return dict(given)
    return {**given, "grn_activation": "ELU"}


def convert(state: State, model: Any) -> State:
    """The state of ``model``. Raises `KeyError` for a weight that the state lacks."""
    out: State = {}
    for own, theirs in (("hist", "hist_exog"), ("known", "futr_exog"), ("target", "tgt"), ("static", "stat_exog")):
        if getattr(model, f"{own}_embedding") is not None:
            for part in ("vectors", "bias"):
                out[f"{own}_embedding.{part}"] = state[f"embedding.{theirs}_embedding_{part}"]
    context = bool(model.static)
    if context:
        _selection(out, "static_selection", state, "static_encoder.vsn", model.static_selection.count, False)
        _networks(out, "contexts", state, "static_encoder.context_grns", len(model.contexts.enter_weight))
    for own, theirs, name in (("past", "history", "encoder"), ("future", "future", "decoder")):
        count = getattr(model, f"{own}_selection").count
        _selection(out, f"{own}_selection", state, f"temporal_encoder.{theirs}_vsn", count, context)
        for key in getattr(model, name).state_dict():
            out[f"{name}.{key}"] = state[f"temporal_encoder.{theirs}_encoder.{key}"]
    deep = "temporal_fusion_decoder"
    for own, (gate, norm) in _GATES.items():
        for part in _BOTH:
            out[f"{own}_gate.{part}"], out[f"{own}_norm.{part}"] = state[f"{gate}.{part}"], state[f"{norm}.{part}"]
    _network(out, "enrichment", state, f"{deep}.enrichment_grn", context)
    _network(out, "feed_forward", state, f"{deep}.positionwise_grn", False)
    qkv = state[f"{deep}.attention.qkv_linears.weight"]
    out["attention.query.weight"], out["attention.key_value.weight"] = np.split(qkv, [qkv.shape[1]])
    out["attention.out.weight"] = state[f"{deep}.attention.out_proj.weight"]
    for part in _BOTH:
        out[f"head.{part}"] = state[f"output_adapter.{part}"]
    return out


def _network(out: State, own: str, state: State, theirs: str, context: bool) -> None:
    """A gated residual network."""
    for part in _BOTH:
        out[f"{own}.enter.{part}"] = state[f"{theirs}.lin_a.{part}"]
        for name, other in (("inner", "lin_i"), ("gate", "glu.lin"), ("norm", "layer_norm.ln")):
            out[f"{own}.rest.{name}.{part}"] = state[f"{theirs}.{other}.{part}"]
    if context:
        out[f"{own}.rest.context.weight"] = state[f"{theirs}.lin_c.weight"]


def _networks(out: State, own: str, state: State, theirs: str, count: int) -> None:
    """Several gated residual networks in one array."""
    for name, other in (("enter", "lin_a"), ("inner", "lin_i"), ("gate", "glu.lin"), ("norm", "layer_norm.ln")):
        for part in _BOTH:
            stacked = np.stack([state[f"{theirs}.{k}.{other}.{part}"] for k in range(count)])
            out[f"{own}.{name}_{part}"] = stacked if stacked.ndim == 3 else stacked[:, None]


def _selection(out: State, own: str, state: State, theirs: str, count: int, context: bool) -> None:
    """A variable selection network."""
    _networks(out, f"{own}.variables", state, f"{theirs}.var_grns", count)
    if count > 1:
        _network(out, f"{own}.weighting", state, f"{theirs}.joint_grn", context)
        for part in _BOTH:
            out[f"{own}.weighting.around.{part}"] = state[f"{theirs}.joint_grn.out_proj.{part}"]
