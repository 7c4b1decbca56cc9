"""PPO here and with TRL's PPOTrainer: episodes a second and memory, with all weights and with LoRA on one trunk.

Both start from one model and one preference model, answer the same prompts in batches of 16 with at most 32 tokens, in
float32, one reply a prompt, two passes of two minibatches, each in a process of its own. The first update of a side is
not timed. TRL deleted its PPO trainer; 0.21 is the last version whose trainer can be used, with transformers 4.55:
``make bench-ppo`` installs both in benchmarks/.peers-ppo, on the project's own torch. Writes ppo_against_trl.json.

    python benchmarks/ppo_against_trl.py [--data FILE] [--model M] [--updates N] [--sides NAME …]

Without a file of comparisons, the project's own openings, one after another, are the prompts. Left out: what the
policies learn; the score of a toy says nothing.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from matmul import matmul_rate

BATCH, NEW_TOKENS, PASSES, MINIBATCHES, RANK, RATE = 16, 32, 2, 2, 16, 1e-6
MAX_PROMPT_TOKENS = 256
PEERS = Path(__file__).parent / ".peers-ppo"
SIDES = {
    "concordant, all weights": {"lora_rank": 0},
    "concordant, LoRA on one trunk": {"lora_rank": RANK},
    "trl, all weights": {"lora_rank": 0},
    "trl, LoRA": {"lora_rank": RANK},
}
FORWARD = {"concordant": 4 + 3 * PASSES, "trl": 4 + 2 * 3 * PASSES}
"""Passes over every token of an episode that a side makes, a training step being three: both sample, ask the reference
and the preference model, and compute log-probabilities or values anew; TRL trains a second network, the critic."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="HH .jsonl[.gz] file whose prompts are answered")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--updates", type=int, default=4, help="of each side; the first is not timed")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=tuple(SIDES), metavar="NAME")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.updates < 2:
        parser.error("--updates must be at least 2")
    if args.side:
        work = _ours if args.side.startswith("concordant") else _trl
        result = work(args.work, SIDES[args.side]["lora_rank"], args.updates)
        (args.work / "result.json").write_text(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as scratch:
        _in_a_process(Path(scratch), "prepare", args)
        sides = {name: _run(Path(scratch), name, args) for name in args.sides}
        (lengths,) = json.loads((Path(scratch) / "lengths.json").read_text())
    result = {
        "model": args.model,
        "from": args.data.name if args.data else "openings",
        "batch": BATCH,
        "new_tokens": NEW_TOKENS,
        "mean_prompt_tokens": lengths,
        "updates_timed": args.updates - 1,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sides": sides,
        **_ratios(sides),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _ratios(sides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Ours against TRL's with all weights: that is what the memory of four models is."""
    peer = sides.get("trl, all weights")
    found: dict[str, Any] = {}
    for name, side in sides.items():
        if peer and name.startswith("concordant"):
            found[f"speed_ratio, {name}"] = round(side["episodes_per_second"] / peer["episodes_per_second"], 2)
            found[f"memory_ratio, {name}"] = round(side["peak_gb"] / peer["peak_gb"], 2)
    logprobs = [side["logprob_of_the_first_prompt"] for side in sides.values()]
    return {**found, "largest_logprob_difference": max(logprobs) - min(logprobs)}


def _run(work: Path, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """One side, with the rate of matrix products of the same minute."""
    rate = matmul_rate(device="cuda" if torch.cuda.is_available() else "cpu")
    _in_a_process(work, side, args)
    result: dict[str, Any] = json.loads((work / "result.json").read_text())
    passes = FORWARD[side.split(",")[0]]
    flops = result.pop("tokens_per_second") * 2 * result.pop("weights") * passes
    shown = {
        "episodes_per_second": round(result.pop("episodes_per_second"), 3),
        "matmul_gflops": round(rate, 1),
        "share_of_matmul": round(flops / rate / 1e9, 2),
    }
    print(f"{side}: {shown['episodes_per_second']} episodes/s, {result['peak_gb']} GB", file=sys.stderr)
    return shown | result


def _in_a_process(work: Path, side: str, args: argparse.Namespace) -> None:
    """This file again, for one side; TRL's finds its own packages first."""
    command = [sys.executable, __file__, "--work", str(work), "--updates", str(args.updates)]
    if side == "prepare":
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import ppo_against_trl as b; "
        code += f"b.prepare({str(work)!r}, {args.model!r}, {str(args.data or '')!r}, {args.updates})"
        subprocess.run([sys.executable, "-c", code], check=True)
        return
    environment = dict(os.environ)
    if side.startswith("trl"):
        environment["PYTHONPATH"] = os.pathsep.join([str(PEERS), os.environ.get("PYTHONPATH", "")])
    subprocess.run([*command, "--side", side], check=True, env=environment)


def prepare(work: str, model: str, data: str, updates: int) -> None:
    """The two models in folders that both versions of transformers read, and the prompts as tokens."""
    from concordant.models.base_models import cache_folder, fetch
    from concordant.models.language_model import LanguageModel
    from concordant.models.preference_model import PreferenceModel

    folder, base = Path(work), fetch(model, cache_folder())
    policy = LanguageModel.load(base)
    policy.network.save_pretrained(folder / "model")
    policy.tokenizer.save_pretrained(folder / "model")
    PreferenceModel.from_language_model(base, seed=0, max_tokens=1024).save(folder / "pm")
    for made in ("model", "pm"):  # transformers 4 reads this name
        config = json.loads((folder / made / "config.json").read_text())
        config["rope_theta"] = config.get("rope_parameters", {}).get("rope_theta", 10000.0)
        (folder / made / "config.json").write_text(json.dumps(config))
    asked = _conversations(Path(data) if data else None, BATCH * updates)
    rows = [tokens for one in asked if (tokens := policy.fit(one, MAX_PROMPT_TOKENS, NEW_TOKENS)) is not None]
    turns = [[[turn.speaker.value, turn.text] for turn in one.turns] for one in asked]
    (folder / "prompts.json").write_text(json.dumps(turns))
    (folder / "ids.json").write_text(json.dumps(rows))
    (folder / "end.json").write_text(json.dumps(policy.format.end_of_turn))
    (folder / "lengths.json").write_text(json.dumps([sum(map(len, rows)) / len(rows)]))


def _conversations(data: Path | None, count: int) -> list[Any]:
    """Distinct prompts of a file, or of our own openings in pairs."""
    from concordant.collect.openings import openings
    from concordant.commands.comparison_files import read_comparisons
    from concordant.comparison import Objective
    from concordant.conversation import Conversation

    stream = random.Random(0)
    if data is not None:
        pool = list(dict.fromkeys(one.prompt for one in read_comparisons([data])[0]))
        return stream.sample(pool, count)
    own = openings(Objective.HELPFUL)
    drawn = [stream.sample(own, 3) for _ in range(count)]
    return [Conversation().human(one).assistant(other).human(last) for one, other, last in drawn]


def _ours(work: Path, lora_rank: int, updates: int) -> dict[str, Any]:
    from concordant.conversation import Conversation
    from concordant.models.devices import find_device
    from concordant.models.language_model import LanguageModel
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run
    from concordant.train.judging import Judges
    from concordant.train.policy import train_policy
    from concordant.train_config import PolicyConfig

    device = find_device("auto")
    config = PolicyConfig(
        updates=updates, prompts_per_update=BATCH, replies_per_prompt=1, max_new_tokens=NEW_TOKENS,
        max_prompt_tokens=MAX_PROMPT_TOKENS, passes=PASSES, minibatches=MINIBATCHES, lora_rank=lora_rank,
        learning_rate=RATE, warmup_updates=0, trial_prompts=0, samples_every=0, checkpoint_seconds=1e9,
    )  # fmt: skip
    prompts = {}
    for turns in json.loads((work / "prompts.json").read_text()):
        talk = Conversation()
        for speaker, text in turns:
            talk = talk.human(text) if speaker == "human" else talk.assistant(text)
        prompts[talk] = None
    model = LanguageModel.load(work / "model", device=device)
    logprob = _logprob(model.network, json.loads((work / "ids.json").read_text())[0])
    weights = _weights(model.network)
    run = Run.begin(work / f"run-{lora_rank}", "policy", config.model_dump(mode="json"), {})
    judges = Judges(PreferenceModel.load(work / "pm", device))
    marks: list[float] = []
    train_policy(run, model, judges, prompts, config, lambda done, total, seen: marks.append(time.perf_counter()))
    lengths = [row["length"] for row in run.metrics()[1:]]
    return _measured(marks[1:], sum(lengths) / len(lengths), work, weights) | {"logprob_of_the_first_prompt": logprob}


def _trl(work: Path, lora_rank: int, updates: int) -> dict[str, Any]:
    from datasets import Dataset  # installed beside, by make bench-ppo
    from peft import LoraConfig
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        PreTrainedTokenizerFast,
        TrainerCallback,
    )
    from trl import PPOConfig, PPOTrainer

    ids, end = json.loads((work / "ids.json").read_text()), json.loads((work / "end.json").read_text())
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(work / "model" / "tokenizer.json"), padding_side="left")
    used = {token for row in ids for token in row} | {end}
    tokenizer.pad_token_id = next(token for token in range(len(tokenizer)) if token not in used)
    tokenizer.eos_token_id = end
    policy, reference = (AutoModelForCausalLM.from_pretrained(work / "model") for _ in range(2))
    reward, value = (AutoModelForSequenceClassification.from_pretrained(work / "pm", num_labels=1) for _ in range(2))
    logprob, weights = _logprob(policy, ids[0]), _weights(policy)
    marks: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            marks.append(time.perf_counter())

    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=str(work / "trl"), per_device_train_batch_size=BATCH, gradient_accumulation_steps=1,
            num_mini_batches=MINIBATCHES, num_ppo_epochs=PASSES, total_episodes=BATCH * updates,
            response_length=NEW_TOKENS, temperature=1.0, stop_token_id=end, kl_coef=0.001, learning_rate=RATE,
            local_rollout_forward_batch_size=BATCH, num_sample_generations=0, report_to="none", save_strategy="no",
            bf16=False, use_cpu=not torch.cuda.is_available(), disable_tqdm=True, seed=0,
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=None if lora_rank else reference,
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_list([{"input_ids": row} for row in ids]),
        eval_dataset=Dataset.from_list([{"input_ids": row} for row in ids[:BATCH]]),
        callbacks=[Clock()],
        peft_config=LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear", lora_dropout=0.0)
        if lora_rank
        else None,
    )  # fmt: skip
    if lora_rank:
        del reference  # it is the adapter switched off, there too
    trainer.train()
    # It computes every reply to the limit, whenever it ended.
    return _measured(marks, float(NEW_TOKENS), work, weights) | {"logprob_of_the_first_prompt": logprob}


def _measured(marks: list[float], length: float, work: Path, weights: int) -> dict[str, Any]:
    """Rates between the end of the first update and that of the last, and the memory of this process."""
    seconds = marks[-1] - marks[0]
    episodes = BATCH * (len(marks) - 1)
    (prompt,) = json.loads((work / "lengths.json").read_text())
    found = {
        "episodes_per_second": episodes / seconds,
        "tokens_per_second": episodes * (prompt + length) / seconds,
        "seconds_per_update": round(seconds / (len(marks) - 1), 2),
        "mean_reply_tokens": round(length, 1),
        "weights": weights,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    if torch.cuda.is_available():
        found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


@torch.inference_mode()
def _logprob(network: Any, ids: list[int]) -> float:
    """Mean log-probability of a prompt's tokens: the two versions of transformers have read the same model."""
    device = next(network.parameters()).device
    row = torch.tensor([ids], device=device)
    scores = torch.log_softmax(network(input_ids=row).logits[0, :-1].float(), dim=-1)
    return float(scores.gather(1, row[0, 1:, None]).mean())


def _weights(network: torch.nn.Module) -> int:
    """Weights that take part in a token's matrix products: all but the embeddings."""
    embeddings = {id(part.weight) for part in network.modules() if isinstance(part, torch.nn.Embedding)}
    return sum(weight.numel() for weight in network.parameters() if id(weight) not in embeddings)


if __name__ == "__main__":
    main()
