"""The model card of an exported distilled model: README.md in the folder that others load, in the hub's form.

It says who the teacher was and behind which prompt, which texts it learned from, how far base and student are from the
prompted teacher on texts that neither learned from, where the model ends, and how to load it. It names files and ids,
never folders of this machine. Left out: who may use the model; that is for whoever publishes it.
"""

from collections.abc import Sequence
from pathlib import Path

from concordant.models.card import base_name, name_on_hub, table, without_folders
from concordant.models.lineage import ancestry
from concordant.models.made_model import run_name
from concordant.models.policy_card import lineage_text, plain_recipe
from concordant.runs import Json, Run, read_json

_LIMITS = """- It was made to write, without the prompt, what its teacher writes behind it. It knows nothing that its
  teacher does not, and what the prompt asks for and the teacher cannot do, it cannot do either.
- The measure is a distance between two models' words on given texts. It says nothing about whether people like its
  replies, and nothing about how safe they are.
- It learned from texts of at most {tokens} tokens; longer ones are outside of what was measured.
- It keeps what its base model does not know, and can say false or harmful things with confidence."""


def distill_card(run: Run, template: bool, parents: Sequence[Path] = ()) -> str:
    """README.md of an exported distilled model.

    Args:
        run: a run of ``train distill`` that has ended.
        template: whether the tokenizer has a chat template.
        parents: folders of runs that may be among the run's parents.
    """
    head, name = run.head, run_name(run)
    given, config = head["parents"], head["config"]
    base = str(given.get("base") or config.get("model", "unknown"))
    parts = [
        _front_matter(base),
        f"# {name}: a context-distilled model",
        f"A language model made from {base_name(base)} by context distillation with Concordant, after Bai et al. 2022 "
        "(arXiv 2204.05862, §2.3 and App. A.1): it learned to write as a teacher does behind a prompt, without the "
        "prompt.",
        "## Teacher and texts",
        _taught(given, run.result if run.finished else {}),
        "## Measured",
        _measured(run),
        "## Training",
        table(("setting", "value"), [(f"`{key}`", without_folders(value)) for key, value in config.items()]),
        "## Limits",
        _LIMITS.format(tokens=config.get("text_tokens", "some hundred")),
        "## How to load it",
        f"```python\n{plain_recipe(template)}\n```",
        "## Lineage",
        lineage_text(name, list(ancestry(run, parents))),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(base: str) -> str:
    hub_id = name_on_hub(base)
    lines = ["library_name: transformers", "pipeline_tag: text-generation"]
    lines += [f"base_model: {hub_id}"] if hub_id else []
    return "\n".join(["---", *lines, "tags:", "- concordant", "- context-distillation", "---"])


def _taught(given: Json, result: Json) -> str:
    rows = [
        ("teacher", f"`{without_folders(given.get('teacher', 'unknown'))}`"),
        ("prompt", f"`{given.get('prompt', 'unknown')}`"),
        ("texts from", f"`{given.get('data', 'unknown')}`"),
    ]
    if result:
        rows.append(
            (
                "learned from",
                f"{result['texts']:,} texts ({result['dialogues']:,} dialogues) of {result['documents']:,} documents, "
                f"{result['tokens']:,} tokens",
            )
        )
        rows += [(f"left out: {reason}", f"{count:,} texts") for reason, count in sorted(result["dropped"].items())]
    return table(("what", "value"), rows) + "\n\nWhat follows @ begins the SHA-256 of the content."


def _measured(run: Run) -> str:
    """KL before and after: on unseen texts where they were measured, and in training."""
    parts = []
    if (run.path / "evaluation.json").exists():
        found = read_json(run.path / "evaluation.json")
        rows = [(name, _with_interval(found[key])) for name, key in _ROWS]
        rows.append(("gain as a share of the base's KL", f"{found['share']:.1%}"))
        closer = "" if found["closer"] else "\n\n**It is not shown to be closer to the teacher than its base is.**"
        parts.append(
            f"KL from the teacher behind its prompt, at {found['tokens']:,} tokens of {found['documents']:,} documents "
            "that were not learned from, nats per token:\n\n" + table(("model", "KL (95 % interval)"), rows) + closer
        )
    else:
        parts.append("Not measured on texts that it has not learned from.")
    if run.finished:
        result = run.result
        parts.append(
            f"In training, the KL over {run.head['config'].get('k', 50)} tokens and the rest fell from "
            f"{result['first_loss']:.4f} at the first step to {result['train_loss']:.4f} over the last quarter."
        )
    return "\n\n".join(parts)


_ROWS = (("base model, without the prompt", "base"), ("this model, without the prompt", "student"), ("gain", "gain"))


def _with_interval(part: Json) -> str:
    low, high = part["ci95"]
    return f"{part['kl']:.4f} [{low:.4f}, {high:.4f}]"
