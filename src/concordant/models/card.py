"""The model card of a preference model: README.md in the folder that others load, in the form that the hub reads.

It is made from what the run recorded, and again when a measurement is added: what the model is, from which data and
settings, how well it does, where it ends, and the lines that load it. It names files and ids, never folders of this
machine. Left out: who may use the data; that is for whoever publishes the model.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from concordant.models.base_models import KNOWN
from concordant.models.chat_format import ChatFormat
from concordant.runs import KEPT, Json, Run, read_json, write_whole

CARD = "README.md"

WHO_CHOSE = {
    "person": "by people",
    "scripted": "by scripted workers, programs with a fixed taste: **this is not human judgement**",
    "simulated": "by simulated workers, models in the place of people: **this is not human judgement**",
    "unknown": "from files that do not say who chose",
}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

_LIMITS = """- Only the difference between the scores of two replies to the same prompt means anything: a gap of Δ says
  that people prefer the higher one with probability 1/(1 + e^−Δ), as far as the model is calibrated.
- It sees the whole conversation and judges its last reply.
- It reads at most {context:,} tokens, prompt and reply together; longer prompts lose whole turns from the left.
- It repeats what is in its data, tastes and mistakes included, and was not measured outside of it. A policy trained
  hard against it will find replies that it scores highly and people do not."""

_RECIPE = """import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "{folder}"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()


def tokens(text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


replies = ["Seven minutes for a soft yolk.", "Eggs are oval."]
{prompt}
rows = [torch.tensor(tokens(prompt) + tokens({reply}) + tokens("{end}<|end_of_context|>")) for reply in replies]
ids = pad_sequence(rows, batch_first=True, padding_value=model.config.pad_token_id)
mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
with torch.inference_mode():
    scores = model(input_ids=ids, attention_mask=mask).logits[:, 0]
print("the first is preferred with probability", torch.sigmoid(scores[0] - scores[1]).item())"""

_TEMPLATE_PROMPT = """turns = [{"role": "user", "content": "How long do I boil an egg?"}]
prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)"""
_PLAIN_PROMPT = r'prompt = "\n\nHuman: How long do I boil an egg?\n\nAssistant:"'


def write_card(run: Run, result: Json, evaluation: Json | None = None, name: str = "") -> None:
    """Write README.md into the model that stands in ``run.model``, in place of an earlier one.

    Args:
        run: a preference-model run.
        result: what it reports at its end: comparisons, what was dropped, kinds of workers, loss.
        evaluation: ``PMEvaluation.json()``, where the model was measured.
        name: of the run, where its folder does not stand in its place yet.
    """
    from transformers import AutoTokenizer

    name = name or run.name

    format = ChatFormat(AutoTokenizer.from_pretrained(run.model))
    context = int(read_json(run.model / "config.json").get("concordant_max_tokens", 1024))
    head = run.head
    # Not the config's: within a programme the first snapshot stands in for it.
    base = str(head["parents"].get("base") or head["config"].get("model", "unknown"))
    parts = [
        _front_matter(base),
        f"# {name}: a preference model",
        "Given a conversation, it scores the last reply: replies that people would prefer score higher. A transformer "
        f"with one number read at its end-of-context token, made from {base_name(base)} by Concordant, after Bai et "
        "al. 2022 (arXiv 2204.05862).",
        "## Data",
        _data(head["parents"], result),
        "## Training",
        _training(head["config"], result),
        "## Measured",
        _measured(evaluation),
        "## Limits",
        _LIMITS.format(context=context),
        "## How to load it",
        "Each reply in a row of its own: the prompt, the reply, the end of the turn, and the end-of-context token at "
        "which the score is read. Prompt and reply become tokens apart.",
        f"```python\n{recipe(format)}\n```",
        "A special token that somebody wrote out in a message must be broken, by a space for example, before it "
        "becomes tokens.",
        "## Lineage",
        table(("role", "id"), [("this run", name), *_lineage(head["parents"])]),
    ]
    write_whole(run.model / CARD, "\n\n".join(parts) + "\n")


def recipe(format: ChatFormat, folder: str = "path/to/this/folder") -> str:
    """Lines of plain transformers code that score two replies as this format renders them."""
    lines = _RECIPE.replace("{folder}", folder)
    lines = lines.replace("{prompt}", _TEMPLATE_PROMPT if format.has_template else _PLAIN_PROMPT)
    lines = lines.replace("{reply}", "reply" if format.has_template else '" " + reply')
    return lines.replace("{end}", str(format.tokenizer.convert_ids_to_tokens(format.end_of_turn)))


def _front_matter(base: str) -> str:
    """What the hub reads."""
    hub_id = name_on_hub(base)
    lines = ["library_name: transformers", "pipeline_tag: text-classification"]
    lines += [f"base_model: {hub_id}"] if hub_id else []
    lines += ["tags:", "- concordant", "- preference-model", "- reward-model", "- rlhf"]
    return "\n".join(["---", *lines, "---"])


def name_on_hub(base: str) -> str | None:
    """The base model's name on the hub, where it has one."""
    if base in KNOWN:
        return KNOWN[base].hub_id
    return base if _HUB_ID.fullmatch(base) and not Path(base).exists() else None


def base_name(base: str) -> str:
    """What a reader may be told of the base model."""
    if hub_id := name_on_hub(base):
        return hub_id
    if base.startswith("ladder-"):
        return f"{base}, a transformer that was not trained before,"
    return f"the model {without_folders(base)}"


def without_folders(value: Any) -> str:
    """A setting in words; of a path, its last part that says something."""
    text = str(value)
    if "/" not in text or name_on_hub(text):
        return text
    names = [name for name in text.split("/") if name not in ("", ".", "..", "~")]
    while len(names) > 1 and names[-1] == "model":
        names.pop()
    if len(names) > 2 and names[-2] == KEPT:
        return "/".join(names[-3:])
    return names[-1] if names else "a folder"


def _data(parents: Json, result: Json) -> str:
    used = f"{result['comparisons']:,}" if "comparisons" in result else "An unrecorded number of"
    data = str(parents.get("data") or parents.get("dataset", "unknown"))
    lines = [
        f"{used} comparisons (two replies to one prompt, and which of them is better) from {_listed(data)}; what "
        "follows @ begins the SHA-256 of its content."
    ]
    lines += [f"Objective: {parents['objective']}."] if "objective" in parents else []
    kinds: Json = result.get("worker_kinds") or {}
    chose = [f"- {kinds[kind]:,} {WHO_CHOSE.get(kind, f'by workers of kind {kind}')}" for kind in sorted(kinds)]
    lines += ["Who chose:\n\n" + "\n".join(chose)] if chose else []
    if result.get("cut"):
        lines.append(f"Of {result['cut']:,} of them, the first turns of the prompt did not fit and were cut off.")
    dropped: Json = result.get("dropped") or {}
    if dropped:
        rows = [(reason, f"{count:,}") for reason, count in sorted(dropped.items())]
        lines.append("Left out:\n\n" + table(("reason", "comparisons"), rows))
    else:
        lines.append("Nothing was left out.")
    return "\n\n".join(lines)


def _listed(data: str) -> str:
    return ", ".join(f"`{without_folders(part.strip())}`" for part in data.split(","))


def _training(config: Json, result: Json) -> str:
    rows = [(f"`{key}`", without_folders(value)) for key, value in config.items() if key != "model"]
    seen = [
        f"{name.replace('_', ' ')} {result[name]:.3f}" for name in ("train_loss", "train_accuracy") if name in result
    ]
    said = f"\n\nOver the last quarter of its steps: {', '.join(seen)}." if seen else ""
    return table(("setting", "value"), rows) + said


def _measured(evaluation: Json | None) -> str:
    if evaluation is None:
        return "Not measured yet."
    low, high = evaluation["ci95"]
    rows = [
        ("accuracy on comparisons", f"{evaluation['accuracy']:.1%} [{low:.1%}, {high:.1%}], n = {evaluation['n']:,}"),
        ("ties, counted ½", f"{evaluation['ties']:.1%}"),
    ]
    if baseline := evaluation.get("length_baseline"):
        rows.append(('"the longer reply wins"', f"{baseline['longer_wins']:.1%}"))
    rows += [("negative log-likelihood, nats (chance: 0.693)", f"{evaluation['nll']:.3f}")]
    rows += [("expected calibration error", f"{evaluation['ece']:.3f}")]
    rows += [
        (f"accuracy on {without_folders(name)}", f"{part['accuracy']:.1%}, n = {part['n']:,}")
        for name, part in evaluation.get("by_file", {}).items()
    ]
    alarm = "\n\n**The scores hardly differ: these numbers say nothing.**" if evaluation.get("collapsed") else ""
    return table(("what", "value (95 % interval)"), rows) + alarm


def _lineage(parents: Json) -> list[tuple[str, str]]:
    return [
        (role, ", ".join(without_folders(part.strip()) for part in str(value).split(",")))
        for role, value in parents.items()
    ]


def table(head: tuple[str, ...], rows: Iterable[Sequence[str]]) -> str:
    """A table of markdown."""
    cells = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
