"""TimeLLM: its equations in NumPy, what prompts say, room and padding, the backbone that is borrowed, neuralforecast's figures."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import sampled, shaken, small, tiny

import ndiv
from ndiv.autograd import no_grad
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError, FileError
from ndiv.interop.peers.timellm import convert
from ndiv.language import Backbone
from ndiv.models import get_model
from ndiv.models.language.prompts import statistics
from ndiv.program.forward import arrays_of

sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
import peer_timellm as peers

H, L = 3, 12
KINDS = ("gpt2", "llama", "bert")


def llm(kind="gpt2", seed=0, **sizes):
    return Backbone.from_config(kind, seed, **{"width": 8, "num_layers": 1, "inner": 8, "max_positions": 512, **sizes})


def make(backbone=None, **options):
    """With prompts as long as they are; ``llm=None`` for a model without a backbone."""
    return get_model("TimeLLM")(**{"h": H, "input_size": L, **small("TimeLLM"), "prompt_tokens": None, "llm": backbone or llm(),
                                   **options})


def windows(b=4, seed=0, length=L):
    rng = np.random.default_rng(seed)
    mask = (rng.random((b, length, 1)) < 0.8).astype(np.float32)
    y = (rng.normal(3, 2, (b, length, 1)) * mask).astype(np.float32)
    return {"insample_y": y, "insample_mask": mask}


# -- the architecture ----------------------------------------------------------------------------------------------

def by_hand(m, y, mask, reads):
    """One window's forecast: y and mask [L], ``reads`` what turns reprogrammed patches [P, D] into hidden states [P, D]."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    seen = y[mask > 0].astype(np.float64)
    mean, sd = seen.mean(), np.sqrt(seen.var() + 1e-5)
    z = np.where(mask > 0, (y - mean) / sd, 0.0)
    z = np.append(z, [z[np.flatnonzero(mask)[-1]]] * 2)
    patches = np.array([z[i:i + 4] for i in range(0, len(z) - 3, 2)])
    x = patches @ w["embed.weight"].T + w["embed.bias"]
    q = x @ w["reprogramming.query.weight"].T + w["reprogramming.query.bias"]
    kv = w["prototypes.weight"] @ w["reprogramming.key_value.weight"].T + w["reprogramming.key_value.bias"]
    found, d = [], m.d_ff
    for head in range(2):
        k, v = kv[:, head * d:(head + 1) * d], kv[:, (2 + head) * d:(3 + head) * d]
        e = np.exp(q[:, head * d:(head + 1) * d] @ k.T / np.sqrt(d))
        found.append(e / e.sum(1, keepdims=True) @ v)
    out = np.concatenate(found, 1) @ w["reprogramming.out.weight"].T + w["reprogramming.out.bias"]
    states = reads(out)[:, :d]
    return (states.reshape(-1) @ w["head.weight"].T + w["head.bias"]) * sd + mean


@pytest.mark.parametrize("kind", KINDS)
def test_the_equations(kind):
    """The backbone reads each window's prompt and patches alone, with no padding anywhere."""
    backbone = llm(kind)
    m, data = shaken(make(backbone, prompt_prefix="Sales of a shop.", d_ff=5)), windows()
    texts = m.texts(data)
    assert len({len(t) for t in texts}) > 1

    def reads(text):
        ids, _ = backbone.encode([text])
        words = backbone.embed(ids).numpy()
        return lambda x: backbone.hidden_states(np.concatenate([words, x[None]], 1).astype(np.float32)).numpy()[0, -len(x):]

    wanted = [by_hand(m, y[:, 0], mask[:, 0], reads(t))
              for y, mask, t in zip(data["insample_y"], data["insample_mask"], texts, strict=True)]
    np.testing.assert_allclose(m.forward(data)[..., 0].numpy(), wanted, rtol=2e-5, atol=2e-5)


def test_without_a_backbone_patches_go_to_the_head():
    m, data = shaken(make(llm=None, d_llm=9)), windows()
    wanted = [by_hand(m, y[:, 0], mask[:, 0], lambda x: x)
              for y, mask in zip(data["insample_y"], data["insample_mask"], strict=True)]
    np.testing.assert_allclose(m.forward(data)[..., 0].numpy(), wanted, rtol=2e-5, atol=2e-5)
    assert m.texts(data) == []
    assert m.config()["llm"] is None


@pytest.mark.parametrize("kind, variant", sampled(KINDS, ["paper", "compat"], every=2))
def test_gradients_through_the_backbone(kind, variant):
    """By what is trained, in float64, with prompts and normalization."""
    m = shaken(make(llm(kind, width=4, inner=4, vocabulary_size=5), d_ff=3, num_tokens=3, d_model=2, variant=variant, prompt_tokens=6)).astype(np.float64)
    data = {k: v.astype(np.float64) for k, v in windows(2).items()}
    for name in ("embed.weight", "prototypes.weight", "reprogramming.key_value.weight", "head.weight"):
        *path, leaf = name.split(".")
        module = m
        for part in path:
            module = getattr(module, part)
        p = module._parameters.pop(leaf)

        def f(values, module=module, leaf=leaf):
            object.__setattr__(module, leaf, values)
            return m.forward(data).sum()

        assert gradcheck(f, p.data)
        setattr(module, leaf, p)
    assert all(p.grad is None for p in m.llm.backbone.parameters())


# -- prompts -------------------------------------------------------------------------------------------------------

def test_statistics_are_those_of_the_observed_values():
    data = windows(20, length=15)
    y, mask = data["insample_y"][..., 0], data["insample_mask"][..., 0]
    mask[3] = 0
    y[3] = 0
    s = statistics(y, mask, 4, False)
    for i, (row, on) in enumerate(zip(y, mask, strict=True)):
        seen = row[on > 0].astype(np.float64) if on.any() else np.zeros(1)
        assert (s.lowest[i], s.highest[i], s.median[i]) == (seen.min(), seen.max(), np.median(seen))
        assert s.rises[i] == (seen[-1] > seen[0])
        correlation = [(row.astype(np.float64) * np.roll(row, lag)).sum() for lag in range(1, 8)]
        np.testing.assert_allclose([correlation[k - 1] for k in s.lags[i]], sorted(correlation, reverse=True)[:4], atol=1e-5)
    assert statistics(y[:, :5], None, 4, False).lags.shape == (20, 2)  # no more than L / 2


def test_neuralforecasts_statistics_count_zeros_and_lag_0():
    y = np.array([[4.0, 0, 1, 3], [1, 1, 1, 1]], np.float32)
    s = statistics(y, np.zeros_like(y), 3, True)
    assert s.median.tolist() == [1.0, 1.0]
    assert s.lowest.tolist() == [0.0, 1.0]
    assert s.rises.tolist() == [False, False]
    assert s.lags[:, 0].tolist() == [0, 0]
    assert s.lags[0].tolist() == [0, 1, 3]  # equal correlations: the smaller lag first
    assert statistics(np.ones((1, 5), np.float32), None, 9, True).lags.shape == (1, 4)  # the transform back of 5 has 4


def test_what_prompts_say():
    y = np.array([0, 1, 0, -1] * 3, np.float32).reshape(1, L, 1) * 5 + 100
    m = make(prompt_prefix="Load of a grid.")
    assert m.texts({"insample_y": y}) == [
        "Data: Load of a grid. Task: forecast the next 3 steps given the previous 12 steps. Input: minimum -1.41, maximum 1.41, "
        "median 0.00, trend downward, top lags 4, 1."]
    assert m.texts({"insample_y": y * 7 - 9}) == m.texts({"insample_y": y})  # of the normalized window
    assert make(use_norm=False).texts({"insample_y": y})[0].endswith(
        "Input: minimum 95.00, maximum 105.00, median 100.00, trend downward, top lags 4, 1.")
    assert make(variant="compat").texts({"insample_y": y * 0}) == [
        "<|start_prompt|>NoneTask description: forecast the next 3 steps given the previous 12 steps information; Input statistics: "
        "min value 0.0, max value 0.0, median value 0.0, the trend of input is downward, top 5 lags are : [0, 1]<|<end_prompt>|>"]
    text = make().texts({"insample_y": np.linspace(-1e-4, 1, L, dtype=np.float32).reshape(1, L, 1)})[0]
    assert "trend upward" in text and "-0.00" not in text


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_there_is_room_for_every_prompt(variant):
    rng = np.random.default_rng(0)
    for length in (4, 30, 500):
        m = make(llm(max_positions=4096), input_size=length, variant=variant, top_k=2, prompt_prefix="Sales.")
        y = np.concatenate([rng.standard_t(2, (50, length, 1)), rng.integers(0, 2, (20, length, 1)), np.eye(length)[:20, :, None],
                            np.cumsum(rng.normal(size=(50, length, 1)), 1) * 1e-3]).astype(np.float32)
        longest = max(map(len, m.texts({"insample_y": y})))
        assert longest <= m.prompts.room <= longest + 40


@pytest.mark.parametrize("kind", KINDS)
def test_room_to_spare_changes_nothing(kind):
    backbone, data = llm(kind), windows()
    tight, wide = make(backbone), make(backbone, prompt_tokens=300)
    wide.load_state_dict(tight.state_dict())
    np.testing.assert_allclose(wide.forward(data).numpy(), tight.forward(data).numpy(), rtol=1e-5, atol=1e-5)


def test_a_long_prompt_loses_its_beginning():
    m, data = make(prompt_tokens=20), windows()
    ids, order, places, seen = m.prompts.tokens(*(a.data for a in (m.norm.norm(ndiv.tensor(data["insample_y"])),)))
    ends = [list(t[-20:].encode()) for t in m.prompts.texts(m.norm.norm(data["insample_y"]))]
    assert ids.tolist() == ends
    assert seen.all()
    assert order.tolist() == np.arange(4 * 26).reshape(4, 26).tolist()
    assert places.tolist() == [list(range(26 * i + 20, 26 * i + 26)) for i in range(4)]


def test_each_text_is_encoded_once(monkeypatch):
    backbone = llm()
    m, data, asked = make(backbone), windows(), []
    encode = Backbone.encode
    monkeypatch.setattr(Backbone, "encode", lambda self, texts, *more: asked.extend(texts) or encode(self, texts, *more))
    whole = {k: np.concatenate([v, v]) for k, v in data.items()}
    first = m.forward(whole).numpy()
    assert sorted(asked) == sorted(m.texts(data))
    np.testing.assert_array_equal(m.forward(whole).numpy(), first)
    assert len(asked) == 4
    monkeypatch.setattr("ndiv.models.language.prompts._KEPT", 3)
    for _ in range(3):
        m.prompts.encoded(["another"])
    assert asked[4:] == ["another"]
    assert list(m.prompts.kept) == ["another"]


def test_a_forecast_follows_its_prompt():
    backbone, data = llm(), windows()
    m, other, none = make(backbone), make(backbone, prompt_prefix="Rain."), make(backbone, prompt_tokens=0)
    assert none.texts(data) == []
    found = [shaken(x).forecast(data) for x in (m, other, none)]
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[0], found[2])


# -- plans and batches ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_a_forecast_has_the_same_bits_whatever_prompts_are_beside_it(kind):
    m, data = shaken(make(llm(kind))), windows(9)
    assert len({len(t) for t in m.texts(data)}) > 1
    whole = m.forecast(data)
    for i in range(9):
        alone = m.forecast({k: v[i:i + 1] for k, v in data.items()})
        if ndiv.info()["backend"] == "native":
            np.testing.assert_array_equal(alone, whole[i:i + 1])
        else:  # NumPy's products of another size may round otherwise
            np.testing.assert_allclose(alone, whole[i:i + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("kind", KINDS)
def test_plans_are_what_runs_op_by_op(kind, variant):
    """With prompts in all their length; of shorter ones tests/program has more."""
    m, data = shaken(make(llm(kind), variant=variant)), windows(5)
    with no_grad():
        wanted = arrays_of(m._columns(data))[..., 0]
    compiled = ndiv.compile(m.forward)
    for got in (m.forecast(data), compiled(data).numpy(), compiled(data).numpy()):
        np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=2e-6)
    assert m._plans is None or not m._plans.reasons


def test_prototypes_are_mapped_once_for_weights_as_they_are(monkeypatch):
    m, data = make(variant="compat"), windows()
    data["outsample_y"] = np.ones((4, H, 1), np.float32)
    asked = []
    inner = type(m.prototypes).forward
    monkeypatch.setattr(type(m.prototypes), "forward", lambda self, words: asked.append(1) or inner(self, words))
    first = m.forecast(data)
    count = len(asked)
    assert count == 1
    np.testing.assert_array_equal(m.forecast(data), first)
    assert len(asked) == count
    for change in (lambda: m.train_step(data), lambda: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
                   lambda: setattr(m.prototypes.weight, "data", m.prototypes.weight.data * 2)):
        change()
        count = len(asked)
        now = m.forecast(data)
        assert len(asked) == count + 1
        np.testing.assert_allclose(m.eval().forward(data).numpy(), now, rtol=1e-5, atol=1e-5)


# -- the backbone --------------------------------------------------------------------------------------------------

def test_a_backbone_is_shared_and_not_trained():
    backbone = llm()
    before = {n: p.data.copy() for n, p in backbone.named_parameters()}
    a, b = make(backbone, max_steps=3), make(backbone, h=5)
    twin = copy.deepcopy(a)
    assert a.llm.backbone is b.llm.backbone is twin.llm.backbone is backbone
    assert not any("llm" in n for n in a.state_dict())
    assert {id(p) for p in a.parameters()}.isdisjoint(map(id, backbone.parameters()))
    data = {**windows(), "outsample_y": np.ones((4, H, 1), np.float32)}
    a.train_step(data)
    wide = copy.deepcopy(a).astype(np.float64)
    assert wide.llm.backbone.embeddings.dtype == np.float64
    assert wide.forward({k: v.astype(np.float64) for k, v in data.items()}).dtype == np.float64
    assert all((p.data == before[n]).all() and p.dtype == np.float32 for n, p in backbone.named_parameters())
    assert a.reset().llm.backbone is backbone
    held = pickle.dumps(b)
    assert len(held) < sum(p.data.nbytes for p in backbone.parameters())
    again = pickle.loads(held)
    assert again.llm.backbone is again.prompts.llm.backbone
    assert again.llm.backbone.fingerprint == backbone.fingerprint
    np.testing.assert_array_equal(again.forecast(data), b.forecast(data))


def folder_of(place, backbone):
    """The backbone as a folder, without a tokenizer."""
    import json

    from safetensors.numpy import save_file

    place.mkdir()
    state = {}
    for name, p in backbone.named_parameters():
        state[".".join(peers.HERE_AND_THERE.get(part, "h" if part == "layers" else part) for part in name.split("."))] = p.data
    save_file(state, str(place / "model.safetensors"))
    s = backbone.sizes
    (place / "config.json").write_text(json.dumps({
        "model_type": "gpt2", "n_embd": s.width, "n_layer": s.num_layers, "n_head": s.num_heads, "n_inner": s.inner,
        "vocab_size": s.vocabulary_size, "n_positions": s.max_positions}))
    return str(place)


def test_layers_and_folders(tmp_path):
    folder = folder_of(tmp_path / "a", llm(num_layers=2))
    m = make(folder, prompt_tokens=0)
    assert (m.llm.backbone.num_layers, m.llm.path) == (2, folder)
    assert make(folder, prompt_tokens=0, llm_num_hidden_layers=1).llm.backbone.num_layers == 1
    assert make(folder, prompt_tokens=0, llm_num_hidden_layers=1, variant="compat").llm.backbone.num_layers == 2
    assert m.config()["llm"] == {"fingerprint": m.llm.backbone.fingerprint, "kind": "gpt2", "num_layers": 2, "path": folder}


def test_saved_without_the_backbone_and_loaded_with_it_alone(tmp_path):
    """From its place, from another one, or as it is in use; never another one."""
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=40), "y": np.sin(np.arange(40.0))})
    folder = folder_of(tmp_path / "a", llm(seed=3))
    nf = ndiv.NeuralForecast(models=[make(folder, prompt_tokens=0, max_steps=2)], freq="D").fit(df)
    nf.save(tmp_path / "saved")
    wanted, record = nf.predict(), nf.models[0].config()["llm"]
    assert sum(f.stat().st_size for f in (tmp_path / "saved").iterdir()) < (tmp_path / "a" / "model.safetensors").stat().st_size
    assert "a" in record["path"]

    def found(**more):
        return ndiv.NeuralForecast.load(tmp_path / "saved", **more).predict()

    pd.testing.assert_frame_equal(found(), wanted)  # it is in use
    held = nf.models[0].llm.backbone
    del nf
    pd.testing.assert_frame_equal(found(), wanted)
    del held  # now it is read from its folder
    pd.testing.assert_frame_equal(found(), wanted)
    (tmp_path / "a").rename(tmp_path / "b")
    gc.collect()
    with pytest.raises(FileError, match="trained with a language model that is not in its file") as error:
        found()
    assert "llm=" in error.value.hint
    pd.testing.assert_frame_equal(found(llm=tmp_path / "b"), wanted)
    pd.testing.assert_frame_equal(found(llm=llm(seed=3)), wanted)
    with pytest.raises(FileError, match="another language model than this") as error:
        found(llm=llm(seed=4))
    assert error.value.code == "E0006"


def test_a_record_without_a_path_asks_for_the_backbone():
    record = {**make().config()["llm"], "fingerprint": "0" * 64}
    with pytest.raises(ConfigError, match="gpt2 with 1 layers and the hash 0000000000000000") as error:
        make(record)
    assert error.value.code == "E0010"


# -- configurations ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("options", "text"), [
    ({"patch_len": 0}, "patch_len must be"), ({"stride": 0}, "stride must be"), ({"d_ff": 9}, "d_ff is 9 .* has 8 features"),
    ({"d_llm": 7}, "d_llm is 7 and llm is 8 wide"), ({"d_llm": 0}, "d_llm must be"), ({"top_k": 0}, "top_k must be"),
    ({"n_heads": 0}, "n_heads"), ({"num_tokens": 0}, "num_tokens"), ({"dropout": 1.0}, "dropout"), ({"d_model": 2.5}, "d_model"),
    ({"prompt_tokens": -1}, "prompt_tokens"), ({"prompt_prefix": 3}, "prompt_prefix must be text"), ({"llm": 3}, "no language model"),
    ({"llm": {}}, "describes no language model"), ({"llm_num_hidden_layers": 0}, "llm_num_hidden_layers"),
    ({"variant": "compat", "llm": None}, "ndiv downloads nothing"), ({"variant": "compat", "top_k": 13}, "has 12 lags"),
    ({"prompt_tokens": 600}, "more than the 512 positions"), ({"prompt_prefix": "long " * 100}, "more than the 512 positions"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"
    assert error.value.hint


def test_more_layers_than_wanted_are_refused():
    with pytest.raises(ConfigError, match="llm has 2 layers and llm_num_hidden_layers is 1"):
        make(llm(num_layers=2), llm_num_hidden_layers=1)


def test_a_patch_is_not_longer_than_there_are_steps():
    m = make(patch_len=99, stride=2)
    assert m.steps.shape == (1, L + 2)
    assert np.isfinite(m.forecast(windows())).all()


def test_several_outputs_and_windows_without_values():
    m, data = make(loss=ndiv.losses.MQLoss(level=[80])), windows()
    data["insample_mask"][0] = 0
    data["insample_y"][0] = 0
    out = m.forecast(data)
    assert out.shape == (4, H, 3)
    assert np.isfinite(out).all()


def test_prototypes_start_as_words():
    backbone = llm()
    m = make(backbone, num_tokens=9)
    words = {row.tobytes() for row in backbone.embeddings.numpy()}
    assert len({row.tobytes() for row in m.prototypes.weight.numpy()} & words) == 9
    assert make(backbone, num_tokens=300).prototypes.weight.shape == (300, 8)  # more than there are words
    assert tiny() is tiny()


@pytest.mark.parametrize("case", peers.FIGURES)
def test_compat_gives_neuralforecasts_numbers(case, monkeypatch):
    """Prompts hold all digits, and the last ones are rounding: they are compared, and neuralforecast's read."""
    arrays = np.load(Path(__file__).parent / "figures" / "timellm.npz")
    backbone = Backbone.from_config(**peers.LLM)
    assert backbone.fingerprint == str(arrays["fingerprint"])
    m = get_model("TimeLLM")(variant="compat", llm=backbone, **peers.FIGURES[case])
    prefix = f"{case}/state/"
    m.load_state_dict(convert({k.removeprefix(prefix): arrays[k] for k in arrays.files if k.startswith(prefix)}, m))
    data = {k: arrays[f"{case}/{k}"] for k in ("insample_y", "insample_mask")}
    texts = arrays[f"{case}/texts"].tolist()
    for ours, theirs in zip(m.texts(data), texts, strict=True):
        assert peers.NUMBER.sub("#", ours) == peers.NUMBER.sub("#", theirs)
        np.testing.assert_allclose(*([float(n) for n in peers.NUMBER.findall(t)] for t in (ours, theirs)), rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(m.prompts, "texts", lambda *windows: texts)
    np.testing.assert_allclose(m.eval().forward(data).numpy(), arrays[f"{case}/forecast"], rtol=2e-5, atol=2e-6)
