"""The language model inside a preference model, for the loss on text in pretraining on votes (Askell et al. 2021).

A preference model is a classifier without a language-model head. Where the base model's head is its input embedding
(tied), that matrix serves. Where it has a head of its own, that one is carried along as a part that is trained, stands
in the checkpoint, and is dropped when the model is saved. Left out: heads that scale or cap their logits.

Shape letters: N places, D hidden size, V vocabulary.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from concordant.errors import UserError
from concordant.models.language_model import read_folder

LANGUAGE_HEAD = "pmp_language_head"
"""Name of the part that carries a base model's own head."""

_LOGIT_ROWS = 512
_SCALES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


def attach_language_head(classifier: Any, folder: Path) -> None:
    """Give a classifier the language-model head of its base model, if it needs one; done twice is done once.

    Args:
        classifier: made from ``folder``; it gets a part named ``LANGUAGE_HEAD`` unless its embeddings are the head.
        folder: of the causal LM. It is loaded whole for its head.

    Raises:
        UserError: the model does more to its logits than a linear head, or ``folder`` holds no causal LM.
    """
    from transformers import AutoModelForCausalLM

    config = classifier.config
    for name in _SCALES:
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise UserError(
                f"the language model of {folder} scales its logits ({name} = {getattr(config, name)}), which the loss "
                "on text does not follow; set lm_coef=0"
            )
    if not config.tie_word_embeddings and not hasattr(classifier, LANGUAGE_HEAD):
        language_model, _ = read_folder(folder, AutoModelForCausalLM, "a causal language model")
        classifier.add_module(LANGUAGE_HEAD, language_model.get_output_embeddings())


def language_logprobs(
    classifier: Any, hidden: Float[Tensor, "N D"], tokens: Int64[Tensor, " N"], never: int
) -> Float[Tensor, " N"]:
    """Log-probability of each token from the hidden state that predicts it.

    Logits are made in slices and made again in the backward pass, so that one slice of them stands in memory at a time.

    Args:
        classifier: a sequence classifier with tied embeddings, or with an attached head.
        hidden: (N, D) last hidden states at the places that predict.
        tokens: (N,) what came there.
        never: a token of the vocabulary with probability 0: the end of context, which no language model knows.

    Raises:
        ValueError: the classifier has neither.
    """
    head = getattr(classifier, LANGUAGE_HEAD, None)
    if head is None and not classifier.config.tie_word_embeddings:
        raise ValueError("the base model has a head of its own, and it was not attached")
    embeddings = classifier.get_input_embeddings().weight

    def of_slice(part: Tensor, part_tokens: Tensor) -> Tensor:
        logits = (linear(part, embeddings) if head is None else head(part)).float()
        if never < logits.shape[1]:
            logits = logits.index_fill(1, torch.tensor([never], device=logits.device), -torch.inf)
        return logits.gather(1, part_tokens[:, None])[:, 0] - logits.logsumexp(dim=1)

    return torch.cat(
        [
            checkpoint(of_slice, part, part_tokens, use_reentrant=False, preserve_rng_state=False)
            for part, part_tokens in zip(
                torch.split(hidden, _LOGIT_ROWS), torch.split(tokens, _LOGIT_ROWS), strict=True
            )
        ]
    )


def without_language_head(network: Any) -> dict[str, Tensor]:
    """The weights of a classifier that are saved: all but those of the attached head."""
    return {name: weight for name, weight in network.state_dict().items() if not name.startswith(f"{LANGUAGE_HEAD}.")}
