"""What a name stands for, and a digest that changes with whatever changes the model."""

import shutil
from pathlib import Path

import pytest
import torch

from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.models.named_model import NamedModel
from concordant.models.preference_model import PreferenceModel
from toy_model import ToyModels


@pytest.fixture
def policy(toy: ToyModels, tmp_path: Path) -> Path:
    """A policy run's folder, its LoRA not zero."""
    model = LanguageModel.load(toy.chat).with_lora(rank=2, seed=0)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    model.save_adapter(tmp_path / "policy-1/model")
    return tmp_path / "policy-1"


def test_a_folder_and_a_policy_run(toy: ToyModels, policy: Path) -> None:
    base, trained = NamedModel.find(str(toy.chat)), NamedModel.find(str(policy))
    assert (base.name, base.folder, base.adapter) == (str(toy.chat), toy.chat, None)
    assert (trained.name, trained.folder, trained.adapter) == (str(policy), toy.chat.resolve(), policy / "model")
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert not torch.allclose(base.load().network(ids).logits, trained.load().network(ids).logits)
    assert len({base.digest(), trained.digest()}) == 2


def test_the_digest_is_that_of_what_is_read(toy: ToyModels, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(toy.chat, copy)
    (copy / "README.md").write_text("a card")
    named = NamedModel.find(str(copy))
    before = named.digest()
    assert before == NamedModel.find(str(toy.chat)).digest()
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert named.digest() != before


def test_what_is_no_causal_model_is_refused(toy: ToyModels, tmp_path: Path) -> None:
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm/model")
    with pytest.raises(UserError, match=r"pm is a preference model; give a causal LM"):
        NamedModel.find(str(tmp_path / "pm"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds neither a finished policy run nor a model"):
        NamedModel.find(str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"model 'nothing' is unknown"):
        NamedModel.find("nothing")
