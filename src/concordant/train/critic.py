"""A critic of its own, begun as the train PM, trunk and score head, in the place of a head on the policy's trunk.

The paper does not say what its value function is. A head on the policy's trunk costs nothing and knows nothing at
first. A copy of the PM begins with what makes a finished reply good, and what it learns leaves the policy's trunk
alone. It costs a forward pass more, and memory: 4 bytes a weight beside a LoRA of its own; where the policy trains all
its weights the critic does too, and each takes 16 bytes (itself, its gradient, two moments).
"""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from concordant.errors import UserError
from concordant.models.language_model import LanguageModel, attach_lora, hidden_states
from concordant.models.preference_model import END_OF_CONTEXT, PreferenceModel
from concordant.models.shared_rows import RowBatch


class PmCritic(nn.Module):
    """A copy of a PM that learns to say what the return will be. Shape letter: N places.

    Attributes:
        network: the sequence-classification model, or peft's wrapper of it.
        bias: added to every value: a score's zero is wherever its PM has it.
    """

    def __init__(self, network: Any, rank: int, seed: int) -> None:
        """
        Args:
            network: the PM's, which stays as it is.
            rank: of the LoRA; 0 trains all weights.
            seed: of the LoRA's random half; the other half is zero, so that it begins as the PM.
        """
        super().__init__()
        own = copy.deepcopy(network)
        self.network = attach_lora(own, rank, seed) if rank else own.requires_grad_(True)
        self.classifier.score.requires_grad_(True)
        self.bias = nn.Parameter(torch.zeros((), device=self.classifier.score.weight.device))

    @property
    def classifier(self) -> Any:
        """The sequence-classification model, without peft's wrapper."""
        return self.network.get_base_model() if hasattr(self.network, "peft_config") else self.network

    def forward(self, batch: RowBatch, rows: Int64[Tensor, " N"], columns: Int64[Tensor, " N"]) -> Float[Tensor, " N"]:
        """(N,) values, read at these places of packed rows."""
        hidden = hidden_states(getattr(self.classifier, self.classifier.base_model_prefix), batch)
        values: Tensor = self.classifier.score(hidden[rows, columns])[:, 0].float() + self.bias
        return values


Critic = nn.Linear | PmCritic
"""A head on the policy's trunk, or a network of its own."""


def pm_critic(policy: LanguageModel, pm: object, rank: int, seed: int) -> PmCritic:
    """A critic from the PM that trains the policy. A value is read at every token, so the two must have the same ones.

    Args:
        policy: whose tokens are read.
        pm: what trains it.
        rank: of the LoRA; 0 trains all weights.
        seed: of the LoRA.

    Raises:
        UserError: the PM is an ensemble or no network, or has other tokens.
    """
    if not isinstance(pm, PreferenceModel) or pm.network is None:
        raise UserError(
            "policy.critic is 'pm', and not one preference model trains it but several, or a rule; give one, or set "
            "it to 'policy'"
        )
    tokens = dict(pm.format.tokenizer.get_vocab())
    tokens.pop(END_OF_CONTEXT, None)
    if tokens != policy.tokenizer.get_vocab():
        raise UserError(
            "policy.critic is 'pm', and the preference model has other tokens than the policy; train one from the same "
            "base model, or set it to 'policy'"
        )
    return PmCritic(pm.network, rank, seed).to(policy.device)
