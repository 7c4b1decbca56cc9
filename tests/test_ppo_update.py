"""One PPO update: the gradient of the batch, whatever the parts it is computed in."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from concordant.errors import UserError
from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.train.policy_state import Training
from concordant.train.ppo_update import Batch, update
from concordant.train.rollout import Rollout, forward_all
from concordant.train_config import PolicyConfig
from toy_model import ToyModels, same_weights

PROMPTS = [[11, 12, 13], [14], [15, 16], [17, 18, 19, 20]]
REPLIES = [[[21, 22, 3], [23]], [[24, 25], [26, 27, 28, 29]], [[31], [3]], [[33, 34, 35, 36, 37], [38, 3]]]


class Recording(AdamW):
    """Keeps every gradient that it was given."""

    def __init__(self, weights: Any, rate: float) -> None:
        super().__init__(weights, lr=rate, weight_decay=0.0)
        self.gradients: list[list[torch.Tensor | None]] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        weights = [weight for group in self.param_groups for weight in group["params"]]
        self.gradients.append([None if weight.grad is None else weight.grad.clone() for weight in weights])
        super().step(closure)


def training_of(toy: ToyModels, rate: float = 0.0) -> Training:
    """A policy whose LoRA has been disturbed, so that both of its matrices have a gradient."""
    model = LanguageModel.load(toy.chat).with_lora(rank=4, seed=0)
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    head = nn.Linear(32, 1)
    optimizer = Recording([*(w for w in model.network.parameters() if w.requires_grad), *head.parameters()], rate)
    return Training(model, head, optimizer, step=5)


def batch_of(training: Training, drift: float = 0.0) -> Batch:
    """Four prompts with two replies each, advantages of both signs; ``drift`` moves the policy that sampled away."""
    sampled = [[SampledReply(tokens, [-1.0] * len(tokens)) for tokens in group] for group in REPLIES]
    rollout = Rollout.of(PROMPTS, sampled)
    old = forward_all(training.model, training.critic, rollout, 1.0, 4096)
    noise = torch.Generator().manual_seed(0)
    advantages, returns = (torch.randn(rollout.loss_mask.shape, generator=noise) for _ in range(2))
    shift = drift * torch.randn(rollout.loss_mask.shape, generator=noise)
    moved = type(old)(old.logprobs + shift, old.values, old.entropy)
    return Batch(rollout, moved, torch.zeros(len(rollout.lengths)), advantages, returns)


def config(**settings: Any) -> PolicyConfig:
    return PolicyConfig(**{"passes": 1, "minibatches": 1, "warmup_updates": 0, "gradient_clip": 1e9, **settings})


def in_parts(row_tokens: int, **settings: Any) -> PolicyConfig:
    """Parts smaller than the config allows, for rows as short as these."""
    return config(**settings).model_copy(update={"row_tokens": row_tokens})


def gradients(training: Training) -> list[list[torch.Tensor]]:
    optimizer = training.optimizer
    assert isinstance(optimizer, Recording)
    return [[part for part in step if part is not None] for step in optimizer.gradients]


@pytest.mark.parametrize(("row_tokens", "parts"), [(9, 4), (20, 3)])
def test_the_gradient_does_not_depend_on_the_parts(
    row_tokens: int, parts: int, toy: ToyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, divided = training_of(toy), training_of(toy)
    expected = update(whole, batch_of(whole, drift=0.3), config())
    batch = batch_of(divided, drift=0.3)
    passes: list[int] = []
    hidden = LanguageModel.hidden

    def watched(model: LanguageModel, rows: Any) -> Any:
        passes.append(len(rows.input_ids))
        return hidden(model, rows)

    monkeypatch.setattr(LanguageModel, "hidden", watched)
    found = update(divided, batch, in_parts(row_tokens))
    assert (len(passes), sum(passes)) == (parts, 4)
    assert found == pytest.approx(expected, rel=1e-4)
    assert 0 < found["clip_fraction"] < 1
    for one, other in zip(gradients(divided)[0], gradients(whole)[0], strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
        assert one.abs().max() > 0


def test_every_minibatch_is_one_step_of_every_pass(toy: ToyModels) -> None:
    training = training_of(toy)
    update(training, batch_of(training), config(passes=3, minibatches=2))
    assert len(gradients(training)) == 6


def test_the_numbers_of_a_first_step(toy: ToyModels) -> None:
    """Before the first step every ratio is exactly 1: the loss is the mean of −A, and that of V is known too."""
    training = training_of(toy)
    batch = batch_of(training)
    metrics = update(training, batch, config())
    mask = batch.rollout.loss_mask
    assert metrics["policy_loss"] == pytest.approx(-batch.advantages[mask].mean().item(), abs=1e-6)
    assert batch.returns is not None
    squares = (batch.old.values - batch.returns)[mask] ** 2
    assert metrics["value_loss"] == pytest.approx(0.5 * squares.mean().item(), rel=1e-5)
    assert (metrics["ratio_max"], metrics["clip_fraction"]) == (1.0, 0.0)


def test_the_gradient_is_clipped_and_logged_unclipped(toy: ToyModels) -> None:
    free, bound = training_of(toy), training_of(toy)
    norm = update(free, batch_of(free), config())["grad_norm"]
    assert update(bound, batch_of(bound), config(gradient_clip=norm / 2))["grad_norm"] == pytest.approx(norm)
    # The gradients were cut in place before the optimiser saw them.
    total = torch.cat([part.flatten() for part in gradients(bound)[0]]).norm().item()
    assert total == pytest.approx(norm / 2, rel=1e-3)


def test_while_the_critic_starts_the_policy_stands_still(toy: ToyModels) -> None:
    """In the first update the head's bias takes up what its values lack to the mean return, wherever scores lie."""
    training = training_of(toy, rate=1e-2)
    training.step = 0
    batch = batch_of(training)
    before = copy.deepcopy(training.model.network)
    head = copy.deepcopy(training.critic)
    metrics = update(training, batch, config(warmup_updates=1, passes=2))
    assert same_weights(training.model.network, before)
    assert batch.returns is not None and isinstance(training.critic, nn.Linear) and isinstance(head, nn.Linear)
    assert not torch.equal(training.critic.weight, head.weight)
    mean = head.bias.item() + (batch.returns - batch.old.values)[batch.rollout.loss_mask].mean().item()
    assert training.critic.bias.item() == pytest.approx(mean, abs=0.03)  # and two steps of 0.01 at most
    assert metrics["learning_rate"] == 0.0
    training.step = 1
    assert update(training, batch, config(warmup_updates=1))["learning_rate"] > 0
    assert not same_weights(training.model.network, before)


def test_order_and_weights_are_a_function_of_seed_and_step(toy: ToyModels) -> None:
    def trained(seed: int, step: int) -> Training:
        training = training_of(toy, rate=1e-2)
        training.step = step
        update(training, batch_of(training), config(seed=seed, minibatches=2))
        return training

    first = trained(seed=0, step=5)
    assert same_weights(first.model.network, trained(seed=0, step=5).model.network)
    assert any(not same_weights(first.model.network, trained(0, step).model.network) for step in (6, 7, 8))


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_never_reaches_the_weights(
    what: str, toy: ToyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = training_of(toy, rate=1e-2)
    before = copy.deepcopy(training.model.network)
    batch = batch_of(training)
    if what == "loss":
        batch.advantages[0, 0] = float("nan")
    else:
        assert isinstance(training.critic, nn.Linear)
        weight = training.critic.weight
        weight.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match=f"the {what} became nan at update 6; .* lower policy.learning_rate"):
        update(training, batch, config())
    assert same_weights(training.model.network, before)


def test_without_a_critic_the_gradient_is_the_policys_alone(toy: ToyModels) -> None:
    """The same as with a critic whose loss weighs nothing; nothing else is learned, and nothing warms up."""
    with_critic, without = training_of(toy), training_of(toy)
    batch = batch_of(with_critic, drift=0.3)
    update(with_critic, batch, config(value_coef=0.0))
    without.critic = None
    alone = Batch(batch.rollout, batch.old, batch.kl, batch.advantages, None)
    metrics = update(without, alone, config(warmup_updates=9))
    assert "value_loss" not in metrics and metrics["learning_rate"] > 0
    for one, other in zip(gradients(without)[0], gradients(with_critic)[0], strict=False):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_rate_of_an_update_is_that_of_its_schedule(toy: ToyModels) -> None:
    training = training_of(toy)
    training.step = 2
    settings = config(prompts_per_update=4, replies_per_prompt=2, warmup_samples=48, learning_rate=1e-3)
    assert update(training, batch_of(training), settings)["learning_rate"] == pytest.approx(5e-4)
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(5e-4)
