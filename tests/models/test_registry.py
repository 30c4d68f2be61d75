"""The registry: facts as data, and all that is printed from them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from ndiv import models
from ndiv.auto import AutoNLinear
from ndiv.cli import main
from ndiv.errors import ConfigError
from ndiv.models import MODELS, capabilities, get_model, list_models

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_the_registry():
    spec = importlib.util.spec_from_file_location("make_models", DOCS / "make_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "models.md").read_text(encoding="utf-8") == module.page() + "\n", \
        "run: python docs/make_models.py > docs/models.md"


def test_names_and_arguments_that_users_of_neuralforecast_type():
    assert get_model("VanillaTransformer") is models.VanillaTransformer is models.Transformer
    assert models.AutoFormer is models.Autoformer and models.FedFormer is models.FEDformer
    with pytest.warns(UserWarning, match="accelerator, logger.*PyTorch Lightning") as told:
        model = models.NLinear(h=2, input_size=4, accelerator="cpu", logger=False)
    assert told[0].filename == __file__ and len(told) == 1
    assert model.config() == models.NLinear(h=2, input_size=4).config()
    with pytest.warns(UserWarning, match="Ray"):
        AutoNLinear(h=2, cpus=2, gpus=0)
    with pytest.raises(ConfigError, match="callbacks"):  # what a training may depend on is not passed over
        models.NLinear(h=2, input_size=4, callbacks=[])


@pytest.mark.parametrize("name", list_models())
def test_facts_of_a_model(name):
    facts = capabilities(name)
    assert facts["model"] == name == get_model(name.lower()).__name__
    assert facts["univariate"] is not facts["multivariate"]
    words = ("paper", "differences", "model")
    assert all(isinstance(value, str if fact in words else bool) for fact, value in facts.items())
    authors, _, title = facts["paper"].rpartition(", ")
    assert authors
    assert title
    assert any(part.isdigit() and len(part) == 4 for part in facts["paper"].replace(",", " ").split())
    assert facts["differences"], "DIFFERENCES: what compat does otherwise than paper, and why"
    assert "|" not in facts["differences"] + facts["paper"]  # they stand in a table
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("name", list_models())
def test_covariates_that_a_model_does_not_take_are_refused_by_name_of_one_that_does(name):
    for kind in ("futr", "hist", "stat"):
        if capabilities(name)[f"{kind}_exog"]:
            continue
        with pytest.raises(ConfigError, match=f"takes no {kind}_exog covariates") as caught:
            get_model(name)(h=4, input_size=8, **{f"{kind}_exog_list": ["x"]})
        takers = [n for n in list_models() if capabilities(n)[f"{kind}_exog"]]
        assert caught.value.hint == f"models that do: {', '.join(takers)}"


def test_the_command_prints_every_model(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:1 + len(MODELS)]] == list_models()
    assert lines[0].split()[:5] == ["model", "future", "historic", "static", "categorical"]
    assert "Challu et al. 2023" in next(line for line in lines if line.startswith("NHITS"))
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [capabilities(n) for n in list_models()]


def test_names():
    assert set(MODELS) < set(dir(models))
    with pytest.raises(ConfigError, match="Did you mean 'NHITS'"):
        capabilities("NHITZ")
    with pytest.raises(AttributeError):
        _ = models.NoSuchModel
