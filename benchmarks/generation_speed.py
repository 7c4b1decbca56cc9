"""Sampling here and with transformers' ``generate``: tokens a second, and the best of 16 behind one long prompt.

Every reply has its full length on both sides (the end of a turn is never drawn), so that both write the same number of
tokens. Best-of-16 writes 16 replies to each prompt of 400 tokens and scores them: here the prompt is computed once in
each of the two, there once for every reply. Writes generation_speed.json; ``make bench-ppo`` runs it too.

    python benchmarks/generation_speed.py [--model M] [--prompts N] [--new-tokens T] [--best-prompts N]
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matmul import matmul_rate
from torch.nn.utils.rnn import pad_sequence

from concordant.collect.openings import openings
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.models.base_models import cache_folder, fetch
from concordant.models.chat_format import ChatFormat
from concordant.models.devices import find_device
from concordant.models.generation import SamplingLimits, generate
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow

K = 16


class Endless(ChatFormat):
    """A format whose turns have no end, so that every reply runs to its limit."""

    @property
    def end_of_turn(self) -> int:
        return -1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--best-prompts", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=400, help="of best-of-16")
    args = parser.parse_args()
    device = find_device("auto")
    folder = fetch(args.model, cache_folder())
    model = LanguageModel.load(folder, device=device)
    model = replace(model, format=Endless(model.tokenizer))
    scorer = PreferenceModel.from_language_model(folder, seed=0).to(device)
    short = [model.format.prompt(Conversation().human(text)) for text in _openings(args.prompts)]
    long = [_long(model, number, args.prompt_tokens) for number in range(args.best_prompts)]
    result: dict[str, Any] = {
        "model": args.model,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "generation": _compared(
            args.prompts * args.new_tokens,
            lambda: _ours(model, short, 1, args.new_tokens),
            lambda: _plain(model, short, 1, args.new_tokens),
        ),
        "best_of_16": _compared(
            K * args.best_prompts * args.new_tokens,
            lambda: _score_ours(scorer, long, _ours(model, long, K, args.new_tokens)),
            lambda: _score_plain(scorer, long, _plain(model, long, K, args.new_tokens)),
        ),
    }
    result["generation"] |= {"prompts": args.prompts, "new_tokens": args.new_tokens}
    result["best_of_16"] |= {
        "prompts": args.best_prompts, "prompt_tokens": args.prompt_tokens, "new_tokens": args.new_tokens,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _compared(tokens: int, ours: Callable[[], Any], plain: Callable[[], Any]) -> dict[str, Any]:
    """Tokens a second of both, each after the rate of matrix products of the same minute; the better of two times."""
    found: dict[str, Any] = {}
    for name, work in (("concordant", ours), ("transformers", plain)):
        rate = matmul_rate(device="cuda" if torch.cuda.is_available() else "cpu")
        times = []
        for _ in range(2):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        found[name] = {"tokens_per_second": round(tokens / min(times), 1), "matmul_gflops": round(rate, 1)}
    speeds = [found[name]["tokens_per_second"] for name in ("concordant", "transformers")]
    return {**found, "ratio": round(speeds[0] / speeds[1], 2)}


def _openings(count: int) -> list[str]:
    own = openings(Objective.HELPFUL)
    return [own[place % len(own)] for place in range(count)]


def _long(model: LanguageModel, number: int, tokens: int) -> list[int]:
    """A prompt of exactly so many tokens."""
    words = " ".join(random.Random(number).choices(" ".join(_openings(64)).split(), k=2 * tokens))
    whole = model.format.prompt(Conversation().human(words))
    return whole[: tokens // 2] + whole[-(tokens - tokens // 2) :]


def _ours(model: LanguageModel, prompts: list[list[int]], n: int, new_tokens: int) -> list[list[list[int]]]:
    drawn = generate(model, prompts, n, SamplingLimits(new_tokens), seed=0)
    return [[reply.tokens for reply in replies] for replies in drawn]


@torch.inference_mode()
def _plain(model: LanguageModel, prompts: list[list[int]], n: int, new_tokens: int) -> list[list[list[int]]]:
    """``generate`` on a batch padded on the left."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=model.device)
    torch.manual_seed(0)
    written = model.network.generate(
        ids, attention_mask=mask, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, num_return_sequences=n,
        max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0,
    )[:, width:].tolist()  # fmt: skip
    return [written[place * n : (place + 1) * n] for place in range(len(prompts))]


@torch.inference_mode()
def _score_ours(scorer: PreferenceModel, prompts: list[list[int]], replies: list[list[list[int]]]) -> None:
    for prompt, group in zip(prompts, replies, strict=True):
        row = SharedRow(prompt, [[*reply, scorer.end_of_context] for reply in group])
        scorer.scores(RowBatch.pack([row], scorer.device))


@torch.inference_mode()
def _score_plain(scorer: PreferenceModel, prompts: list[list[int]], replies: list[list[list[int]]]) -> None:
    """A row for each reply, by sequence classification as it comes."""
    for prompt, group in zip(prompts, replies, strict=True):
        rows = [torch.tensor([*prompt, *reply, scorer.end_of_context], device=scorer.device) for reply in group]
        ids = pad_sequence(rows, batch_first=True)
        scorer.network(input_ids=ids, attention_mask=torch.ones_like(ids))


if __name__ == "__main__":
    main()
