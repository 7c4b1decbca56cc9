"""Training a preference model here and with TRL's RewardTrainer: comparisons a second, memory, and the same losses.

Both start from one model folder and see the same comparisons in the same order, in batches of 8, in float32, with the
same optimiser and rates, each in a process of its own. TRL runs without gradient checkpointing and with it (its
default), and on batches grouped by length; its best counts. Writes pm_against_trl.json. ``make bench-pm`` installs TRL
beside the project's packages, so both sides use the same torch and transformers.

    python benchmarks/pm_against_trl.py [--data FILE] [--comparisons N]

Without a file of comparisons, replies of random words to the project's own openings are used: the lengths are what
matters for speed, and the losses then say only that both sides compute the same.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matmul import matmul_rate

from concordant.collect.openings import openings
from concordant.commands.comparison_files import read_comparisons
from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.models.base_models import cache_folder, fetch
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow
from concordant.runs import Run
from concordant.train.pm import model_to_train, train_pm
from concordant.train_config import PreferenceModelConfig

BATCH, MAX_TOKENS, WARMUP, RATE = 8, 512, 4, 2e-5
PEERS = Path(__file__).parent / ".peers"
TRL_SETTINGS = {
    "trl": {"train_sampling_strategy": "sequential", "gradient_checkpointing": False},
    "trl, gradient checkpointing": {"train_sampling_strategy": "sequential", "gradient_checkpointing": True},
    "trl, grouped by length": {"train_sampling_strategy": "group_by_length", "gradient_checkpointing": False},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="HH .jsonl[.gz] file")
    parser.add_argument("--comparisons", type=int, default=64)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side = _ours(args.work) if args.side == "concordant" else _trl(args.work, TRL_SETTINGS[args.side])
        (args.work / "result.json").write_text(json.dumps(side))
        return
    with tempfile.TemporaryDirectory() as scratch:
        _prepare(Path(scratch), args.data, args.comparisons)
        sides = {name: _run(Path(scratch), name) for name in ("concordant", *TRL_SETTINGS)}
    best = max(TRL_SETTINGS, key=lambda name: sides[name]["comparisons_per_second"])
    ours, peer = sides["concordant"], sides[best]
    result = {
        "comparisons": args.comparisons,
        "from": args.data.name if args.data else "random words",
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sides": sides,
        "best_of_trl": best,
        "speed_ratio": round(ours["comparisons_per_second"] / peer["comparisons_per_second"], 2),
        "memory_ratio": round(ours["peak_gb"] / peer["peak_gb"], 2),
        "largest_loss_difference": max(
            abs(one - other) for one, other in zip(ours["losses"], sides["trl"]["losses"], strict=True)
        ),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "sides"}, indent=2))


def _prepare(work: Path, data: Path | None, count: int) -> None:
    """One untrained preference model, and the comparisons as both sides read them, in one order."""
    model = PreferenceModel.from_language_model(fetch("smollm2-135m", cache_folder()), seed=0, max_tokens=MAX_TOKENS)
    model.save(work / "model")
    pool = read_comparisons([data])[0] if data else _made_up(count)
    random.Random(0).shuffle(pool)
    fitting = [one for one in pool if one.flaw() is None and _row(model, one) is not None][:count]
    pairs = [[[turn.speaker, turn.text] for turn in one.prompt.turns] + [one.chosen, one.rejected] for one in fitting]
    (work / "pairs.json").write_text(json.dumps(pairs))
    random.Random("order:0").shuffle(fitting)  # as train_pm shuffles with seed 0
    rows = [row for one in fitting if (row := _row(model, one)) is not None]
    ids = [_for_trl(row) for row in rows]
    (work / "ids.json").write_text(json.dumps(ids))


def _for_trl(row: SharedRow) -> dict[str, Any]:
    """As its trainer reads a comparison, with the length that its grouping by length asks for."""
    chosen, rejected = (row.prompt + reply for reply in row.replies)
    return {"chosen_ids": chosen, "rejected_ids": rejected, "length": max(len(chosen), len(rejected))}


def _row(model: PreferenceModel, one: Preference) -> SharedRow | None:
    return model.row(one.prompt, [one.chosen, one.rejected])


def _made_up(count: int) -> list[Preference]:
    """Conversations of two turns with two replies of 30 to 60 words each."""
    rng = random.Random(0)
    vocabulary = " ".join(openings(Objective.HELPFUL)).split()

    def words(number: int) -> str:
        return " ".join(rng.choices(vocabulary, k=number))

    prompts = [Conversation().human(words(12)).assistant(words(60)).human("Go on.") for _ in range(count)]
    return [
        Preference(Comparison(prompt, words(rng.randint(30, 60)), words(rng.randint(30, 60))), "a", Objective.HELPFUL)
        for prompt in prompts
    ]


def _run(work: Path, side: str) -> dict[str, Any]:
    """One side in a process of its own, with the machine's matrix-product rate of the same minute."""
    rate = matmul_rate()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PEERS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, __file__, "--work", str(work), "--side", side]
    subprocess.run(command, check=True, env=environment if side != "concordant" else os.environ)
    result: dict[str, Any] = json.loads((work / "result.json").read_text())
    flops = result.pop("tokens") * 6 * result.pop("weights") / result["seconds"]
    shown = {
        "comparisons_per_second": round(len(json.loads((work / "ids.json").read_text())) / result["seconds"], 3),
        "matmul_gflops": round(rate, 1),
        "share_of_matmul": round(flops / rate / 1e9, 2),
    }
    print(f"{side}: {shown['comparisons_per_second']} comparisons/s, {result['peak_gb']} GB", file=sys.stderr)
    return shown | result


def _ours(work: Path) -> dict[str, Any]:
    pairs = json.loads((work / "pairs.json").read_text())
    preferences = [
        Preference(Comparison(_conversation(turns), chosen, rejected), "a", Objective.HELPFUL)
        for *turns, chosen, rejected in pairs
    ]
    config = PreferenceModelConfig(
        model=str(work / "model"),
        batch_size=BATCH,
        learning_rate=RATE,
        warmup_steps=WARMUP,
        max_tokens=MAX_TOKENS,
        checkpoint_seconds=1e9,
    )
    run = Run.begin(work / "run", "pm", config.model_dump(mode="json"), {})
    model = model_to_train(work / "model", config)
    tokens = sum(len(row) for one in preferences if (row := _row(model, one)) is not None)
    began = time.perf_counter()
    seen: list[float] = []
    train_pm(run, model, preferences, config, lambda done, total, said: seen.append(time.perf_counter() - began))
    return {
        "seconds": seen[-1] - seen[0],
        "peak_gb": _peak(),
        "losses": [row["loss"] for row in run.metrics()],
        "tokens": tokens,
        "weights": _weights(model.network),
    }


def _trl(work: Path, settings: dict[str, Any]) -> dict[str, Any]:
    from datasets import Dataset  # installed beside, by make bench-pm
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    ids = json.loads((work / "ids.json").read_text())
    model = AutoModelForSequenceClassification.from_pretrained(work / "model", dtype=torch.float32)
    config = RewardConfig(
        output_dir=str(work / "trl"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=WARMUP,
        adam_beta2=0.95,
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=MAX_TOKENS,
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
        **settings,
    )
    trainer = RewardTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(ids),
        processing_class=AutoTokenizer.from_pretrained(work / "model"),
    )
    began = time.perf_counter()
    trainer.train()
    return {
        "seconds": time.perf_counter() - began,
        "peak_gb": _peak(),
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
        "tokens": sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in ids),
        "weights": _weights(model),
    }


def _conversation(turns: Sequence[Sequence[str]]) -> Conversation:
    conversation = Conversation()
    for speaker, text in turns:
        conversation = conversation.human(text) if speaker == "human" else conversation.assistant(text)
    return conversation


def _weights(network: torch.nn.Module) -> int:
    """Weights that take part in a token's matrix products: all but the embeddings."""
    embeddings = {id(part.weight) for part in network.modules() if isinstance(part, torch.nn.Embedding)}
    return sum(weight.numel() for weight in network.parameters() if id(weight) not in embeddings)


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


if __name__ == "__main__":
    main()
